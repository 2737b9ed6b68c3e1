package mqtt_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

func delayed(w packet.Will, seconds uint32) packet.Will {
	w.Properties = (&packet.Properties{WillDelay: seconds}).Set(packet.WillDelay)
	return w
}

// A will is published when its client is gone without a word, once: [MQTT-3.1.2-7], [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.2-14].
func TestWill(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(2, "gone", "end")
		for qos := range byte(3) {
			for _, options := range [][]option{nil, {resume, expiry(100)}} {
				w := packet.Will{Topic: "gone", Payload: fmt.Append(nil, "bye ", qos), QoS: qos}
				id := fmt.Sprint("x", qos, len(options))
				b.connect(t, v, id, append(options, will(w))...).kill()
				watcher.gets(fmt.Sprintf("gone=bye %d q%d", qos, qos))
				b.connect(t, v, id, options...).kill() // the next connection has none
			}
		}
		b.connect(t, v, "late").sub(2, "gone").nothing(watcher)
		late := b.connect(t, v, "late").sub(2, "gone", "end")
		watcher.say("end", "", 1)
		late.gets("end= q1") // it was not retained
	})
}

// A will that asks for it is retained: [MQTT-3.1.2-15].
func TestWillRetained(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(2, "gone")
		b.connect(t, v, "x", will(packet.Will{Topic: "gone", Payload: []byte("bye"), QoS: 1, Retain: true})).kill()
		watcher.gets("gone=bye q1")
		b.connect(t, v, "late").sub(2, "gone").gets("gone=bye q1 retain")
		// An empty one removes what is retained.
		b.connect(t, v, "x", will(packet.Will{Topic: "gone", QoS: 1, Retain: true})).kill()
		watcher.gets("gone= q1")
		late := b.connect(t, v, "later").sub(2, "gone", "end")
		watcher.say("end", "", 0)
		late.gets("end= q0")
	})
}

// A client that says goodbye has no will, unless it wants it: [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.14.4-3].
func TestWillAfterDisconnect(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(1, "gone", "end")
		w := will(packet.Will{Topic: "gone", Payload: []byte("bye"), QoS: 1})
		b.connect(t, v, "x", w).bye()
		b.connect(t, v, "y", w, resume, expiry(100)).bye()
		b.connect(t, v, "z").nothing(watcher)
		b.connect(t, v, "y", resume, expiry(100)).kill()
		b.connect(t, v, "z").nothing(watcher)
		if v == packet.V5 {
			for _, code := range []packet.Code{packet.DisconnectWithWillMessage, packet.UnspecifiedError} {
				c := b.connect(t, v, "x", w)
				c.send(packet.AppendDisconnect(nil, v, code, nil))
				c.ended()
				watcher.gets("gone=bye q1")
			}
		}
	})
}

// Whatever else ends the connection brings the will: an error, a takeover: [MQTT-3.1.2-8], [MQTT-4.13.1-1].
func TestWillOfOtherEnds(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(1, "gone")
		w := will(packet.Will{Topic: "gone", Payload: []byte("bye"), QoS: 1})
		c := b.connect(t, v, "x", w)
		c.send(raw(0x00))
		c.refused()
		watcher.gets("gone=bye q1")
		c = b.connect(t, v, "x", w)
		b.connect(t, v, "x")
		c.refused(packet.SessionTakenOver)
		watcher.gets("gone=bye q1")
	})
}

// A will waits for its delay, or for the end of the session if that comes first, and is forgotten if the client is back before: [MQTT-3.1.2-8], [MQTT-3.1.3-9], [MQTT-3.1.2-10].
func TestWillDelay(t *testing.T) {
	t.Parallel()
	b := newBroker(t, settings{})
	watcher := b.connect(t, packet.V5, "watcher").sub(1, "gone/#").sub(0, "end")
	connect := func(id string, delay uint32, options ...option) *client {
		return b.connect(t, packet.V5, id, append(options, will(delayed(packet.Will{Topic: "gone/" + id, QoS: 1}, delay)))...)
	}
	begin := time.Now()
	waits := connect("waits", 2, resume, expiry(100))
	ends := connect("ends", 100, resume, expiry(1))
	now := connect("now", 100) // its session ends with the connection
	back := connect("back", 1, resume, expiry(100))
	taken := connect("taken", 1, resume, expiry(100))
	clean := connect("clean", 100, resume, expiry(100))
	for _, c := range []*client{waits, ends, now, back, clean} {
		c.kill()
	}
	watcher.gets("gone/now= q1")
	b.connect(t, packet.V5, "back", resume, expiry(100))
	b.connect(t, packet.V5, "taken", resume, expiry(100))
	taken.refused(packet.SessionTakenOver)
	b.connect(t, packet.V5, "clean") // a clean start ends the session, and so brings the will
	watcher.gets("gone/clean= q1")
	if took := time.Since(begin); took > 900*time.Millisecond {
		t.Logf("so far it took %s; the order of what follows may be another", took)
	}
	watcher.gets("gone/ends= q1", "gone/waits= q1")
	if took := time.Since(begin); took < 2*time.Second || took > 5*time.Second {
		t.Errorf("a will with a delay of 2 s came after %s", took)
	}
	b.connect(t, packet.V5, "last").nothing(watcher)
}

