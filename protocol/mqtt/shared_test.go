package mqtt_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// The members of a share divide what is published; each share, and who subscribes without one, gets everything: [MQTT-4.8.2-1], [MQTT-4.8.2-2], [MQTT-4.8.2-3].
func TestShared(t *testing.T) {
	b := newBroker(t, settings{})
	one := b.connect(t, packet.V5, "one").sub(1, "$share/s/a/#").sub(0, "end")
	two := b.connect(t, packet.V5, "two").sub(0, "$share/s/a/#").sub(0, "end")
	other := b.connect(t, packet.V5, "other").sub(0, "$share/t/a/#").sub(0, "end")
	alone := b.connect(t, packet.V5, "alone").sub(0, "a/#", "end")
	publisher := b.connect(t, packet.V5, "publisher")
	const count = 60
	for i := range count {
		publisher.say(fmt.Sprint("a/", i%7), fmt.Sprint(i), 2)
	}
	publisher.say("end", "", 0)
	got := map[string][]string{}
	for _, c := range []*client{one, two, other, alone} {
		for {
			m := c.message()
			if m.Topic == "end" {
				break
			}
			c.accept(m)
			if want := map[*client]byte{one: 1, two: 0, other: 0, alone: 0}[c]; m.QoS != want {
				t.Errorf("%s gets %s, granted is QoS %d", c.id, m, want)
			}
			got[c.id] = append(got[c.id], m.Payload)
		}
	}
	all := append(slices.Clone(got["one"]), got["two"]...)
	slices.Sort(all)
	if len(all) != count || len(slices.Compact(all)) != count || len(got["one"]) == 0 || len(got["two"]) == 0 {
		t.Errorf("the members have %d and %d of %d", len(got["one"]), len(got["two"]), count)
	}
	if len(got["other"]) != count || len(got["alone"]) != count {
		t.Errorf("the other share has %d, who subscribes alone %d of %d", len(got["other"]), len(got["alone"]), count)
	}
	// Who leaves is not waited for.
	one.kill()
	for i := range 10 {
		publisher.say("a/x", fmt.Sprint(i), 1)
	}
	for range 10 {
		two.accept(two.message())
	}
}

// The filter of a share is well-formed: [MQTT-4.8.2-1], [MQTT-4.8.2-2].
func TestSharedFilters(t *testing.T) {
	b := newBroker(t, settings{})
	for _, filter := range []string{"$share//a", "$share/s", "$share/s/", "$share/+/a", "$share/#/a", "$share/s+/a", "$share/#", "$share/"} {
		c := b.connect(t, packet.V5, "x")
		c.send(raw(0x82, 0, 1, 0, filter, 0))
		f, err := c.read()
		if err != nil {
			t.Errorf("%q: %v", filter, err)
			continue
		}
		if f.Type == packet.Suback {
			if ack, err := f.Suback(packet.V5); err != nil || !ack.Codes[0].Failed() {
				t.Errorf("%q: %+v, %v", filter, ack, err)
			}
			continue
		}
		c.early = append(c.early, f)
		c.refused(packet.TopicFilterInvalid, packet.MalformedPacket, packet.ProtocolError)
	}
}

// No share is granted QoS 2, so no delivery of QoS 2 is begun that would have to be completed with the same member: [MQTT-4.8.2-3], [MQTT-4.8.2-4], [MQTT-4.8.2-5].
func TestSharedQoS2(t *testing.T) {
	b := newBroker(t, settings{})
	publisher := b.connect(t, packet.V5, "publisher")
	for _, options := range [][]option{nil, {resume, expiry(100)}} {
		c := b.connect(t, packet.V5, fmt.Sprint("x", len(options)), options...)
		if codes := c.subscribe(nil, packet.Subscription{Filter: "$share/s/a", QoS: 2}); codes[0] != packet.GrantedQoS1 {
			t.Fatalf("granted %s: write down what happens when the member goes", codes[0])
		}
		publisher.say("a", "1", 2)
		c.gets("a=1 q1")
		c.kill()
		b.connect(t, packet.V5, c.id).bye()
	}
}

// What a member has not acknowledged is sent to another when it goes for good, and to itself when it is back: at least once (§4.8.2).
func TestSharedMemberGoes(t *testing.T) {
	b := newBroker(t, settings{})
	publisher := b.connect(t, packet.V5, "publisher")
	one := b.connect(t, packet.V5, "one", resume, expiry(100)).sub(1, "$share/s/a").sub(0, "end")
	publisher.say("a", "1", 1)
	if m := one.message(); m.String() != "a=1 q1" {
		t.Error(m)
	}
	two := b.connect(t, packet.V5, "two").sub(1, "$share/s/a").sub(0, "end")
	publisher.nothing(one, two)
	one.kill()
	b.connect(t, packet.V5, "one").kill() // its session ends
	if m := two.message(); m.Topic+"="+m.Payload != "a=1" {
		t.Errorf("the other member gets %s", m)
	} else {
		two.accept(m)
	}
	publisher.nothing(two)
}

// A message that a member refuses goes to nobody else: [MQTT-4.8.2-6].
func TestSharedRefused(t *testing.T) {
	b := newBroker(t, settings{})
	publisher := b.connect(t, packet.V5, "publisher")
	c := b.connect(t, packet.V5, "x").sub(1, "$share/s/a")
	publisher.say("a", "1", 1)
	publisher.say("a", "2", 2)
	first, second := c.message(), c.message()
	other := b.connect(t, packet.V5, "y").sub(1, "$share/s/a").sub(0, "end")
	c.ack(packet.Puback, first.ID, packet.ImplementationSpecificError)
	c.ack(packet.Puback, second.ID, packet.UnspecifiedError)
	c.ping()
	publisher.nothing(other)
	c.kill()
	publisher.nothing(other)
}
