package mqtt_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// What a publisher says about a message reaches every subscriber as it was: [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18],
// [MQTT-3.3.2-20], [MQTT-1.5.7-1].
func TestProperties(t *testing.T) {
	b := newBroker(t, settings{})
	full := func() *packet.Properties {
		return (&packet.Properties{
			PayloadFormat: 1, ContentType: "text/plain; charset=utf-8", ResponseTopic: "answers/ü", CorrelationData: []byte{0, 1, 0xFF},
			User: []packet.UserProperty{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}, {Name: "b", Value: "2"}, {Name: "", Value: ""}, {Name: "Ünï", Value: "\uFEFFx"}, {Name: "content-type", Value: "not this"}},
		}).Set(packet.PayloadFormat, packet.ContentType, packet.ResponseTopic, packet.CorrelationData)
	}
	empty := func() *packet.Properties {
		return (&packet.Properties{}).Set(packet.PayloadFormat, packet.ContentType, packet.CorrelationData)
	}
	later := b.connect(t, packet.V5, "later", expiry(100)).sub(2, "p/#")
	later.kill()
	c := b.connect(t, packet.V5, "x").sub(2, "p/#")
	old := b.connect(t, packet.V311, "old").sub(2, "p/#")
	kinds := map[string]func() *packet.Properties{"p/full": full, "p/empty": empty, "p/none": func() *packet.Properties { return nil }}
	for name, props := range kinds {
		for qos := range byte(3) {
			c.put(packet.OutPublish{Topic: name, Payload: []byte("x"), QoS: qos, Retain: qos == 2, Properties: props()})
			want := fmt.Sprintf("%s=x q%d", name, qos)
			sameProperties(t, c.gets(want), props())
			old.gets(want)
		}
		retained := b.connect(t, packet.V5, "retained").sub(1, name)
		sameProperties(t, retained.gets(name+"=x q1 retain"), props())
		retained.bye()
	}
	later = b.connect(t, packet.V5, "later", resume, expiry(100))
	for n := 0; n < 6; {
		m := later.message()
		if m.QoS == 0 {
			continue
		}
		later.accept(m)
		sameProperties(t, m, kinds[m.Topic]())
		n++
	}
}

// sameProperties compares what is not the server's business. A server may leave out what says nothing: payload format 0.
func sameProperties(t *testing.T, m message, want *packet.Properties) {
	t.Helper()
	got := m.Properties
	if want == nil {
		if got != nil && (len(got.User) > 0 || got.Has(packet.ContentType) || got.Has(packet.ResponseTopic) || got.Has(packet.CorrelationData) || got.PayloadFormat != 0) {
			t.Errorf("%s: properties from nowhere: %+v", m, got)
		}
		return
	}
	if got == nil {
		t.Errorf("%s has lost its properties", m)
		return
	}
	for _, id := range []packet.PropertyID{packet.ContentType, packet.ResponseTopic, packet.CorrelationData} {
		if got.Has(id) != want.Has(id) {
			t.Errorf("%s: %s present %v, want %v", m, id, got.Has(id), want.Has(id))
		}
	}
	if got.PayloadFormat != want.PayloadFormat || got.ContentType != want.ContentType || got.ResponseTopic != want.ResponseTopic ||
		string(got.CorrelationData) != string(want.CorrelationData) || !reflect.DeepEqual(got.User, want.User) {
		t.Errorf("%s: properties %+v, want %+v", m, got, want)
	}
}

// A message that expires is not delivered after that, and says how long it is still good: [MQTT-3.3.2-5], [MQTT-3.3.2-6].
func TestMessageExpiry(t *testing.T) {
	t.Parallel()
	b := newBroker(t, settings{})
	b.connect(t, packet.V5, "away", expiry(100)).sub(2, "e").kill()
	c := b.connect(t, packet.V5, "x").sub(1, "e")
	expires := func(payload string, seconds uint32, retain bool) packet.OutPublish {
		return packet.OutPublish{Topic: "e", Payload: []byte(payload), QoS: 1, Retain: retain, Properties: (&packet.Properties{MessageExpiry: seconds}).Set(packet.MessageExpiry)}
	}
	c.put(expires("short", 1, false))
	c.put(expires("long", 100, false))
	c.say("e", "never", 1)
	for _, want := range []struct {
		text string
		has  bool
		left uint32
	}{{"short", true, 1}, {"long", true, 100}, {"never", false, 0}} {
		m := c.gets("e=" + want.text + " q1")
		if m.Properties.Has(packet.MessageExpiry) != want.has || want.has && m.Properties.MessageExpiry > want.left {
			t.Errorf("%s with %+v, want %+v", m, m.Properties, want)
		}
	}
	c.put(expires("retained", 1, true))
	c.gets("e=retained q1")
	pass(1200 * time.Millisecond)
	away := b.connect(t, packet.V5, "away", resume, expiry(100))
	m := away.gets("e=long q1")
	if m.Properties.MessageExpiry < 90 || m.Properties.MessageExpiry > 99 {
		t.Errorf("after more than a second, %d of 100 are left", m.Properties.MessageExpiry)
	}
	away.gets("e=never q1")
	away.sub(0, "end")
	late := b.connect(t, packet.V5, "late").sub(1, "e").sub(0, "end")
	c.nothing(away, late) // the retained one has expired
}

