package mqtt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

func aliased(topic string, alias uint16, payload string, qos byte) packet.OutPublish {
	return packet.OutPublish{Topic: topic, Payload: []byte(payload), QoS: qos, Properties: (&packet.Properties{TopicAlias: alias}).Set(packet.TopicAlias)}
}

// Every alias that the server grants stands for a topic, for as long as the connection lasts: [MQTT-3.3.2-12], [MQTT-3.3.2-7], [MQTT-3.3.2-8], [MQTT-3.2.2-17].
func TestTopicAlias(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x", resume, expiry(100)).sub(1, "#")
	granted := c.connack.Properties.TopicAliasMaximum
	if !c.connack.Properties.Has(packet.TopicAliasMaximum) || granted == 0 {
		t.Fatalf("no topic alias is granted: %+v", c.connack.Properties)
	}
	for alias := uint16(1); alias <= granted; alias += max(1, granted/50) {
		topic := fmt.Sprint("a/", alias)
		c.put(aliased(topic, alias, "1", 0))
		c.put(aliased("", alias, "2", 1))
		m := c.gets(topic+"=1 q0", topic+"=2 q1")
		if m.Properties.Has(packet.TopicAlias) {
			t.Errorf("the alias of the publisher was passed on: %+v", m.Properties)
		}
		other := fmt.Sprint("b/", alias)
		c.put(aliased(other, alias, "3", 2)) // it stands for another topic now
		c.put(aliased("", alias, "4", 2))
		c.gets(other+"=3 q1", other+"=4 q1")
	}
	c.put(aliased("last", granted, "x", 0))
	c.put(aliased("", granted, "y", 0))
	c.gets("last=x q0", "last=y q0")
	c.kill()
	c = b.connect(t, packet.V5, "x", resume, expiry(100))
	c.write(aliased("", granted, "x", 1))
	c.refused(packet.ProtocolError, packet.TopicAliasInvalid)
	for _, alias := range []uint16{0, granted + 1, 65_535} {
		if alias == 0 || alias > granted {
			c = b.connect(t, packet.V5, "x", resume, expiry(100))
			c.write(aliased("a", alias, "x", 1))
			c.refused(packet.TopicAliasInvalid, packet.MalformedPacket, packet.ProtocolError)
		}
	}
}

// The server uses no alias that the client did not grant, and those that it uses say the topic: [MQTT-3.1.2-26], [MQTT-3.1.2-27], [MQTT-3.3.2-11], [MQTT-3.3.2-7].
func TestTopicAliasOfTheServer(t *testing.T) {
	b := newBroker(t, settings{})
	publisher := b.connect(t, packet.V5, "publisher")
	for _, granted := range []uint16{0, 1, 3, 65_535} {
		options := []option{resume, expiry(100)}
		if granted > 0 {
			options = append(options, with(func(p *packet.Properties) {
				p.TopicAliasMaximum = granted
				p.Set(packet.TopicAliasMaximum)
			}))
		}
		for range 2 { // the second connection knows nothing of the first one's aliases
			c := b.connect(t, packet.V5, fmt.Sprint("x", granted), options...).sub(1, "a/#")
			known := map[uint16]string{}
			for i := range 30 {
				topic := fmt.Sprint("a/", i%5)
				publisher.say(topic, fmt.Sprint(i), byte(i%2))
				m := c.message()
				c.accept(m)
				if m.Properties.Has(packet.TopicAlias) {
					alias := m.Properties.TopicAlias
					if alias == 0 || alias > granted {
						t.Fatalf("the alias %d, granted are %d", alias, granted)
					}
					if m.Topic != "" {
						known[alias] = m.Topic
					}
					m.Topic = known[alias]
				}
				if m.Topic != topic || m.Payload != fmt.Sprint(i) {
					t.Fatalf("%s, want %s=%d", m, topic, i)
				}
			}
			c.kill()
		}
	}
}

// An alias that is given to a topic that is refused does not go on standing for its old one.
func TestAliasOfRefusedTopic(t *testing.T) {
	b := newBroker(t, settings{})
	watcher := b.connect(t, packet.V5, "watcher").sub(0, "#")
	c := b.connect(t, packet.V5, "c")
	c.put(aliased("old", 1, "1", 0))
	watcher.gets("old=1 q0")
	id := c.write(aliased(strings.Repeat("x/", 200)+"x", 1, "2", 1)) // more levels than there may be
	if a := c.wantAck(packet.Puback, id); !a.Code.Failed() {
		t.Fatalf("not refused: %s", a.Code)
	}
	c.write(aliased("", 1, "3", 0))
	c.refused(packet.ProtocolError)
	b.connect(t, packet.V5, "end").nothing(watcher)
}

// A message that the client takes only without an alias is sent without one: [MQTT-3.1.2-24].
func TestAliasIsPartOfTheSize(t *testing.T) {
	b := newBroker(t, settings{})
	aliases := with(func(p *packet.Properties) { p.TopicAliasMaximum = 5; p.Set(packet.TopicAliasMaximum) })
	for qos := range byte(2) {
		for most, want := range map[int]int{100: 100, 102: 100, 103: 103, 110: 103} {
			c := b.connect(t, packet.V5, fmt.Sprint("c", qos, most), aliases, maximumPacketSize(uint32(most))).sub(qos, "abcd")
			b.connect(t, packet.V5, "p").say("abcd", strings.Repeat("y", 100-9-2*int(qos)), qos) // head 2, topic 6, properties 1, identifier
			if size := 2 + len(c.frame().Body); size != want {
				t.Errorf("QoS %d: %d bytes came, %d are wanted; the client takes %d", qos, size, want, most)
			}
			c.kill()
		}
	}
}
