package mqtt_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// QoS 0 has no identifier, no DUP and no answer: [MQTT-4.3.1-1], [MQTT-3.3.1-2], [MQTT-2.2.1-2], [MQTT-3.3.4-1].
func TestQoS0(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x").sub(2, "a")
		c.say("a", "1", 0)
		f := c.frame() // nothing else came before
		want := raw(0x30, "a", []byte{'1'})
		if v == packet.V5 {
			want = raw(0x30, "a", 0, []byte{'1'})
		}
		if string(append([]byte{byte(f.Type)<<4 | f.Flags, byte(len(f.Body))}, f.Body...)) != string(want) {
			t.Errorf("%s %04b %x, want %x", f.Type, f.Flags, f.Body, want)
		}
		c.ping()
		again := b.connect(t, v, "dup")
		again.send(append([]byte{0x38}, want[1:]...))
		again.refused(packet.MalformedPacket, packet.ProtocolError)
	})
}

// A message is delivered at the lower of its own QoS and the one granted: [MQTT-3.8.4-8], [MQTT-3.3.4-1], [MQTT-2.2.1-5].
func TestQoSIsTheLower(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x")
		for granted := range byte(3) {
			topic := fmt.Sprint("a/", granted)
			c.sub(granted, topic)
			for published := range byte(3) {
				c.say(topic, fmt.Sprint(published), published)
				c.gets(fmt.Sprintf("%s=%d q%d", topic, published, min(granted, published)))
			}
		}
	})
}

// As receiver of QoS 1 the server answers with PUBACK, and what comes under the same identifier later is a new message: [MQTT-4.3.2-4], [MQTT-4.3.2-5],
// [MQTT-2.2.1-5], [MQTT-3.4.2-1], [MQTT-3.3.4-1].
func TestQoS1Received(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(1, "a")
		c := b.connect(t, v, "x")
		for i, id := range []uint16{1, 65_535, 1, 1} {
			c.put(packet.OutPublish{Topic: "a", Payload: fmt.Append(nil, i), QoS: 1, ID: id, Dup: i == 3})
			watcher.gets(fmt.Sprintf("a=%d q1", i))
		}
		// Many at once are answered each, in order.
		var all []byte
		for id := range uint16(50) {
			all = packet.AppendPublish(all, v, &packet.OutPublish{Topic: "a", Payload: fmt.Append(nil, id), QoS: 1, ID: 100 + id})
		}
		c.send(all)
		for id := range uint16(50) {
			c.success(packet.Puback, 100+id)
			watcher.gets(fmt.Sprintf("a=%d q1", id))
		}
	})
}

// As sender of QoS 1 the server gives each message an identifier that is not in use, and waits for its PUBACK: [MQTT-4.3.2-1], [MQTT-4.3.2-2], [MQTT-2.2.1-4],
// [MQTT-3.3.1-3], [MQTT-4.6.0-5], [MQTT-4.6.0-6].
func TestQoS1Sent(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x").sub(1, "a").sub(2, "b")
		publisher := b.connect(t, v, "publisher")
		used := map[uint16]bool{}
		for i := range 20 {
			publisher.put(packet.OutPublish{Topic: []string{"a", "b"}[i%2], Payload: fmt.Append(nil, i), QoS: 1, ID: uint16(i + 1), Dup: i%3 == 0})
		}
		for i := range 20 {
			m := c.message()
			if want := fmt.Sprintf("%s=%d q1", []string{"a", "b"}[i%2], i); m.String() != want || used[m.ID] || m.ID == 0 {
				t.Errorf("%s with the identifier %d, want %s and another than %v", m, m.ID, want, used)
			}
			used[m.ID] = true
		}
		for id := range used {
			c.ack(packet.Puback, id, packet.Success)
		}
		c.ack(packet.Puback, 60_000, packet.Success) // of nothing
		c.ping()
	})
}

