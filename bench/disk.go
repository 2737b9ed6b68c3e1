package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// A disk is where a benchmark keeps what it stores.
type disk struct {
	dir  string // of this run, removed at its end
	kind string // of file system
}

// openDisk makes a directory for a run, which must not be in memory.
func (s *settings) openDisk() (*disk, error) {
	dir, err := os.MkdirTemp(s.dir, "spate-bench-")
	if err != nil {
		return nil, err
	}
	kind, inMemory, err := fileSystem(dir)
	if err != nil || inMemory {
		_ = os.RemoveAll(dir)
		if err == nil {
			err = fmt.Errorf("%s is in memory (%s), where an fsync costs nothing: name a directory on a disk with -dir", dir, kind)
		}
		return nil, err
	}
	return &disk{dir: dir, kind: kind}, nil
}

func (d *disk) close() error { return os.RemoveAll(d.dir) }

// fresh returns the name of a directory for one measurement, and what removes it.
func (d *disk) fresh(name string) (dir string, remove func()) {
	dir = filepath.Join(d.dir, name)
	return dir, func() { _ = os.RemoveAll(dir) }
}

// A latency is how long a write and an fdatasync take, without anything around them.
type latency struct{ p50, p99 float64 }

// probeTime is how long the disk is measured, and probeSize how much is written each time: as much as a log writes for a few events.
const (
	probeTime = 300 * time.Millisecond
	probeSize = 1024
)

// fsync measures the disk for a moment.
func (d *disk) fsync() (l latency, err error) {
	file, err := os.CreateTemp(d.dir, "fsync-")
	if err != nil {
		return l, err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	var h load.Histogram
	data := make([]byte, probeSize)
	for begin := time.Now(); time.Since(begin) < probeTime; {
		began := time.Now()
		if _, err := file.Write(data); err != nil {
			return l, err
		}
		if err := datasync(file); err != nil {
			return l, err
		}
		h.Record(time.Since(began))
	}
	return latency{p50: float64(h.Quantile(0.5)), p99: float64(h.Quantile(0.99))}, nil
}

// describe says what the disk was like, over the rounds.
func (d *disk) describe(seen []latency) string {
	return fmt.Sprintf("%s; a bare write and fdatasync of %d bytes took %v (p50), %v (p99)", d.kind, probeSize,
		load.Round(time.Duration(median(column(seen, func(l latency) float64 { return l.p50 })))),
		load.Round(time.Duration(median(column(seen, func(l latency) float64 { return l.p99 })))))
}
