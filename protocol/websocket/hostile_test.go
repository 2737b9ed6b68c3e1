package websocket_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/websocket"
)

// soon is a deadline that a test waits for, and in which a client that does its part is served, also on a busy machine.
const soon = 2 * time.Second

// neighbor is a client that behaves, while others do not: it is served.
func (s *server) neighbor() {
	s.t.Helper()
	c := s.dial("/echo")
	c.send(text("hello"))
	c.want(message{op: opText, data: "hello"})
}

// What hostile clients do, and how the server ends it; others notice nothing.
func TestHostile(t *testing.T) {
	bomb()
	for _, tc := range []struct {
		name   string
		path   string // "" is before the handshake
		attack func(s *server, c *client)
		code   uint16 // of the Close frame; 0 is none
		why    engine.Reason
	}{
		{"half a handshake", "", func(s *server, c *client) { c.send([]byte(s.request("/echo")[:60])) }, 0, engine.ReasonFirstTimeout},
		{"a handshake that drips", "", func(s *server, c *client) { c.drip([]byte(s.request("/echo", "X: "+strings.Repeat("x", 1000)))) }, 0, engine.ReasonFirstTimeout},
		{"nothing after the handshake", "/echo", func(*server, *client) {}, 1008, engine.ReasonFirstTimeout},
		{"pings, and nothing else", "/echo", func(_ *server, c *client) { c.drip(bytes.Repeat(frame(fin|opPing, ""), 1000)) }, 1008, engine.ReasonFirstTimeout},
		{"a message that drips", "/echo", func(_ *server, c *client) {
			c.send(text("hello"))
			c.want(message{op: opText, data: "hello"})
			c.drip(frame(fin|opText, strings.Repeat("x", 1000)))
		}, 1008, engine.ReasonRequestTimeout},
		{"a request that drips in frames", "/lines", func(_ *server, c *client) {
			c.send(frame(fin|opBinary, "hello\n"))
			c.want(message{op: opBinary, data: "hello\n"})
			c.drip(bytes.Repeat(frame(fin|opBinary, "x"), 1000))
		}, 1008, engine.ReasonRequestTimeout},
		{"a second handshake", "/echo", func(s *server, c *client) { c.send([]byte(s.request("/echo"))) }, 1002, engine.ReasonProtocol},
		{"TLS after the handshake", "/echo", func(_ *server, c *client) { c.send([]byte("\x16\x03\x01\x02\x00\x01\x00")) }, 1002, engine.ReasonProtocol},
		{"a huge length", "/echo", func(_ *server, c *client) { c.send(frameOf(fin|opBinary, 1<<40, "x")) }, 1009, engine.ReasonTooLarge},
		{"the largest length", "/lines", func(_ *server, c *client) { c.send(frameOf(fin|opBinary, 1<<62, "x")) }, 1009, engine.ReasonTooLarge},
		{"a negative length", "/echo", func(_ *server, c *client) { c.send([]byte("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00")) }, 1002, engine.ReasonProtocol},
		{"a padded length", "/echo", func(_ *server, c *client) { c.send([]byte("\x82\xfe\x00\x01\x00\x00\x00\x00x")) }, 1002, engine.ReasonProtocol},
		{"a frame that is not masked", "/echo", func(_ *server, c *client) { c.send([]byte("\x82\x01x")) }, 1002, engine.ReasonProtocol},
		{"endless fragments", "/echo", func(_ *server, c *client) {
			c.flood(append(frame(opText, ""), bytes.Repeat(frame(opContinuation, ""), 70_000)...))
		}, 1009, engine.ReasonTooLarge},
		{"endless fragments of a stream", "/lines", func(_ *server, c *client) {
			c.flood(append(frame(opBinary, ""), bytes.Repeat(frame(opContinuation, ""), 70_000)...))
		}, 1009, engine.ReasonTooLarge},
		{"a message of many fragments that is too large", "/echo", func(_ *server, c *client) {
			c.flood(append(frame(opBinary, ""), bytes.Repeat(frame(opContinuation, strings.Repeat("x", 1000)), 2000)...))
		}, 1009, engine.ReasonTooLarge},
		{"a request of a stream that is too large", "/lines", func(_ *server, c *client) {
			c.flood(bytes.Repeat(frame(fin|opBinary, strings.Repeat("x", 1000)), 2000))
		}, 1009, engine.ReasonTooLarge},
		{"a bomb", "/packed", func(_ *server, c *client) { c.send(frame(fin|0x40|opBinary, string(bomb()))) }, 1009, engine.ReasonTooLarge},
		{"what is no deflate", "/packed", func(_ *server, c *client) { c.send(frame(fin|0x40|opBinary, "\xff\xff\xff")) }, 1007, engine.ReasonProtocol},
		{"compression that was not agreed on", "/echo", func(_ *server, c *client) { c.send(frame(fin|0x40|opBinary, "x")) }, 1002, engine.ReasonProtocol},
		{"a compressed continuation", "/packed", func(_ *server, c *client) {
			c.send(append(frame(0x40|opBinary, "x"), frame(0x40|opContinuation, "x")...))
		}, 1002, engine.ReasonProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			eachDriver(t, func(t *testing.T, driver string) {
				t.Parallel()
				var limits engine.Limits
				switch tc.why {
				case engine.ReasonFirstTimeout:
					limits.FirstTimeout = soon
				case engine.ReasonRequestTimeout:
					limits.RequestTimeout = soon
				}
				s := serve(t, setup{driver: driver, limits: limits})
				var c *client
				switch tc.path {
				case "":
					c = s.connect()
				case "/packed":
					c = s.dial(tc.path, "Sec-WebSocket-Extensions: permessage-deflate")
				default:
					c = s.dial(tc.path)
				}
				tc.attack(s, c)
				if tc.code != 0 {
					for { // pongs may come first
						m, err := c.read()
						if err != nil {
							t.Fatalf("waiting for a Close frame: %v", err)
						}
						if m.op == opClose {
							if got := uint16(m.data[0])<<8 | uint16(m.data[1]); got != tc.code {
								t.Errorf("closed with %d %q, want %d", got, m.data[2:], tc.code)
							}
							break
						}
					}
				} else if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
					t.Errorf("got %q and %v", rest, err)
				}
				s.closedFor(tc.why, 1)
				s.neighbor()
			})
		})
	}
}

