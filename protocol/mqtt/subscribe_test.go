package mqtt_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// SUBSCRIBE is answered once, with a code for each filter, in order: [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1],
// [MQTT-3.9.3-2], [MQTT-2.2.1-6].
func TestSubscribe(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x")
		for _, id := range []uint16{1, 65_535, 1} {
			c.send(packet.AppendSubscribe(nil, v, &packet.SubscribePacket{ID: id, Filters: []packet.Subscription{{Filter: "a", QoS: 2}, {Filter: "b", QoS: 0}, {Filter: "c/#", QoS: 1}, {Filter: "a", QoS: 1}}}))
			ack, err := c.want(packet.Suback).Suback(v)
			if err != nil || ack.ID != id || !slices.Equal(ack.Codes, []packet.Code{2, 0, 1, 1}) {
				t.Errorf("SUBACK %+v, %v", ack, err)
			}
		}
		for _, topic := range []string{"a", "b", "c"} {
			c.say(topic, "x", 2)
		}
		c.getsAll("a=x q1", "b=x q0", "c=x q1")
		c.ping()
	})
}

// What may not be subscribed to is refused, filter by filter: [MQTT-3.8.4-5], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2].
func TestSubscribeDenied(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		b := newBroker(t, settings{users: map[string]string{"anna": "secret", "root": "secret"}})
		c := b.connect(t, v, "x", user("anna", "secret"))
		codes := c.subscribe(nil, packet.Subscription{Filter: "news/#", QoS: 1}, packet.Subscription{Filter: "other", QoS: 1}, packet.Subscription{Filter: "news/a", QoS: 0})
		want := []packet.Code{1, packet.NotAuthorized, 0}
		if v == packet.V311 {
			want[1] = packet.UnspecifiedError
		}
		if !slices.Equal(codes, want) {
			t.Errorf("%s: SUBACK %v, want %v", v, codes, want)
		}
		root := b.connect(t, v, "root", user("root", "secret"))
		root.say("other", "x", 1)
		root.say("news/b", "x", 1)
		c.gets("news/b=x q1")
	}
}

// Flags of the fixed header are as the table has them: [MQTT-2.1.3-1], [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1], [MQTT-4.13.1-1].
func TestFixedHeaderFlags(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		good := map[string][]byte{
			"SUBSCRIBE":   packet.AppendSubscribe(nil, v, &packet.SubscribePacket{ID: 1, Filters: []packet.Subscription{{Filter: "a"}}}),
			"UNSUBSCRIBE": packet.AppendUnsubscribe(nil, v, &packet.UnsubscribePacket{ID: 1, Filters: []string{"a"}}),
			"PUBREL":      packet.AppendAck(nil, v, packet.Pubrel, 1, packet.Success, nil),
			"PUBACK":      packet.AppendAck(nil, v, packet.Puback, 1, packet.Success, nil),
			"PUBREC":      packet.AppendAck(nil, v, packet.Pubrec, 1, packet.Success, nil),
			"PUBCOMP":     packet.AppendAck(nil, v, packet.Pubcomp, 1, packet.Success, nil),
			"PINGREQ":     packet.AppendPingreq(nil),
			"DISCONNECT":  packet.AppendDisconnect(nil, v, packet.NormalDisconnection, nil),
		}
		if v == packet.V5 {
			good["AUTH"] = raw(0xF0)
		}
		for name, bytes := range good {
			for flags := range byte(16) {
				if flags == bytes[0]&0x0F {
					continue
				}
				c := b.connect(t, v, "x")
				c.send(append([]byte{bytes[0]&0xF0 | flags}, bytes[1:]...))
				c.refused(packet.MalformedPacket)
				if t.Failed() {
					t.Fatalf("%s with the flags %04b", name, flags)
				}
			}
		}
	})
}

