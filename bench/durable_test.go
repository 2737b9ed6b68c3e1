package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/internal/load"
)

func TestShapes(t *testing.T) {
	var s shapes
	if err := s.Set("256x1,1x100"); err != nil || !slices.Equal(s, shapes{{256, 1}, {1, 100}}) || s.String() != "256x1,1x100" {
		t.Errorf("got %v, %v", s, err)
	}
	for _, bad := range []string{"", "1", "x", "0x1", "1x0", "1x1,", "axb"} {
		if err := s.Set(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, s)
		}
	}
}

func TestCPUList(t *testing.T) {
	if got := cpuList(3); got != "3" {
		t.Errorf("CPU 3 is %q", got)
	}
	if got := cpuList(anyCPU); !strings.HasPrefix(got, "0-") {
		t.Errorf("any CPU is %q", got)
	}
	var s settings
	f := newDurableFlags("test", &s)
	if err := f.Parse([]string{"-load-cpu", "1"}); err != nil || s.serverCPU != anyCPU || s.loadCPU != 1 {
		t.Errorf("server %d, load %d, %v", s.serverCPU, s.loadCPU, err)
	}
}

func TestMarks(t *testing.T) {
	const due = 1234567 * time.Nanosecond
	value := appendMarked(nil, due, 128)
	if len(value) != 128 {
		t.Errorf("a value has %d bytes", len(value))
	}
	var got []time.Duration
	reply := append(append([]byte("*2\r\n$128\r\n"), value...), appendMarked([]byte("\r\n"), 2*due, 30)...)
	if err := marks(reply, func(d time.Duration) { got = append(got, d) }); err != nil || !slices.Equal(got, []time.Duration{due, 2 * due}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := marks([]byte("due:0123456789abcdeX"), func(time.Duration) {}); err == nil {
		t.Error("a mark that is none is accepted")
	}
}

// TestCommands holds the commands that are made by hand against the framing of the protocol.
func TestCommands(t *testing.T) {
	for name, w := range ways() {
		command := w.send(nil, 41, time.Second, 128)
		if n, err := load.ReplyLength(command); n != len(command) || err != nil {
			t.Errorf("%s: %d of %d bytes are a command, %v: %q", name, n, len(command), err, command)
		}
	}
	if got := string(xaddCommand(nil, 41, 0, 128)); !strings.Contains(got, "\r\n42-1\r\n") {
		t.Errorf("the ID of event 41 is not 42-1 in %q", got)
	}
}

func TestDisk(t *testing.T) {
	s := settings{dir: t.TempDir()}
	d, err := s.openDisk()
	if err != nil {
		if strings.Contains(err.Error(), "-dir") {
			return // the directory for temporary files is in memory, which is what is refused
		}
		t.Fatal(err)
	}
	if l, err := d.fsync(); err != nil || l.p50 <= 0 || l.p99 < l.p50 {
		t.Errorf("latency %+v, %v", l, err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", d.dir, err)
	}
}
