package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// A panic while a session describes itself ends its connection, and neither
// the one who asked nor the process.
func TestDescribePanics(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", describing{&lines{handle: echoLine}}, engine.Limits{})
		c := s.dial()
		c.ask("hello")
		if i := s.only().Info(); i.ID != 1 || i.Protocol != "lines" {
			t.Errorf("got %+v", i)
		}
		c.gone()
		s.closedFor(engine.ReasonPanic, 1)
		s.logged("a handler panicked", "describing the session")
	})
}

type describing struct{ *lines }

func (p describing) Open(*engine.Conn) engine.Session { return describingSession{lineSession{p.lines}} }

type describingSession struct{ lineSession }

func (describingSession) Describe() (user, detail string) { panic("as told") }

// pushingHandler is a log that is published to a connection.
type pushingHandler struct {
	slog.Handler
	to *atomic.Pointer[engine.Conn]
}

func (h pushingHandler) Handle(ctx context.Context, r slog.Record) error {
	if c := h.to.Load(); c != nil {
		_ = c.Push([]byte(r.Message+"\n"), engine.DropOldest)
		_ = c.Info()
	}
	return h.Handler.Handle(ctx, r)
}

// The log may go to the very connections that it is about.
func TestLogToConnection(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		var to atomic.Pointer[engine.Conn]
		log := &logBuffer{}
		h := slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
		e, err := engine.New(engine.Options{Driver: driver, Logger: slog.New(pushingHandler{h, &to})})
		if err != nil {
			t.Fatal(err)
		}
		p := &lines{handle: func(c *engine.Conn, line string) error {
			to.Store(c)
			if line == "panic" {
				panic("as told")
			}
			return echoLine(c, line)
		}}
		l, err := e.Listen(t.Context(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: p})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write([]byte("panic\n"))
		}
		waitFor(t, "two connections to end", func() bool { return e.Stats().Closed[engine.ReasonPanic] == 2 })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Bytes are counted once, and never back, while connections come and go.
func TestByteCountersOnlyRise(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{})
		stop := make(chan struct{})
		var watch sync.WaitGroup
		watch.Go(func() {
			var last engine.Stats
			for {
				now := s.Stats()
				if now.BytesIn < last.BytesIn || now.BytesOut < last.BytesOut {
					t.Errorf("in %d → %d, out %d → %d", last.BytesIn, now.BytesIn, last.BytesOut, now.BytesOut)
					return
				}
				last = now
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		const n = 200
		for range n {
			c := s.dial()
			c.ask("hello")
			_ = c.Close()
		}
		waitFor(t, "connections to end", func() bool { return s.Stats().Connections == 0 })
		close(stop)
		watch.Wait()
		if st := s.Stats(); st.BytesIn != 6*n || st.BytesOut != 6*n {
			t.Errorf("%d bytes in, %d out", st.BytesIn, st.BytesOut)
		}
	})
}

// Beginnings of requests count as well: many small ones cannot hold more than
// the bound allows.
func TestManyPartialRequests(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		const bound = 256 << 10
		s := serve(t, driver, carrier, &lines{handle: echoLine}, engine.Limits{BufferedTotal: bound})
		other := s.dial()
		other.ask("hello")
		for range 100 {
			s.dial().send(strings.Repeat("x", 10_000))
		}
		s.closedFor(engine.ReasonMemory, 1)
		if held := s.Stats().Buffered; held > 3*bound { // twice, and those who asked at the same moment
			t.Errorf("%d bytes are held", held)
		}
		s.logged("buffer-memory-exhausted", "all connections together hold")
		if got := other.ask("still here"); got != "still here" {
			t.Errorf("got %q", got)
		}
	})
}