// Without an acknowledgement a message is sent again on the next connection, with its identifier, marked DUP, in order and before anything new; and not
// before: [MQTT-4.3.2-3], [MQTT-3.3.1-1], [MQTT-4.4.0-1], [MQTT-4.6.0-5], [MQTT-4.3.3-3].
func TestRedelivery(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		for qos := byte(1); qos < 3; qos++ {
			topic := fmt.Sprint("a", qos)
			id := fmt.Sprint("x", qos)
			c := b.connect(t, v, id, resume, expiry(100)).sub(qos, topic)
			publisher := b.connect(t, v, "publisher")
			var sent []message
			for i := range 4 {
				publisher.say(topic, fmt.Sprint(i), qos)
				sent = append(sent, c.message())
			}
			c.accept(sent[0])
			c.accept(sent[2]) // out of order, as clients do
			c.ping()
			c.kill()
			publisher.say(topic, "4", qos)
			for round := range 3 {
				c = b.connect(t, v, id, resume, expiry(100))
				for _, old := range []message{sent[1], sent[3]} {
					m := c.message()
					if m.ID != old.ID || m.String() != old.String()+" dup" {
						t.Errorf("round %d: %s with the identifier %d, want %s dup with %d", round, m, m.ID, old, old.ID)
					}
				}
				m := c.message()
				if want := fmt.Sprintf("%s=4 q%d", topic, qos); m.Topic+"="+m.Payload != topic+"=4" || m.Dup != (round > 0) {
					t.Errorf("round %d: %s, want %s", round, m, want)
				}
				c.ping() // nothing more comes
				c.kill()
			}
			c = b.connect(t, v, id, resume, expiry(100))
			c.gets(fmt.Sprintf("%s=1 q%d dup", topic, qos), fmt.Sprintf("%s=3 q%d dup", topic, qos), fmt.Sprintf("%s=4 q%d dup", topic, qos))
			c.kill()
			c = b.connect(t, v, id, resume, expiry(100)).sub(0, "end")
			publisher.nothing(c)
			publisher.bye()
		}
	})
}

// As receiver of QoS 2 the server delivers once, whatever comes twice: [MQTT-4.3.3-8], [MQTT-4.3.3-10], [MQTT-4.3.3-11], [MQTT-4.3.3-12], [MQTT-2.2.1-5], [MQTT-3.5.2-1],
// [MQTT-3.7.2-1].
func TestQoS2Received(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		watcher := b.connect(t, v, "watcher").sub(2, "a").sub(0, "end")
		c := b.connect(t, v, "x", resume, expiry(100))
		publish := packet.OutPublish{Topic: "a", Payload: []byte("1"), QoS: 2, ID: 5}
		c.write(publish)
		c.success(packet.Pubrec, 5)
		publish.Dup = true
		for range 2 {
			c.write(publish)
			c.wantAck(packet.Pubrec, 5)
		}
		c.kill()
		c = b.connect(t, v, "x", resume, expiry(100))
		c.write(publish)
		c.wantAck(packet.Pubrec, 5)
		c.ack(packet.Pubrel, 5, packet.Success)
		c.success(packet.Pubcomp, 5)
		c.ack(packet.Pubrel, 5, packet.Success) // again: the PUBCOMP was lost
		if a := c.wantAck(packet.Pubcomp, 5); v == packet.V5 && a.Code != packet.PacketIdentifierNotFound && a.Code != packet.Success {
			t.Errorf("PUBCOMP of an identifier that is not in use: %s", a.Code)
		}
		watcher.gets("a=1 q2")
		c.nothing(watcher)
		c.put(packet.OutPublish{Topic: "a", Payload: []byte("2"), QoS: 2, ID: 5})
		watcher.gets("a=2 q2")
		// In between others, and out of order.
		for _, id := range []uint16{1, 2, 3} {
			c.write(packet.OutPublish{Topic: "a", Payload: fmt.Append(nil, id), QoS: 2, ID: id})
		}
		for _, id := range []uint16{1, 2, 3} {
			c.success(packet.Pubrec, id)
		}
		for _, id := range []uint16{3, 1, 2} {
			c.ack(packet.Pubrel, id, packet.Success)
		}
		for _, id := range []uint16{3, 1, 2} {
			c.success(packet.Pubcomp, id)
		}
		watcher.getsAll("a=1 q2", "a=2 q2", "a=3 q2")
	})
}

