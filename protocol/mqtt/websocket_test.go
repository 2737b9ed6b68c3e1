package mqtt_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A webConn is a WebSocket as a stream of bytes: each Write is a binary message of its own.
type webConn struct {
	net.Conn
	r    *bufio.Reader
	left int // bytes of the frame that is being read
}

// dialWeb opens a WebSocket and returns the subprotocol that the server has selected.
func (b *broker) dialWeb(t *testing.T, offer string) (*webConn, string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", *b.web.Load(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if offer != "" {
		offer = "Sec-WebSocket-Protocol: " + offer + "\r\n"
	}
	_, err = fmt.Fprintf(conn, "GET /mqtt HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s\r\n", *b.web.Load(), offer)
	if err != nil {
		t.Fatal(err)
	}
	w := &webConn{Conn: conn, r: bufio.NewReader(conn)}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := http.ReadResponse(w.r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", answer, err)
	}
	return w, answer.Header.Get("Sec-WebSocket-Protocol")
}

// openWeb is open over a WebSocket.
func (b *broker) openWeb(t *testing.T, v packet.Version) (*client, *webConn) {
	t.Helper()
	w, selected := b.dialWeb(t, "mqtt")
	if selected != "mqtt" {
		t.Fatalf("the subprotocol %q was selected", selected)
	}
	return &client{t: t, conn: mqttclient.NewConn(w), v: v}, w
}

func (w *webConn) Write(p []byte) (int, error) {
	return len(p), w.frame(0x82, p)
}

// frame sends a frame of a client: its first byte, and what it carries, masked.
func (w *webConn) frame(first byte, p []byte) error {
	b := []byte{first, 0x80 | byte(min(len(p), 126))}
	if len(p) >= 126 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i, c := range p {
		b = append(b, c^mask[i%4])
	}
	_, err := w.Conn.Write(b)
	return err
}

func (w *webConn) Read(p []byte) (int, error) {
	for w.left == 0 {
		var head [2]byte
		if _, err := io.ReadFull(w.r, head[:]); err != nil {
			return 0, err
		}
		length := int(head[1])
		if length == 126 {
			var more [2]byte
			if _, err := io.ReadFull(w.r, more[:]); err != nil {
				return 0, err
			}
			length = int(binary.BigEndian.Uint16(more[:]))
		}
		switch head[0] {
		case 0x82:
			w.left = length
		case 0x88: // Close
			return 0, io.EOF
		case 0x8A: // Pong
			if _, err := w.r.Discard(length); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("a frame that begins with %x", head)
		}
	}
	n, err := w.r.Read(p[:min(len(p), w.left)])
	w.left -= n
	return n, err
}

// MQTT over a WebSocket, whatever frames its packets come in: [MQTT-6.0.0-1], [MQTT-6.0.0-2], [MQTT-6.0.0-4], [MQTT-4.2.0-1].
func TestWebSocket(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		whole, _ := b.openWeb(t, v)
		whole.hello("whole", will(packet.Will{Topic: "gone", Payload: []byte("bye"), QoS: 1}))
		whole.accepted()
		whole.sub(2, "a/#")
		// Another, whose bytes come one by one, with pings in between, and then many packets in one frame.
		pieces, w := b.openWeb(t, v)
		bytes := packet.AppendConnect(nil, &packet.ConnectPacket{Version: v, CleanStart: true, ClientID: "pieces"})
		bytes = packet.AppendPublish(bytes, v, &packet.OutPublish{Topic: "a/1", Payload: []byte("x"), QoS: 1, ID: 9})
		for i := range bytes {
			pieces.send(bytes[i : i+1])
			if err := w.frame(0x89, []byte("ping")); err != nil {
				t.Fatal(err)
			}
		}
		pieces.accepted()
		pieces.success(packet.Puback, 9)
		whole.gets("a/1=x q1")
		var many []byte
		for i := range 100 {
			many = packet.AppendPublish(many, v, &packet.OutPublish{Topic: "a/2", Payload: fmt.Append(nil, i)})
		}
		// One message in fragments, which end in the middle of packets.
		if err := w.frame(0x02, many[:333]); err != nil {
			t.Fatal(err)
		}
		if err := w.frame(0x80, many[333:]); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			whole.gets(fmt.Sprintf("a/2=%d q0", i))
		}
		large := strings.Repeat("z", 50_000)
		watcher := b.connect(t, v, "watcher").sub(1, "gone", "large")
		whole.say("large", large, 2)
		watcher.gets("large=" + large + " q1")
		whole.sub(1, "large")
		watcher.say("large", large, 1)
		watcher.gets("large=" + large + " q1")
		whole.gets("large=" + large + " q1")
		_ = whole.conn.Close()
		watcher.gets("gone=bye q1")
	})
}

// A frame that is not binary ends the connection: [MQTT-6.0.0-1].
func TestWebSocketText(t *testing.T) {
	b := newBroker(t, settings{})
	c, w := b.openWeb(t, packet.V5)
	c.hello("x")
	c.accepted()
	if err := w.frame(0x81, packet.AppendPingreq(nil)); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := c.read()
		if err != nil {
			if !isEnd(err) {
				t.Error(err)
			}
			break
		}
		if f.Type != packet.Disconnect {
			t.Errorf("%s", f.Type)
		}
	}
}

// The subprotocol is mqtt, if the client offers it: [MQTT-6.0.0-3], [MQTT-6.0.0-4].
func TestWebSocketSubprotocol(t *testing.T) {
	b := newBroker(t, settings{lenient: true})
	for offer, want := range map[string]string{"mqtt": "mqtt", "chat, mqtt": "mqtt", "mqttv3.1, mqtt": "mqtt", "": ""} {
		if _, selected := b.dialWeb(t, offer); selected != want {
			t.Errorf("offered %q, selected %q", offer, selected)
		}
	}
}
