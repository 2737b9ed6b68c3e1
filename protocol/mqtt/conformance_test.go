package mqtt_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// The conformance suite speaks to a broker over its socket, packet by packet. The comment of each test has the numbers of the normative
// statements of MQTT 5.0 that it covers; docs/mqtt5.md is the list, and internal/tidy TestMQTTStatements holds the two together.

// patience is how long a test waits for what must happen.
const patience = 5 * time.Second

// versions runs a test for each version that has the rule.
func versions(t *testing.T, test func(t *testing.T, b *broker, v packet.Version)) {
	t.Helper()
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, newBroker(t, settings{}), v)
		})
	}
}

// A client sends and reads packets one by one, and fails the test when something else comes than what it wants.
type client struct {
	t       *testing.T
	conn    *mqttclient.Conn
	v       packet.Version
	id      string
	connack *packet.ConnackPacket
	early   []packet.Frame // messages that came while an answer was awaited
	next    uint16         // packet identifier
}

// open connects without a word.
func (b *broker) open(t *testing.T, v packet.Version) *client {
	t.Helper()
	conn, err := mqttclient.Open(t.Context(), *b.address.Load(), mqttclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn, v: v}
}

// An option changes a CONNECT.
type option func(p *packet.ConnectPacket)

func resume(p *packet.ConnectPacket) { p.CleanStart = false }

// expiry asks for a session that lasts. Version 3.1.1 has it for ever, or not at all.
func expiry(seconds uint32) option {
	return func(p *packet.ConnectPacket) {
		if p.Version == packet.V5 {
			property(p).SessionExpiry = seconds
			property(p).Set(packet.SessionExpiry)
		} else {
			p.CleanStart = false
		}
	}
}

func will(w packet.Will) option { return func(p *packet.ConnectPacket) { p.Will = &w } }

func user(name, password string) option {
	return func(p *packet.ConnectPacket) {
		p.HasUsername, p.HasPassword, p.Username, p.Password = true, true, name, []byte(password)
	}
}

func with(change func(p *packet.Properties)) option {
	return func(p *packet.ConnectPacket) { change(property(p)) }
}

func property(p *packet.ConnectPacket) *packet.Properties {
	if p.Properties == nil {
		p.Properties = &packet.Properties{}
	}
	return p.Properties
}

// hello sends a CONNECT.
func (c *client) hello(id string, options ...option) *client {
	c.t.Helper()
	p := &packet.ConnectPacket{Version: c.v, CleanStart: true, ClientID: id}
	for _, o := range options {
		o(p)
	}
	c.id = id
	c.send(packet.AppendConnect(nil, p))
	return c
}

// connect connects and is accepted.
func (b *broker) connect(t *testing.T, v packet.Version, id string, options ...option) *client {
	t.Helper()
	c := b.open(t, v).hello(id, options...)
	c.accepted()
	return c
}

func (c *client) accepted() *packet.ConnackPacket {
	c.t.Helper()
	ack := c.answer()
	if ack.Code != packet.Success {
		c.t.Fatalf("%s was refused: %s", c.id, ack.Code)
	}
	return ack
}

// answer reads a CONNACK.
func (c *client) answer() *packet.ConnackPacket {
	c.t.Helper()
	f := c.frame()
	if f.Type != packet.Connack {
		c.t.Fatalf("%s got %s in place of CONNACK", c.id, f.Type)
	}
	ack, err := f.Connack(c.v)
	if err != nil {
		c.t.Fatal(err)
	}
	c.connack = ack
	if ack.Properties != nil && ack.Properties.Has(packet.AssignedClientID) {
		c.id = ack.Properties.AssignedClientID
	}
	return ack
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if err := c.conn.Send(b); err != nil {
		c.t.Fatalf("%s sending: %v", c.id, err)
	}
}

// read returns the next packet, whatever it is.
func (c *client) read() (packet.Frame, error) {
	if len(c.early) > 0 {
		f := c.early[0]
		c.early = c.early[1:]
		return f, nil
	}
	return c.conn.ReadPacket(time.Now().Add(patience))
}

func (c *client) frame() packet.Frame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatalf("%s reading: %v", c.id, err)
	}
	return f
}

// want returns the next packet that is not a message; messages that come before it are kept for later.
func (c *client) want(t packet.Type) packet.Frame {
	c.t.Helper()
	var early []packet.Frame
	for {
		f := c.frame()
		switch f.Type {
		case t:
			c.early = append(early, c.early...)
			return f
		case packet.Publish:
			early = append(early, f)
		case packet.Disconnect:
			d, _ := f.Disconnect(c.v)
			c.t.Fatalf("%s wants %s and got DISCONNECT %s", c.id, t, d.Code)
		default:
			c.t.Fatalf("%s wants %s and got %s %x", c.id, t, f.Type, f.Body)
		}
	}
}

func (c *client) ack(t packet.Type, id uint16, code packet.Code) {
	c.t.Helper()
	c.send(packet.AppendAck(nil, c.v, t, id, code, nil))
}