// Packets whose body is not what it must be are malformed: [MQTT-3.8.3-2], [MQTT-3.8.3-5], [MQTT-3.10.3-2], [MQTT-3.3.1-4], [MQTT-1.5.5-1], [MQTT-2.2.2-1], [MQTT-2.2.1-3],
// [MQTT-3.3.4-6], [MQTT-3.14.1-1], [MQTT-4.13.1-1].
func TestMalformed(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		head := subscribeHead(v)
		zero := slices.Clone(head)
		zero[1] = 0
		all := map[string][]byte{
			"SUBSCRIBE without a filter":         raw(0x82, head),
			"SUBSCRIBE without options":          raw(0x82, head, "a"),
			"SUBSCRIBE with QoS 3":               raw(0x82, head, "a", 3),
			"SUBSCRIBE with reserved bits":       raw(0x82, head, "a", 0xC0),
			"SUBSCRIBE with identifier 0":        raw(0x82, zero, "a", 0),
			"UNSUBSCRIBE without a filter":       raw(0xA2, head),
			"UNSUBSCRIBE with identifier 0":      raw(0xA2, zero, "a"),
			"PUBLISH with QoS 3":                 raw(0x36, "a", 0, 1, 0),
			"PUBLISH with identifier 0":          raw(0x32, "a", 0, 0, 0),
			"PUBLISH without a topic":            raw(0x30),
			"PUBLISH with a topic that is cut":   raw(0x30, []byte{0, 5, 'a'}),
			"PUBLISH without its identifier":     raw(0x32, "a"),
			"PUBACK without an identifier":       raw(0x40),
			"PUBACK with half an identifier":     raw(0x40, 1),
			"PUBACK with identifier 0":           raw(0x40, 0, 0),
			"PINGREQ with a body":                raw(0xC0, 0),
			"a length of five bytes":             {0x30, 0x80, 0x80, 0x80, 0x80, 0x01},
			"a length longer than it need be":    {0x30, 0x84, 0x00, 0, 1, 'a', 0},
			"type 0":                             raw(0x00),
			"CONNACK":                            raw(0x20, 0, 0, 0),
			"SUBACK":                             raw(0x90, head, 0),
			"UNSUBACK":                           raw(0xB0, head, 0),
			"PINGRESP":                           raw(0xD0),
			"something behind the end of PUBACK": raw(0x40, 0, 1, 0, 0, 0, 0),
		}
		if v == packet.V311 {
			all["type 15"] = raw(0xF0)
			all["PUBACK with a code"] = raw(0x40, 0, 1, 0)
			all["DISCONNECT with a code"] = raw(0xE0, 0)
			all["SUBSCRIBE with options of version 5"] = raw(0x82, head, "a", 4)
		} else {
			for name, bytes := range malformed5 {
				all[name] = bytes
			}
		}
		for name, bytes := range all {
			c := b.connect(t, v, name)
			c.send(bytes)
			c.refused(packet.MalformedPacket, packet.ProtocolError, packet.TopicAliasInvalid)
		}
	})
}

// malformed5 are packets that only version 5 can get wrong.
var malformed5 = map[string][]byte{
	"SUBSCRIBE without a property length":                raw(0x82, 0, 1),
	"SUBSCRIBE with retain handling 3":                   raw(0x82, 0, 1, 0, "a", 0x30),
	"SUBSCRIBE with subscription identifier 0":           raw(0x82, 0, 1, 2, 0x0B, 0, "a", 0),
	"SUBSCRIBE with two subscription identifiers":        raw(0x82, 0, 1, 4, 0x0B, 1, 0x0B, 2, "a", 0),
	"SUBSCRIBE with a property of PUBLISH":               raw(0x82, 0, 1, 2, 0x01, 1, "a", 0),
	"PUBLISH without a property length":                  raw(0x30, "a"),
	"PUBLISH with a subscription identifier":             raw(0x30, "a", 2, 0x0B, 1),
	"PUBLISH with an unknown property":                   raw(0x30, "a", 2, 0x7F, 1),
	"PUBLISH with a property twice":                      raw(0x30, "a", 4, 0x01, 1, 0x01, 1),
	"PUBLISH with payload format 2":                      raw(0x30, "a", 2, 0x01, 2),
	"PUBLISH with properties longer than it is":          raw(0x30, "a", 100, 0x01, 1),
	"PUBLISH with a property length longer than need be": raw(0x30, "a", 0x80, 0x00),
	"PUBLISH with a property that is cut":                raw(0x30, "a", 3, 0x02, 0, 0),
	"PUBLISH with topic alias 0":                         raw(0x30, "a", 3, 0x23, 0, 0),
	"PUBLISH without a topic and without an alias":       raw(0x30, "", 0),
	"DISCONNECT with a code that it does not have":       raw(0xE0, 0x18),
	"PUBACK with a code that it does not have":           raw(0x40, 0, 1, 0x18),
	"PUBREL with a code that it does not have":           raw(0x62, 0, 1, 0x10),
	"AUTH without authentication":                        raw(0xF0, 0x18, 4, 0x15, "x"),
	"UNSUBSCRIBE with a property that it does not have":  raw(0xA2, 0, 1, 2, 0x0B, 1, "a"),
}

