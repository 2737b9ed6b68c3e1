package mqtt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// Whatever comes before CONNECT ends the connection, and the server says nothing: [MQTT-3.1.0-1], [MQTT-3.14.0-1].
func TestConnectFirst(t *testing.T) {
	b := newBroker(t, settings{})
	for name, bytes := range map[string][]byte{
		"PUBLISH":   raw(0x30, "a"),
		"SUBSCRIBE": raw(0x82, 0, 1, 0, "a", 0),
		"PINGREQ":   raw(0xC0),
		"AUTH":      raw(0xF0),
		"CONNACK":   raw(0x20, 0, 0, 0),
		"reserved":  raw(0x00),
		"HTTP":      []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c := b.open(t, packet.V5)
			c.send(bytes)
			if f, err := c.read(); err == nil {
				t.Errorf("the server answers with %s", f.Type)
			} else if !isEnd(err) {
				t.Error(err)
			}
		})
	}
}

// A second CONNECT ends the connection: [MQTT-3.1.0-2], [MQTT-3.14.2-1], [MQTT-3.14.2-2].
func TestConnectTwice(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "one")
		c.hello("one")
		c.refused(packet.ProtocolError)
		// Also when both are sent at once.
		c = b.open(t, v).hello("one").hello("one")
		c.accepted()
		c.refused(packet.ProtocolError)
	})
}

// The name and the level of the protocol are looked at first: [MQTT-3.1.2-1], [MQTT-3.1.2-2], [MQTT-3.2.2-6], [MQTT-3.2.2-7].
func TestProtocolVersion(t *testing.T) {
	b := newBroker(t, settings{})
	for name, connect := range map[string][]byte{
		"another name": raw(0x10, "MQTX", 5, 2, 0, 0, 0, "x"),
		"in lowercase": raw(0x10, "mqtt", 5, 2, 0, 0, 0, "x"),
		"no name":      raw(0x10, "", 5, 2, 0, 0, 0, "x"),
		"level 0":      raw(0x10, "MQTT", 0, 2, 0, 0, "x"),
		"level 3":      raw(0x10, "MQTT", 3, 2, 0, 0, "x"),
		"level 6":      raw(0x10, "MQTT", 6, 2, 0, 0, 0, "x"),
		"level 255":    raw(0x10, "MQTT", 255, 2, 0, 0, 0, "x"),
		"a new layout": raw(0x10, "MQTT", 7, "what will be then"),
	} {
		t.Run(name, func(t *testing.T) {
			c := b.open(t, packet.V5)
			c.send(connect)
			// The server may reveal itself, in a version that the client may know.
			f, err := c.read()
			if err == nil {
				if f.Type != packet.Connack || len(f.Body) < 2 || f.Body[0] != 0 || f.Body[1] != 1 && f.Body[1] != 0x84 {
					t.Errorf("the answer is %s %x", f.Type, f.Body)
				}
				_, err = c.read()
			}
			if !isEnd(err) {
				t.Errorf("the connection goes on: %v", err)
			}
		})
	}
}

// malformed are CONNECT packets that do not follow the format, without and with properties.
func malformed(v packet.Version) map[string][]byte {
	connect := func(flags byte, payload ...any) []byte {
		parts := []any{"MQTT", byte(v), flags, 0, 10}
		if v == packet.V5 {
			parts = append(parts, 0)
		}
		return raw(0x10, append(parts, payload...)...)
	}
	var none []byte // the properties of a will, where there are some
	if v == packet.V5 {
		none = []byte{0}
	}
	return map[string][]byte{
		"reserved flag":                       connect(0x03, "x"),
		"will QoS without a will":             connect(0x0A, "x"),
		"will retain without a will":          connect(0x22, "x"),
		"will QoS 3":                          connect(0x1E, "x", none, "gone", "bye"),
		"will without its fields":             connect(0x06, "x"),
		"will without its payload":            connect(0x06, "x", none, "gone"),
		"will fields without a will":          connect(0x02, "x", none, "gone", "bye"),
		"will topic with a wildcard":          connect(0x06, "x", none, "gone/#", "bye"),
		"will without a topic":                connect(0x06, "x", none, "", "bye"),
		"user name missing":                   connect(0x82, "x"),
		"user name without its flag":          connect(0x02, "x", "anna"),
		"password missing":                    connect(0xC2, "x", "anna"),
		"password without its flag":           connect(0x82, "x", "anna", "secret"),
		"no client identifier":                connect(0x02),
		"client identifier shorter than said": connect(0x02, []byte{0, 9, 'x'}),
		"something behind the end":            connect(0x02, "x", 0),
		"flags of the fixed header":           append([]byte{0x11}, connect(0x02, "x")[1:]...),
	}
}

