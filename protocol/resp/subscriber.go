package resp

import (
	"strings"
	"sync"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp/wire"
)

// A subscriber is a connection's end of the bus. Its lock orders what publishers push against what the connection's
// own task does: a message never comes before the confirmation of its subscription, and never after the
// confirmation of its end, where a client that speaks version 2 would take it for the reply to its next request.
//
// It is 64 bytes, one cache line: of a fan-out to a thousand subscribers, most of the time is waiting for memory.
type subscriber struct {
	proto  *Protocol
	conn   *engine.Conn
	client *bus.Client

	mu     sync.Mutex
	wait   *waitingRoom  // while a confirmation is on the way
	id     auth.Identity // whose subscriptions these are
	judged uint64        // the auth generation under which all subscriptions were last found to be allowed
	resp3  bool          // how messages are written
}

// A waitingRoom is where messages wait for a confirmation to be sent.
type waitingRoom struct {
	frames []heldFrame
	bytes  int
	closed chan struct{} // publishers that are held up wait for it
}

// A heldFrame is a message, and the subscription that it is for: that may be taken back because another one of the same
// request is refused.
type heldFrame struct {
	from  *bus.Subscription
	frame []byte
}

func newSubscriber(s *session, c *engine.Conn) *subscriber {
	sub := &subscriber{proto: s.proto, conn: c, id: s.id, judged: s.judged, resp3: s.is(stateRESP3)}
	sub.client = s.proto.bus.NewClient(sub)
	return sub
}

// Deliver pushes a message to the connection, in the publisher's goroutine.
func (sub *subscriber) Deliver(m *bus.Message) bool {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	from, policy := m.Subscription(), sub.proto.overflow
	for sub.wait != nil && policy == engine.Block {
		sub.awaitLocked()
	}
	if !from.Active() || !sub.mayReceive(m.Subject()) {
		return false
	}
	frame := m.Frame(sub.format(from.Kind()))
	if sub.wait != nil {
		return sub.hold(from, frame)
	}
	return sub.conn.Push(frame, policy) == nil
}

// awaitLocked waits until the confirmation is sent, or the connection ends, which the write timeout sees to.
func (sub *subscriber) awaitLocked() {
	closed := sub.wait.closed
	sub.mu.Unlock()
	<-closed
	sub.mu.Lock()
}

// hold keeps a message until the confirmation is sent. The caller has the lock.
func (sub *subscriber) hold(from *bus.Subscription, frame []byte) bool {
	const each = 32 // bytes of a heldFrame
	room := sub.wait
	if room.bytes += len(frame) + each; room.bytes > heldMost {
		if sub.proto.overflow == engine.Disconnect {
			sub.conn.Close(engine.ReasonOverflow, nil)
		}
		return false
	}
	room.frames = append(room.frames, heldFrame{from, frame})
	return true
}

// beginConfirm makes messages wait until endConfirm.
func (sub *subscriber) beginConfirm() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.wait = &waitingRoom{closed: make(chan struct{})}
}

func (sub *subscriber) endConfirm() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, h := range sub.wait.frames {
		if h.from.Active() && sub.conn.Push(h.frame, sub.proto.overflow) != nil {
			h.from.CountDropped(1)
		}
	}
	close(sub.wait.closed)
	sub.wait = nil
}

// settle waits until no publisher is in the middle of pushing something.
func (sub *subscriber) settle() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
}

// mayReceive asks about one message, unless all subscriptions are known to be allowed. The caller has the lock. Somebody
// who has lost a right is disconnected, as in Redis: a subscription that says nothing any more would look like a quiet one.
func (sub *subscriber) mayReceive(subject string) bool {
	a := sub.proto.auth
	if a == nil || a.Generation() == sub.judged && sub.id.Expires().IsZero() {
		return true
	}
	if a.CanReceive(sub.id, subject) {
		return true
	}
	err := a.Authorize(origin(sub.conn), sub.id, auth.ActionReceive, strings.Clone(subject))
	sub.conn.Close(engine.ReasonDenied, err)
	return false
}

// speak changes the version of the protocol.
func (sub *subscriber) speak(resp3 bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.resp3 = resp3
}

// judge notes under which generation all subscriptions are allowed to id.
func (sub *subscriber) judge(id auth.Identity, generation uint64) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.id, sub.judged = id, generation
}

// format returns how a message is written. The caller has the lock.
func (sub *subscriber) format(kind bus.Kind) *bus.Format {
	version := boolBit(sub.resp3)
	if kind == bus.KindSubject {
		return messages[version]
	}
	return patternMessages[version]
}

// How messages are written, for versions 2 and 3: ["message", channel, payload] and ["pmessage", pattern, channel, payload].
var (
	messages = [2]*bus.Format{
		{Encode: func(dst []byte, m *bus.Message) []byte { return message(dst, m, '*') }},
		{Encode: func(dst []byte, m *bus.Message) []byte { return message(dst, m, '>') }},
	}
	patternMessages = [2]*bus.Format{
		{Encode: func(dst []byte, m *bus.Message) []byte { return patternMessage(dst, m, '*') }, PerPattern: true},
		{Encode: func(dst []byte, m *bus.Message) []byte { return patternMessage(dst, m, '>') }, PerPattern: true},
	}
)

func message(dst []byte, m *bus.Message, kind byte) []byte {
	dst = append(append(dst, kind), "3\r\n$7\r\nmessage\r\n"...)
	return wire.Bulk(wire.Bulk(dst, m.Subject()), m.Data())
}

func patternMessage(dst []byte, m *bus.Message, kind byte) []byte {
	dst = append(append(dst, kind), "4\r\n$8\r\npmessage\r\n"...)
	dst = wire.Bulk(dst, m.Subscription().Pattern())
	return wire.Bulk(wire.Bulk(dst, m.Subject()), m.Data())
}
