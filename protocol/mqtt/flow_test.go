package mqtt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

func receiveMaximum(n uint16) option {
	return with(func(p *packet.Properties) {
		p.ReceiveMaximum = n
		p.Set(packet.ReceiveMaximum)
	})
}

func maximumPacketSize(n uint32) option {
	return with(func(p *packet.Properties) {
		p.MaximumPacketSize = n
		p.Set(packet.MaximumPacketSize)
	})
}

// No more messages are in flight than the client wants, and all else goes on: [MQTT-3.3.4-9], [MQTT-3.3.4-10], [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-4.9.0-3].
func TestReceiveMaximum(t *testing.T) {
	b := newBroker(t, settings{})
	for _, options := range [][]option{nil, {resume, expiry(100)}} {
		for _, limit := range []uint16{1, 3} {
			id := fmt.Sprint("x", limit, len(options))
			c := b.connect(t, packet.V5, id, append(options, receiveMaximum(limit))...).sub(2, "a").sub(0, "zero", "end")
			publisher := b.connect(t, packet.V5, "publisher")
			for i := range 8 {
				publisher.say("a", fmt.Sprint(i), byte(1+i%2))
			}
			publisher.say("zero", "x", 0)
			var flying []message
			for range limit {
				flying = append(flying, c.message())
			}
			c.gets("zero=x q0") // QoS 0 does not count
			c.ping()
			c.sub(0, "other")
			publisher.nothing(c)
			next := int(limit)
			for n := 0; len(flying) > 0; n++ {
				m := flying[0]
				flying = flying[1:]
				if want := fmt.Sprintf("a=%d q%d", n, 1+n%2); m.String() != want {
					t.Fatalf("%s, want %s", m, want)
				}
				if m.QoS == 2 { // PUBREC frees no place, PUBCOMP does
					c.ack(packet.Pubrec, m.ID, packet.Success)
					c.success(packet.Pubrel, m.ID)
					publisher.nothing(c)
					c.ack(packet.Pubcomp, m.ID, packet.Success)
				} else {
					c.ack(packet.Puback, m.ID, packet.Success)
				}
				if next < 8 {
					flying = append(flying, c.message())
					next++
				}
			}
			publisher.nothing(c)
			publisher.bye()
		}
	}
}

// A code of failure frees a place too: [MQTT-3.3.4-9], [MQTT-4.9.0-2].
func TestReceiveMaximumAfterAFailure(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x", receiveMaximum(1)).sub(2, "a")
	publisher := b.connect(t, packet.V5, "publisher")
	for _, qos := range []byte{2, 1, 2, 1} {
		publisher.say("a", "x", qos)
	}
	for range 2 {
		c.ack(packet.Pubrec, c.message().ID, packet.UnspecifiedError)
		c.ack(packet.Puback, c.message().ID, packet.UnspecifiedError)
	}
	c.ping()
}

// More in flight than the server granted ends the connection: [MQTT-3.3.4-7], [MQTT-4.13.1-1].
func TestReceiveMaximumOfTheServer(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x")
	granted := 65_535
	if p := c.connack.Properties; p.Has(packet.ReceiveMaximum) {
		granted = int(p.ReceiveMaximum)
	}
	if granted > 10_000 {
		t.Fatalf("the server grants %d messages in flight, and each may cost it memory", granted)
	}
	for id := 1; id <= granted; id++ {
		c.write(packet.OutPublish{Topic: "a", QoS: 2, ID: uint16(id)})
	}
	for id := 1; id <= granted; id++ {
		c.success(packet.Pubrec, uint16(id))
	}
	c.say("a", "x", 0) // does not count
	c.ping()
	c.write(packet.OutPublish{Topic: "a", QoS: 1, ID: 65_535})
	c.refused(packet.ReceiveMaximumExceeded)
}

// What is too large for a client is not sent, and counts as delivered: [MQTT-3.1.2-24], [MQTT-3.1.2-25].
func TestMaximumPacketSize(t *testing.T) {
	b := newBroker(t, settings{})
	const limit = 100
	large := strings.Repeat("x", limit)
	fits := strings.Repeat("y", limit-8) // head 2, topic 3, identifier 2, properties 1
	for _, options := range [][]option{nil, {resume, expiry(100)}} {
		c := b.connect(t, packet.V5, fmt.Sprint("x", len(options)), append(options, maximumPacketSize(limit), receiveMaximum(1))...).sub(2, "a").sub(0, "end")
		publisher := b.connect(t, packet.V5, "publisher").sub(0, "a")
		for qos := range byte(3) {
			publisher.say("a", large, qos)
			publisher.say("a", fits, qos)
			publisher.gets("a="+large+" q0", "a="+fits+" q0")
			if qos == 0 {
				c.gets("a=" + fits + " q0")
			} else {
				c.gets(fmt.Sprintf("a=%s q%d", fits, qos))
			}
		}
		publisher.retain("r", large, 1)
		c.sub(1, "r")
		publisher.nothing(c)
		c.kill()
		if len(options) > 0 {
			publisher.say("a", large, 2)
			publisher.say("a", "small", 2)
			c = b.connect(t, packet.V5, c.id, append(options, maximumPacketSize(limit))...)
			c.gets("a=small q2")
			publisher.nothing(c)
		}
		publisher.bye()
	}
}

