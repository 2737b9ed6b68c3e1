package mqtt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

var errDisk = errors.New("the disk has a bad day")

// lives is versions for tests that crash: what is still connected then is not waited for as long.
func lives(t *testing.T, test func(t *testing.T, b *broker, v packet.Version)) {
	t.Helper()
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, newBroker(t, settings{drain: 250 * time.Millisecond}), v)
		})
	}
}

// A message that could not be stored is not acknowledged: version 5 is told so, a version 3 client is disconnected and sends it again. Its identifier is free.
func TestCommitFails(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code packet.Code
	}{
		"full":   {store.ErrFull, packet.QuotaExceeded},
		"failed": {errDisk, packet.ImplementationSpecificError},
	} {
		t.Run(name, func(t *testing.T) {
			for qos := byte(1); qos <= 2; qos++ {
				lives(t, func(t *testing.T, b *broker, v packet.Version) { commitFails(t, b, v, qos, test.err, test.code) })
			}
		})
	}
}

func commitFails(t *testing.T, b *broker, v packet.Version, qos byte, fault error, code packet.Code) {
	waits := b.connect(t, v, "waits", resume, expiry(100)).sub(2, "a")
	waits.bye()
	c := b.connect(t, v, "sender", resume, expiry(100))
	m := packet.OutPublish{Topic: "a", Payload: []byte("x"), QoS: qos, ID: 7}
	b.FailCommits(1, b.Appends("a"), fault)
	c.write(m)
	if v == packet.V5 {
		kind := map[byte]packet.Type{1: packet.Puback, 2: packet.Pubrec}[qos]
		if a := c.wantAck(kind, 7); a.Code != code {
			t.Errorf("the code is %s, want %s", a.Code, code)
		}
		m.Payload = []byte("y") // another message
	} else {
		if f, err := c.read(); err == nil {
			t.Fatalf("it is answered with %s", f.Type)
		}
		c = b.connect(t, v, "sender", resume, expiry(100))
		m.Dup = true
	}
	c.put(m)
	b.Crash()
	waits = b.connect(t, v, "waits", resume, expiry(100))
	m.Dup = false
	waits.gets(map[packet.Version]string{packet.V311: "a=x", packet.V5: "a=y"}[v] + map[byte]string{1: " q1", 2: " q2"}[qos])
	c = b.connect(t, v, "sender", resume, expiry(100))
	m.Payload = []byte("z") // the identifier is free after the crash too
	c.put(m)
	waits.gets("a=z" + map[byte]string{1: " q1", 2: " q2"}[qos])
}

// A disk that is full stops everything that has to be stored and nothing else, and all works again when there is room.
func TestDiskIsFull(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "c", resume, expiry(100)).sub(2, "a")
	b.FillDisk(true)
	for qos, kind := range []packet.Type{1: packet.Puback, 2: packet.Pubrec} {
		if qos > 0 {
			id := c.write(packet.OutPublish{Topic: "a", QoS: byte(qos)})
			if a := c.wantAck(kind, id); a.Code != packet.QuotaExceeded {
				t.Errorf("QoS %d: the code is %s", qos, a.Code)
			}
		}
	}
	c.say("a", "live", 0)
	c.gets("a=live q0")
	b.FillDisk(false)
	c.say("a", "again", 2)
	c.gets("a=again q2")
}

// A session that cannot be stored is refused, and so are subscriptions. What was there before goes on being there, and can be gone on with: what waits for it may be what
// fills the disk. Nor is it lost to a client that wants to begin anew, and is refused.
func TestSessionCannotBeStored(t *testing.T) {
	lives(t, func(t *testing.T, b *broker, v packet.Version) {
		b.connect(t, v, "old", resume, expiry(100)).sub(1, "a").bye()
		live := b.connect(t, v, "live")
		b.FillDisk(true)
		for id, o := range map[string][]option{"new": {resume, expiry(100)}, "old": {will(packet.Will{Topic: "w", Payload: []byte("x")})}} {
			c := b.open(t, v).hello(id, o...)
			want := map[packet.Version]packet.Code{packet.V5: packet.QuotaExceeded, packet.V311: packet.ServerUnavailable}[v]
			if ack := c.answer(); ack.Code != want || ack.SessionPresent {
				t.Errorf("%s: the answer is %s, want %s; session present: %v", id, ack.Code, want, ack.SessionPresent)
			}
			c.ended()
		}
		live.ping() // who is connected goes on
		if c := b.connect(t, v, "old", resume, expiry(100)); !c.connack.SessionPresent {
			t.Error("the session is gone")
		}
		b.FillDisk(false)
		c := b.connect(t, v, "old", resume, expiry(100))
		if !c.connack.SessionPresent {
			t.Error("the session is gone")
		}
		if again := b.connect(t, v, "new", resume, expiry(100)); again.connack.SessionPresent {
			t.Error("a session that was refused is there")
		}
		live.say("a", "x", 1)
		c.gets("a=x q1")
		b.FillDisk(true)
		c.send(packet.AppendSubscribe(nil, v, &packet.SubscribePacket{ID: 99, Filters: []packet.Subscription{{Filter: "b", QoS: 1}}}))
		c.refused(packet.QuotaExceeded)
		b.FillDisk(false)
	})
}

