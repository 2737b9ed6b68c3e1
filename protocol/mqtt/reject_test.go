package mqtt_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// What a client may publish and the server cannot take is never acknowledged as if it were: version 5 gets a code that its packet may have, version 3 loses its connection,
// also on a lenient listener. It is counted and logged.
func TestRejected(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		var log lockedBuffer
		b := newBroker(t, settings{
			lenient: lenient, log: slog.New(slog.NewTextHandler(&log, nil)), config: mqtt.Config{Limits: mqtt.Limits{Retained: 1}},
			streams: []stream.Config{{Name: "small", Subjects: []string{"small/#"}, MaxEventBytes: 100}},
		})
		b.connect(t, packet.V5, "first").retain("kept", "1", 1)
		watcher := b.connect(t, packet.V5, "watcher").sub(0, "#")
		watcher.gets("kept=1 q0 retain")
		long := bytes.Repeat([]byte("x"), 101)
		headers := (&packet.Properties{CorrelationData: bytes.Repeat([]byte("x"), 20_000)}).Set(packet.CorrelationData)
		for name, m := range map[string]packet.OutPublish{
			"larger than its stream takes":            {Topic: "small/a", Payload: long},
			"larger than its stream takes, retained":  {Topic: "small/a", Payload: long, Retain: true},
			"one retained message too many":           {Topic: "other", Payload: []byte("2"), Retain: true},
			"headers that are too long":               {Topic: "live", Properties: headers},
			"headers that are too long, to be stored": {Topic: "small/a", Properties: headers},
		} {
			for _, v := range []packet.Version{packet.V311, packet.V5} {
				for qos := range byte(3) {
					if v < packet.V5 && m.Properties != nil {
						continue
					}
					failed := b.App().MQTT().Stats().Failed
					c := b.connect(t, v, "c", resume, expiry(100))
					m.QoS, m.ID = qos, 7
					c.send(packet.AppendPublish(nil, v, &m))
					switch {
					case qos == 0:
						c.ping()
					case v < packet.V5:
						c.refused()
					default:
						if a := c.wantAck([]packet.Type{0, packet.Puback, packet.Pubrec}[qos], 7); a.Code != packet.QuotaExceeded {
							t.Errorf("%s, QoS %d: the code is %s", name, qos, a.Code)
						}
						c.ping()
					}
					if now := b.App().MQTT().Stats().Failed; now != failed+1 {
						t.Errorf("%s, QoS %d: %d were counted", name, qos, now-failed)
					}
				}
			}
		}
		b.connect(t, packet.V5, "end").nothing(watcher)
		if text := log.String(); !strings.Contains(text, "a message is not taken") {
			t.Errorf("the log has nothing of it:\n%s", text)
		}
	}
}

// A strict listener does not acknowledge to version 3 what a client may not publish; a lenient one does, since such a client has no other way to go on.
func TestNotAllowed(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		b := newBroker(t, settings{lenient: lenient, users: map[string]string{"root": "r", "anna": "a"}})
		for _, topic := range []string{"secret", "$SYS/a", strings.Repeat("x/", 200)} {
			for qos := byte(1); qos <= 2; qos++ {
				for _, v := range []packet.Version{packet.V311, packet.V5} {
					c := b.connect(t, v, "c", user("anna", "a"))
					c.send(publishPacketOf(v, topic, qos, 7))
					kind := []packet.Type{0, packet.Puback, packet.Pubrec}[qos]
					switch {
					case v >= packet.V5:
						if a := c.wantAck(kind, 7); !a.Code.Failed() {
							t.Errorf("%.20s, QoS %d: the code is %s", topic, qos, a.Code)
						}
					case lenient:
						c.wantAck(kind, 7)
					default:
						c.refused()
					}
				}
			}
		}
	}
}

func publishPacketOf(v packet.Version, topic string, qos byte, id uint16) []byte {
	return packet.AppendPublish(nil, v, &packet.OutPublish{Topic: topic, Payload: []byte("x"), QoS: qos, ID: id})
}

