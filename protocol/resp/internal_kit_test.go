package resp

import (
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/spate-io/spate/engine"
)

// talk sends bytes and reads until the server closes.
func talk(t *testing.T, addr net.Addr, raw string) string {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// connected returns a protocol and a connection that speaks it, for tests of what is inside.
func connected(t *testing.T, o Options) (*Protocol, *engine.Conn) {
	t.Helper()
	e, err := engine.New(engine.Options{Driver: engine.Net, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Shutdown(t.Context()); err != nil {
			t.Log(err) // its context has ended
		}
	})
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *engine.Conn, 1)
	l, err := e.Listen(t.Context(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: watched{p, opened}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return p, <-opened
}

// watched tells when a connection opens, if anybody still asks.
type watched struct {
	*Protocol
	opened chan *engine.Conn
}

func (w watched) Open(c *engine.Conn) engine.Session {
	select {
	case w.opened <- c:
	default:
	}
	return w.Protocol.Open(c)
}