// As sender of QoS 2 the server goes through all four packets, and after PUBREC sends PUBREL again instead of PUBLISH: [MQTT-4.3.3-1], [MQTT-4.3.3-2], [MQTT-4.3.3-3],
// [MQTT-4.3.3-4], [MQTT-4.3.3-5], [MQTT-4.3.3-6], [MQTT-4.4.0-1], [MQTT-3.6.1-1], [MQTT-3.6.2-1], [MQTT-2.2.1-5].
func TestQoS2Sent(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x", resume, expiry(100)).sub(2, "a")
		publisher := b.connect(t, v, "publisher")
		for i := range 3 {
			publisher.say("a", fmt.Sprint(i), 2)
		}
		sent := []message{c.message(), c.message(), c.message()}
		c.ack(packet.Pubrec, sent[0].ID, packet.Success)
		if f := c.want(packet.Pubrel); f.Flags != 2 {
			t.Errorf("PUBREL with the flags %04b", f.Flags)
		}
		for range 2 {
			c.kill()
			c = b.connect(t, v, "x", resume, expiry(100))
			c.success(packet.Pubrel, sent[0].ID)
			if len(c.early) > 0 { // PUBREL was not the first
				t.Logf("%d messages before PUBREL", len(c.early))
			}
			for _, old := range sent[1:] {
				if m := c.message(); m.ID != old.ID || m.String() != old.String()+" dup" {
					t.Errorf("%s with the identifier %d, want %s dup with %d", m, m.ID, old, old.ID)
				}
			}
			c.ping()
		}
		c.ack(packet.Pubcomp, sent[0].ID, packet.Success)
		c.ack(packet.Pubrec, sent[1].ID, packet.Success)
		c.success(packet.Pubrel, sent[1].ID)
		c.ack(packet.Pubcomp, sent[1].ID, packet.Success)
		c.kill()
		c = b.connect(t, v, "x", resume, expiry(100)).sub(0, "end")
		c.gets("a=2 q2 dup")
		publisher.nothing(c)
	})
}

// A PUBREC or PUBREL that nothing belongs to is answered, in version 5 with a code that says so (§4.3.3, §3.6.2.1): [MQTT-3.6.2-1], [MQTT-3.7.2-1].
func TestUnknownIdentifiers(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "x")
		c.ack(packet.Pubrec, 7, packet.Success)
		if a := c.wantAck(packet.Pubrel, 7); v == packet.V5 && a.Code != packet.PacketIdentifierNotFound {
			t.Errorf("PUBREL: %s", a.Code)
		}
		c.ack(packet.Pubrel, 8, packet.Success)
		if a := c.wantAck(packet.Pubcomp, 8); v == packet.V5 && a.Code != packet.PacketIdentifierNotFound {
			t.Errorf("PUBCOMP: %s", a.Code)
		}
		c.ack(packet.Puback, 9, packet.Success)
		c.ack(packet.Pubcomp, 9, packet.Success)
		c.ping()
	})
}

// A client that does not want a message says so, and it does not come again: [MQTT-4.4.0-2].
func TestRefusedByTheClient(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x", resume, expiry(100)).sub(2, "a").sub(0, "end")
	publisher := b.connect(t, packet.V5, "publisher")
	for _, qos := range []byte{1, 2} {
		publisher.say("a", "unwanted", qos)
		m := c.message()
		c.ack(map[byte]packet.Type{1: packet.Puback, 2: packet.Pubrec}[qos], m.ID, packet.ImplementationSpecificError)
	}
	publisher.nothing(c)
	c.kill()
	c = b.connect(t, packet.V5, "x", resume, expiry(100))
	publisher.nothing(c)
	publisher.say("a", "next", 2)
	c.gets("a=next q2")
}

