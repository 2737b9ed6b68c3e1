package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/echo"
)

// What goes in comes out, whatever the sizes of the pieces, on every carrier.
func TestEcho(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		s := serve(t, driver, carrier, echo.Protocol{}, engine.Limits{})
		var wg sync.WaitGroup
		for i := range 12 {
			c := s.dial()
			wg.Go(func() { echoRandom(t, c, uint64(i), 1<<(2*i)) })
		}
		wg.Wait()
		if err := s.shutdown(5 * time.Second); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Accepted != 12 || st.Connections != 0 || st.Buffered != 0 || st.BytesIn != st.BytesOut {
			t.Errorf("after shutdown: %+v", st)
		}
	})
}

// echoRandom sends n random bytes in random pieces and checks that they return.
func echoRandom(t *testing.T, c *client, seed uint64, n int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	msg := make([]byte, n)
	for i := range msg {
		msg[i] = byte(rng.Uint32())
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for rest := msg; len(rest) > 0; {
			k := min(len(rest), 1+rng.IntN(40_000))
			if _, err := c.Write(rest[:k]); err != nil {
				t.Errorf("sending: %v", err)
				return
			}
			rest = rest[k:]
		}
	})
	got := make([]byte, n)
	if _, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(got, msg) {
		t.Errorf("%d bytes came back wrong (%v)", n, err)
	}
	wg.Wait()
	_ = c.Close()
}

// Requests of one connection are answered in order, a pipeline in one piece.
func TestPipeline(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		s := serve(t, driver, carrier, &lines{handle: echoLine}, engine.Limits{})
		c := s.dial()
		var want strings.Builder
		for i := range 100 {
			fmt.Fprintf(&want, "request %d\n", i)
		}
		c.send(want.String())
		got := make([]byte, want.Len())
		n, err := c.Read(got)
		if err != nil || string(got[:n]) != want.String() {
			t.Errorf("the first read returned %d of %d bytes (%v)", n, want.Len(), err)
		}
	})
}

// A request may arrive a byte at a time.
func TestPartialRequests(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		s := serve(t, driver, carrier, &lines{handle: echoLine}, engine.Limits{})
		c := s.dial()
		for _, b := range []byte("hello\nwor") {
			c.send(string(b))
		}
		if got := c.line(); got != "hello" {
			t.Errorf("got %q", got)
		}
		c.send("ld\n")
		if got := c.line(); got != "world" {
			t.Errorf("got %q", got)
		}
		waitFor(t, "the buffer to be given back", func() bool { return s.Stats().Buffered == 0 })
	})
}

// A handler may block as long as it likes without any other connection
// noticing.
func TestBlockingHandlers(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		gate := make(chan struct{})
		var waiting sync.WaitGroup
		p := &lines{handle: func(c *engine.Conn, line string) error {
			if line == "block" {
				waiting.Done()
				<-gate
			}
			return echoLine(c, line)
		}}
		s := serve(t, driver, "tcp", p, engine.Limits{})
		const blocked = 200
		waiting.Add(blocked)
		var clients []*client
		for range blocked {
			c := s.dial()
			c.send("block\nafter\n")
			clients = append(clients, c)
		}
		waiting.Wait()
		free := s.dial()
		for i := range 100 {
			if got := free.ask(fmt.Sprint(i)); got != fmt.Sprint(i) {
				t.Fatalf("got %q", got)
			}
		}
		close(gate)
		for _, c := range clients {
			if a, b := c.line(), c.line(); a != "block" || b != "after" {
				t.Fatalf("got %q, %q", a, b)
			}
		}
	})
}

// What is pushed to a connection whose handler blocks is delivered meanwhile.
func TestPushWhileHandlerBlocks(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		gate, conns := make(chan struct{}), make(chan *engine.Conn, 1)
		p := &lines{handle: func(c *engine.Conn, line string) error {
			conns <- c
			<-gate
			return echoLine(c, line)
		}}
		s := serve(t, driver, carrier, p, engine.Limits{})
		cl := s.dial()
		cl.send("wait\n")
		c := <-conns
		if err := c.Push([]byte("news\n"), engine.Disconnect); err != nil {
			t.Fatal(err)
		}
		if got := cl.line(); got != "news" {
			t.Errorf("got %q", got)
		}
		close(gate)
		if got := cl.line(); got != "wait" {
			t.Errorf("got %q", got)
		}
	})
}