// A CONNECT that does not follow the format ends the connection, and at most a CONNACK comes before, with version 5: [MQTT-3.1.2-3], [MQTT-3.1.2-9], [MQTT-3.1.2-11],
// [MQTT-3.1.2-12], [MQTT-3.1.2-13], [MQTT-3.1.2-16], [MQTT-3.1.2-17], [MQTT-3.1.2-18], [MQTT-3.1.2-19], [MQTT-3.1.3-1], [MQTT-3.1.3-3],
// [MQTT-3.1.4-1], [MQTT-3.14.0-1].
func TestConnectMalformed(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		for name, connect := range malformed(v) {
			c := b.open(t, v)
			c.send(connect)
			f, err := c.read()
			if err == nil {
				ack, wrong := f.Connack(v)
				if f.Type != packet.Connack || v < packet.V5 || wrong != nil || !ack.Code.Failed() {
					t.Errorf("%s: the answer is %s %x", name, f.Type, f.Body)
				}
				_, err = c.read()
			}
			if !isEnd(err) {
				t.Errorf("%s: the connection goes on: %v", name, err)
			}
		}
		if v == packet.V311 { // version 5 allows a password alone
			c := b.open(t, v)
			c.send(raw(0x10, "MQTT", 4, 0x42, 0, 10, "x", "secret"))
			c.refused()
		}
	})
}

// All fields of a CONNECT in their order are taken: [MQTT-3.1.3-1], [MQTT-3.1.3-3], [MQTT-3.1.2-9], [MQTT-3.1.2-17], [MQTT-3.1.2-19].
func TestConnectWithEverything(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "all", user("anna", "secret"), will(packet.Will{Topic: "gone", Payload: []byte("bye"), QoS: 2, Retain: true}), expiry(10))
		c.ping()
	})
}

// Identifiers of 1 to 23 letters and digits are accepted: [MQTT-3.1.3-5].
func TestClientIdentifiers(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		const all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		for _, id := range []string{"0", "z", all[:23], all[23:46], all[len(all)-23:], strings.Repeat("Z", 23)} {
			b.connect(t, v, id).bye()
		}
	})
}

// An empty identifier is replaced by one of its own, which counts from then on: [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16].
func TestAssignedClientIdentifier(t *testing.T) {
	b := newBroker(t, settings{})
	seen := map[string]bool{}
	var last *client
	for range 3 {
		c := b.connect(t, packet.V5, "", expiry(100))
		if c.id == "" || seen[c.id] {
			t.Fatalf("assigned %q after %v", c.id, seen)
		}
		seen[c.id] = true
		last = c
	}
	last.sub(1, "a")
	last.kill()
	again := b.connect(t, packet.V5, last.id, resume, expiry(100))
	if !again.connack.SessionPresent || again.connack.Properties.Has(packet.AssignedClientID) {
		t.Errorf("with the assigned identifier: %+v", again.connack)
	}
	b.connect(t, packet.V311, "").ping()
	b.connect(t, packet.V311, "").ping()
}

// A refused identifier ends the connection: [MQTT-3.1.3-8], [MQTT-3.2.2-6], [MQTT-3.2.2-7]. In 3.1.1, an empty one needs a clean session.
func TestClientIdentifierRefused(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.open(t, packet.V311).hello("", resume)
	f := c.frame()
	if f.Type != packet.Connack || f.Body[0] != 0 || f.Body[1] != 2 {
		t.Errorf("the answer is %s %x", f.Type, f.Body)
	}
	c.refused()
}

// CONNACK is the first packet, comes once, and is made as it should be: [MQTT-3.1.4-5], [MQTT-3.2.0-1], [MQTT-3.2.0-2], [MQTT-3.2.2-1], [MQTT-3.2.2-8].
func TestConnack(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		waiting := b.connect(t, v, "waiting", expiry(100)).sub(1, "a")
		waiting.kill()
		b.connect(t, v, "other").say("a", "1", 1)
		c := b.open(t, v).hello("waiting", resume, expiry(100))
		c.send(packet.AppendPingreq(nil)) // nobody has to wait for CONNACK
		f := c.frame()
		if f.Type != packet.Connack || f.Flags != 0 || f.Body[0] != 1 || f.Body[1] != 0 {
			t.Fatalf("the first packet is %s %04b %x", f.Type, f.Flags, f.Body)
		}
		c.want(packet.Pingresp)
		c.gets("a=1 q1")
		c.ping()
	})
}

// Who may not connect is told so, and nothing that they sent along is done: [MQTT-3.1.4-2], [MQTT-3.1.4-6], [MQTT-3.2.2-6], [MQTT-3.2.2-7], [MQTT-3.2.2-8],
// [MQTT-4.13.2-1].
func TestConnectDenied(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		b := newBroker(t, settings{users: map[string]string{"root": "secret"}})
		watcher := b.connect(t, v, "watcher", user("root", "secret")).sub(0, "#")
		for name, options := range map[string][]option{
			"nobody":         nil,
			"wrong password": {user("root", "guess")},
			"unknown user":   {user("nobody", "secret")},
		} {
			c := b.open(t, v).hello("x", append(options, will(packet.Will{Topic: "will", Payload: []byte("x")}))...)
			// The broker may have closed already.
			_ = c.conn.Send(packet.AppendPublish(nil, v, &packet.OutPublish{Topic: "a", Payload: []byte("x"), Retain: true}))
			f, err := c.read()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			ack, err := f.Connack(v)
			if err != nil {
				t.Fatal(err)
			}
			if ack.SessionPresent || ack.Code != packet.NotAuthorized && ack.Code != packet.BadUserNameOrPassword {
				t.Errorf("%s: %+v", name, ack)
			}
			if f, err := c.read(); !isEnd(err) {
				t.Errorf("%s: %s after the refusal, %v", name, f.Type, err)
			}
		}
		watcher.say("end", "", 0)
		watcher.gets("end= q0")
		watcher.sub(0, "a")
		watcher.say("end", "", 0)
		watcher.gets("end= q0")
	}
}