// Once a message of QoS 2 was sent it does not expire, and the handshake is finished on both sides: [MQTT-4.3.3-7], [MQTT-4.3.3-13].
func TestQoS2DoesNotExpireHalfway(t *testing.T) {
	t.Parallel()
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "x", resume, expiry(100)).sub(2, "a")
	publisher := b.connect(t, packet.V5, "publisher")
	id := publisher.write(packet.OutPublish{Topic: "a", Payload: []byte("1"), QoS: 2, Properties: (&packet.Properties{MessageExpiry: 1}).Set(packet.MessageExpiry)})
	publisher.success(packet.Pubrec, id)
	publisher.ack(packet.Pubrel, id, packet.Success) // some servers deliver only now
	publisher.success(packet.Pubcomp, id)
	sent := c.message()
	id = publisher.write(packet.OutPublish{Topic: "b", QoS: 2, Properties: (&packet.Properties{MessageExpiry: 1}).Set(packet.MessageExpiry)})
	publisher.success(packet.Pubrec, id)
	c.kill()
	pass(1200 * time.Millisecond)
	publisher.ack(packet.Pubrel, id, packet.Success)
	publisher.success(packet.Pubcomp, id)
	c = b.connect(t, packet.V5, "x", resume, expiry(100))
	if m := c.message(); m.ID != sent.ID || m.String() != "a=1 q2 dup" {
		t.Errorf("%s with %d, want a=1 q2 dup with %d", m, m.ID, sent.ID)
	} else {
		c.accept(m)
	}
}

// After a PUBREC that refuses, the identifier is free for another message: [MQTT-4.3.3-9], [MQTT-3.4.2-1], [MQTT-3.5.2-1].
func TestPublishDenied(t *testing.T) {
	b := newBroker(t, settings{users: map[string]string{"anna": "secret", "root": "secret"}})
	watcher := b.connect(t, packet.V5, "watcher", user("root", "secret")).sub(2, "#")
	c := b.connect(t, packet.V5, "x", user("anna", "secret"))
	c.write(packet.OutPublish{Topic: "other", QoS: 2, ID: 5})
	if a := c.wantAck(packet.Pubrec, 5); a.Code != packet.NotAuthorized {
		t.Errorf("PUBREC %s", a.Code)
	}
	c.put(packet.OutPublish{Topic: "news/a", Payload: []byte("x"), QoS: 2, ID: 5})
	watcher.gets("news/a=x q2")
	c.write(packet.OutPublish{Topic: "other", QoS: 1, ID: 5})
	if a := c.wantAck(packet.Puback, 5); a.Code != packet.NotAuthorized {
		t.Errorf("PUBACK %s", a.Code)
	}
	c.say("news/b", "x", 1)
	watcher.gets("news/b=x q1")
}

