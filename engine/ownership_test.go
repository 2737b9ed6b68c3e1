package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// quiet is a protocol that takes what comes and says nothing.
type quiet struct{ opened atomic.Int32 }

func (*quiet) Name() string { return "quiet" }

func (q *quiet) Open(*Conn) Session { q.opened.Add(1); return q }

func (*quiet) Serve(_ *Conn, in []byte) (int, error) { return len(in), nil }

func (*quiet) Close(*Conn, error) {}

// start returns an engine that is shut down with the test.
func start(t *testing.T, driver string, l Limits) *Engine {
	t.Helper()
	e, err := New(Options{Driver: driver, Limits: l, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil && !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
	return e
}

// listen returns a listener of e that nobody accepts from.
func listen(t *testing.T, e *Engine, p Protocol) *Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	d, err := e.driver(e.opts.Driver)
	if err != nil {
		t.Fatal(err)
	}
	return &Listener{
		eng: e, name: "test", proto: p, ln: ln, driver: d,
		pace: newPace(maxInt, 0), closed: make(chan struct{}),
	}
}

// Signals that come between the acceptance of a connection and its first turn
// do not hand it out half made.
func TestSignalBeforeOpening(t *testing.T) {
	e := start(t, Net, Limits{})
	p := &quiet{}
	l := listen(t, e, p)
	stop := make(chan struct{})
	var signals sync.WaitGroup
	signals.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				for c := range e.Connections {
					c.signal(eventResume)
				}
			}
		}
	})
	const n = 300
	for range n {
		ours, theirs := net.Pipe()
		l.driver.(*netDriver).adopt(l, ours)
		_ = theirs.Close()
	}
	<-e.table.drained()
	close(stop)
	signals.Wait()
	if got := p.opened.Load(); got != n {
		t.Errorf("%d of %d were opened", got, n)
	}
	if e.stats.panics.Load() != 0 {
		t.Error("one was served before it was open")
	}
}

// A signal must not move the deadline of a read after it has been answered:
// nobody would read any more.
func TestInterruptIsNotLost(t *testing.T) {
	e := start(t, Net, Limits{})
	l := listen(t, e, &quiet{})
	ours, theirs := net.Pipe()
	l.driver.(*netDriver).adopt(l, ours)
	c := e.table.all()[0]
	stop := make(chan struct{})
	var signals sync.WaitGroup
	for range 2 {
		signals.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					c.signal(eventResume)
				}
			}
		})
	}
	_ = theirs.SetWriteDeadline(time.Now().Add(20 * time.Second))
	for i := range 2000 {
		if _, err := theirs.Write([]byte("x")); err != nil {
			t.Errorf("write %d was not read: %v", i, err)
			break
		}
	}
	close(stop)
	signals.Wait()
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Errorf("after all signals nobody reads: %v", err)
	}
	_ = theirs.Close()
}

// A descriptor is not touched once it is closed: its number may be another's.
func TestCutOffLeavesClosedDescriptors(t *testing.T) {
	c := &Conn{eng: &Engine{}, sock: closedSock{t: t}, phase: phaseClosed}
	c.cutOff()
	c.expire(ReasonWriteTimeout)
	c.Close(ReasonKilled, nil)
	c.writable()
	c.Flush()
}

// closedSock fails the test when it is used.
type closedSock struct {
	sock
	t *testing.T
}

func (s closedSock) shutdown() { s.t.Error("a closed descriptor was shut down") }

// A handler that never returns is reported and left behind; what it holds ends
// with it.
func TestShutdownLeavesStuckHandlers(t *testing.T) {
	for _, driver := range []string{Net, defaultDriver} {
		t.Run(driver, func(t *testing.T) {
			e := start(t, driver, Limits{})
			p := &stuck{begun: make(chan struct{}), gate: make(chan struct{})}
			l, err := e.Listen(t.Context(), ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: p})
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write([]byte("x"))
			<-p.begun
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- e.Shutdown(ctx) }()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), "1 handlers are still running") {
					t.Errorf("shutdown returned %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("shutdown waits for a handler that does not end")
			}
			close(p.gate)
			<-e.table.drained()
		})
	}
}

// stuck is a protocol whose handler waits for a gate and nothing else.
type stuck struct {
	quiet
	begun, gate chan struct{}
}

func (s *stuck) Open(*Conn) Session { return s }

func (s *stuck) Serve(_ *Conn, in []byte) (int, error) {
	close(s.begun)
	<-s.gate
	return len(in), nil
}
