package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A clean start drops what was there: [MQTT-3.1.2-4], [MQTT-3.1.4-4], [MQTT-3.2.2-2].
func TestCleanStart(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		other := b.connect(t, v, "other")
		c := b.connect(t, v, "x", expiry(100)).sub(1, "a")
		c.bye()
		other.say("a", "waits", 1)
		fresh := b.connect(t, v, "x")
		if fresh.connack.SessionPresent {
			t.Error("a session was present after a clean start")
		}
		fresh.sub(1, "end")
		other.say("a", "nobody", 1)
		other.nothing(fresh)
		fresh.bye()
		if again := b.connect(t, v, "x", resume); again.connack.SessionPresent {
			t.Error("the session of a clean start without an expiry outlived its connection")
		}
	})
}

// A session that lasts goes on where it was: [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.1.2-23], [MQTT-3.1.3-2], [MQTT-3.2.2-3], [MQTT-4.1.0-1], [MQTT-4.5.0-1].
func TestResume(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		other := b.connect(t, v, "other")
		c := b.connect(t, v, "x", resume, expiry(100))
		if c.connack.SessionPresent {
			t.Error("a session was present that nobody made")
		}
		c.sub(2, "a/+").sub(1, "b")
		for i := range 4 {
			if i%2 == 0 {
				c.bye()
			} else {
				c.kill()
			}
			for qos := range byte(3) {
				other.say(fmt.Sprint("a/", i), fmt.Sprint(qos), qos)
			}
			other.say("b", "x", 2)
			if another := b.connect(t, v, fmt.Sprint("y", i), resume); another.connack.SessionPresent {
				t.Error("the session of another")
			}
			c = b.connect(t, v, "x", resume, expiry(100))
			if !c.connack.SessionPresent {
				t.Fatal("the session is gone")
			}
			c.getsButQoS0(fmt.Sprintf("a/%d=1 q1", i), fmt.Sprintf("a/%d=2 q2", i), "b=x q1")
		}
	})
}

// getsButQoS0 is gets where messages of QoS 0 may come too: a server may keep them for a client that is away, or not.
func (c *client) getsButQoS0(want ...string) {
	c.t.Helper()
	for _, w := range want {
		m := c.message()
		for m.QoS == 0 {
			m = c.message()
		}
		if m.String() != w {
			c.t.Errorf("%s got %q, want %q", c.id, m, w)
		}
		c.accept(m)
	}
}

// A session ends when its expiry interval has passed without a connection, and not before: [MQTT-4.1.0-2], [MQTT-4.1.0-1], [MQTT-3.1.2-23].
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	b := newBroker(t, settings{})
	short := b.connect(t, packet.V5, "short", expiry(1))
	changed := b.connect(t, packet.V5, "changed", expiry(1))
	gone := b.connect(t, packet.V5, "gone", expiry(100))
	connected := b.connect(t, packet.V5, "connected", expiry(1))
	never := b.connect(t, packet.V5, "never", expiry(0xFFFFFFFF))
	for _, c := range []*client{short, changed, gone, connected, never} {
		c.sub(1, "a/"+c.id)
	}
	leave := func(c *client, seconds uint32) {
		c.send(packet.AppendDisconnect(nil, c.v, packet.NormalDisconnection, (&packet.Properties{SessionExpiry: seconds}).Set(packet.SessionExpiry)))
		c.ended()
	}
	short.kill()
	never.kill()
	leave(changed, 100)
	leave(gone, 0)
	pass(1200 * time.Millisecond)
	connected.kill() // within its own interval it will be back
	for id, want := range map[string]bool{"short": false, "changed": true, "gone": false, "connected": true, "never": true} {
		if c := b.connect(t, packet.V5, id, resume, expiry(1)); c.connack.SessionPresent != want {
			t.Errorf("%s: session present %v, want %v", id, c.connack.SessionPresent, want)
		}
	}
}

