//go:build !race

package websocket

import (
	"testing"

	"github.com/spate-io/spate/engine"
)

// Sending and receiving a message costs no garbage.
func TestNoGarbage(t *testing.T) {
	ec := engineConn(t)
	c := &Conn{Conn: ec, stream: quiet{}}
	c.ep.Store(&endpoint{Endpoint{Name: "test"}, Limits{}.withDefaults(), nil})
	frame := append([]byte{0x82, 0x85, 1, 2, 3, 4}, "hello"...)
	in := make([]byte, len(frame))
	body := []byte("hello")
	if n := testing.AllocsPerRun(100, func() {
		copy(in, frame)
		if _, _, err := c.decode(in); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("receiving costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := c.PushParts(engine.Disconnect, body, body); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(body); err != nil {
			t.Fatal(err)
		}
	}); n > 4 { // the net driver starts a goroutine for each that leaves
		t.Errorf("sending costs %v allocations", n)
	}
}

type quiet struct{}

func (quiet) Serve(_ *Conn, in []byte) (int, error) { return len(in), nil }

func (quiet) Close(*Conn, error) {}
