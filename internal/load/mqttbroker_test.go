package load

import (
	"encoding/binary"
	"net"
	"strings"
	"sync"
)

// A fakeBroker is as much of an MQTT server as the generator needs, over TCP and WebSockets.
type fakeBroker struct {
	mu      sync.Mutex
	clients map[*fakeClient]string // and what each is subscribed to
	refuse  func(connect int) byte // the reason code for a CONNECT, by its number
	change  func(payload []byte) []byte
	mute    bool            // acknowledges nothing
	count   int             // of CONNECTs
	lasting int             // of them, those of sessions that outlive their connections
	kept    map[string]bool // the clients of such sessions
	maximum byte            // receive maximum, if not zero
}

// A fakeClient is one connection.
type fakeClient struct {
	conn    net.Conn
	version byte
	ws      bool
	writing sync.Mutex
	stream  []byte
}

func newFakeBroker() *fakeBroker {
	return &fakeBroker{clients: map[*fakeClient]string{}, kept: map[string]bool{}}
}

// connects returns how many CONNECTs there were.
func (f *fakeBroker) connects() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

func (c *fakeClient) write(b []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.ws {
		framed := frame(append([]byte(nil), b...), 0, frameBinary)
		n := len(framed) - len(b) - 4 // a server does not mask
		framed[1] &^= 0x80
		b = append(framed[:n:n], b...)
	}
	_, _ = c.conn.Write(b)
}

// handle serves one connection.
func (f *fakeBroker) handle(conn net.Conn) {
	c := &fakeClient{conn: conn}
	defer func() {
		f.mu.Lock()
		delete(f.clients, c)
		f.mu.Unlock()
	}()
	buf, raw := make([]byte, 64<<10), []byte(nil)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		raw = append(raw, buf[:n]...)
		if strings.HasPrefix(string(raw), "GET /mqtt HTTP/1.1\r\n") && strings.HasSuffix(string(raw), "\r\n\r\n") {
			c.ws, raw = true, nil
			_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Accept: " + webSocketAccept + "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"))
			continue
		}
		if raw = c.unmask(raw); !f.packets(c) {
			return
		}
	}
}

// unmask moves what has arrived to the stream of packets.
func (c *fakeClient) unmask(raw []byte) []byte {
	if !c.ws {
		c.stream = append(c.stream, raw...)
		return nil
	}
	for len(raw) > 1 {
		open := append([]byte(nil), raw...)
		open[1] &^= 0x80
		_, _, n, err := nextFrame(open)
		if n += len(frameMask); err != nil || n == len(frameMask) || n > len(raw) {
			break
		}
		head := 6
		switch raw[1] & 0x7f {
		case 126:
			head = 8
		case 127:
			head = 14
		}
		for i, v := range raw[head:n] {
			c.stream = append(c.stream, v^raw[head-4+i&3])
		}
		raw = raw[n:]
	}
	return raw
}

func (f *fakeBroker) packets(c *fakeClient) bool {
	for {
		p, n, err := nextMQTT(c.stream)
		if err != nil {
			return false
		}
		if n == 0 {
			return true
		}
		if !f.packet(c, p) {
			return false
		}
		c.stream = c.stream[n:]
	}
}

func (f *fakeBroker) packet(c *fakeClient, p mqttPacket) bool {
	switch p.first & mqttType {
	case mqttConnect:
		return f.connect(c, p)
	case mqttSubscribe & mqttType:
		b, id := p.body[2:], p.body[:2]
		if c.version == mqtt5 {
			b = b[1:]
		}
		filter := string(b[2 : len(b)-1])
		f.mu.Lock()
		f.clients[c] = filter
		f.mu.Unlock()
		reply := append([]byte{mqttSuback, 3}, id...)
		if c.version == mqtt5 {
			reply[1]++
			reply = append(reply, 0)
		}
		c.write(append(reply, b[len(b)-1]))
	case mqttPublish:
		return f.publish(c, p)
	case mqttPubrec, mqttPubrel & mqttType:
		reply := map[byte]byte{mqttPubrec: mqttPubrel, mqttPubrel & mqttType: mqttPubcomp}[p.first&mqttType]
		c.write(appendMQTTAck(nil, reply, binary.BigEndian.Uint16(p.body)))
	case mqttDisconnect:
		return false
	}
	return true
}

func (f *fakeBroker) connect(c *fakeClient, p mqttPacket) bool {
	c.version = p.body[6]
	f.mu.Lock()
	f.count++
	code := byte(0)
	if f.refuse != nil {
		code = f.refuse(f.count)
	}
	if b := p.body; code == 0 && c.version == mqtt5 {
		expiry, b := b[10], b[11+b[10]:]
		client := string(b[2 : 2+b[1]])
		if delete(f.kept, client); expiry > 0 {
			f.kept[client] = true
			f.lasting++
		}
	}
	f.mu.Unlock()
	switch {
	case c.version != mqtt5:
		c.write([]byte{mqttConnack, 2, 0, code})
	case f.maximum > 0:
		c.write([]byte{mqttConnack, 12, 0, code, 9, 0x26, 0, 1, 'k', 0, 0, 0x21, 0, f.maximum}[:14])
	default:
		c.write([]byte{mqttConnack, 3, 0, code, 0})
	}
	return code == 0
}

func (f *fakeBroker) publish(c *fakeClient, p mqttPacket) bool {
	topic, payload, id, err := p.publication(c.version)
	if err != nil {
		return false
	}
	if f.change != nil {
		payload = f.change(append([]byte(nil), payload...))
	}
	f.mu.Lock()
	for other, filter := range f.clients {
		if filter == string(topic) && payload != nil {
			other.write(append(appendPublish(nil, other.version, string(topic), p.qos(), 7, len(payload)), payload...))
		}
	}
	f.mu.Unlock()
	if p.qos() > 0 && !f.mute {
		c.write(appendMQTTAck(nil, [...]byte{0, mqttPuback, mqttPubrec}[p.qos()], id))
	}
	return true
}
