package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/spate-io/spate/bench/internal/work"
)

// anyCPU stands for no pinning: what stores in its own process, and what the goals for "2 cores" are about, uses all of them.
const anyCPU = -1

// newDurableFlags are the flags of benchmarks whose servers and load share all CPUs, unless they are asked not to.
func newDurableFlags(name string, s *settings, peers ...string) *flag.FlagSet {
	f := newFlags(name, s, peers...)
	for _, name := range []string{"server-cpu", "load-cpu"} {
		_ = f.Set(name, fmt.Sprint(anyCPU)) // is a number
		f.Lookup(name).DefValue = f.Lookup(name).Value.String()
	}
	return f
}

// cpuList is what taskset is told.
func cpuList(cpu int) string {
	if cpu == anyCPU {
		return fmt.Sprintf("0-%d", runtime.NumCPU()-1)
	}
	return fmt.Sprint(cpu)
}

// A worked is what a program that works in its own process has measured.
type worked struct{ work.Result }

func (m worked) rate() float64     { return float64(m.Events) / m.Elapsed.Seconds() }
func (m worked) cpu() float64      { return float64(m.CPU) / float64(max(m.Events, 1)) }
func (m worked) others() float64   { return m.Others }
func (m worked) p50() float64      { return float64(m.P50) }
func (m worked) p99() float64      { return float64(m.P99) }
func (m worked) perGroup() float64 { return float64(m.Events) / float64(max(m.Groups, 1)) }

// worker runs a program that measures by itself, and returns what it says.
func (s *settings) worker(ctx context.Context, program, profile string, args ...string) (m worked, err error) {
	if s.profile != "" && profile != "" {
		args = append(args, "-cpuprofile", filepath.Join(s.profile, profile+".pprof"))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(target, program), args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("running %s %v: %w", program, args, err)
	}
	return m, json.Unmarshal(out, &m.Result)
}

// A busyMeter tells how much of the machine others use while something is measured.
type busyMeter struct {
	began        time.Time
	own, machine time.Duration
}

func newBusyMeter(own time.Duration) busyMeter {
	return busyMeter{time.Now(), own + work.Own() + children(), work.Machine()}
}

// others returns how many CPUs others kept busy. Own is the CPU time of the server until now; that of this program and
// of those that it has started and that have ended is added.
func (b busyMeter) others(own time.Duration) float64 {
	mine := own + work.Own() + children() - b.own
	return max(0, (work.Machine()-b.machine-mine).Seconds()/time.Since(b.began).Seconds())
}

func children() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// withDisk prepares a benchmark of what is durable, runs it, and cleans up behind it.
func (s *settings) withDisk(ctx context.Context, run func(*disk) error) (err error) {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	d, err := s.openDisk()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return run(d)
}