// wantAck reads an acknowledgement, whose code must be one that its packet may have.
func (c *client) wantAck(t packet.Type, id uint16) packet.AckPacket {
	c.t.Helper()
	a, err := c.want(t).Ack(c.v)
	if err != nil {
		c.t.Fatal(err)
	}
	if a.ID != id {
		c.t.Fatalf("%s: %s has the identifier %d, want %d", c.id, t, a.ID, id)
	}
	if !a.Code.In(t) {
		c.t.Errorf("%s has the code 0x%02X, which is none of its own", t, byte(a.Code))
	}
	return a
}

// success is wantAck that must be no failure. It says nothing about whether there was a subscriber.
func (c *client) success(t packet.Type, id uint16) {
	c.t.Helper()
	if a := c.wantAck(t, id); a.Code.Failed() {
		c.t.Fatalf("%s: %s %d has the code 0x%02X %s", c.id, t, id, byte(a.Code), a.Code)
	}
}

func (c *client) identifier() uint16 {
	c.next++
	return c.next
}

// write sends a PUBLISH and waits for nothing. It returns the packet identifier.
func (c *client) write(m packet.OutPublish) uint16 {
	c.t.Helper()
	if m.QoS > 0 && m.ID == 0 {
		m.ID = c.identifier()
	}
	c.send(packet.AppendPublish(nil, c.v, &m))
	return m.ID
}

// put publishes and finishes the handshake.
func (c *client) put(m packet.OutPublish) {
	c.t.Helper()
	id := c.write(m)
	switch m.QoS {
	case 1:
		c.success(packet.Puback, id)
	case 2:
		c.success(packet.Pubrec, id)
		c.ack(packet.Pubrel, id, packet.Success)
		c.success(packet.Pubcomp, id)
	}
}

// say is put of a text.
func (c *client) say(topic, payload string, qos byte) {
	c.t.Helper()
	c.put(packet.OutPublish{Topic: topic, Payload: []byte(payload), QoS: qos})
}

// retain is put of a retained text.
func (c *client) retain(topic, payload string, qos byte) {
	c.t.Helper()
	c.put(packet.OutPublish{Topic: topic, Payload: []byte(payload), QoS: qos, Retain: true})
}

// subscribe sends a SUBSCRIBE and returns the codes of its SUBACK.
func (c *client) subscribe(p *packet.Properties, filters ...packet.Subscription) []packet.Code {
	c.t.Helper()
	id := c.identifier()
	c.send(packet.AppendSubscribe(nil, c.v, &packet.SubscribePacket{ID: id, Properties: p, Filters: filters}))
	ack, err := c.want(packet.Suback).Suback(c.v)
	if err != nil {
		c.t.Fatal(err)
	}
	if ack.ID != id || len(ack.Codes) != len(filters) {
		c.t.Fatalf("SUBACK %+v for %d filters of SUBSCRIBE %d", ack, len(filters), id)
	}
	return ack.Codes
}

// sub subscribes to filters at one QoS, which must be granted.
func (c *client) sub(qos byte, filters ...string) *client {
	c.t.Helper()
	var all []packet.Subscription
	for _, f := range filters {
		all = append(all, packet.Subscription{Filter: f, QoS: qos})
	}
	for i, code := range c.subscribe(nil, all...) {
		if code != packet.Code(qos) {
			c.t.Fatalf("subscribing to %s at QoS %d: %s", filters[i], qos, code)
		}
	}
	return c
}

// A message is a PUBLISH that came, and how large it was.
type message struct {
	Topic, Payload string
	QoS            byte
	Dup, Retain    bool
	ID             uint16
	Properties     *packet.Properties
}

// String is what the tests compare: topic, payload, QoS, and the flags that are set.
func (m message) String() string {
	s := fmt.Sprintf("%s=%s q%d", m.Topic, m.Payload, m.QoS)
	if m.Retain {
		s += " retain"
	}
	if m.Dup {
		s += " dup"
	}
	return s
}

// message reads a PUBLISH and does not answer it.
func (c *client) message() message {
	c.t.Helper()
	f := c.frame()
	if f.Type != packet.Publish {
		c.t.Fatalf("%s wants a message and got %s %x", c.id, f.Type, f.Body)
	}
	return c.decode(f)
}

func (c *client) decode(f packet.Frame) message {
	c.t.Helper()
	p, err := f.Publish(c.v)
	if err != nil {
		c.t.Fatal(err)
	}
	m := message{Topic: string(p.Topic), Payload: string(p.Payload), QoS: p.QoS, Dup: p.Dup, Retain: p.Retain, ID: p.ID}
	if m.Properties, err = p.Properties(); err != nil {
		c.t.Fatal(err)
	}
	if m.QoS > 0 && m.ID == 0 {
		c.t.Errorf("%s has no packet identifier", m)
	}
	return m
}

