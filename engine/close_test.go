package engine_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// A final message reaches the peer although it is still sending: no reset eats
// it.
func TestFinalMessage(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		for _, size := range []int{1, 300 << 10} {
			farewell := strings.Repeat("f", size)
			p := &lines{handle: func(c *engine.Conn, line string) error {
				_, _ = c.Write([]byte(farewell))
				return engine.Because(engine.ReasonProtocol, errors.New("go away"))
			}}
			s := serve(t, driver, carrier, p, engine.Limits{})
			c := s.dial()
			// Far more than the server reads before it has had enough.
			c.send("bad\n" + strings.Repeat("x", 200<<10))
			if got := c.rest(); got != farewell {
				t.Errorf("%d of %d bytes of the farewell arrived", len(got), len(farewell))
			}
			_ = c.Close()
			s.closedFor(engine.ReasonProtocol, 1)
		}
	})
}

// A peer that does not close its side is waited for, but not for long, and one
// that goes on sending is not read forever.
func TestLingerEnds(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		p := &lines{handle: func(*engine.Conn, string) error { return engine.Because(engine.ReasonQuit, nil) }}
		s := serve(t, driver, "tcp", p, engine.Limits{LingerTimeout: soon})
		silent, noisy := s.dial(), s.dial()
		silent.send("quit\n")
		noisy.send("quit\n")
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, err := noisy.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})
		s.closedFor(engine.ReasonQuit, 2)
		wg.Wait()
	})
}

// A peer that shuts its side still gets the answers to what it sent.
func TestHalfClose(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{})
		c := s.dial()
		want := strings.Repeat("request\n", 5000)
		go func() {
			_, _ = io.WriteString(c.Conn, want)
			_ = c.raw.(*net.TCPConn).CloseWrite()
		}()
		if got := c.rest(); got != want {
			t.Errorf("%d of %d bytes arrived", len(got), len(want))
		}
		s.closedFor(engine.ReasonPeer, 1)
	})
}

// A reset by the peer ends the connection, also while its handler writes.
func TestReset(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			for {
				if err := echoLine(c, strings.Repeat("x", 32<<10)); err != nil {
					return err
				}
			}
		}}
		s := serve(t, driver, "tcp", p, engine.Limits{})
		c := s.dial()
		c.send("go\n")
		c.line()
		_ = c.raw.(*net.TCPConn).SetLinger(0)
		_ = c.raw.Close()
		s.closedFor(engine.ReasonReset, 1)
	})
}

// Close from another goroutine ends the connection at once for the peer, and
// tells a handler that is blocked through its context.
func TestKill(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		conns, ended := make(chan *engine.Conn, 1), make(chan error, 1)
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			conns <- c
			<-c.Context().Done()
			ended <- context.Cause(c.Context())
			return nil
		}}
		s := serve(t, driver, carrier, p, engine.Limits{})
		cl := s.dial()
		cl.send("block\n")
		c := <-conns
		c.Close(engine.ReasonKilled, errors.New("by the test"))
		cl.gone()
		if got := engine.ReasonOf(<-ended, engine.ReasonNone); got != engine.ReasonKilled {
			t.Errorf("the handler was told %v", got)
		}
		s.closedFor(engine.ReasonKilled, 1)
		s.logged("killed", "by the test")
		if err := c.Push([]byte("x"), engine.Block); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("pushing to it returned %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("writing to it returned %v", err)
		}
	})
}

