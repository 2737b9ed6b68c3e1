package engine_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// What any goroutine writes leaves soon, whether or not the connection's task
// is running just then.
func TestWriteFromElsewhere(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		conns := make(chan *engine.Conn, 1)
		p := &lines{handle: func(c *engine.Conn, line string) error {
			conns <- c
			return echoLine(c, line)
		}}
		s := serve(t, driver, carrier, p, engine.Limits{})
		cl := s.dial()
		for range 50 { // so that some of them meet the task about to end
			cl.send("hello\n")
			c := <-conns
			if _, err := c.Write([]byte("news\n")); err != nil {
				t.Fatal(err)
			}
			a, b := cl.line(), cl.line()
			if a+b != "hellonews" && a+b != "newshello" {
				t.Fatalf("got %q and %q", a, b)
			}
		}
	})
}

// A connection that closes while another goroutine writes through delivers all
// of it first.
func TestCloseWaitsForWriteThrough(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		conns := make(chan *engine.Conn, 1)
		p := &lines{handle: func(c *engine.Conn, line string) error {
			conns <- c
			return nil
		}}
		s := serve(t, driver, carrier, p, engine.Limits{LingerTimeout: 10 * time.Second})
		cl := s.dial()
		cl.send("hello\n")
		c := <-conns
		const size = 8 << 20 // more than the kernel takes
		var writing sync.WaitGroup
		writing.Go(func() {
			if _, err := c.WriteThrough([]byte(strings.Repeat("x", size))); err != nil {
				t.Errorf("writing through returned %v", err)
			}
		})
		waitFor(t, "the write to begin", func() bool { return cl.buffered(1) })
		c.Close(engine.ReasonQuit, nil)
		if got := len(cl.rest()); got != size {
			t.Errorf("%d of %d bytes arrived", got, size)
		}
		writing.Wait()
		_ = cl.Close()
		s.closedFor(engine.ReasonQuit, 1)
	})
}

// A farewell that the peer takes slowly is not cut off by a deadline that was
// for its requests.
func TestFarewellOutlivesReadDeadlines(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		t.Parallel()
		const size = 8 << 20
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			_, _ = c.WriteThrough([]byte(strings.Repeat("x", size)))
			return engine.Because(engine.ReasonQuit, nil)
		}}
		s := serve(t, driver, carrier, p, engine.Limits{Buffered: size, FirstTimeout: late})
		cl := s.dial()
		cl.send("get\n")
		<-time.After(2 * late)
		if got := len(cl.rest()); got != size {
			t.Errorf("%d of %d bytes arrived", got, size)
		}
		_ = cl.Close()
		s.closedFor(engine.ReasonQuit, 1)
	})
}

// Pushing from within Serve, with every policy and from two goroutines that
// block, keeps the order of each pusher and ends.
func TestPushFromServe(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		const n = 3000
		message := []byte(strings.Repeat("x", 1000) + "\n")
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			var others sync.WaitGroup
			for range 2 {
				others.Go(func() {
					for range n {
						if err := c.Push(message, engine.Block); err != nil {
							t.Error(err)
						}
					}
				})
			}
			for range n {
				if err := c.Push(message, engine.Block); err != nil {
					return err
				}
			}
			others.Wait()
			if err := c.Push(message, engine.DropOldest); errors.Is(err, engine.ErrClosed) {
				return err
			}
			return engine.Because(engine.ReasonQuit, nil)
		}}
		s := serve(t, driver, carrier, p, engine.Limits{Buffered: 64 << 10})
		cl := s.dial()
		cl.send("go\n")
		if got := strings.Count(cl.rest(), "\n"); got < 3*n {
			t.Errorf("%d of %d messages arrived", got, 3*n)
		}
		_ = cl.Close()
		s.closedFor(engine.ReasonQuit, 1)
		waitFor(t, "buffers to be given back", func() bool { return s.Stats().Buffered == 0 })
	})
}

// A peer that reads slowly but steadily is not taken for one that does not
// read, although the kernel reports no room for longer than the write timeout,
// nor for an idle one: it has not taken its answer yet.
func TestSlowReaderIsKept(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		t.Parallel()
		const size = 8 << 20
		p := &lines{handle: func(c *engine.Conn, line string) error {
			if line == "get" {
				line = strings.Repeat("x", size-1)
			}
			return echoLine(c, line)
		}}
		s := serve(t, driver, carrier, p, engine.Limits{WriteTimeout: late, IdleTimeout: late})
		cl := s.dial()
		if tc, ok := cl.raw.(*net.TCPConn); ok {
			_ = tc.SetReadBuffer(64 << 10) // so that the kernel does not read in its place
		}
		cl.send("get\n")
		got, buf := 0, make([]byte, 16<<10)
		for start := time.Now(); time.Since(start) < 2*late; {
			n, err := io.ReadFull(cl.r, buf)
			if got += n; err != nil {
				t.Fatalf("after %d bytes: %v", got, err)
			}
			<-time.After(20 * time.Millisecond)
		}
		if got += len(cl.line()) + 1; got != size {
			t.Errorf("%d of %d bytes arrived", got, size)
		}
		if got := cl.ask("hello"); got != "hello" {
			t.Errorf("got %.10q", got)
		}
		s.closedFor(engine.ReasonIdleTimeout, 1)
	})
}

// A message in pieces arrives in one, also among others.
func TestPushParts(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			return errors.Join(c.Push([]byte("a"), engine.Disconnect), c.PushParts(engine.Disconnect, []byte("b"), nil, []byte("c\n")))
		}}
		cl := serve(t, driver, carrier, p, engine.Limits{}).dial()
		cl.send("hello\n")
		if got := cl.line(); got != "abc" {
			t.Errorf("got %q", got)
		}
	})
}
