package websocket_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/spate-io/spate/protocol/websocket"
)

// packed compresses a message as a client does that keeps no context.
func packed(t *testing.T, data string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// unpacked decompresses a message.
func (m message) unpacked(t *testing.T) string {
	t.Helper()
	if !m.rsv1 {
		return m.data
	}
	data, err := io.ReadAll(flate.NewReader(strings.NewReader(m.data + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The categories 12 and 13 of the Autobahn test suite: JSON of growing size, in one frame and in fragments, with each set of parameters
// that a client may offer. There each case sends a thousand messages; a few are enough here.
func TestAutobahnCompression(t *testing.T) {
	sizes := []int{16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072}
	offers := []string{
		"permessage-deflate",
		"permessage-deflate; client_max_window_bits",
		"permessage-deflate; client_no_context_takeover; client_max_window_bits",
		"permessage-deflate; server_no_context_takeover",
		"permessage-deflate; client_max_window_bits=9",
		"permessage-deflate; client_max_window_bits=15; server_no_context_takeover; client_no_context_takeover",
		"permessage-deflate; server_max_window_bits=9, permessage-deflate",
	}
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, setup{driver: driver})
		rng := rand.New(rand.NewPCG(3, 4))
		for i, offer := range offers {
			c := s.connect()
			c.send([]byte(s.request("/packed", "Sec-WebSocket-Extensions: "+offer)))
			if r := c.response(); r.Header.Get("Sec-WebSocket-Extensions") != "permessage-deflate; server_no_context_takeover; client_no_context_takeover" {
				t.Fatalf("%s: got %v", offer, r.Header)
			}
			for j, size := range sizes {
				data := jsonOf(rng, size)
				pieces := fragments(opText, packed(t, data), []int{1 << 20, 256, 1024, 4096, 32768}[(i+j)%5])
				pieces[0][0] |= 0x40
				c.send(flat(pieces))
				c.send(frame(fin|opPing, "")) // not compressed
				m, err := c.read()
				if err != nil {
					t.Fatal(err)
				}
				if m.unpacked(t) != data || m.op != opText || m.rsv1 != (size >= 256) || m.rsv1 && len(m.data) >= len(data) {
					t.Errorf("%s, %d bytes: %d came back in %d (compressed: %v)", offer, size, len(m.unpacked(t)), len(m.data), m.rsv1)
				}
				c.want(message{op: opPong})
				c.send(text("plain")) // which a client may always send
				c.want(message{op: opText, data: "plain"})
			}
			c.send(closing(1000, ""))
			c.wantClose(1000)
		}
	})
}

// jsonOf is about n bytes of JSON.
func jsonOf(rng *rand.Rand, n int) string {
	var b strings.Builder
	b.WriteString(`{"all":[`)
	for b.Len() < n {
		_, _ = fmt.Fprintf(&b, `{"device":"d%d","celsius":%d.5},`, rng.IntN(100), rng.IntN(100))
	}
	return b.String() + "0]}"
}

// A body that is compressed once reaches each receiver behind a head of its own.
func TestPushDeflated(t *testing.T) {
	opened := make(chan *websocket.Conn, 2)
	s := serve(t, setup{endpoints: map[string]websocket.Endpoint{"/push": {Open: func(_ *websocket.Conn, h *websocket.Handshake) (any, error) {
		h.Compress = true
		return announcing{opened}, nil
	}}}})
	rng := rand.New(rand.NewPCG(5, 6))
	a, b := s.dial("/push", "Sec-WebSocket-Extensions: permessage-deflate"), s.dial("/push", "Sec-WebSocket-Extensions: permessage-deflate")
	for i := range 50 {
		data := jsonOf(rng, 300+i*i*40)
		body := websocket.Deflate(nil, []byte(data))
		if len(body) == 0 || len(body) >= len(data) {
			t.Fatalf("%d bytes became %d", len(data), len(body))
		}
		for _, c := range []*client{a, b} {
			c.send(text("go"))
			conn, head := <-opened, fmt.Sprintf("%p %s", c, strings.Repeat("head", i))
			if !conn.Compressed() {
				t.Fatal("compression was not agreed on")
			}
			if err := conn.PushDeflated(0, []byte(head), body); err != nil {
				t.Fatal(err)
			}
			m, err := c.read()
			if err != nil || !m.rsv1 || m.unpacked(t) != head+data {
				t.Fatalf("got %v and %v", m, err)
			}
		}
	}
	if got := websocket.Deflate([]byte("x"), []byte("short")); string(got) != "x" {
		t.Errorf("got %q", got)
	}
}

// The examples of RFC 7692, 7.2.3.
func TestCompressionExamples(t *testing.T) {
	s := serve(t, setup{})
	c := s.dial("/packed", "Sec-WebSocket-Extensions: permessage-deflate")
	for _, b := range [][]byte{
		frame(fin|0x40|opText, "\xf2\x48\xcd\xc9\xc9\x07\x00"),
		append(frame(0x40|opText, "\xf2\x48\xcd"), frame(fin|opContinuation, "\xc9\xc9\x07\x00")...),
		frame(fin|0x40|opText, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),         // a block that is stored
		frame(fin|0x40|opText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),                     // a last block
		frame(fin|0x40|opText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), // two blocks
	} {
		c.send(b)
		c.want(message{op: opText, data: "Hello"})
	}
	c.send(frame(fin|0x40|opText, packed(t, "\xff\xfe")))
	c.wantClose(1007)
}

// What is not agreed on, and what is not understood.
func TestCompressionOffers(t *testing.T) {
	s := serve(t, setup{})
	for offer, want := range map[string]int{
		"permessage-deflate; server_max_window_bits=9":                               101,
		"permessage-deflate; client_max_window_bits=7":                               101,
		"permessage-deflate; client_max_window_bits=16":                              101,
		"permessage-deflate; client_max_window_bits=09":                              101,
		"permessage-deflate; server_no_context_takeover=1":                           101,
		"permessage-deflate; client_no_context_takeover; client_no_context_takeover": 101,
		"permessage-deflate; nonsense":                                               101,
		"permessage-deflate;":                                                        101,
		"permessage-bzip2":                                                           101,
		"permessage-deflate ,":                                                       400,
		"a b":                                                                        400,
		strings.Repeat("x,", 100) + "x":                                              400,
	} {
		c := s.connect()
		c.send([]byte(s.request("/packed", "Sec-WebSocket-Extensions: "+offer)))
		r := c.response()
		if agreed := r.Header.Get("Sec-WebSocket-Extensions"); r.StatusCode != want || agreed != "" && offer != "permessage-deflate;" {
			t.Errorf("%s: got %s and %q", offer, r.Status, agreed)
		}
	}
	c := s.connect() // an endpoint that does not want it, and one of a stream
	c.send([]byte(s.request("/echo", "Sec-WebSocket-Extensions: permessage-deflate")))
	if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("got %v", r.Header)
	}
}

// Compressed messages of all connections share a bound.
func TestInflatedLimit(t *testing.T) {
	s := serve(t, setup{options: websocket.Options{Limits: websocket.Limits{Inflated: 100 << 10}}})
	c := s.dial("/packed", "Sec-WebSocket-Extensions: permessage-deflate")
	small, large := strings.Repeat("x", 60_000), strings.Repeat("x", 300_000)
	for range 5 {
		c.send(frame(fin|0x40|opText, packed(t, small)))
		m, err := c.read()
		if err != nil || m.unpacked(t) != small {
			t.Fatal(m, err)
		}
	}
	c.send(frame(fin|0x40|opText, packed(t, large)))
	if m, err := c.read(); err == nil {
		t.Errorf("got %v", m)
	}
}
