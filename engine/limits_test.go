package engine_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// soon is a deadline short enough to wait for. Nothing may depend on being
// faster than it: a busy machine is not.
const soon = 600 * time.Millisecond

// late is a deadline that a client which does its part stays clear of, also on
// a busy machine.
const late = 5 * soon

// Promise: every limit is enforced with a coded reason.
func TestPromiseLimits(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		t.Run("connections", func(t *testing.T) {
			testRefused(t, driver, engine.Limits{Connections: 2}, engine.ReasonTooMany)
		})
		t.Run("per address", func(t *testing.T) {
			testRefused(t, driver, engine.Limits{PerAddress: 2}, engine.ReasonTooManyAddress)
		})
		t.Run("message", func(t *testing.T) { testMessageLimit(t, driver) })
		t.Run("buffered", func(t *testing.T) { testReplyLimit(t, driver) })
		t.Run("buffered in all", func(t *testing.T) { testTotalLimit(t, driver) })
		t.Run("accept rate", func(t *testing.T) { testAcceptRate(t, driver) })
		t.Run("handshakes", func(t *testing.T) { testHandshakeLimit(t, driver) })
	})
}

// testRefused opens one connection more than the limit of two, which is closed
// at once and leaves the others alone; a place that is given up is free again.
func testRefused(t *testing.T, driver string, l engine.Limits, want engine.Reason) {
	s := serve(t, driver, "tcp", &lines{handle: echoLine}, l)
	a, b := s.dial(), s.dial()
	a.ask("a")
	b.ask("b")
	s.dial().gone()
	s.closedFor(want, 1)
	s.logged("connection refused", want.String())
	if got := a.ask("still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
	_ = b.Close()
	waitFor(t, "the place to be free", func() bool { return s.Stats().Connections == 1 })
	if got := s.dial().ask("again"); got != "again" {
		t.Errorf("got %q", got)
	}
}

func testMessageLimit(t *testing.T, driver string) {
	s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{Message: 100_000})
	other := s.dial()
	long := strings.Repeat("x", 99_000)
	if got := other.ask(long); got != long {
		t.Errorf("a request below the limit returned %d bytes", len(got))
	}
	c := s.dial()
	go func() { _, _ = io.WriteString(c.Conn, strings.Repeat("x", 1<<20)) }()
	c.gone()
	s.closedFor(engine.ReasonTooLarge, 1)
	s.logged("message-too-large", "exceeds 100000 bytes")
	if got := other.ask("still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
	waitFor(t, "buffers to be given back", func() bool { return s.Stats().Buffered == 0 })
}

// A peer that sends requests without reading the answers makes its handler
// wait and is not read any more; it costs a bounded amount, and the others
// notice nothing. Once it reads, it gets everything.
func testReplyLimit(t *testing.T, driver string) {
	const answer, requests = 64 << 10, 400
	p := &lines{handle: func(c *engine.Conn, line string) error {
		return echoLine(c, line+strings.Repeat("x", answer-len(line)))
	}}
	s := serve(t, driver, "tcp", p, engine.Limits{Buffered: 256 << 10, WriteTimeout: time.Minute})
	c := s.dial()
	c.send(strings.Repeat("r\n", requests))
	other := s.dial()
	for range 20 {
		if got := other.ask("o"); len(got) != answer {
			t.Fatalf("got %d bytes", len(got))
		}
		if held := s.Stats().Buffered; held > 2<<20 {
			t.Fatalf("%d bytes are held", held)
		}
	}
	for i := range requests {
		if got := c.line(); len(got) != answer {
			t.Fatalf("answer %d has %d bytes", i, len(got))
		}
	}
}

// When all connections together hold too much, whoever needs more is closed.
func testTotalLimit(t *testing.T, driver string) {
	s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{Message: 1 << 20, BufferedTotal: 2 << 20})
	other := s.dial()
	other.ask("hello")
	var clients []*client
	for range 8 {
		c := s.dial()
		clients = append(clients, c)
		go func() { _, _ = io.WriteString(c.Conn, strings.Repeat("x", 900<<10)) }()
	}
	s.closedFor(engine.ReasonMemory, 1)
	if held := s.Stats().Buffered; held > 4<<20 {
		t.Errorf("%d bytes are held", held)
	}
	if got := other.ask("still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
	for _, c := range clients {
		_ = c.Close()
	}
}

func testAcceptRate(t *testing.T, driver string) {
	s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{AcceptRate: 5})
	start := time.Now()
	for range 8 { // five at once, three more at five a second
		s.dial().ask("x")
	}
	if d := time.Since(start); d < 400*time.Millisecond {
		t.Errorf("eight connections were accepted in %v at 5 a second", d)
	}
}