// A topic name is what 4.7 allows: [MQTT-3.3.2-2], [MQTT-4.7.0-1], [MQTT-4.7.3-1], [MQTT-3.3.2-14], [MQTT-4.13.1-1].
func TestTopicNames(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		for _, name := range []string{"#", "+", "a/#", "a/+/b", "a+", "a#", ""} {
			c := b.connect(t, v, "x")
			c.write(packet.OutPublish{Topic: name, Payload: []byte("x")})
			c.refused(packet.TopicNameInvalid, packet.MalformedPacket, packet.ProtocolError)
			if v == packet.V5 && name != "" {
				c = b.connect(t, v, "x")
				c.write(packet.OutPublish{Topic: "a", Properties: (&packet.Properties{ResponseTopic: name}).Set(packet.ResponseTopic)})
				c.refused(packet.TopicNameInvalid, packet.MalformedPacket, packet.ProtocolError)
			}
		}
	})
}

// What a filter matches, and that nothing is normalized: [MQTT-3.3.2-3], [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.2-1], [MQTT-4.7.3-4], [MQTT-1.5.4-3].
func TestTopicMatching(t *testing.T) {
	topics := []string{
		"a", "A", "a/b", "a/b/c", "/a", "a/", "/", "//", "a//b", "a/ b", " a", "\u00e9", "e\u0301", "\uFEFFa", "finance", "finance/x", "$other/x", "sport/tennis/player1",
	}
	filters := map[string]func(topic string) bool{
		"#":     func(topic string) bool { return topic[0] != '$' },
		"+":     func(topic string) bool { return !strings.Contains(topic, "/") },
		"/+":    func(topic string) bool { return topic == "/a" || topic == "/" },
		"+/+":   func(topic string) bool { return strings.Count(topic, "/") == 1 && topic[0] != '$' },
		"a/#":   func(topic string) bool { return topic == "a" || strings.HasPrefix(topic, "a/") },
		"a/+":   func(topic string) bool { return strings.HasPrefix(topic, "a/") && strings.Count(topic, "/") == 1 },
		"+/b/#": func(topic string) bool { return topic == "a/b" || topic == "a/b/c" },
		"a/+/b": func(topic string) bool { return topic == "a//b" },
		"+/+/+": func(topic string) bool { return strings.Count(topic, "/") == 2 },
		"+/":    func(topic string) bool { return topic == "a/" || topic == "/" },
	}
	for _, topic := range topics {
		filters[topic] = func(other string) bool { return other == topic }
	}
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		publisher := b.connect(t, v, "publisher")
		subscribers := map[string]*client{}
		for filter := range filters {
			subscribers[filter] = b.connect(t, v, fmt.Sprintf("s%x", filter)).sub(0, filter, "end")
		}
		for _, topic := range topics {
			publisher.say(topic, "", 0)
		}
		publisher.say("end", "", 0)
		for filter, matches := range filters {
			var want []string
			for _, topic := range topics {
				if matches(topic) {
					want = append(want, topic+"= q0")
				}
			}
			subscribers[filter].gets(append(want, "end= q0")...)
		}
	})
}

// Filters that 4.7 does not allow are refused: with a code in SUBACK, or by ending the connection: [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1].
func TestFilters(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		for _, filter := range []string{"", "#/a", "a#", "a/#/b", "##", "a+", "+a", "a/+b", "++", "a/b+/c", "#+"} {
			c := b.connect(t, v, "x")
			c.send(raw(0x82, subscribeHead(v), filter, 0))
			f, err := c.read()
			switch {
			case isEnd(err) && v == packet.V311:
			case err != nil:
				t.Errorf("%q: %v", filter, err)
			case f.Type == packet.Suback:
				ack, err := f.Suback(v)
				if err != nil || len(ack.Codes) != 1 || !ack.Codes[0].Failed() {
					t.Errorf("%q: %+v, %v", filter, ack, err)
				}
				c.ping()
			default:
				c.early = append(c.early, f)
				c.refused(packet.TopicFilterInvalid, packet.MalformedPacket, packet.ProtocolError)
			}
		}
	})
}