// A connection that is not read because its peer does not read either still
// answers, during a shutdown, what it has received.
func TestDrainWhilePaused(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		const requests, answer = 100, 64 << 10
		begun := make(chan struct{}, requests)
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			begun <- struct{}{}
			return echoLine(c, strings.Repeat("x", answer))
		}}
		s := serve(t, driver, carrier, p, engine.Limits{Buffered: 3 << 20})
		c := s.dial()
		c.send(strings.Repeat(strings.Repeat("r", 1000)+"\n", requests))
		<-begun
		waitFor(t, "the queue to fill", func() bool { return s.Stats().Buffered > 1<<20 || driver == engine.Net })
		done := make(chan error, 1)
		go func() { done <- s.shutdown(10 * time.Second) }()
		waitFor(t, "the listener to close", func() bool { _, err := s.tryDial(); return err != nil })
		if got := strings.Count(c.rest(), "\n"); got != requests {
			t.Errorf("%d of %d requests were answered", got, requests)
		}
		_ = c.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// memoryListener is a listener without a socket.
type memoryListener struct{ net.Listener }

func (memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// A driver that cannot serve a listener says so at once.
func TestServeNeedsASocket(t *testing.T) {
	s := serve(t, engine.Net, "tcp", &lines{handle: echoLine}, engine.Limits{})
	_, err := s.Serve(memoryListener{}, engine.ListenOptions{Protocol: &lines{}, Driver: engine.Epoll})
	if err == nil || !strings.Contains(err.Error(), "net") {
		t.Errorf("got %v", err)
	}
}

// A Unix socket whose owner is alive but has a full queue is not replaced.
func TestBusyUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // fills the queue
		c, err := net.DialTimeout("unix", path, time.Second)
		if err != nil {
			break
		}
		defer c.Close()
	}
	if _, err := engine.Bind(t.Context(), "unix", path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the socket of a living server was removed")
	}
}

// A session that calls runtime.Goexit, as t.Fatal does, ends its connection and nothing else, wherever it does so: workers that end that way are
// replaced, and the last reply before it arrives.
func TestGoexit(t *testing.T) {
	for _, where := range []string{"open", "serve", "drain", "close"} {
		eachDriver(t, func(t *testing.T, driver string) {
			p := &exiting{where: where}
			s := serve(t, driver, "tcp", p, engine.Limits{})
			const clients = 100
			var all []*client
			for range clients {
				c := s.dial()
				c.send("hello\n")
				all = append(all, c)
			}
			switch where {
			case "drain":
				waitFor(t, "all to be served", func() bool { return s.Stats().BytesIn == 6*clients })
				if err := s.shutdown(10 * time.Second); err != nil {
					t.Error(err)
				}
			case "close":
				for _, c := range all {
					_ = c.Close()
				}
			default:
				for _, c := range all {
					if got, want := c.rest(), map[string]string{"serve": "hello\n"}[where]; got != want {
						t.Errorf("%s: %q arrived, want %q", where, got, want)
					}
				}
			}
			waitFor(t, where+": the connections to end", func() bool { return s.Stats().Connections == 0 })
			if n := s.Stats().Panics; n != clients {
				t.Errorf("%s: %d were counted as panics, of %d", where, n, clients)
			}
			s.logged("a handler panicked", "runtime.Goexit")
			if where == "drain" {
				return
			}
			p.off.Store(true)
			c := s.dial()
			if got := c.ask("after"); got != "after" {
				t.Errorf("%s: got %q", where, got)
			}
			if n := s.Stats().Workers; n > 8 && driver == engine.Epoll {
				t.Errorf("%s: %d workers are left", where, n)
			}
		})
	}
}

// exiting echoes, and calls runtime.Goexit.
type exiting struct {
	where string
	off   atomic.Bool
}

func (p *exiting) at(where string) {
	if where == p.where && !p.off.Load() {
		runtime.Goexit()
	}
}

func (*exiting) Name() string { return "exiting" }

func (p *exiting) Open(*engine.Conn) engine.Session {
	p.at("open")
	return p
}

func (p *exiting) Serve(c *engine.Conn, in []byte) (int, error) {
	if _, err := c.Write(in); err != nil {
		return 0, err
	}
	p.at("serve")
	return len(in), nil
}

func (p *exiting) Drain(*engine.Conn) { p.at("drain") }

func (p *exiting) Close(*engine.Conn, error) { p.at("close") }