// accept answers a message as its QoS says.
func (c *client) accept(m message) {
	c.t.Helper()
	switch m.QoS {
	case 1:
		c.ack(packet.Puback, m.ID, packet.Success)
	case 2:
		c.ack(packet.Pubrec, m.ID, packet.Success)
		c.success(packet.Pubrel, m.ID)
		c.ack(packet.Pubcomp, m.ID, packet.Success)
	}
}

// gets reads messages, in this order, and answers them.
func (c *client) gets(want ...string) (last message) {
	c.t.Helper()
	for _, w := range want {
		last = c.message()
		if last.String() != w {
			c.t.Errorf("%s got %q, want %q", c.id, last, w)
		}
		c.accept(last)
	}
	return last
}

// getsAll is gets in any order.
func (c *client) getsAll(want ...string) {
	c.t.Helper()
	var got []string
	for range want {
		m := c.message()
		got = append(got, m.String())
		c.accept(m)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.t.Errorf("%s got %q, want %q", c.id, got, want)
	}
}

// nothing shows that no message came to the others that subscribe to "end": from publishes to it, at QoS 0, and it is the next that they get.
func (c *client) nothing(others ...*client) {
	c.t.Helper()
	c.say("end", c.id, 0)
	for _, other := range others {
		if m := other.message(); m.Topic != "end" {
			c.t.Errorf("%s got %s, want nothing", other.id, m)
		}
	}
}

// ping waits for a PINGRESP, before which the broker has handled all that was sent.
func (c *client) ping() {
	c.t.Helper()
	c.send(packet.AppendPingreq(nil))
	c.want(packet.Pingresp)
}

// bye disconnects and waits for the end.
func (c *client) bye() {
	c.t.Helper()
	c.send(packet.AppendDisconnect(nil, c.v, packet.NormalDisconnection, nil))
	c.ended()
}

// kill ends the connection without a word, and waits until the broker has seen it.
func (c *client) kill() {
	c.t.Helper()
	_ = c.conn.CloseWrite()
	c.ended()
}

// ended reads until the broker has closed the connection. What comes before is thrown away.
func (c *client) ended() {
	c.t.Helper()
	for {
		if _, err := c.read(); err != nil {
			if !isEnd(err) {
				c.t.Fatalf("%s: the connection does not end: %v", c.id, err)
			}
			_ = c.conn.Close()
			return
		}
	}
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

// refused wants the broker to end the connection: in version 5 after a DISCONNECT with one of the codes, in 3.1.1 without a word. No codes stand for any.
func (c *client) refused(codes ...packet.Code) {
	c.t.Helper()
	said := false
	for {
		f, err := c.read()
		if err != nil {
			if !isEnd(err) {
				c.t.Errorf("%s: the connection does not end: %v", c.id, err)
			} else if !said && c.v == packet.V5 && len(codes) > 0 {
				c.t.Errorf("%s: the connection ended without a DISCONNECT", c.id)
			}
			return
		}
		switch {
		case said:
			c.t.Errorf("%s: %s after DISCONNECT", c.id, f.Type)
		case f.Type == packet.Disconnect && c.v == packet.V5:
			said = true
			c.judge(f, codes)
		case f.Type == packet.Disconnect:
			c.t.Errorf("%s: a DISCONNECT of the server in %s", c.id, c.v)
		}
	}
}

// judge looks at a DISCONNECT of the broker.
func (c *client) judge(f packet.Frame, codes []packet.Code) {
	c.t.Helper()
	d, err := f.Disconnect(c.v)
	if err != nil {
		c.t.Error(err)
		return
	}
	if len(codes) > 0 && !slices.Contains(codes, d.Code) {
		c.t.Errorf("%s: DISCONNECT 0x%02X %s, want one of %v", c.id, byte(d.Code), d.Code, codes)
	}
	if !d.Code.In(packet.Disconnect) || !d.Code.Failed() {
		c.t.Errorf("%s: a server does not disconnect with the code 0x%02X", c.id, byte(d.Code))
	}
	if d.Properties.Has(packet.SessionExpiry) {
		c.t.Errorf("%s: DISCONNECT of a server has no Session Expiry Interval", c.id)
	}
}

// raw is the bytes of a packet: its first byte, the length that the rest has, and the rest, which is made of strings and bytes.
func raw(first byte, parts ...any) []byte {
	var body []byte
	for _, part := range parts {
		switch p := part.(type) {
		case string: // with its length before it
			body = append(body, byte(len(p)>>8), byte(len(p)))
			body = append(body, p...)
		case []byte:
			body = append(body, p...)
		case byte:
			body = append(body, p)
		case int:
			body = append(body, byte(p))
		}
	}
	if len(body) > 127 {
		return append([]byte{first, byte(len(body)&0x7F) | 0x80, byte(len(body) >> 7)}, body...)
	}
	return append([]byte{first, byte(len(body))}, body...)
}

// pass lets time pass.
func pass(d time.Duration) { <-time.After(d) }
