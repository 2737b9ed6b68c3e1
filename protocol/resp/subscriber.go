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
type subscriber struct {
	proto  *Protocol
	conn   *engine.Conn
	client *bus.Client

	mu      sync.Mutex
	free    sync.Cond   // of mu: no longer holding
	resp3   bool        // how messages are written
	holding bool        // a confirmation is on the way
	held    []heldFrame // messages that wait behind it
	bytes   int         // of held
	id      auth.Identity
	judged  uint64 // the auth generation under which all subscriptions were last found to be allowed
}

func newSubscriber(s *session, c *engine.Conn) *subscriber {
	sub := &subscriber{proto: s.proto, conn: c, id: s.id, judged: s.judged, resp3: s.is(stateRESP3)}
	sub.free.L = &sub.mu
	sub.client = s.proto.bus.NewClient(sub)
	return sub
}

// Deliver pushes a message to the connection, in the publisher's goroutine.
func (sub *subscriber) Deliver(m *bus.Message) bool {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for sub.holding && sub.proto.overflow == engine.Block {
		sub.free.Wait()
	}
	if !m.Subscription().Active() || !sub.mayReceive(m.Subject()) {
		return false
	}
	frame := m.Frame(sub.format(m.Subscription().Kind()))
	if sub.holding {
		return sub.hold(m.Subscription(), frame)
	}
	return sub.conn.Push(frame, sub.proto.overflow) == nil
}

// A heldFrame waits until the confirmation of its subscription, or of another one, is sent.
type heldFrame struct {
	from  *bus.Subscription
	frame []byte
}

// hold keeps a message until the confirmation is sent. The caller has the lock.
func (sub *subscriber) hold(from *bus.Subscription, frame []byte) bool {
	const each = 32 // bytes of a heldFrame
	if sub.bytes += len(frame) + each; sub.bytes > heldMost {
		if sub.proto.overflow == engine.Disconnect {
			sub.conn.Close(engine.ReasonOverflow, nil)
		}
		return false
	}
	sub.held = append(sub.held, heldFrame{from, frame})
	return true
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

// beginConfirm makes messages wait until endConfirm.
func (sub *subscriber) beginConfirm() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.holding = true
}

func (sub *subscriber) endConfirm() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.holding = false
	for _, h := range sub.held {
		if !h.from.Active() {
			continue // it was taken back because another one of the same request was refused
		}
		if sub.conn.Push(h.frame, sub.proto.overflow) != nil {
			h.from.CountDropped(1)
		}
	}
	sub.held, sub.bytes = nil, 0
	sub.free.Broadcast()
}

// settle waits until no publisher is in the middle of pushing something.
func (sub *subscriber) settle() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
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