// A client that comes back and is refused leaves its will of before waiting, also over a crash: whether it was away or was cut off for the new connection, and whatever will that
// has.
func TestWillOfRefusedClient(t *testing.T) {
	t.Parallel()
	old := will(delayed(packet.Will{Topic: "gone", Payload: []byte("old"), QoS: 1}, 1))
	another := will(delayed(packet.Will{Topic: "gone", Payload: []byte("new"), QoS: 1}, 1))
	for name, test := range map[string]struct {
		away, large, crash bool     // large is the CONNACK; otherwise the registry fails
		with               []option // of the connection that is refused
	}{
		"taken over":                     {},
		"taken over by one with a will":  {with: []option{another}},
		"taken over, crash":              {crash: true},
		"away, crash":                    {away: true, crash: true},
		"away, with another will, crash": {away: true, crash: true, with: []option{another}},
		"CONNACK too large, crash":       {away: true, large: true, crash: true, with: []option{another, maximumPacketSize(5)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, settings{config: mqtt.Config{WillGrace: time.Millisecond}})
			watcher := b.connect(t, packet.V5, "watcher", resume, expiry(100)).sub(1, "gone")
			first := b.connect(t, packet.V5, "dev", resume, expiry(100), old)
			if test.away {
				first.kill()
				if !until(func() bool { return b.App().MQTT().Stats().Connected == 1 }) {
					t.Fatal("the client is still there")
				}
			}
			if !test.large {
				b.FailCommits(100, puts("$devices/registry/dev"), errDisk) // it also notes that the client has gone
			}
			c := b.open(t, packet.V5).hello("dev", append(test.with, resume, expiry(100))...)
			c.ended()
			if !test.away {
				first.refused(packet.SessionTakenOver)
			}
			if test.crash {
				b.Crash()
				watcher = b.connect(t, packet.V5, "watcher", resume, expiry(100))
			}
			watcher.gets("gone=old q1")
		})
	}
}

// A client that comes back without a will, and is let in, has none, not even over a crash.
func TestWillIsOutdated(t *testing.T) {
	b := newBroker(t, settings{})
	b.connect(t, packet.V5, "dev", resume, expiry(100), will(delayed(packet.Will{Topic: "gone"}, 100))).kill()
	b.connect(t, packet.V5, "dev", resume, expiry(100))
	if entries, err := b.App().Streams().Store().Scan(t.Context(), "mqtt/will/", "", 10); err != nil || len(entries) > 0 {
		t.Errorf("in the store are %v, %v", entries, err)
	}
}

// What a will says reaches its subscribers: [MQTT-3.1.3-10].
func TestWillProperties(t *testing.T) {
	b := newBroker(t, settings{})
	watcher := b.connect(t, packet.V5, "watcher").sub(1, "gone")
	w := packet.Will{Topic: "gone", Payload: []byte("{}"), QoS: 1, Retain: true, Properties: (&packet.Properties{
		PayloadFormat: 1, MessageExpiry: 100, ContentType: "application/json", ResponseTopic: "r", CorrelationData: []byte{1, 0},
		User: []packet.UserProperty{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}, {Name: "b", Value: "1"}},
	}).Set(packet.PayloadFormat, packet.MessageExpiry, packet.ContentType, packet.ResponseTopic, packet.CorrelationData)}
	b.connect(t, packet.V5, "x", will(w)).kill()
	check := func(m message) {
		t.Helper()
		sameProperties(t, m, w.Properties)
		if !m.Properties.Has(packet.MessageExpiry) || m.Properties.MessageExpiry > 100 || m.Properties.MessageExpiry < 90 || m.Properties.Has(packet.WillDelay) {
			t.Errorf("%s with %+v", m, m.Properties)
		}
		if !reflect.DeepEqual(m.Properties.User, w.Properties.User) {
			t.Errorf("user properties %v", m.Properties.User)
		}
	}
	check(watcher.gets("gone={} q1"))
	check(b.connect(t, packet.V5, "late").sub(1, "gone").gets("gone={} q1 retain"))
}

// A will may not say what its client may not say, and nobody gets it: [MQTT-3.1.4-2].
func TestWillDenied(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		b := newBroker(t, settings{users: map[string]string{"anna": "secret", "root": "secret"}})
		watcher := b.connect(t, v, "watcher", user("root", "secret")).sub(1, "#")
		c := b.open(t, v).hello("x", user("anna", "secret"), will(packet.Will{Topic: "other", QoS: 1}))
		if ack := c.answer(); ack.Code == packet.Success {
			c.kill() // then it is looked at when it would be published
		} else if ack.Code != packet.NotAuthorized {
			t.Errorf("%s", ack.Code)
		}
		b.connect(t, v, "z", user("root", "secret")).nothing(watcher)
		b.connect(t, v, "x", user("anna", "secret"), will(packet.Will{Topic: "news/x", QoS: 1})).kill()
		watcher.gets("news/x= q1")
	}
}
