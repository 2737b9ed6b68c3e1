package websocket_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/websocket"
)

// drivers are those that the tests run against.
func drivers() []string {
	if runtime.GOOS == "linux" {
		return []string{engine.Epoll, engine.Net}
	}
	return []string{engine.Net}
}

func eachDriver(t *testing.T, f func(t *testing.T, driver string)) {
	for _, d := range drivers() {
		t.Run(d, func(t *testing.T) { f(t, d) })
	}
}

// echo sends every message back as it is.
type echo struct{ websocket.Messages }

func (echo) Message(c *websocket.Conn, kind websocket.Kind, data []byte) error {
	return c.Send(kind, data)
}

func (echo) Close(*websocket.Conn, error) {}

// lines answers each line of a stream with itself.
type lines struct{}

func (lines) Serve(c *websocket.Conn, in []byte) (used int, err error) {
	for {
		line, _, ok := bytes.Cut(in[used:], []byte("\n"))
		if !ok {
			return used, nil
		}
		used += len(line) + 1
		if bytes.Equal(line, []byte("fail")) {
			return used, errors.New("the client asked for it")
		}
		if _, err := c.Write(append(bytes.Clone(line), '\n')); err != nil {
			return used, nil
		}
	}
}

func (lines) Close(*websocket.Conn, error) {}

// server is an engine that serves /echo, /lines, and whatever else a test adds.
type server struct {
	*engine.Engine
	t        testing.TB
	listener *engine.Listener
}

// setup says what a server is.
type setup struct {
	driver    string
	endpoints map[string]websocket.Endpoint
	options   websocket.Options
	limits    engine.Limits
	strict    bool
}

func serve(t testing.TB, s setup) *server {
	t.Helper()
	endpoints := map[string]websocket.Endpoint{
		"/echo":  {Open: func(*websocket.Conn, *websocket.Handshake) (any, error) { return echo{}, nil }},
		"/lines": {Subprotocols: []string{"lines", "rows"}, Open: func(*websocket.Conn, *websocket.Handshake) (any, error) { return lines{}, nil }},
		"/packed": {Open: func(_ *websocket.Conn, h *websocket.Handshake) (any, error) {
			h.Compress = true
			return echo{}, nil
		}},
	}
	for path, ep := range s.endpoints {
		endpoints[path] = ep
	}
	s.options.Endpoints = endpoints
	p, err := websocket.New(s.options)
	if err != nil {
		t.Fatal(err)
	}
	if s.strict {
		p = p.Strict()
	}
	if s.limits.LingerTimeout == 0 {
		s.limits.LingerTimeout = 200 * time.Millisecond
	}
	e, err := engine.New(engine.Options{Driver: s.driver, Limits: s.limits, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.Listen(t.Context(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = e.Shutdown(ctx)
	})
	return &server{e, t, l}
}

// closedFor waits until n connections have ended for reason r.
func (s *server) closedFor(r engine.Reason, n uint64) {
	s.t.Helper()
	waitFor(s.t, r.String(), func() bool { return s.Stats().Closed[r] >= n })
}

// waitFor waits until cond holds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// client is a connection that the test speaks on.
type client struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

// connect opens a connection on which nothing has been said.
func (s *server) connect() *client {
	s.t.Helper()
	nc, err := net.DialTimeout("tcp", s.listener.Addr().String(), 10*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second)) // a hang fails the test
	return &client{nc, bufio.NewReaderSize(nc, 64<<10), s.t}
}

// request is a handshake that the server accepts, with fields changed ("Name: value"), added, or taken away ("Name:").
func (s *server) request(path string, fields ...string) string {
	all := [][2]string{
		{"Host", s.listener.Addr().String()}, {"Upgrade", "websocket"}, {"Connection", "Upgrade"},
		{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}, {"Sec-WebSocket-Version", "13"},
	}
	if path == "/lines" {
		all = append(all, [2]string{"Sec-WebSocket-Protocol", "lines"})
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		value = strings.TrimSpace(value)
		found := false
		for i := range all {
			if strings.EqualFold(all[i][0], name) && !found {
				all[i][1], found = value, true
			}
		}
		if !found {
			all = append(all, [2]string{name, value})
		}
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", path)
	for _, f := range all {
		if f[1] != "" {
			_, _ = fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
		}
	}
	return b.String() + "\r\n"
}

// dial opens a WebSocket.
func (s *server) dial(path string, fields ...string) *client {
	s.t.Helper()
	c := s.connect()
	c.send([]byte(s.request(path, fields...)))
	if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("got %s", r.Status)
	}
	return c
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// response reads the answer to a handshake.
func (c *client) response() *http.Response {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("reading the response: %v", err)
	}
	return r
}

// message is a frame that the server has sent, or is to.
type message struct {
	op   byte
	data string
	rsv1 bool
}

func (m message) String() string {
	return fmt.Sprintf("opcode %d with %d bytes %.40q", m.op, len(m.data), m.data)
}

// read reads one frame.
func (c *client) read() (message, error) {
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return message{}, err
	}
	if head[0]&0xb0 != 0x80 || head[1]&0x80 != 0 {
		return message{}, fmt.Errorf("the frame begins with %x", head)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return message{}, err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return message{}, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	data := make([]byte, n)
	_, err := io.ReadFull(c.r, data)
	return message{op: head[0] & 0xf, data: string(data), rsv1: head[0]&0x40 != 0}, err
}

// want reads frames and compares them.
func (c *client) want(all ...message) {
	c.t.Helper()
	for _, w := range all {
		got, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for %v: %v", w, err)
		}
		if got != w {
			c.t.Fatalf("got %v, want %v", got, w)
		}
	}
}

// wantClose reads a Close frame with that code, and the end.
func (c *client) wantClose(code uint16) {
	c.t.Helper()
	got, err := c.read()
	if err != nil {
		c.t.Fatalf("waiting for a Close frame with %d: %v", code, err)
	}
	has := uint16(0)
	if len(got.data) >= 2 {
		has = binary.BigEndian.Uint16([]byte(got.data))
	}
	if got.op != opClose || has != code {
		c.t.Fatalf("got %v (code %d), want a Close frame with %d", got, has, code)
	}
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Fatalf("after the Close frame came %.40q and %v", rest, err)
	}
}

// Opcodes.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// fin is the first byte's bit of a last fragment.
const fin = 0x80

// frame is a client's frame, masked.
func frame(first byte, data string) []byte { return frameOf(first, len(data), data) }

// frameOf is a frame that says it is n bytes long.
func frameOf(first byte, n int, data string) []byte {
	b := []byte{first}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	key := [4]byte{0x12, 0xf4, 0x56, 0x9c}
	b = append(b, key[:]...)
	for i := range len(data) {
		b = append(b, data[i]^key[i%4])
	}
	return b
}

func text(s string) []byte { return frame(fin|opText, s) }

// closing is a Close frame.
func closing(code uint16, reason string) []byte {
	return frame(fin|opClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}
