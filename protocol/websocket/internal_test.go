package websocket

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/spate-io/spate/engine"
)

// What a WebSocket adds to the engine's connection stays small.
func TestSize(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 96 {
		t.Errorf("a Conn has %d bytes", size)
	}
}

// Unmasking eight bytes at a time is unmasking one at a time, also to a place before, and in pieces.
func TestUnmask(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var key [4]byte
		binary.LittleEndian.PutUint32(key[:], rng.Uint32())
		src := make([]byte, rng.IntN(100))
		for i := range src {
			src[i] = byte(rng.Uint32())
		}
		want := make([]byte, len(src))
		for i := range src {
			want[i] = src[i] ^ key[i%4]
		}
		gap := rng.IntN(20)
		array := append(make([]byte, gap), src...)
		next := binary.LittleEndian.Uint32(key[:])
		for at := 0; at < len(src); {
			n := min(1+rng.IntN(30), len(src)-at)
			next = unmask(array[at:at+n], array[gap+at:gap+at+n], next)
			at += n
		}
		if !bytes.Equal(array[:len(src)], want) {
			t.Fatalf("with a gap of %d: got %x, want %x", gap, array[:len(src)], want)
		}
	}
}

// Text that comes in pieces is judged as the whole, and no later than at the byte that spoils it.
func FuzzText(f *testing.F) {
	f.Add([]byte("\u03ba\u1f79\xed\xa0\x80"), byte(1))
	f.Add([]byte("\U0010ffff\xf4\x90"), byte(3))
	f.Fuzz(func(t *testing.T, text []byte, step byte) {
		open, ok, at := 0, true, 0
		for ok && at < len(text) {
			n := min(int(step)%5+1, len(text)-at)
			from := at - open
			at += n
			open, ok = checkText(text[from:at])
		}
		if (ok && open == 0) != utf8.Valid(text) {
			t.Errorf("%q: got %v with %d bytes open", text, ok, open)
		}
		if ok && open > 0 && utf8.FullRune(text[len(text)-open:]) {
			t.Errorf("%q: the last %d bytes are no beginning", text, open)
		}
	})
}

// notes keeps what a session is given.
type notes struct{ said []string }

func (n *notes) Message(_ *Conn, kind Kind, data []byte) error {
	n.said = append(n.said, fmt.Sprintf("%d:%s", kind, data))
	return nil
}

func (n *notes) Close(*Conn, error) {}

// pairs is a stream of requests of two bytes.
type pairs struct{ notes }

func (p *pairs) Serve(_ *Conn, in []byte) (int, error) {
	n := len(in) &^ 1
	for i := 0; i < n; i += 2 {
		p.said = append(p.said, string(in[i:i+2]))
	}
	return n, nil
}

// engineConn is a connection that can be written to.
func engineConn(t testing.TB) *engine.Conn {
	e, err := engine.New(engine.Options{Driver: engine.Net, Limits: engine.Limits{LingerTimeout: time.Millisecond}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *engine.Conn, 1)
	l, err := e.Listen(context.Background(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: opener{opened}})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, nc) }()
	t.Cleanup(func() {
		_ = e.Shutdown(context.Background())
		<-drained
		_ = nc.Close()
	})
	return <-opened
}

type opener struct{ opened chan *engine.Conn }

func (opener) Name() string { return "opener" }

func (o opener) Open(c *engine.Conn) engine.Session { o.opened <- c; return o }

func (opener) Serve(_ *engine.Conn, in []byte) (int, error) { return len(in), nil }

func (opener) Close(*engine.Conn, error) {}

// play gives bytes to a connection in pieces, as the engine would, and returns what its session was given and how it ended.
func play(ec *engine.Conn, input []byte, stream bool, piece int) (said []string, end string) {
	c := &Conn{Conn: ec, deflate: !stream}
	c.ep.Store(&endpoint{Endpoint{Name: "test"}, Limits{Message: 1000, Fragments: 5}, &packer{bound: 1 << 20}})
	s := &pairs{}
	if stream {
		c.stream = s
	} else {
		c.messages = s
	}
	var held []byte
	for len(input) > 0 {
		n := min(piece, len(input))
		in := append(bytes.Clone(held), input[:n]...)
		input = input[n:]
		rest, _, err := c.decode(in)
		if err != nil {
			return s.said, fmt.Sprint(err, c.in.code)
		}
		held = bytes.Clone(rest)
	}
	return s.said, fmt.Sprint(len(held))
}

// Whatever arrives, the pieces in which it does make no difference.
func FuzzFrames(f *testing.F) {
	masked := func(first byte, data string) []byte {
		return append([]byte{first, 0x80 | byte(len(data)), 0, 0, 0, 0}, data...)
	}
	f.Add(masked(0x82, "abc"), byte(1), true)
	f.Add(slices.Concat(masked(0x01, "\u03ba"), masked(0x89, "ping"), masked(0x80, "x"), masked(0x88, "\x03\xe8")), byte(3), false)
	f.Add(masked(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), byte(2), false) // "Hello", RFC 7692, 7.2.3.1
	f.Add([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, byte(4), true)
	f.Add([]byte{0x82, 0xfe, 0, 5, 1, 2, 3, 4}, byte(4), true)
	ec := engineConn(f)
	f.Fuzz(func(t *testing.T, input []byte, piece byte, stream bool) {
		whole, end := play(ec, input, stream, max(1, len(input)))
		pieces, endOfPieces := play(ec, input, stream, int(piece)%20+1)
		if !slices.Equal(whole, pieces) || end != endOfPieces {
			t.Errorf("at once: %q, %s\nin pieces: %q, %s", whole, end, pieces, endOfPieces)
		}
		for _, said := range whole {
			if !stream && said[0] == '1' && !utf8.ValidString(said) {
				t.Errorf("the session was given %q as text", said)
			}
		}
	})
}