// A client does not get its own messages back if it wants so, and not with a share: [MQTT-3.8.3-3], [MQTT-3.8.3-4].
func TestNoLocal(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x", resume, expiry(100))
	c.subscribe(nil, packet.Subscription{Filter: "a/#", QoS: 1, NoLocal: true})
	c.sub(1, "end")
	other := b.connect(t, packet.V5, "y").sub(1, "a/#")
	for qos := range byte(3) {
		c.say("a/mine", "x", qos)
		other.gets(fmt.Sprintf("a/mine=x q%d", min(qos, 1)))
	}
	c.nothing(c)
	other.say("a/theirs", "x", 1)
	other.gets("a/theirs=x q1")
	c.gets("a/theirs=x q1")
	// With an overlapping one without it, the message comes once, for that one.
	c.sub(0, "a/mine")
	c.say("a/mine", "2", 1)
	c.gets("a/mine=2 q0")
	c.nothing(c)

	shared := b.connect(t, packet.V5, "z")
	shared.send(raw(0x82, 0, 1, 0, "$share/s/a", 0x04))
	shared.refused(packet.ProtocolError)
}

// A subscription to the same filter replaces the one before: [MQTT-3.8.4-3], [MQTT-3.8.4-4].
func TestSubscribeAgain(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x", expiry(100)).sub(0, "a/#", "end")
		c.retain("a/kept", "r", 1)
		c.gets("a/kept=r q0")
		c.sub(2, "a/#")
		c.gets("a/kept=r q1 retain") // again
		c.say("a/b", "1", 2)
		c.gets("a/b=1 q2")
		c.sub(1, "a/#")
		c.gets("a/kept=r q1 retain")
		c.say("a/b", "2", 2)
		c.gets("a/b=2 q1")
		c.nothing(c)
		if v == packet.V5 {
			c.subscribe((&packet.Properties{}).Set(), packet.Subscription{Filter: "a/#", QoS: 2, RetainHandling: 2, NoLocal: true})
			c.say("a/b", "3", 2)
			c.nothing(c)
		}
		// Nothing is lost by it: while others publish, it subscribes again and again.
		publisher := b.connect(t, v, "publisher")
		d := b.connect(t, v, "d", expiry(100)).sub(1, "n")
		for i := range 50 {
			publisher.write(packet.OutPublish{Topic: "n", Payload: fmt.Append(nil, i), QoS: 1})
			d.send(packet.AppendSubscribe(nil, v, &packet.SubscribePacket{ID: uint16(1000 + i), Filters: []packet.Subscription{{Filter: "n", QoS: byte(1 + i%2)}}}))
		}
		for n, acks := 0, 0; n < 50 || acks < 50; {
			switch f := d.frame(); f.Type {
			case packet.Suback:
				acks++
			case packet.Publish:
				m := d.decode(f)
				if m.Payload != fmt.Sprint(n) {
					t.Fatalf("%s in place of %d", m, n)
				}
				d.accept(m)
				n++
			default:
				t.Fatalf("%s", f.Type)
			}
		}
	})
}