// A connection that waits holds no goroutine and no buffer, also under TLS.
func TestIdleConnectionsHoldNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // what the epoll driver is for; Net holds a goroutine each
	}
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			s := serve(t, engine.Epoll, carrier, &lines{handle: echoLine}, engine.Limits{})
			before := runtime.NumGoroutine()
			const n = 100
			for i := range n {
				c := s.dial()
				if got := c.ask(fmt.Sprint(i)); got != fmt.Sprint(i) {
					t.Fatalf("got %q", got)
				}
			}
			waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
			waitFor(t, "buffers to be given back", func() bool { return s.Stats().Buffered == 0 })
			if got := s.Stats().Connections; got != n {
				t.Errorf("%d connections are open", got)
			}
		})
	}
}

// Promise: a panic ends one connection, with a coded reason, and nothing else.
func TestPromiseIsolation(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		for _, where := range []string{"open", "serve", "close"} {
			t.Run(where, func(t *testing.T) {
				p := &lines{
					handle: func(c *engine.Conn, line string) error {
						if line == "boom" && where == "serve" {
							panic("boom while serving")
						}
						if line == "boom" {
							return engine.Because(engine.ReasonQuit, nil)
						}
						return echoLine(c, line)
					},
					opened: func(c *engine.Conn) {
						if where == "open" && c.ID() == 2 {
							panic("boom while opening")
						}
					},
					closed: func(c *engine.Conn, _ error) {
						if where == "close" && c.ID() == 2 {
							panic("boom while closing")
						}
					},
				}
				s := serve(t, driver, "tcp", p, engine.Limits{})
				other := s.dial()
				other.ask("first")
				bad := s.dial()
				bad.send("boom\n")
				bad.gone()
				waitFor(t, "the panic to be counted", func() bool { return s.Stats().Panics == 1 })
				s.logged("a handler panicked", "boom while", "stack=")
				if got := other.ask("still here"); got != "still here" {
					t.Errorf("got %q", got)
				}
			})
		}
	})
}

// The reason that a session gives is what is counted, logged and told to Close.
func TestReasons(t *testing.T) {
	cause := errors.New("because I say so")
	tests := []struct {
		name string
		err  error
		want engine.Reason
		log  []string
	}{
		{"plain error", cause, engine.ReasonProtocol, []string{"protocol-error", "because I say so"}},
		{"with a reason", engine.Because(engine.ReasonDenied, cause), engine.ReasonDenied, []string{"access-denied", "because I say so"}},
		{"wrapped", fmt.Errorf("request 1: %w", engine.Because(engine.ReasonQuit, nil)), engine.ReasonQuit, []string{"quit"}},
	}
	eachDriver(t, func(t *testing.T, driver string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				closed := make(chan error, 1)
				p := &lines{
					handle: func(c *engine.Conn, _ string) error {
						_, _ = c.Write([]byte("farewell\n"))
						return tt.err
					},
					closed: func(_ *engine.Conn, why error) { closed <- why },
				}
				s := serve(t, driver, "tcp", p, engine.Limits{})
				c := s.dial()
				c.send("x\n")
				if got := c.rest(); got != "farewell\n" {
					t.Errorf("got %q", got)
				}
				_ = c.Close()
				if got := engine.ReasonOf(<-closed, engine.ReasonNone); got != tt.want {
					t.Errorf("Close was told %v, want %v", got, tt.want)
				}
				s.closedFor(tt.want, 1)
				s.logged(tt.log...)
			})
		}
	})
}

// A session that takes more than it was given is a bug that is contained.
func TestServeTakesTooMuch(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", greedy{}, engine.Limits{})
		c := s.dial()
		c.send("x")
		c.gone()
		s.closedFor(engine.ReasonPanic, 1)
	})
}

type greedy struct{ echo.Protocol }

func (greedy) Open(*engine.Conn) engine.Session { return greedy{} }

func (greedy) Serve(_ *engine.Conn, in []byte) (int, error) { return len(in) + 1, nil }

func (greedy) Close(*engine.Conn, error) {}

// A read that ends inside a request does not make the next ones small: a pipeline is taken in reads of the buffer's size.
func TestReadsStayLarge(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		const requests, size = 150, 1000
		started, gate := make(chan struct{}), make(chan struct{})
		var reads, served atomic.Int64
		p := &lines{handle: func(c *engine.Conn, line string) error {
			if line == "wait" {
				close(started)
				<-gate
			}
			if served.Add(1) == requests+1 {
				return echoLine(c, "done")
			}
			return nil
		}, served: func() { reads.Add(1) }}
		s := serve(t, driver, "unix", p, engine.Limits{})
		c := s.dial()
		c.send("wait\n")
		<-started
		c.send(strings.Repeat(strings.Repeat("r", size-1)+"\n", requests))
		close(gate)
		if got := c.line(); got != "done" {
			t.Errorf("got %q", got)
		}
		if n := reads.Load(); n > 20 {
			t.Errorf("%d requests of %d bytes took %d reads", requests, size, n)
		}
	})
}