// Handshakes beyond the limit wait for the ones under way; a client that says
// nothing is none.
func testHandshakeLimit(t *testing.T, driver string) {
	s := serve(t, driver, "tls13", &lines{handle: echoLine}, engine.Limits{Handshakes: 1, HandshakeTimeout: time.Minute})
	open := func(hello string) net.Conn {
		c, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, _ = io.WriteString(c, hello)
		return c
	}
	for range 10 {
		open("") // says nothing, and takes nobody's place
	}
	if got := s.dial().ask("x"); got != "x" {
		t.Errorf("got %q", got)
	}
	half := open("\x16")
	waitFor(t, "the handshake to start", func() bool { return s.Stats().Handshakes == 1 })
	waits := open("\x16")
	waitFor(t, "all to be accepted", func() bool { return s.Stats().Connections == 13 })
	if n := s.Stats().Handshakes; n != 1 {
		t.Errorf("%d handshakes are under way", n)
	}
	_, _ = half.Close(), waits.Close()
	if got := s.dial().ask("y"); got != "y" {
		t.Errorf("got %q", got)
	}
}

// Each deadline closes the connection for its own reason.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		limits engine.Limits
		client func(c *client)
		want   engine.Reason
	}{
		{"nothing is ever sent", engine.Limits{FirstTimeout: soon}, func(*client) {}, engine.ReasonFirstTimeout},
		{"a first request that never ends", engine.Limits{FirstTimeout: time.Hour, RequestTimeout: soon},
			func(c *client) { c.send("half a li") }, engine.ReasonRequestTimeout},
		{"a later request that never ends", engine.Limits{RequestTimeout: soon},
			func(c *client) { c.ask("one"); c.send("half a li") }, engine.ReasonRequestTimeout},
		{"nothing more is sent", engine.Limits{IdleTimeout: late},
			func(c *client) { c.ask("one"); c.ask("two") }, engine.ReasonIdleTimeout},
	}
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		t.Parallel()
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				s := serve(t, driver, carrier, &lines{handle: echoLine}, tt.limits)
				c := s.dial()
				tt.client(c)
				c.gone()
				s.closedFor(tt.want, 1)
				s.logged(tt.want.String())
			})
		}
	})
}

// A peer that has promised to be heard is gone when it is not, whatever is sent to it; one that is heard stays.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, driver string) {
		t.Parallel()
		silent := make(chan *engine.Conn, 1)
		s := serve(t, driver, "tcp", &lines{handle: func(c *engine.Conn, line string) error {
			c.SetKeepAlive(late)
			if line == "silent" {
				silent <- c
			}
			return echoLine(c, line)
		}, closed: func(c *engine.Conn, why error) {
			if d, known := c.Silence(); engine.ReasonOf(why, engine.ReasonNone) == engine.ReasonKeepAlive && (!known || d < late/2) {
				t.Errorf("in the end it was silent for %v, %t", d, known)
			}
		}}, engine.Limits{})
		heard, quiet := s.dial(), s.dial()
		quiet.send("silent\n")
		c, longest := <-silent, time.Duration(0)
		for s.Stats().Closed[engine.ReasonKeepAlive] == 0 {
			_ = c.Push([]byte("news\n"), engine.DropNewest)
			heard.ask("one")
			d, known := c.Silence()
			if longest = max(longest, d); !known {
				t.Fatal("nobody knows for how long it was silent")
			}
			<-time.After(20 * time.Millisecond)
		}
		heard.ask("still there")
		s.closedFor(engine.ReasonKeepAlive, 1)
		if longest < late/2 || longest > 2*late {
			t.Errorf("it was silent for %v; it had to be for %v", longest, late)
		}
	})
}

// A request that drips in does not push its deadline back.
func TestDripDoesNotExtendTheRequest(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, driver string) {
		t.Parallel()
		s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{RequestTimeout: soon})
		c := s.dial()
		for s.Stats().Closed[engine.ReasonRequestTimeout] == 0 {
			if _, err := c.Write([]byte("x")); err != nil {
				break
			}
			<-time.After(20 * time.Millisecond)
		}
		s.closedFor(engine.ReasonRequestTimeout, 1)
	})
}