// drip sends a byte at a time, until the server closes.
func (c *client) drip(b []byte) {
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil {
			return
		}
		if c.ended() {
			return
		}
	}
}

// ended waits a moment and tells whether the server has closed, or said that it does.
func (c *client) ended() bool {
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	defer func() { _ = c.SetReadDeadline(time.Now().Add(30 * time.Second)) }()
	for { // past the pongs
		b, err := c.r.Peek(2)
		if err != nil {
			return err == io.EOF
		}
		if b[0] != fin|opPong {
			return true
		}
		_, _ = c.r.Discard(2)
	}
}

// flood sends as much as the server takes.
func (c *client) flood(b []byte) { _, _ = c.Write(b) }

// bomb is 64 MiB, compressed.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = w.Write(zeros) // it goes to memory
	}
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
})

// Bytes at random end one connection, with a reason, and hold no memory.
func TestHostileRandom(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, driver string) {
		t.Parallel()
		s := serve(t, setup{driver: driver, limits: engine.Limits{RequestTimeout: soon, FirstTimeout: soon}})
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 200 {
			path := []string{"/echo", "/lines", "/packed"}[i%3]
			c := s.connect()
			request := []byte(s.request(path, "Sec-WebSocket-Extensions: permessage-deflate"))
			garbage := make([]byte, rng.IntN(300))
			for j := range garbage {
				garbage[j] = byte(rng.Uint32())
			}
			switch {
			case i%4 == 0:
				request[rng.IntN(len(request))] = byte(rng.Uint32())
			case len(garbage) > 2:
				garbage[0], garbage[1] = []byte{0x01, 0x02, 0x80, 0x81, 0x82, 0x89, 0xc1, 0xc2}[rng.IntN(8)], 0x80|garbage[1]
			}
			c.send(append(request, garbage...))
			if rng.IntN(2) == 0 {
				_ = c.Close()
			}
		}
		waitFor(t, "them to end", func() bool { return s.Stats().Connections == 0 })
		if st := s.Stats(); st.Panics > 0 || st.Buffered > 0 || st.Closed[engine.ReasonInternal] > 0 {
			t.Errorf("got %+v", st)
		}
		s.neighbor()
	})
}

