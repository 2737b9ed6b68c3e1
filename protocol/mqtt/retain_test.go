package mqtt_test

import (
	"fmt"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// The last retained message of a topic is kept, and what is not retained changes nothing: [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7], [MQTT-3.3.1-8], [MQTT-3.3.1-9].
func TestRetained(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(2, "a/#")
		c := b.connect(t, v, "x")
		c.retain("a/b", "1", 0)
		c.retain("a/b", "2", 2)
		c.retain("a/c", "3", 1)
		c.retain("other", "4", 1)
		c.say("a/b", "5", 1)
		watcher.gets("a/b=1 q0", "a/b=2 q2", "a/c=3 q1", "a/b=5 q1")
		for qos := range byte(3) {
			late := b.connect(t, v, "late").sub(qos, "a/#")
			late.getsAll(fmt.Sprintf("a/b=2 q%d retain", qos), fmt.Sprintf("a/c=3 q%d retain", min(qos, 1)))
			late.bye()
		}
		c.retain("a/b", "", 1)
		watcher.gets("a/b= q1")
		c.retain("a/none", "", 0)
		watcher.gets("a/none= q0")
		late := b.connect(t, v, "late").sub(1, "a/b", "a/none", "end")
		c.nothing(late)
		late.sub(0, "a/#")
		late.gets("a/c=3 q0 retain")
	})
}

// The options of a subscription decide about retained messages: [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11].
func TestRetainHandling(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x", resume, expiry(100)).sub(0, "end")
	c.retain("a/1", "x", 1)
	c.retain("a/2", "y", 1)
	handling := func(filter string, h byte) {
		c.subscribe(nil, packet.Subscription{Filter: filter, QoS: 1, RetainHandling: h})
	}
	handling("a/#", 2)
	c.nothing(c)
	handling("a/#", 1) // it exists
	c.nothing(c)
	handling("a/#", 0)
	c.getsAll("a/1=x q1 retain", "a/2=y q1 retain")
	handling("a/#", 0)
	c.getsAll("a/1=x q1 retain", "a/2=y q1 retain")
	handling("a/1", 1) // it is new
	c.gets("a/1=x q1 retain")
	c.kill()
	c = b.connect(t, packet.V5, "x", resume, expiry(100))
	c.nothing(c) // a session that goes on subscribes to nothing
	handling("a/1", 1)
	c.nothing(c)
	c.send(packet.AppendUnsubscribe(nil, packet.V5, &packet.UnsubscribePacket{ID: 77, Filters: []string{"a/1"}}))
	c.want(packet.Unsuback)
	handling("a/1", 1)
	c.gets("a/1=x q1 retain")
	// A shared subscription gets none (§4.8.2).
	handling("$share/s/a/#", 0)
	c.nothing(c)
}

// RETAIN is passed on if the subscription asks for it: [MQTT-3.3.1-12], [MQTT-3.3.1-13].
func TestRetainAsPublished(t *testing.T) {
	b := newBroker(t, settings{})
	for _, kind := range []struct {
		id      string
		options []option
	}{{"live", nil}, {"session", []option{resume, expiry(100)}}} {
		as := b.connect(t, packet.V5, kind.id+" as published", kind.options...)
		as.subscribe(nil, packet.Subscription{Filter: "a", QoS: 2, RetainAsPublished: true, RetainHandling: 2})
		not := b.connect(t, packet.V5, kind.id+" not", kind.options...)
		not.subscribe(nil, packet.Subscription{Filter: "a", QoS: 2, RetainHandling: 2})
		c := b.connect(t, packet.V5, "publisher")
		for qos := range byte(3) {
			c.retain("a", "r", qos)
			c.say("a", "n", qos)
			as.gets(fmt.Sprintf("a=r q%d retain", qos), fmt.Sprintf("a=n q%d", qos))
			not.gets(fmt.Sprintf("a=r q%d", qos), fmt.Sprintf("a=n q%d", qos))
		}
		late := b.connect(t, packet.V5, "late").sub(2, "a") // what is sent for a new subscription always has it
		late.gets("a=r q2 retain")
		late.bye()
	}
}

// Of many retained messages each comes once, with a Receive Maximum that is small and messages published meanwhile: [MQTT-3.3.1-9].
func TestRetainedMany(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "publisher")
	const count = 500
	for i := range count {
		c.write(packet.OutPublish{Topic: fmt.Sprint("a/", i), Payload: []byte("r"), QoS: 1, Retain: true})
	}
	for i := range count {
		c.success(packet.Puback, uint16(i+1))
	}
	d := b.connect(t, packet.V5, "x", with(func(p *packet.Properties) {
		p.ReceiveMaximum = 3
		p.Set(packet.ReceiveMaximum)
	})).sub(1, "a/#")
	c.say("a/new", "n", 1)
	seen := map[string]int{}
	for range count + 1 {
		m := d.message()
		seen[m.Topic+m.String()[len(m.Topic):]]++
		d.accept(m)
	}
	if len(seen) != count+1 || seen["a/new=n q1"] != 1 {
		t.Errorf("%d messages, %d times the new one", len(seen), seen["a/new=n q1"])
	}
}
