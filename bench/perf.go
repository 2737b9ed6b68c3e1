package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// profilePaths returns the files for the profiles of one measurement: that of
// Go's own profiler and that of perf; empty where none was asked for.
func (s *settings) profilePaths(what string) (pprof, perf string) {
	if s.profile != "" {
		pprof = filepath.Join(s.profile, what+".pprof")
	}
	if s.perf != "" {
		perf = filepath.Join(s.perf, what+".perf")
	}
	return pprof, perf
}

// record runs perf on a process for d and returns how to wait for it. The
// sampling costs the server a few percent: what is measured meanwhile is not
// to be quoted.
func record(ctx context.Context, pid int, file string, d time.Duration) (wait func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	cmd := exec.CommandContext(ctx, "perf", "record", "-q", "-g", "-F", "1999", "-o", file, "-p", fmt.Sprint(pid),
		"--", "sleep", fmt.Sprint(d.Seconds()))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting perf (Debian package linux-perf): %w", err)
	}
	return func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("recording with perf: %w", err)
		}
		return nil
	}, nil
}
