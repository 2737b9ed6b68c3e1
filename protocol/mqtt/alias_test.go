package mqtt_test

import (
	"fmt"
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