// A session that was to end with its connection cannot be prolonged by DISCONNECT (§3.14.2.2.2): [MQTT-4.13.1-1].
func TestSessionExpiryIsNotRaisedFromZero(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x")
	c.send(packet.AppendDisconnect(nil, c.v, packet.NormalDisconnection, (&packet.Properties{SessionExpiry: 10}).Set(packet.SessionExpiry)))
	c.refused(packet.ProtocolError)
	if again := b.connect(t, packet.V5, "x", resume); again.connack.SessionPresent {
		t.Error("the session is still there")
	}
}

// The expiry of a connection replaces that of the one before: a session without one ends with it (§3.1.2.11.2).
func TestSessionExpiryOfTheLastConnection(t *testing.T) {
	b := newBroker(t, settings{})
	b.connect(t, packet.V5, "x", expiry(100)).bye()
	b.connect(t, packet.V5, "x", resume).bye()
	if again := b.connect(t, packet.V5, "x", resume); again.connack.SessionPresent {
		t.Error("the session is still there")
	}
}

// A session goes on with another version of the protocol.
func TestResumeWithAnotherVersion(t *testing.T) {
	b := newBroker(t, settings{})
	other := b.connect(t, packet.V5, "other")
	b.connect(t, packet.V311, "x", resume).sub(1, "a").kill()
	other.say("a", "1", 1)
	c := b.connect(t, packet.V5, "x", resume, expiry(100))
	c.gets("a=1 q1")
	c.kill()
	other.say("a", "2", 1)
	b.connect(t, packet.V311, "x", resume).gets("a=2 q1")
}

// Silence of one and a half keep-alives ends the connection as a failure does, and any packet is a sign of life: [MQTT-3.1.2-22], [MQTT-3.2.2-22].
func TestKeepAlive(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		every := func(p *packet.ConnectPacket) { p.KeepAlive = 1 }
		watcher := b.connect(t, v, "watcher").sub(0, "gone/#")
		silent := b.connect(t, v, "silent", every, will(packet.Will{Topic: "gone/silent"}))
		begin := time.Now()
		lively := b.connect(t, v, "lively", every, will(packet.Will{Topic: "gone/lively"}))
		forever := b.connect(t, v, "forever", will(packet.Will{Topic: "gone/forever"}))
		if p := silent.connack.Properties; p.Has(packet.ServerKeepAlive) {
			t.Fatalf("the server does not take a keep-alive of a second: %+v", p)
		}
		ended := make(chan time.Duration, 1)
		go func() {
			silent.refused(packet.KeepAliveTimeout)
			ended <- time.Since(begin)
		}()
		ticks := time.NewTicker(400 * time.Millisecond)
		defer ticks.Stop()
		var took time.Duration
		for n := 0; took == 0; n++ {
			select {
			case <-ticks.C:
				if n%2 == 0 {
					lively.ping()
				} else {
					lively.say("x", "", 1)
				}
			case took = <-ended:
			}
		}
		if took < 1400*time.Millisecond || took > 4*time.Second {
			t.Errorf("ended after %s of silence, want 1.5 s", took)
		}
		watcher.gets("gone/silent= q0")
		lively.ping()
		forever.ping()
	})
}

// PINGREQ is answered: [MQTT-3.12.4-1].
func TestPing(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x")
		for range 100 {
			c.send(packet.AppendPingreq(nil))
		}
		for range 100 {
			if f := c.frame(); f.Type != packet.Pingresp || f.Flags != 0 || len(f.Body) != 0 {
				t.Fatalf("%s %04b %x", f.Type, f.Flags, f.Body)
			}
		}
	})
}

// After DISCONNECT the server closes, and takes nothing more: [MQTT-3.14.4-1], [MQTT-3.14.4-2].
func TestDisconnect(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(1, "a", "end")
		c := b.connect(t, v, "x")
		c.send(append(packet.AppendDisconnect(nil, v, packet.NormalDisconnection, nil), packet.AppendPublish(nil, v, &packet.OutPublish{Topic: "a"})...))
		if f, err := c.read(); !isEnd(err) {
			t.Errorf("%s after DISCONNECT, %v", f.Type, err)
		}
		b.connect(t, v, "y").nothing(watcher)
	})
}