// Promise: shutting down answers what was received, delivers it, and closes
// within the drain timeout.
func TestPromiseShutdown(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		started, gate := make(chan struct{}), make(chan struct{})
		p := &lines{
			handle: func(c *engine.Conn, line string) error {
				if line == "slow" {
					close(started)
					<-gate
				}
				return echoLine(c, line)
			},
			drain: func(c *engine.Conn) { _, _ = c.Write([]byte("bye\n")) },
		}
		s := serve(t, driver, carrier, p, engine.Limits{})
		idle, busy, partial := s.dial(), s.dial(), s.dial()
		idle.ask("hello")
		partial.ask("hello")
		partial.send("half a req")
		busy.send("slow\nqueued\n")
		<-started
		done := make(chan error, 1)
		go func() { done <- s.shutdown(10 * time.Second) }()
		if got := idle.rest(); got != "bye\n" {
			t.Errorf("the idle connection got %q", got)
		}
		if got := partial.rest(); got != "bye\n" {
			t.Errorf("the connection with half a request got %q", got)
		}
		_, _ = idle.Close(), partial.Close()
		if _, err := s.tryDial(); err == nil {
			t.Error("a connection was accepted during shutdown")
		}
		close(gate)
		if got := busy.rest(); got != "slow\nqueued\nbye\n" {
			t.Errorf("the busy connection got %q", got)
		}
		_ = busy.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.Stats().Closed[engine.ReasonShutdown]; n != 3 {
			t.Errorf("%d connections were closed for shutdown", n)
		}
	})
}

// What does not finish within the drain timeout is cut off, and said so.
func TestShutdownCutsOff(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		started := make(chan struct{})
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			close(started)
			<-c.Context().Done()
			return nil
		}}
		s := serve(t, driver, "tcp", p, engine.Limits{})
		c := s.dial()
		c.send("forever\n")
		<-started
		err := s.shutdown(50 * time.Millisecond)
		if err == nil || !strings.Contains(err.Error(), "1 connections were cut off") {
			t.Errorf("shutdown returned %v", err)
		}
		c.gone()
		if err := s.Shutdown(t.Context()); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("a second shutdown returned %v", err)
		}
	})
}

// A peer that has got everything and does not close is not "cut off" when the
// drain timeout comes first.
func TestShutdownDoesNotBlameLingerers(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{LingerTimeout: time.Minute})
		c := s.dial()
		c.ask("hello")
		if err := s.shutdown(soon); err != nil {
			t.Errorf("shutdown returned %v", err)
		}
		if got := c.rest(); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

// A Unix socket that a crash left behind is replaced; one in use is not.
func TestStaleUnixSocket(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "unix", &lines{handle: echoLine}, engine.Limits{})
		path := s.listener.Addr().String()
		o := engine.ListenOptions{Network: "unix", Address: path, Protocol: &lines{handle: echoLine}}
		if _, err := s.Listen(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("listening on a socket in use returned %v", err)
		}
		o.Address += "-stale"
		left, err := net.Listen("unix", o.Address)
		if err != nil {
			t.Fatal(err)
		}
		left.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = left.Close()
		if _, err := s.Listen(t.Context(), o); err != nil {
			t.Error(err)
		}
		o.Address = s.listener.Addr().String() + "-file"
		if err := os.WriteFile(o.Address, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Listen(t.Context(), o); err == nil {
			t.Error("a file that is no socket was replaced")
		}
	})
}

// Descriptors are given back, whatever way connections end.
func TestNoDescriptorLeaks(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		p := &lines{handle: func(c *engine.Conn, line string) error {
			switch line {
			case "quit":
				return engine.Because(engine.ReasonQuit, nil)
			case "panic":
				panic("as told")
			case "kill":
				c.Close(engine.ReasonKilled, nil)
			}
			return echoLine(c, line)
		}}
		s := serve(t, driver, carrier, p, engine.Limits{})
		s.dial().ask("warm up")
		before := descriptors(t)
		for _, word := range []string{"quit", "panic", "kill", "reset", "leave"} {
			for range 10 {
				c := s.dial()
				c.ask("hello")
				if word == "reset" || word == "leave" {
					if tc, ok := c.raw.(*net.TCPConn); ok && word == "reset" {
						_ = tc.SetLinger(0)
					}
				} else {
					c.send(word + "\n")
					c.gone()
				}
				_ = c.raw.Close()
			}
		}
		waitFor(t, "connections to end", func() bool { return s.Stats().Connections == 1 })
		waitFor(t, "descriptors to be given back", func() bool { return descriptors(t) <= before })
	})
}

// descriptors returns the number of open descriptors, where that can be told.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
