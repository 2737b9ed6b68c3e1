package spate_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/spate-io/spate"
)

// A page is a client of /v1/ws.
type page struct {
	net.Conn
	in *bufio.Reader
	t  *testing.T
}

// openPage opens /v1/ws.
func openPage(t *testing.T, addr net.Addr) *page {
	t.Helper()
	p, _ := openSocket(t, addr, "/v1/ws", "")
	return p
}

// openSocket opens a WebSocket.
func openSocket(t *testing.T, addr net.Addr, path, header string) (*page, http.Header) {
	t.Helper()
	c := dial(t, addr)
	p := &page{c, bufio.NewReader(c), t}
	r, err := askSocket(c, p.in, path, header)
	if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v and %v", r, err)
	}
	return p, r.Header
}

// askSocket asks for a WebSocket.
func askSocket(c io.Writer, in *bufio.Reader, path, header string) (*http.Response, error) {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"+header+"\r\n"); err != nil {
		return nil, err
	}
	return http.ReadResponse(in, nil)
}

// say sends a message of less than 126 bytes.
func (p *page) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Conn, "\x81"+string([]byte{0x80 | byte(len(text)), 0, 0, 0, 0})+text); err != nil {
		p.t.Fatal(err)
	}
}

// hear reads messages up to one that has this in it.
func (p *page) hear(what string) {
	p.t.Helper()
	for {
		var head [2]byte
		if _, err := io.ReadFull(p.in, head[:]); err != nil {
			p.t.Fatalf("waiting for %q: %v", what, err)
		}
		n := int(head[1])
		if n == 126 {
			if _, err := io.ReadFull(p.in, head[:]); err != nil {
				p.t.Fatal(err)
			}
			n = int(head[0])<<8 | int(head[1])
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(p.in, text); err != nil {
			p.t.Fatal(err)
		}
		if strings.Contains(string(text), what) {
			return
		}
	}
}

// WebSockets are on listeners of their own and on the HTTP listener; both are the engine's, meet on one bus, and are drained.
func TestWebSockets(t *testing.T) {
	app := spate.New(quiet())
	own, door := listen(t, app, "ws://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	stop := run(t, app)
	subscriber, publisher := openPage(t, own), openPage(t, door)
	subscriber.say(`{"type":"subscribe","filter":"news/#"}`)
	subscriber.hear(`"ack"`)
	publisher.say(`{"type":"publish","subject":"news/today","data":"hello"}`)
	publisher.hear(`"receivers":1`)
	subscriber.hear(`"hello"`)
	listeners := map[string]int{}
	for c := range app.Engine().Connections {
		listeners[c.Info().Listener]++
	}
	if listeners["ws://"+own.String()] != 1 || listeners["http://"+door.String()] != 1 || app.Connections() != 2 {
		t.Errorf("the connections are %v", listeners)
	}
	stop()
	for _, p := range []*page{subscriber, publisher} {
		p.hear("server-shutdown")
	}
}

// A strict listener takes its word to MQTT over WebSockets, and wants the subprotocol [MQTT-6.0.0-3].
func TestStrictWebSocket(t *testing.T) {
	app := spate.New(quiet())
	kinds := []string{"ws://127.0.0.1:0", "http://127.0.0.1:0"}
	var lenient, strict []net.Addr
	for _, url := range kinds {
		lenient = append(lenient, listen(t, app, url))
		addr, err := app.ListenWith(spate.Listener{URL: url, Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		strict = append(strict, addr)
	}
	run(t, app)
	const reserved = "\x82\x8e\x00\x00\x00\x00\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00" // the lowest flag of the CONNECT is set [MQTT-3.1.2-3]
	for i := range kinds {
		for _, tc := range []struct {
			addr          net.Addr
			offer, answer string
		}{
			{lenient[i], "", "\x20\x02\x00\x00"},
			{strict[i], "Sec-WebSocket-Protocol: mqtt\r\n", "\x03\xf0protocol-error"},
		} {
			p, _ := openSocket(t, tc.addr, "/mqtt", tc.offer)
			if _, err := io.WriteString(p, reserved); err != nil {
				t.Fatal(err)
			}
			p.hear(tc.answer)
		}
		c := dial(t, strict[i])
		if r, err := askSocket(c, bufio.NewReader(c), "/mqtt", ""); err != nil || r.StatusCode != http.StatusBadRequest {
			t.Errorf("without the subprotocol: %v and %v", r, err)
		}
	}
}

// MQTT is carried at /mqtt on both kinds of listeners, in binary messages, wherever they begin and end.
func TestMQTTOverWebSocket(t *testing.T) {
	app := spate.New(quiet())
	all := []net.Addr{listen(t, app, "ws://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")}
	run(t, app)
	for _, addr := range all {
		p, header := openSocket(t, addr, "/mqtt", "Sec-WebSocket-Protocol: chat, mqtt\r\n")
		if got := header.Get("Sec-WebSocket-Protocol"); got != "mqtt" {
			t.Errorf("the subprotocol is %q", got)
		}
		const connect = "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
		for i := range len(connect) { // a message for each byte
			if _, err := io.WriteString(p, "\x82\x81\x00\x00\x00\x00"+connect[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		p.hear("\x20\x02\x00\x00")
		p.say("text")
		p.hear("\x03\xeb") // 1003
	}
}
