package engine_test

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/spate-io/spate/engine"
)

// Running out of descriptors stops nothing: accepting backs off, says so once,
// and goes on.
func TestOutOfDescriptors(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{})
		other := s.dial()
		other.ask("hello")
		var lim syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
			t.Fatal(err)
		}
		waiting := exhaust(t, s, lim)
		waitFor(t, "accept to fail", func() bool { return s.Stats().AcceptErrors >= 2 })
		if got := other.ask("still here"); got != "still here" {
			t.Errorf("got %q", got)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
			t.Fatal(err)
		}
		if got := waiting.ask("at last"); got != "at last" {
			t.Errorf("got %q", got)
		}
		if n := strings.Count(s.log.String(), "cannot accept"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
		s.logged("accepting connections again")
	})
}

// exhaust lowers the limit of descriptors so that none is left but the one of
// the client that it returns.
func exhaust(t *testing.T, s *server, lim syscall.Rlimit) *client {
	t.Helper()
	// The client's own descriptor is the lowest that is free.
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := raw.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var lowest uintptr
	if err := sc.Control(func(fd uintptr) { lowest = fd }); err != nil {
		t.Fatal(err)
	}
	_ = raw.Close()
	low := lim
	low.Cur = uint64(lowest) + 1
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim) })
	var c *client
	waitFor(t, "a client to connect", func() bool {
		c, err = s.tryDial()
		return err == nil
	})
	return c
}