// A new connection of the same client ends the old one: [MQTT-3.1.4-3], [MQTT-4.13.2-1], [MQTT-3.14.2-1], [MQTT-3.14.2-2].
func TestTakeover(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		for _, next := range []packet.Version{packet.V311, packet.V5} {
			old := b.connect(t, v, "same", expiry(100))
			old.sub(1, "a")
			c := b.connect(t, next, "same", resume, expiry(100))
			if !c.connack.SessionPresent {
				t.Error("the session did not go on")
			}
			old.refused(packet.SessionTakenOver)
			c.say("a", "1", 1)
			c.gets("a=1 q1")
			c.bye()
			b.connect(t, v, "same").bye() // it is gone
		}
	})
}

// Of two clients that take each other over, one is left: [MQTT-3.1.4-3].
func TestTakeoverStorm(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		var all []*client
		for range 20 {
			all = append(all, b.open(t, v).hello("same", expiry(100)))
		}
		var accepted []*client
		for _, c := range all {
			if f, err := c.read(); err == nil && f.Type == packet.Connack && f.Body[1] == 0 {
				accepted = append(accepted, c)
			}
		}
		left := 0
		for _, c := range accepted {
			if c.lives() {
				left++
			}
		}
		if left != 1 {
			t.Errorf("%d connections are left, want 1", left)
		}
	})
}

// lives says whether the connection answers.
func (c *client) lives() bool {
	if c.conn.Send(packet.AppendPingreq(nil)) != nil {
		return false
	}
	f, err := c.read()
	return err == nil && f.Type == packet.Pingresp
}

// What the server supports it says, and does: [MQTT-3.2.2-9], [MQTT-3.2.2-10], [MQTT-3.2.2-12], [MQTT-3.2.2-13].
func TestCapabilities(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "all", will(packet.Will{Topic: "w", QoS: 2, Retain: true}))
		if p := c.connack.Properties; p != nil {
			for id, off := range map[packet.PropertyID]bool{
				packet.MaximumQoS: p.Has(packet.MaximumQoS), packet.RetainAvailable: p.Has(packet.RetainAvailable) && p.RetainAvailable == 0,
				packet.WildcardAvailable: p.Has(packet.WildcardAvailable) && p.WildcardAvailable == 0,
				packet.SharedAvailable:   p.Has(packet.SharedAvailable) && p.SharedAvailable == 0, packet.SubscriptionIDsAvailable: p.Has(packet.SubscriptionIDsAvailable) && p.SubscriptionIDsAvailable == 0,
			} {
				if off {
					t.Errorf("CONNACK restricts %s: %+v", id, p)
				}
			}
		}
		for qos := range byte(3) {
			c.sub(qos, fmt.Sprint("a/", qos, "/#"))
			c.retain(fmt.Sprint("a/", qos, "/b"), "x", 2)
			c.gets(fmt.Sprintf("a/%d/b=x q%d", qos, qos))
		}
	})
}

// Response Information is not sent unless it was asked for: [MQTT-3.1.2-28].
func TestResponseInformation(t *testing.T) {
	b := newBroker(t, settings{})
	for name, options := range map[string][]option{
		"absent": nil,
		"0":      {with(func(p *packet.Properties) { p.Set(packet.RequestResponseInfo) })},
	} {
		if c := b.connect(t, packet.V5, "x", options...); c.connack.Properties.Has(packet.ResponseInfo) {
			t.Errorf("%s: %+v", name, c.connack.Properties)
		}
	}
}

// A node that sends everybody elsewhere says where in version 5, and lets nobody in (§4.11).
func TestServerReference(t *testing.T) {
	b := newBroker(t, settings{config: mqtt.Config{Server: "other.example:1883"}})
	for v, want := range map[packet.Version]packet.Code{packet.V311: packet.ServerUnavailable, packet.V5: packet.UseAnotherServer} {
		c := b.open(t, v).hello("x")
		ack := c.answer()
		if ack.Code != want {
			t.Errorf("%s: the code is %s, want %s", v, ack.Code, want)
		}
		if v == packet.V5 && (ack.Properties == nil || ack.Properties.ServerReference != "other.example:1883") {
			t.Errorf("the properties are %+v", ack.Properties)
		}
		c.ended()
	}
}