// A will that its stream does not take is refused with the client, and not kept when the stream was changed since.
func TestWillRejected(t *testing.T) {
	b := newBroker(t, settings{streams: []stream.Config{{Name: "small", Subjects: []string{"small/#"}, MaxEventBytes: 100}, {Name: "other", Subjects: []string{"other/#"}}}})
	long := packet.Will{Topic: "small/a", Payload: bytes.Repeat([]byte("x"), 101), QoS: 1}
	b.open(t, packet.V5).hello("c", will(long)).denied(packet.QuotaExceeded)
	c := b.open(t, packet.V311).hello("c", will(long))
	if ack := c.answer(); !ack.Code.Failed() {
		t.Errorf("version 3.1.1 was let in with %s", ack.Code)
	}
	c.ended()
	long.Topic = "other/a"
	dying := b.connect(t, packet.V5, "dying", will(long))
	if _, err := b.App().Streams().Update(t.Context(), stream.Config{Name: "other", Subjects: []string{"other/#"}, MaxEventBytes: 100}); err != nil {
		t.Fatal(err)
	}
	failed := b.App().MQTT().Stats().Failed
	dying.kill()
	gone := func() bool {
		entries, err := b.App().Streams().Store().Scan(t.Context(), "mqtt/will/", "", 10)
		return err == nil && len(entries) == 0
	}
	if !until(gone) || b.App().MQTT().Stats().Failed != failed+1 {
		t.Error("the will is still in the store, or was not counted")
	}
}

// A right that is withdrawn counts for what waits in memory, and for retained messages that are sent again.
func TestWithdrawnWhileWaiting(t *testing.T) {
	b := newBroker(t, settings{users: map[string]string{"root": "r", "reader": "s"}})
	root := b.connect(t, packet.V5, "root", user("root", "r"))
	root.retain("news/kept", "secret", 1)
	one := with(func(p *packet.Properties) { p.ReceiveMaximum = 1; p.Set(packet.ReceiveMaximum) })
	waiting := b.connect(t, packet.V5, "waiting", user("reader", "s"), one)
	waiting.subscribe(nil, packet.Subscription{Filter: "news/#", QoS: 1, RetainHandling: 2}, packet.Subscription{Filter: "end", QoS: 1})
	root.say("news/1", "first", 1)
	first := waiting.message()
	root.say("news/2", "secret", 1)
	root.say("end", "over", 1)
	again := b.connect(t, packet.V5, "again", user("reader", "s"), resume, expiry(1000)).sub(1, "news/kept")
	again.message() // which it does not acknowledge
	again.kill()

	config := b.auth
	config.Roles = map[string]auth.Role{"all": config.Roles["all"], "news": {Publish: []string{"end"}, Subscribe: []string{"end"}}}
	if err := b.App().Auth().Reload(config); err != nil {
		t.Fatal(err)
	}
	waiting.accept(first)
	waiting.gets("end=over q1")
	again = b.connect(t, packet.V5, "again", user("reader", "s"), resume, expiry(1000)).sub(1, "end")
	root.say("end", "here", 1)
	again.gets("end=here q1")
}

// A retained message that is sent again says how long it is still of use [MQTT-3.3.2-6].
func TestRetainedAgain(t *testing.T) {
	b := newBroker(t, settings{})
	lasts := (&packet.Properties{MessageExpiry: 1000}).Set(packet.MessageExpiry)
	b.connect(t, packet.V5, "publisher").put(packet.OutPublish{Topic: "a", Payload: []byte("x"), QoS: 1, Retain: true, Properties: lasts})
	for i := range 2 {
		c := b.connect(t, packet.V5, "c", resume, expiry(1000))
		if i == 0 {
			c.sub(1, "a")
		}
		if m := c.message(); m.Dup != (i > 0) || m.Properties == nil || m.Properties.MessageExpiry == 0 || m.Properties.MessageExpiry > 1000 {
			t.Errorf("%s, %s", m, fmt.Sprintf("%+v", m.Properties))
		}
		c.kill()
	}
}

// A client that is a device and may connect is asked to come again while the registry fails, and not told that it may not.
func TestRegistryFails(t *testing.T) {
	b := newBroker(t, settings{})
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		registers := func(batch *store.Batch) bool {
			return slices.ContainsFunc(batch.Puts, func(p store.Put) bool { return p.Key == "$devices/registry/"+v.String() })
		}
		b.FailCommits(1, registers, errors.New("no luck"))
		if ack := b.open(t, v).hello(v.String()).answer(); ack.Code != packet.ServerUnavailable {
			t.Errorf("%s: the answer is %s", v, ack.Code)
		}
		b.connect(t, v, v.String())
	}
}
