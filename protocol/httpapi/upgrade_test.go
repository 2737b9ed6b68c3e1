package httpapi_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/protocol/websocket"
)

// echoing sends every message back.
type echoing struct{}

func (echoing) Message(c *websocket.Conn, kind websocket.Kind, data []byte) error {
	return c.Send(kind, data)
}

func (echoing) Close(*websocket.Conn, error) {}

// startEngine makes an engine that is shut down before the door is.
func startEngine(t *testing.T, limits engine.Limits) *engine.Engine {
	t.Helper()
	limits.LingerTimeout = 200 * time.Millisecond
	e, err := engine.New(engine.Options{Limits: limits, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// startEcho makes a door with a WebSocket /echo.
func startEcho(t *testing.T, s setup, limits engine.Limits) (*kit, *engine.Engine) {
	t.Helper()
	e := startEngine(t, limits)
	s.options.Engine = e
	s.options.WebSockets = map[string]websocket.Endpoint{
		"/echo": {Open: func(*websocket.Conn, *websocket.Handshake) (any, error) { return echoing{}, nil }},
	}
	k := start(t, s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil && err != engine.ErrStopped {
			t.Error(err)
		}
	})
	return k, e
}

// A socket is a client's WebSocket.
type socket struct {
	net.Conn
	r *bufio.Reader
	t *testing.T
}

// upgradeRequest asks for a WebSocket.
func upgradeRequest(path string, header ...string) string {
	h := ""
	for _, field := range header {
		h += field + "\r\n"
	}
	if !strings.Contains(h, "Host: ") {
		h += "Host: localhost\r\n"
	}
	return "GET " + path + " HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + h + "\r\n"
}

// socketOn opens a WebSocket on a connection, and sends early right behind the request.
func socketOn(t *testing.T, nc net.Conn, path, early string, header ...string) *socket {
	t.Helper()
	s := &socket{nc, bufio.NewReader(nc), t}
	if _, err := io.WriteString(nc, upgradeRequest(path, header...)+early); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(s.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(r.Body)
		t.Fatalf("got %s: %s", r.Status, body)
	}
	return s
}

// masked is a client's text message.
func masked(data string) string {
	head := []byte{0x81}
	if len(data) < 126 {
		head = append(head, 0x80|byte(len(data)))
	} else {
		head = binary.BigEndian.AppendUint64(append(head, 0xff), uint64(len(data)))
		if len(data) <= 0xffff {
			head = binary.BigEndian.AppendUint16([]byte{0x81, 0xfe}, uint16(len(data)))
		}
	}
	return string(append(head, 0, 0, 0, 0)) + data
}

func (s *socket) say(data string) {
	s.t.Helper()
	if _, err := io.WriteString(s.Conn, masked(data)); err != nil {
		s.t.Fatal(err)
	}
}

// frame reads one frame.
func (s *socket) frame() (first byte, data string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, "", err
	}
	n := int(head[1])
	if n >= 126 {
		more := make([]byte, []int{2, 8}[n-126])
		if _, err := io.ReadFull(s.r, more); err != nil {
			return 0, "", err
		}
		n = 0
		for _, b := range more {
			n = n<<8 | int(b)
		}
	}
	b := make([]byte, n)
	_, err = io.ReadFull(s.r, b)
	return head[0], string(b), err
}

// hear reads a text message.
func (s *socket) hear() string {
	s.t.Helper()
	first, data, err := s.frame()
	if err != nil || first != 0x81 {
		s.t.Fatalf("got %x %q and %v", first, data, err)
	}
	return data
}

// closed reads on to the Close frame and returns its code.
func (s *socket) closed() int {
	s.t.Helper()
	for {
		first, data, err := s.frame()
		if err != nil {
			s.t.Fatal(err)
		}
		if first == 0x88 && len(data) >= 2 {
			return int(binary.BigEndian.Uint16([]byte(data)))
		}
	}
}

// A connection that becomes a WebSocket leaves the door: its time-outs, its counters, and its limits.
func TestUpgrade(t *testing.T) {
	secure := &tls.Config{Certificates: []tls.Certificate{certificate(t, "localhost")}}
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": secure} {
		t.Run(name, func(t *testing.T) {
			const short = 300 * time.Millisecond
			k, e := startEcho(t, setup{tls: config, options: httpapi.Options{Limits: httpapi.Limits{
				PerAddress: 1, IdleTimeout: short, RequestTimeout: short, HeaderTimeout: short, WriteTimeout: short,
			}}}, engine.Limits{})
			open := func() net.Conn {
				nc := k.dial()
				if config != nil {
					nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
				}
				return nc
			}
			var all []*socket
			for i := range 3 { // although the door allows one connection for each address
				early := ""
				for n := range i {
					early += masked(fmt.Sprint("early ", n))
				}
				s := socketOn(t, open(), "/echo", early)
				for n := range i {
					if got := s.hear(); got != fmt.Sprint("early ", n) {
						t.Errorf("got %q", got)
					}
				}
				s.say("hello")
				if got := s.hear(); got != "hello" {
					t.Errorf("got %q", got)
				}
				all = append(all, s)
				waitUntil(t, func() bool { return k.Stats().Connections == 0 })
			}
			<-time.After(2 * short)
			for _, s := range all {
				s.say("still there")
				s.hear()
			}
			door, eng := k.Stats(), e.Stats()
			if door.Closed[engine.ReasonUpgraded] != 3 || eng.Connections != 3 || eng.Accepted != 3 {
				t.Errorf("the door says %+v, the engine %+v", door, eng)
			}
			for c := range e.Connections {
				if i := c.Info(); i.Listener != "http" || i.Protocol != "websocket" || i.Detail != "echo" || (c.TLS() != nil) != (config != nil) {
					t.Errorf("got %+v", i)
				}
			}
		})
	}
}

