package engine_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// dotted is a protocol of lines from which a carrier takes the dots, where they lie. A line that begins with "part" completes no request.
type dotted struct{}

func (dotted) Name() string { return "dotted" }

func (dotted) Open(*engine.Conn) engine.Session { return &dottedSession{} }

type dottedSession struct{ plain int }

func (*dottedSession) Serve(*engine.Conn, []byte) (int, error) {
	panic("a carrier is not asked to serve")
}

func (s *dottedSession) Carry(c *engine.Conn, in []byte) (rest []byte, finished bool, err error) {
	end := s.plain
	for _, b := range in[s.plain:] {
		if b != '.' {
			in[end] = b
			end++
		}
	}
	rest = in[:end]
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			s.plain = len(rest)
			return rest, finished, nil
		}
		finished = finished || !bytes.HasPrefix(line, []byte("part"))
		if err := echoLine(c, string(line)); err != nil {
			return rest, finished, err
		}
		rest = after
	}
}

func (*dottedSession) Close(*engine.Conn, error) {}

func (*dottedSession) Farewell(_ *engine.Conn, why *engine.CloseError) []byte {
	return []byte("bye: " + why.Reason.String() + "\n")
}

// A session may change what it is given, and shorten it, in pieces of every size.
func TestCarrier(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		s := serve(t, driver, carrier, dotted{}, engine.Limits{})
		c := s.dial()
		for _, n := range []int{0, 1, 100, 5_000, 20_000, 100_000} {
			line := strings.Repeat("a.b", n)
			if got := c.ask(line); got != strings.ReplaceAll(line, ".", "") {
				t.Fatalf("of %d bytes %d came back", len(line), len(got))
			}
		}
		for _, piece := range []string{"on", ".e", "", ".\ntw", "o\n", ".three\n"} {
			c.send(piece)
		}
		for _, want := range []string{"one", "two", "three"} {
			if got := c.line(); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// Bytes that complete no request do not push its deadline back.
func TestCarrierDeadline(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, driver string) {
		t.Parallel()
		s := serve(t, driver, "tcp", dotted{}, engine.Limits{FirstTimeout: late})
		c := s.dial()
		for s.Stats().Closed[engine.ReasonFirstTimeout] == 0 {
			if _, err := c.Write([]byte("part\n")); err != nil {
				break
			}
			if _, err := c.r.ReadString('\n'); err != nil {
				break
			}
			<-time.After(5 * time.Millisecond)
		}
		s.closedFor(engine.ReasonFirstTimeout, 1)
	})
}

// What comes in pieces and is no request does not change the deadline that ran before, neither the first nor the one of an idle connection.
func TestCarrierResumesDeadline(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, driver string) {
		t.Parallel()
		s := serve(t, driver, "tcp", dotted{}, engine.Limits{FirstTimeout: late, RequestTimeout: late})
		first, idle := s.dial(), s.dial()
		idle.ask("hello")
		idle.send("par")
		idle.ask("t")
		for s.Stats().Closed[engine.ReasonFirstTimeout] == 0 {
			if _, err := first.Write([]byte("pa")); err != nil {
				break
			}
			<-time.After(5 * time.Millisecond)
			if _, err := first.Write([]byte("rt\n")); err != nil {
				break
			}
			if _, err := first.r.ReadString('\n'); err != nil {
				break
			}
		}
		s.closedFor(engine.ReasonFirstTimeout, 1)
		<-time.After(soon) // by now the time of the request that was none has passed too
		idle.ask("still there")
	})
}

// The last message is sent whoever ends the connection, and after everything else.
func TestFarewell(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		s := serve(t, driver, carrier, dotted{}, engine.Limits{})
		for _, why := range []engine.Reason{engine.ReasonDenied, engine.ReasonKilled, engine.ReasonShutdown} {
			c := s.dial()
			c.ask("hello")
			if why == engine.ReasonShutdown {
				go func() { _ = s.shutdown(5 * time.Second) }()
			} else {
				s.only().Close(why, nil)
			}
			if got, want := c.rest(), "bye: "+why.String()+"\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			_ = c.Close()
			waitFor(t, "the connection to end", func() bool { return s.Stats().Connections == 0 })
		}
	})
}

// Whom an administrator ends and who does not read is waited for no longer than for a last message.
func TestKillDoesNotWait(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		t.Parallel()
		s := serve(t, driver, carrier, dotted{}, engine.Limits{WriteTimeout: time.Hour, LingerTimeout: soon})
		s.dial().ask("hello")
		c := s.only()
		waitFor(t, "the socket to be full", func() bool { return c.Push(make([]byte, 1<<20), engine.DropNewest) != nil })
		c.Close(engine.ReasonKilled, nil)
		s.closedFor(engine.ReasonKilled, 1)
	})
}