// A peer that takes nothing while output waits is cut off.
func TestWriteTimeout(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		t.Parallel()
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			for {
				if err := echoLine(c, strings.Repeat("x", 32<<10)); err != nil {
					return err
				}
			}
		}}
		s := serve(t, driver, carrier, p, engine.Limits{WriteTimeout: soon})
		c := s.dial()
		c.send("go\n")
		s.closedFor(engine.ReasonWriteTimeout, 1)
		s.logged("write-timeout")
	})
}

// A slow TLS handshake is cut off, one that is no handshake refused, and
// neither is noticed by others.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, driver string) {
		t.Parallel()
		s := serve(t, driver, "tls13", &lines{handle: echoLine}, engine.Limits{HandshakeTimeout: late})
		other := s.dial()
		for _, hello := range []string{"", "\x16", "\x16\x03\x01\x40\x00", "GET / HTTP/1.1\r\n\r\n", "\x80\x2e\x01\x00\x02"} {
			raw, err := net.Dial("tcp", s.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(raw, hello)
			_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, raw); isTimeout(err) {
				t.Errorf("after %q the connection stayed open", hello)
			}
			_ = raw.Close()
		}
		s.closedFor(engine.ReasonHandshakeTimeout, 3)
		s.closedFor(engine.ReasonHandshake, 2)
		s.logged("tls-handshake-failed", "error=")
		if got := other.ask("still here"); got != "still here" {
			t.Errorf("got %q", got)
		}
	})
}

// Promise: a queue that is full does what its policy says, and counts it.
func TestPromiseOverflow(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		for name, policy := range map[string]engine.Overflow{
			"disconnect": engine.Disconnect, "drop newest": engine.DropNewest,
			"drop oldest": engine.DropOldest, "block": engine.Block,
		} {
			t.Run(name, func(t *testing.T) { testOverflow(t, driver, carrier, policy) })
		}
	})
}

func testOverflow(t *testing.T, driver, carrier string, policy engine.Overflow) {
	conns := make(chan *engine.Conn, 1)
	p := &lines{handle: func(c *engine.Conn, line string) error {
		conns <- c
		return echoLine(c, line)
	}}
	s := serve(t, driver, carrier, p, engine.Limits{Buffered: 64 << 10})
	cl := s.dial()
	cl.ask("hello")
	c := <-conns
	const n = 2000 // 16 MB: more than the kernel takes
	var pushed sync.WaitGroup
	dropped := 0
	var last error
	push := func() {
		for i := range n {
			if last = c.Push(numbered(i), policy); errors.Is(last, engine.ErrDropped) {
				dropped++
			}
		}
	}
	if policy == engine.Block {
		pushed.Go(push)
	} else {
		push()
	}
	if policy == engine.Disconnect {
		if !errors.Is(last, engine.ErrClosed) {
			t.Errorf("the last push returned %v", last)
		}
		s.closedFor(engine.ReasonOverflow, 1)
		s.logged("output-overflow")
		return
	}
	if held := s.Stats().Buffered; held > 1<<20 {
		t.Errorf("%d bytes are held", held)
	}
	want := n - int(s.Stats().Dropped)
	if policy == engine.Block {
		want = n
	}
	got := readNumbered(t, cl, want)
	pushed.Wait()
	switch first, end := got[0], got[len(got)-1]; {
	case policy != engine.DropOldest && first != "m0000":
		t.Errorf("the first message is %s", first)
	case policy == engine.DropOldest && end != "m1999":
		t.Errorf("the newest message was dropped; the last is %s", end)
	case policy == engine.DropNewest && dropped != n-want:
		t.Errorf("%d messages were dropped, %d were counted", dropped, n-want)
	case policy == engine.Block && s.Stats().Dropped != 0:
		t.Errorf("%d messages were dropped", s.Stats().Dropped)
	}
}

// numberedSize is the size of a numbered message.
const numberedSize = 8 << 10

// numbered returns the line that is message i.
func numbered(i int) []byte {
	m := fmt.Sprintf("m%04d", i)
	return []byte(m + strings.Repeat("x", numberedSize-1-len(m)) + "\n")
}

// readNumbered reads that many messages, which must be whole and in order, and
// returns how each begins.
func readNumbered(t *testing.T, cl *client, want int) []string {
	t.Helper()
	var got []string
	for len(got) < want {
		line := cl.line()
		if len(line) != numberedSize-1 {
			t.Fatalf("message %d has %d bytes: a message was cut", len(got), len(line))
		}
		if len(got) > 0 && line[:5] <= got[len(got)-1] {
			t.Fatalf("%s came after %s", line[:5], got[len(got)-1])
		}
		got = append(got, line[:5])
	}
	return got
}
