package websocket_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/websocket"
)

// The example of RFC 6455, 1.3.
func TestHandshake(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, setup{driver: driver})
		c := s.connect()
		c.send([]byte(s.request("/echo", "Sec-WebSocket-Protocol: chat")))
		r := c.response()
		if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
			r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" || len(r.Header.Values("Sec-WebSocket-Protocol")) > 0 {
			t.Errorf("got %s with %v", r.Status, r.Header)
		}
		c.send(text("hello"))
		c.want(message{op: opText, data: "hello"})
	})
}

// Names and tokens are compared as HTTP does, lists may be long, and a frame may follow at once.
func TestHandshakeAccepted(t *testing.T) {
	s := serve(t, setup{options: websocket.Options{Origins: []string{"https://app.example.com"}, Hosts: []string{"proxy.example.com"}}})
	host := s.listener.Addr().String()
	for _, fields := range [][]string{
		{"Upgrade: WebSocket", "Connection: keep-alive, UPGRADE"},
		{"Origin: http://" + host},
		{"Origin: https://" + host}, // a proxy may do TLS
		{"Origin: https://app.example.com"},
		{"Host: localhost:1", "Origin: http://localhost:1"},
		{"Host: proxy.example.com"},
		{"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"},
	} {
		c := s.connect()
		c.send(append([]byte(s.request("/echo", fields...)), text("at once")...))
		if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%q: got %s", fields, r.Status)
			continue
		}
		c.want(message{op: opText, data: "at once"})
	}
}

// What gets no WebSocket, and how it is told.
func TestHandshakeRefused(t *testing.T) {
	s := serve(t, setup{strict: true, endpoints: map[string]websocket.Endpoint{
		"/private": {Open: func(*websocket.Conn, *websocket.Handshake) (any, error) {
			return nil, &websocket.Refusal{Status: http.StatusUnauthorized, Text: "log in first", Header: http.Header{"Www-Authenticate": {"Basic"}}}
		}},
		"/broken": {Open: func(*websocket.Conn, *websocket.Handshake) (any, error) { return nil, engine.ErrStopped }},
	}})
	upgrade := s.request("/echo")
	for _, tc := range []struct {
		request string
		status  int
		header  string // that must be there
	}{
		{s.request("/nowhere"), 404, ""},
		{s.request("/private"), 401, "Www-Authenticate"},
		{s.request("/broken"), 500, ""},
		{strings.Replace(upgrade, "GET", "POST", 1), 405, "Allow"},
		{strings.Replace(upgrade, "HTTP/1.1", "HTTP/1.0", 1), 505, ""},
		{s.request("/echo", "Upgrade:"), 426, "Upgrade"},
		{s.request("/echo", "Upgrade: h2c"), 426, "Upgrade"},
		{s.request("/echo", "Connection: keep-alive"), 426, "Upgrade"},
		{s.request("/echo", "Sec-WebSocket-Version: 8"), 426, "Sec-Websocket-Version"},
		{s.request("/echo", "Sec-WebSocket-Version: 13, 8"), 426, "Sec-Websocket-Version"},
		{s.request("/echo", "Sec-WebSocket-Key:"), 400, ""},
		{s.request("/echo", "Sec-WebSocket-Key: c2hvcnQ="), 400, ""},
		{s.request("/echo", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), 400, ""}, // bits that stand for nothing
		{strings.Replace(upgrade, "Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key", 1), 400, ""},
		{s.request("/echo", "Host:"), 400, ""},
		{strings.Replace(upgrade, "Host:", "Host: localhost\r\nHost:", 1), 400, ""},
		{s.request("/echo", "Host: evil.example.com"), 403, ""},
		{s.request("/echo", "Host: evil.example.com", "Origin: http://evil.example.com"), 403, ""},
		{s.request("/echo", "Origin: https://evil.example.com"), 403, ""},
		{s.request("/echo", "Origin: null"), 403, ""},
		{s.request("/echo", "Origin: http://127.0.0.1"), 403, ""}, // another port
		{s.request("/echo", "Content-Length: 5"), 400, ""},
		{s.request("/echo", "Transfer-Encoding: chunked"), 400, ""},
		{s.request("/lines", "Sec-WebSocket-Protocol:"), 400, ""},
		{s.request("/lines", "Sec-WebSocket-Protocol: chat"), 400, ""},
		{s.request("/lines", "Sec-WebSocket-Protocol: lines, lines"), 400, ""},
		{s.request("/lines", "Sec-WebSocket-Protocol: lines,,rows"), 400, ""},
		{s.request("/lines", "Sec-WebSocket-Protocol: "+strings.Repeat("a,", 40)+"b"), 400, ""},
		{strings.Replace(upgrade, "Upgrade:", "Upgrade :", 1), 400, ""},
		{strings.Replace(upgrade, "\r\nUpgrade:", "\nUpgrade:", 1), 400, ""},
		{strings.Replace(upgrade, "\r\nUpgrade:", "\r\n folded\r\nUpgrade:", 1), 400, ""},
		{"GET /echo\r\n\r\n", 400, ""},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
		{"GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n\r\n", 431, ""},
		{s.request("/echo", "X: "+strings.Repeat("a", 9000)), 431, ""},
	} {
		c := s.connect()
		c.send([]byte(tc.request))
		r := c.response()
		if r.StatusCode != tc.status || tc.header != "" && r.Header.Get(tc.header) == "" || r.Header.Get("Connection") != "close" && !r.Close {
			t.Errorf("%.200q\ngot %s with %v", tc.request, r.Status, r.Header)
		}
	}
}

// The server prefers what comes first in its own list, and a lenient one serves who offers none of it.
func TestSubprotocol(t *testing.T) {
	s := serve(t, setup{})
	for offered, want := range map[string]string{"chat": "", "lines": "lines", "rows": "rows", "rows, lines": "lines", "chat , rows": "rows"} {
		c := s.connect()
		c.send([]byte(s.request("/lines", "Sec-WebSocket-Protocol: "+offered)))
		if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Protocol") != want {
			t.Errorf("%q: got %s with %v", offered, r.Status, r.Header)
		}
	}
}

// Requests span messages and share them, in frames of every size, and text is refused.
func TestStream(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, setup{driver: driver})
		c := s.dial("/lines")
		for n := range 40 {
			var want []message
			var all string
			for i := range n {
				line := strings.Repeat("x", i*n) + "\n"
				want, all = append(want, message{op: opBinary, data: line}), all+line
			}
			for _, f := range fragments(opBinary, all, 1+n*7) {
				c.send(f)
			}
			c.want(want...)
		}
		c.send(frame(fin|opBinary, "one\ntwo"))
		c.want(message{op: opBinary, data: "one\n"})
		c.send(text("three\n"))
		c.wantClose(1003)
	})
}

// What was taken before the client broke the protocol is answered first.
func TestStreamFails(t *testing.T) {
	s := serve(t, setup{})
	c := s.dial("/lines")
	c.send(append(frame(fin|opBinary, "one\n"), frame(3, "")...))
	c.want(message{op: opBinary, data: "one\n"})
	c.wantClose(1002)
	c = s.dial("/lines")
	c.send(frame(fin|opBinary, "one\nfail\ntwo\n"))
	c.want(message{op: opBinary, data: "one\n"})
	c.wantClose(1008)
}
