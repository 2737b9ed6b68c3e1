package pebblestore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/store"
)

// fillVariable tells a test binary to be the process that fills a store and is killed.
const fillVariable = "SPATE_TEST_FILL"

// BenchmarkReadDisk reads 128-byte events from disk with one reader: a store that was just opened has none in memory.
func BenchmarkReadDisk(b *testing.B) {
	const events = 2_000_000
	dir := b.TempDir()
	s := reopen(b, nil, dir)
	fill(b, s, events, 1000, 2)
	s = reopen(b, s, dir)
	defer func() { _ = s.Close() }()
	b.ResetTimer()
	left := b.N
	for left > 0 {
		for p := 0; p < benchPartitions && left > 0; p++ {
			left -= readThrough(b, s, store.Partition{Stream: "s", Number: p}, left)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkReadTail reads what is in memory.
func BenchmarkReadTail(b *testing.B) {
	s := openBench(b)
	fill(b, s, 80_000, 1000, 2)
	b.ResetTimer()
	for left := b.N; left > 0; {
		for p := 0; p < benchPartitions && left > 0; p++ {
			left -= readThrough(b, s, store.Partition{Stream: "s", Number: p}, left)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

// readThrough reads a partition, or as much as is wanted, and returns how many records it had.
func readThrough(b *testing.B, s *Store, p store.Partition, most int) (n int) {
	for at := uint64(0); n < most; {
		records, err := s.Read(context.Background(), store.Position{Partition: p, Offset: at}, store.ReadOptions{Records: 4096})
		if err != nil {
			b.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		at = records[len(records)-1].Offset + 1
		n += len(records)
	}
	return n
}

func reopen(b *testing.B, s *Store, dir string) *Store {
	b.Helper()
	if s != nil {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkTenMillion has another process store 10 M events and stay idle, measures its memory, kills it, and measures how long opening takes.
func BenchmarkTenMillion(b *testing.B) {
	const events = 10_000_000
	if dir := os.Getenv(fillVariable); dir != "" {
		s := reopen(b, nil, dir)
		fill(b, s, events, 1000, 2)
		fmt.Println("filled")
		select {}
	}
	for range b.N {
		dir := b.TempDir()
		child := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkTenMillion$", "-test.benchtime=1x")
		child.Env = append(os.Environ(), fillVariable+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := child.Start(); err != nil {
			b.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "filled"); {
			continue
		}
		b.ReportMetric(events/time.Since(begin).Seconds(), "events/s")
		b.ReportMetric(rss(b, child.Process.Pid), "MB-RSS-full")
		<-time.After(10 * time.Second)
		b.ReportMetric(rss(b, child.Process.Pid), "MB-RSS-idle")
		if err := child.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		_ = child.Wait() // it was killed
		debug.FreeOSMemory()
		begin = time.Now()
		s := reopen(b, nil, dir)
		b.ReportMetric(time.Since(begin).Seconds()*1000, "ms-open")
		b.ReportMetric(float64(s.Stats().DiskBytes)/1e6, "MB-disk")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// rss returns the resident memory of a process in megabytes.
func rss(b *testing.B, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