// A packet above what the server takes ends the connection: [MQTT-3.2.2-15].
func TestMaximumPacketSizeOfTheServer(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x")
	limit := packet.MaxPacketSize
	if p := c.connack.Properties; p.Has(packet.MaximumPacketSize) {
		limit = int(p.MaximumPacketSize)
	}
	if limit > 64<<20 {
		t.Fatalf("the server takes packets of %d bytes", limit)
	}
	c.send([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 'a'}) // the length is enough
	c.refused(packet.PacketTooLarge)
}

// No packet is larger than the client takes, whatever there would be to say: [MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3],
// [MQTT-3.6.2-2], [MQTT-3.6.2-3], [MQTT-3.7.2-2], [MQTT-3.7.2-3], [MQTT-3.9.2-1], [MQTT-3.9.2-2], [MQTT-3.11.2-1], [MQTT-3.11.2-2], [MQTT-3.14.2-3], [MQTT-3.14.2-4],
// [MQTT-3.1.2-24].
func TestReasonsThatDoNotFit(t *testing.T) {
	b := newBroker(t, settings{users: map[string]string{"anna": "secret"}})
	for limit := uint32(4); limit < 100; limit += 3 {
		small := func(f packet.Frame) packet.Frame {
			t.Helper()
			if size := len(f.Body) + 2; size > int(limit) {
				t.Errorf("%s has %d bytes, at most %d are wanted", f.Type, size, limit)
			}
			return f
		}
		// What CONNACK cannot leave out may be too much already: then there is none.
		c := b.open(t, packet.V5).hello("x", user("anna", "secret"), maximumPacketSize(limit))
		f, err := c.read()
		if err == nil && f.Type == packet.Connack && f.Body[1] == 0 {
			small(f)
			c.write(packet.OutPublish{Topic: "other", QoS: 1, ID: 1})
			small(c.want(packet.Puback))
			c.write(packet.OutPublish{Topic: "other", QoS: 2, ID: 1})
			small(c.want(packet.Pubrec))
			c.ack(packet.Pubrec, 9, packet.Success)
			small(c.want(packet.Pubrel))
			c.ack(packet.Pubrel, 9, packet.Success)
			small(c.want(packet.Pubcomp))
			c.send(packet.AppendSubscribe(nil, c.v, &packet.SubscribePacket{ID: 3, Filters: []packet.Subscription{{Filter: "other"}}}))
			if limit >= 6 { // else there is nothing that could be said
				small(c.want(packet.Suback))
			}
			c.send(packet.AppendUnsubscribe(nil, c.v, &packet.UnsubscribePacket{ID: 3, Filters: []string{"other"}}))
			if limit >= 6 {
				small(c.want(packet.Unsuback))
			}
			c.send(raw(0x30, "a", 2, 0x01, 2))
			if f, err := c.read(); err == nil {
				small(f)
			}
		} else if err == nil {
			small(f)
		}
		c.ended()
		denied := b.open(t, packet.V5).hello("y", user("anna", "guess"), maximumPacketSize(limit))
		if f, err := denied.read(); err == nil {
			small(f)
		}
		denied.ended()
	}
}

// With Request Problem Information 0, only PUBLISH, CONNACK and DISCONNECT may say more than a code: [MQTT-3.1.2-29].
func TestRequestProblemInformation(t *testing.T) {
	b := newBroker(t, settings{users: map[string]string{"anna": "secret"}})
	c := b.connect(t, packet.V5, "x", user("anna", "secret"), with(func(p *packet.Properties) { p.Set(packet.RequestProblemInfo) })).sub(1, "news/a")
	quiet := func(what packet.Type, p *packet.Properties) {
		t.Helper()
		if p != nil && (p.Has(packet.ReasonString) || len(p.User) > 0) {
			t.Errorf("%s has %+v", what, p)
		}
	}
	for _, qos := range []byte{1, 2} {
		id := c.write(packet.OutPublish{Topic: "other", QoS: qos})
		quiet(packet.Puback, c.wantAck(map[byte]packet.Type{1: packet.Puback, 2: packet.Pubrec}[qos], id).Properties)
	}
	c.ack(packet.Pubrec, 9, packet.Success)
	quiet(packet.Pubrel, c.wantAck(packet.Pubrel, 9).Properties)
	c.ack(packet.Pubrel, 9, packet.Success)
	quiet(packet.Pubcomp, c.wantAck(packet.Pubcomp, 9).Properties)
	c.send(packet.AppendSubscribe(nil, c.v, &packet.SubscribePacket{ID: 3, Filters: []packet.Subscription{{Filter: "other"}}}))
	ack, err := c.want(packet.Suback).Suback(c.v)
	if err != nil || !ack.Codes[0].Failed() {
		t.Fatalf("%+v, %v", ack, err)
	}
	quiet(packet.Suback, ack.Properties)
	c.send(packet.AppendUnsubscribe(nil, c.v, &packet.UnsubscribePacket{ID: 3, Filters: []string{"other"}}))
	if ack, err = c.want(packet.Unsuback).Unsuback(c.v); err != nil {
		t.Fatal(err)
	}
	quiet(packet.Unsuback, ack.Properties)
	c.put(packet.OutPublish{Topic: "news/a", QoS: 1, Properties: &packet.Properties{User: []packet.UserProperty{{Name: "a", Value: "b"}}}})
	if m := c.gets("news/a= q1"); len(m.Properties.User) != 1 {
		t.Errorf("a message has lost its properties: %+v", m.Properties)
	}
}
