package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// target is where the servers are built.
const target = "target"

// A server is a running peer.
type server struct {
	cmd     *exec.Cmd
	address string
	pid     int
}

// start runs a command pinned to a CPU and waits for the line that says where
// it listens, or for the address given to answer.
func start(ctx context.Context, cpu int, argv ...string) (*server, error) {
	all := append([]string{"-c", fmt.Sprint(cpu)}, argv...)
	cmd := exec.CommandContext(ctx, "taskset", all...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s (taskset is in the package util-linux): %w", argv[0], err)
	}
	s := &server{cmd: cmd, pid: cmd.Process.Pid} // taskset becomes the server
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			s.address = addr
			return s, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s did not say where it listens", argv[0]), s.stop())
}

// stop ends the server and waits for it.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		return nil
	}
	return err
}

// build compiles the servers that the peers need.
func build(ctx context.Context, names ...string) error {
	done := map[string]bool{}
	for _, name := range names {
		p, ok := peers()[name]
		if !ok {
			return fmt.Errorf("no peer is called %q; there are %s", name, strings.Join(peerNames(), ", "))
		}
		if done[p.source] || p.source == "" {
			continue
		}
		done[p.source] = true
		if err := buildOne(ctx, p.source); err != nil {
			return fmt.Errorf("building %s: %w", p.source, err)
		}
	}
	return nil
}

// buildOne compiles a peer in Rust or Go.
func buildOne(ctx context.Context, source string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(target, source), "./peers/"+source)
	if source == "tokio" {
		abs, err := filepath.Abs(target)
		if err != nil {
			return err
		}
		cmd = exec.CommandContext(ctx, "cargo", "build", "--release", "--offline", "--quiet", "--target-dir", abs)
		cmd.Dir = filepath.Join("peers", source)
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