// subscribeHead is what comes before the filters of SUBSCRIBE and UNSUBSCRIBE: the packet identifier and no properties.
func subscribeHead(v packet.Version) []byte {
	if v == packet.V5 {
		return []byte{0, 7, 0}
	}
	return []byte{0, 7}
}

// A long topic is taken or refused, and never shortened: [MQTT-4.7.3-3].
func TestLongTopics(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		for _, length := range []int{100, 1000, 65_535} {
			name := strings.Repeat("x", length)
			c := b.connect(t, v, "x")
			c.send(packet.AppendSubscribe(nil, v, &packet.SubscribePacket{ID: 9, Filters: []packet.Subscription{{Filter: name}}}))
			f, err := c.read()
			if err != nil || f.Type == packet.Disconnect {
				if length <= 1000 {
					t.Errorf("%d bytes are refused", length)
				}
				continue
			}
			ack, err := f.Suback(v)
			if err != nil {
				t.Fatal(err)
			}
			if !ack.Codes[0].Failed() {
				c.say(name, "x", 0)
				c.gets(name + "=x q0")
			} else if length <= 1000 {
				t.Errorf("%d bytes: %s", length, ack.Codes[0])
			}
		}
	})
}

// Text that is not UTF-8 ends the connection, wherever a packet has text: [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-1.5.7-1], [MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12],
// [MQTT-3.3.2-1], [MQTT-3.3.2-13], [MQTT-3.3.2-19], [MQTT-3.8.3-1], [MQTT-3.10.3-1], [MQTT-4.7.3-2], [MQTT-4.13.1-1].
func TestText(t *testing.T) {
	bad := map[string]string{
		"surrogate": "a\xED\xA0\x80", "last surrogate": "\xED\xBF\xBFa", "null": "a\x00b", "overlong": "\xC0\xAF", "overlong null": "\xC0\x80", "beyond Unicode": "\xF4\x90\x80\x80",
		"cut": "a\xE2\x82", "stray": "\x80", "five bytes": "\xF8\x88\x80\x80\x80",
	}
	before := map[string]func(s string) []byte{
		"client identifier": func(s string) []byte { return raw(0x10, "MQTT", 5, 2, 0, 0, 0, s) },
		"will topic":        func(s string) []byte { return raw(0x10, "MQTT", 5, 6, 0, 0, 0, "x", 0, s, "bye") },
		"user name":         func(s string) []byte { return raw(0x10, "MQTT", 5, 0x82, 0, 0, 0, "x", s) },
		"user property":     func(s string) []byte { return raw(0x10, "MQTT", 5, 2, 0, 0, 6+len(s), 0x26, "k", s, "x") },
		"will content type": func(s string) []byte { return raw(0x10, "MQTT", 5, 6, 0, 0, 0, "x", 3+len(s), 0x03, s, "gone", "bye") },
	}
	after := map[string]func(s string) []byte{
		"topic":               func(s string) []byte { return raw(0x30, s, 0) },
		"filter":              func(s string) []byte { return raw(0x82, 0, 1, 0, s, 0) },
		"unsubscribed filter": func(s string) []byte { return raw(0xA2, 0, 1, 0, s) },
		"response topic":      func(s string) []byte { return raw(0x30, "a", 3+len(s), 0x08, s) },
		"content type":        func(s string) []byte { return raw(0x30, "a", 3+len(s), 0x03, s) },
		"name of a property":  func(s string) []byte { return raw(0x30, "a", 6+len(s), 0x26, s, "v") },
		"value of a property": func(s string) []byte { return raw(0x30, "a", 6+len(s), 0x26, "k", s) },
		"reason string":       func(s string) []byte { return raw(0x40, 0, 1, 0x10, 3+len(s), 0x1F, s) },
	}
	b := newBroker(t, settings{})
	for kind, s := range bad {
		for where, packetOf := range before {
			c := b.open(t, packet.V5)
			c.send(packetOf(s))
			if f, err := c.read(); err == nil {
				if ack, err := f.Connack(packet.V5); f.Type != packet.Connack || err != nil || !ack.Code.Failed() {
					t.Errorf("%s in %s: %s %x", kind, where, f.Type, f.Body)
				}
				c.ended()
			}
		}
		for where, packetOf := range after {
			c := b.connect(t, packet.V5, kind+" in "+where)
			c.send(packetOf(s))
			c.refused(packet.MalformedPacket, packet.TopicNameInvalid, packet.TopicFilterInvalid, packet.ProtocolError)
		}
		old := b.connect(t, packet.V311, "old")
		old.send(raw(0x30, s))
		old.refused()
	}
}