// Overlapping subscriptions deliver at the highest QoS, with the identifiers of all: [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.3.4-5].
func TestOverlap(t *testing.T) {
	b := newBroker(t, settings{})
	identified := func(id uint32) *packet.Properties { return &packet.Properties{SubscriptionIDs: []uint32{id}} }
	for _, last := range []option{nil, expiry(100)} {
		options := []option{resume}
		if last != nil {
			options = append(options, last)
		}
		c := b.connect(t, packet.V5, fmt.Sprint("x", last != nil), options...)
		c.subscribe(identified(1), packet.Subscription{Filter: "a/#", QoS: 0})
		c.subscribe(identified(268_435_455), packet.Subscription{Filter: "a/+", QoS: 2})
		c.subscribe(nil, packet.Subscription{Filter: "a/b", QoS: 1})
		c.subscribe(identified(7), packet.Subscription{Filter: "+/b", QoS: 1}, packet.Subscription{Filter: "other", QoS: 1}, packet.Subscription{Filter: "end", QoS: 1})
		for qos := range byte(3) {
			c.say("a/b", "x", qos)
			// One copy, or several: then each has the identifier of its own subscription.
			m := c.message()
			c.accept(m)
			if got := m.Properties.SubscriptionIDs; m.String() != fmt.Sprintf("a/b=x q%d", qos) || !slices.Equal(slices.Sorted(slices.Values(got)), []uint32{1, 7, 268_435_455}) {
				t.Errorf("%s with %v", m, got)
			}
		}
		c.say("a", "x", 2)
		if m := c.gets("a=x q0"); !slices.Equal(m.Properties.SubscriptionIDs, []uint32{1}) {
			t.Errorf("%s with %+v", m, m.Properties)
		}
		// Replaced, it has the new identifier, or none.
		c.subscribe(nil, packet.Subscription{Filter: "a/#", QoS: 0})
		c.subscribe(identified(9), packet.Subscription{Filter: "a/b", QoS: 1})
		c.say("a/b", "y", 0)
		if m := c.gets("a/b=y q0"); !slices.Equal(slices.Sorted(slices.Values(m.Properties.SubscriptionIDs)), []uint32{7, 9, 268_435_455}) {
			t.Errorf("%s with %+v", m, m.Properties)
		}
		c.nothing(c)
	}
	old := b.connect(t, packet.V311, "old").sub(0, "a/#", "end").sub(2, "a/+").sub(1, "a/b")
	old.say("a/b", "x", 2)
	old.gets("a/b=x q2")
	old.nothing(old)
}

// The identifiers of a subscription survive with its session: [MQTT-3.3.4-3].
func TestSubscriptionIdentifierOfASession(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x", expiry(100))
	c.subscribe(&packet.Properties{SubscriptionIDs: []uint32{5}}, packet.Subscription{Filter: "a", QoS: 1})
	c.kill()
	other := b.connect(t, packet.V5, "y")
	other.say("a", "1", 1)
	c = b.connect(t, packet.V5, "x", resume, expiry(100))
	other.say("a", "2", 1)
	for _, want := range []string{"a=1 q1", "a=2 q1"} {
		if m := c.gets(want); m.Properties == nil || !slices.Equal(m.Properties.SubscriptionIDs, []uint32{5}) {
			t.Errorf("%s with %+v", m, m.Properties)
		}
	}
}

// UNSUBSCRIBE ends the subscription to that very filter, and is answered in any case: [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5],
// [MQTT-3.10.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2], [MQTT-2.2.1-6].
func TestUnsubscribe(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x", expiry(100)).sub(1, "a/#", "a/b", "b", "end")
		unsubscribe := func(want []packet.Code, filters ...string) {
			t.Helper()
			id := c.identifier()
			c.send(packet.AppendUnsubscribe(nil, v, &packet.UnsubscribePacket{ID: id, Filters: filters}))
			ack, err := c.want(packet.Unsuback).Unsuback(v)
			if err != nil || ack.ID != id || v == packet.V5 && !slices.Equal(ack.Codes, want) {
				t.Errorf("UNSUBACK %+v, %v; want %d, %v", ack, err, id, want)
			}
		}
		const none = packet.NoSubscriptionExisted
		unsubscribe([]packet.Code{none, none, none}, "a/+", "A/b", "b/")
		unsubscribe([]packet.Code{none, 0, none}, "c", "a/#", "#")
		c.say("a/b", "x", 1)
		c.say("a/c", "x", 1)
		c.gets("a/b=x q1")
		unsubscribe([]packet.Code{0, none}, "a/b", "a/b")
		c.say("a/b", "x", 1)
		c.say("b", "x", 1)
		c.gets("b=x q1")
		c.nothing(c)
		c.kill()
		c = b.connect(t, v, "x", resume, expiry(100))
		c.say("a/b", "x", 1)
		c.nothing(c)
	})
}

// What was on its way when the subscription ended is finished: [MQTT-3.10.4-3].
func TestUnsubscribeFinishes(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x", resume, expiry(100)).sub(2, "a")
		b.connect(t, v, "publisher").say("a", "1", 2)
		m := c.message()
		c.send(packet.AppendUnsubscribe(nil, v, &packet.UnsubscribePacket{ID: 99, Filters: []string{"a"}}))
		c.want(packet.Unsuback)
		c.kill()
		c = b.connect(t, v, "x", resume, expiry(100))
		if again := c.message(); again.ID != m.ID || again.String() != "a=1 q2 dup" {
			t.Errorf("%s with %d, want a=1 q2 dup with %d", again, again.ID, m.ID)
		} else {
			c.accept(again)
		}
	})
}