// A client that floods with pings and does not read is not read any more, and closed in the end.
func TestPingFlood(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, driver string) {
		t.Parallel()
		s := serve(t, setup{driver: driver, limits: engine.Limits{Buffered: 64 << 10, WriteTimeout: soon / 2}})
		c := s.dial("/echo")
		c.flood(bytes.Repeat(frame(fin|opPing, strings.Repeat("x", 125)), 200_000))
		s.closedFor(engine.ReasonWriteTimeout, 1)
		if held := s.Stats().Buffered; held > 1<<20 {
			t.Errorf("%d bytes were held", held)
		}
		s.neighbor()
	})
}

// A client that does not read what is pushed to it meets the policy, as on any connection.
func TestNeverReads(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		opened := make(chan *websocket.Conn, 1)
		s := serve(t, setup{driver: driver, limits: engine.Limits{Buffered: 64 << 10}, endpoints: map[string]websocket.Endpoint{
			"/push": {Open: func(c *websocket.Conn, _ *websocket.Handshake) (any, error) {
				return announcing{opened}, nil
			}},
		}})
		c := s.dial("/push")
		c.send(text("go"))
		conn, body := <-opened, make([]byte, 1000)
		for !conn.Closing() {
			_ = conn.PushParts(engine.Disconnect, body, body)
		}
		s.closedFor(engine.ReasonOverflow, 1)
		s.neighbor()
	})
}

// announcing tells of its connection.
type announcing struct{ opened chan *websocket.Conn }

func (a announcing) Message(c *websocket.Conn, _ websocket.Kind, _ []byte) error {
	a.opened <- c
	return nil
}

func (announcing) Close(*websocket.Conn, error) {}

// What comes after the client's Close frame is thrown away, however much it is.
func TestDataAfterClose(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, setup{driver: driver})
		c := s.dial("/echo")
		c.send(closing(4000, "bye"))
		c.flood(bytes.Repeat(text(strings.Repeat("x", 1000)), 200))
		c.wantClose(4000)
		s.closedFor(engine.ReasonPeer, 1)
	})
}

// A page of another origin gets no WebSocket, and its session is never made.
func TestOtherOrigin(t *testing.T) {
	made := make(chan struct{}, 100)
	s := serve(t, setup{endpoints: map[string]websocket.Endpoint{"/secret": {Open: func(*websocket.Conn, *websocket.Handshake) (any, error) {
		made <- struct{}{}
		return echo{}, nil
	}}}})
	for _, origin := range []string{"https://evil.example.com", "http://127.0.0.1:1", "null", "file://", "http://localhost", "https://127.0.0.1.evil.example.com"} {
		c := s.connect()
		c.send([]byte(s.request("/secret", "Origin: "+origin)))
		if r := c.response(); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %s", origin, r.Status)
		}
	}
	s.closedFor(engine.ReasonDenied, 6)
	if len(made) > 0 {
		t.Error("a session was made")
	}
}

// While they wait, WebSockets hold neither a goroutine nor a buffer.
func TestIdle(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // where the net driver is all there is
	}
	s := serve(t, setup{driver: engine.Epoll})
	before := runtime.NumGoroutine()
	const n = 200
	for range n {
		c := s.dial("/lines")
		c.send(frame(fin|opBinary, "hello\n"))
		c.want(message{op: opBinary, data: "hello\n"})
	}
	waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() < before+n/10 })
	waitFor(t, "the buffers to be given back", func() bool { return s.Stats().Buffered == 0 })
	if st := s.Stats(); st.Connections != n {
		t.Errorf("got %+v", st)
	}
}