func waitUntil(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}

// What gets no WebSocket is answered by the door, and the log says why its connection ends: clients do not show the answer.
func TestUpgradeRefused(t *testing.T) {
	k, e := startEcho(t, setup{}, engine.Limits{PerAddress: 1})
	for _, tc := range []struct {
		path   string
		header []string
		status int
		reason engine.Reason
		says   string
	}{
		{"/echo", []string{"Origin: https://evil.example.com"}, http.StatusForbidden, engine.ReasonDenied, "list it in http.origins"},
		{"/echo", []string{"Upgrade: h2c"}, http.StatusUpgradeRequired, engine.ReasonProtocol, "this is a WebSocket"}, // the first field counts, so there are two
		{"/", nil, http.StatusNotFound, engine.ReasonProtocol, `there is no WebSocket at "/"; there are: /echo`},
		{"/v1/nothing", nil, http.StatusNotFound, engine.ReasonProtocol, `there is no WebSocket at "/v1/nothing"`},
	} {
		c := k.dial()
		request := upgradeRequest(tc.path, tc.header...)
		if tc.status == http.StatusUpgradeRequired {
			request = strings.Replace(request, "Upgrade: websocket\r\n", "", 1)
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != tc.status {
			t.Errorf("%q: got %s", tc.header, r.Status)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%q: the connection stays: %v", tc.header, err)
		}
		k.log.wait(t, "the line about "+tc.path, func(l line) bool {
			return l.msg == "connection closed" && l.attrs["reason"] == tc.reason.String() && strings.Contains(l.attrs["error"], tc.says)
		})
	}
	if got := k.ask("GET", "/echo", "Host: evil.example.com"); got.status != http.StatusForbidden {
		t.Errorf("a rebound name: %+v", got)
	}
	first := socketOn(t, k.dial(), "/echo", "")
	refused := func(want int) {
		t.Helper()
		if got := k.ask("GET", "/echo", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"); got.status != want {
			t.Errorf("got %+v", got)
		}
	}
	refused(http.StatusServiceUnavailable) // the engine allows one
	k.Drain()
	refused(http.StatusServiceUnavailable)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := first.closed(); got != 1001 {
		t.Errorf("the server went away with %d", got)
	}
}
