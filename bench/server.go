package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A server is a running peer.
type server struct {
	cmd     *exec.Cmd
	name    string
	address string
	web     string // where it speaks MQTT over WebSockets
	pprof   string // where it serves profiles
	pid     int

	listening chan string // the address that it prints
	ended     chan error
}

// startTimeout bounds the wait for a server to listen.
const startTimeout = 10 * time.Second

// start runs a server that says where it listens.
func start(ctx context.Context, cpu int, argv ...string) (*server, error) {
	s, err := launch(ctx, cpu, argv)
	if err != nil {
		return nil, err
	}
	select {
	case s.address = <-s.listening:
		return s, nil
	case err := <-s.ended:
		return nil, fmt.Errorf("%s ended before it said where it listens: %w", argv[0], err)
	case <-time.After(startTimeout):
		return nil, errors.Join(fmt.Errorf("%s did not say within %v where it listens", argv[0], startTimeout), s.stop())
	}
}

// startAt runs a server that was told where to listen.
func startAt(ctx context.Context, cpu int, address string, argv ...string) (*server, error) {
	s, err := launch(ctx, cpu, argv)
	if err != nil {
		return nil, err
	}
	s.address = address
	return s, s.waitFor(address)
}

// waitFor waits until a server listens on an address. One that does not is stopped.
func (s *server) waitFor(address string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		select {
		case err := <-s.ended:
			return fmt.Errorf("%s ended before it listened: %w", s.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.Join(fmt.Errorf("%s did not listen on %s within %v", s.name, address, startTimeout), s.stop())
}

// launch starts a command on one CPU, with as many descriptors as are allowed:
// not every server raises that limit itself.
func launch(ctx context.Context, cpu int, argv []string) (*server, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return nil, err
	}
	all := []string{"-c", cpuList(cpu), "prlimit", fmt.Sprintf("--nofile=%d:%d", files.Max, files.Max)}
	cmd := exec.CommandContext(ctx, "taskset", append(all, argv...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s (taskset and prlimit are in the package util-linux): %w", argv[0], err)
	}
	// taskset and prlimit become the server, so it has their process number.
	s := &server{cmd: cmd, name: argv[0], pid: cmd.Process.Pid, listening: make(chan string, 1), ended: make(chan error, 1)}
	go s.watch(out)
	return s, nil
}

// watch reads what the server prints until it ends, which stop waits for.
func (s *server) watch(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		address, ok := strings.CutPrefix(lines.Text(), "listening on ")
		if ok {
			select {
			case s.listening <- address:
			default: // once is enough
			}
		}
	}
	s.ended <- s.cmd.Wait()
}

// stop ends the server and waits for it.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := <-s.ended
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return nil
		}
	}
	return err
}

// kill ends the server as a crash does, and waits for it.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// freeAddress returns an address on which nobody listens.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