// Messages of one client arrive in their order, for each topic, at each QoS, also over a reconnect: [MQTT-4.6.0-5], [MQTT-4.6.0-6].
func TestOrder(t *testing.T) {
	versions(t, func(t *testing.T, b *broker, v packet.Version) {
		const count = 300
		for qos := range byte(3) {
			id := fmt.Sprint("x", qos)
			c := b.connect(t, v, id, resume, expiry(100)).sub(qos, "a/#")
			publisher := b.connect(t, v, "publisher")
			go func() {
				var all []byte
				for i := range count {
					all = packet.AppendPublish(all, v, &packet.OutPublish{Topic: fmt.Sprint("a/", i%3), Payload: fmt.Append(nil, i), QoS: qos, ID: uint16(i + 1)})
				}
				if publisher.conn.Send(all) != nil {
					return
				}
				for publisher.conn != nil { // answers what the server sends, so that none of it is held up
					f, err := publisher.conn.ReadPacket(time.Time{})
					if err != nil {
						return
					}
					if f.Type == packet.Pubrec {
						a, _ := f.Ack(v)
						_ = publisher.conn.Send(packet.AppendAck(nil, v, packet.Pubrel, a.ID, packet.Success, nil))
					}
				}
			}()
			next := map[string]int{"a/0": 0, "a/1": 1, "a/2": 2}
			for n := 0; n < count; n++ {
				m := c.message()
				if got := fmt.Sprint(next[m.Topic]); m.Payload != got {
					if m.Dup && m.Payload < got { // the acknowledgement was lost
						n--
						c.accept(m)
						continue
					}
					t.Fatalf("QoS %d: %s after %d", qos, m, next[m.Topic]-3)
				}
				next[m.Topic] += 3
				c.accept(m)
				if qos > 0 && n == count/2 {
					c.ping() // the acknowledgements have arrived
					c.kill()
					c = b.connect(t, v, id, resume, expiry(100))
				}
			}
			_ = publisher.conn.Close()
			c.bye()
		}
	})
}

// What is delivered at once does not overtake what is stored first, because it is retained, or a session waits for it: [MQTT-4.6.0-5], and across the levels of QoS.
func TestOrderOfStoredAndLive(t *testing.T) {
	b := newBroker(t, settings{})
	b.connect(t, packet.V5, "away", resume, expiry(100)).sub(1, "a/#").kill()
	watcher := b.connect(t, packet.V5, "watcher").sub(0, "a/#", "b/#")
	publisher := b.connect(t, packet.V5, "publisher", resume, expiry(100))
	kinds := []packet.OutPublish{{Retain: true}, {}, {QoS: 1}, {}, {QoS: 2}, {}, {QoS: 1, Retain: true}, {QoS: 2}, {QoS: 1}}
	const count = 400
	for i := range count {
		p := kinds[i%len(kinds)]
		p.Topic, p.Payload, p.ID = []string{"a/b", "b/c"}[i/len(kinds)%2], fmt.Append(nil, i), uint16(i+1)
		publisher.send(packet.AppendPublish(nil, packet.V5, &p)) // each on its own, so that each may be a turn of its own
	}
	for i := range count {
		if m := watcher.message(); m.Payload != fmt.Sprint(i) {
			t.Fatalf("%s came instead of %d", m, i)
		}
	}
}

// What waits behind a message that is on its way to the disk does not overtake it when its connection ends meanwhile, nor is it lost.
func TestOrderWhenTakenOver(t *testing.T) {
	for qos := range byte(3) {
		b := newBroker(t, settings{})
		watcher := b.connect(t, packet.V5, "watcher").sub(2, "a")
		c := b.connect(t, packet.V5, "c")
		held, free := make(chan struct{}), make(chan struct{})
		b.FailCommits(1, func(batch *store.Batch) bool {
			if slices.ContainsFunc(batch.Puts, func(p store.Put) bool { return p.Key == "mqtt/retained/a" }) {
				close(held)
				<-free
			}
			return false
		}, nil)
		c.write(packet.OutPublish{Topic: "a", Payload: []byte("1"), Retain: true, QoS: qos})
		<-held
		received := b.App().MQTT().Stats().Received[qos]
		c.write(packet.OutPublish{Topic: "a", Payload: []byte("2"), QoS: qos})
		for b.App().MQTT().Stats().Received[qos] == received {
			runtime.Gosched() // until it is at work
		}
		b.open(t, packet.V5).hello("c")
		for b.App().MQTT().Stats().Takeovers == 0 {
			runtime.Gosched()
		}
		close(free)
		for _, want := range []string{"1", "2"} {
			if m := watcher.message(); m.Payload != want {
				t.Errorf("QoS %d: %s came instead of %s", qos, m, want)
			}
		}
	}
}