// A PUBREL leaves when it is on disk that the client has the message: otherwise it would come twice after a crash.
func TestReleaseCannotBeStored(t *testing.T) {
	lives(t, func(t *testing.T, b *broker, v packet.Version) {
		c := b.connect(t, v, "c", resume, expiry(100)).sub(2, "a")
		other := b.connect(t, v, "other")
		other.say("a", "x", 2)
		m := c.message()
		b.FailCommits(1, puts("mqtt/marks/c"), errDisk)
		c.ack(packet.Pubrec, m.ID, packet.Success)
		c.refused()
		b.Crash()
		c = b.connect(t, v, "c", resume, expiry(100))
		if again := c.message(); again.ID != m.ID || !again.Dup {
			t.Errorf("%s has the identifier %d, want %d", again, again.ID, m.ID)
		}
		c.accept(m)
	})
}

// A message whose release could not be stored is still known by its identifier.
func TestPubrelFails(t *testing.T) {
	lives(t, func(t *testing.T, b *broker, v packet.Version) {
		waits := b.connect(t, v, "waits", resume, expiry(100)).sub(2, "a")
		c := b.connect(t, v, "sender", resume, expiry(100))
		id := c.write(packet.OutPublish{Topic: "a", Payload: []byte("x"), QoS: 2})
		c.success(packet.Pubrec, id)
		waits.gets("a=x q2")
		b.FailCommits(1, func(batch *store.Batch) bool { return len(batch.Deletes) > 0 }, errDisk)
		c.ack(packet.Pubrel, id, packet.Success)
		c.refused()
		c = b.connect(t, v, "sender", resume, expiry(100))
		c.ack(packet.Pubrel, id, packet.Success)
		c.success(packet.Pubcomp, id)
		b.Crash()
		other := b.connect(t, v, "other").sub(2, "a")
		c = b.connect(t, v, "sender", resume, expiry(100))
		c.put(packet.OutPublish{Topic: "a", Payload: []byte("y"), QoS: 2, ID: id})
		other.gets("a=y q2")
	})
}

// puts is a match for commits that write a key.
func puts(key string) func(*store.Batch) bool {
	return func(b *store.Batch) bool {
		for _, p := range b.Puts {
			if strings.HasPrefix(p.Key, key) {
				return true
			}
		}
		return false
	}
}

// The identifier of a retained message that was on its way at a crash is let go of, so that the client does not take another message for it.
func TestRetainedIdentifierAfterCrash(t *testing.T) {
	lives(t, func(t *testing.T, b *broker, v packet.Version) {
		b.connect(t, v, "other").retain("r", "old", 2)
		c := b.connect(t, v, "c", resume, expiry(100)).sub(2, "r")
		m := c.message()
		if !m.Retain || m.QoS != 2 {
			t.Fatalf("got %s", m)
		}
		b.Crash()
		c = b.connect(t, v, "c", resume, expiry(100))
		c.success(packet.Pubrel, m.ID)
		c.ack(packet.Pubcomp, m.ID, packet.Success)
		b.connect(t, v, "other").say("r", "new", 2)
		c.gets("r=new q2")
	})
}

// A message that ends its connection is not one that was taken: its identifier is free.
func TestMalformedMessageIsNotTaken(t *testing.T) {
	b := newBroker(t, settings{})
	other := b.connect(t, packet.V5, "other").sub(2, "a")
	c := b.connect(t, packet.V5, "c", resume, expiry(100))
	c.send(raw(0x34, "a", 0, 7, 8, 0x03, "x", 0x03, "y", "two content types"))
	c.refused(packet.ProtocolError)
	c = b.connect(t, packet.V5, "c", resume, expiry(100))
	c.put(packet.OutPublish{Topic: "a", Payload: []byte("x"), QoS: 2, ID: 7, Dup: true})
	other.gets("a=x q2")
}

// With ack: received, the acknowledgement does not wait for the disk, nor for whether that takes it.
func TestAckReceived(t *testing.T) {
	b := newBroker(t, settings{config: mqtt.Config{Ack: mqtt.AckReceived}})
	for qos := byte(1); qos <= 2; qos++ {
		waits := b.connect(t, packet.V5, "waits", expiry(100)).sub(qos, "a")
		waits.bye()
		c := b.connect(t, packet.V5, "sender")
		b.FailCommits(1, b.Appends("a"), errDisk)
		c.put(packet.OutPublish{Topic: "a", Payload: []byte("lost"), QoS: qos})
		c.say("a", "kept", qos)
		waits = b.connect(t, packet.V5, "waits", resume, expiry(100))
		waits.gets(fmt.Sprintf("a=kept q%d", qos))
	}
}
