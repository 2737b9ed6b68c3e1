package bus

import (
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Message is one event on its way to one subscription after the other. It is good only during Deliver.
type Message struct {
	bus     *Bus
	event   *event.Event // what was published, or borrowed
	kept    *event.Event
	stored  []store.Append // where streams hold it
	origin  any
	matched *Subscription
	frames  []frame

	borrowed event.Event // points into the buffers that [Bus.PublishBytes] was given
}

// Subscriber receives what its subscriptions match.
type Subscriber interface {
	// Deliver takes the message, or returns false to drop it, which is counted. It is called in the
	// publisher's goroutine, possibly from several at once, and must not block. The message is good only until it returns.
	Deliver(m *Message) bool
}

// Subscription returns the subscription that matched, which is this subscriber's.
func (m *Message) Subscription() *Subscription { return m.matched }

// Subject returns the subject. It is good only during Deliver.
func (m *Message) Subject() string { return m.event.Subject }

// Data returns the payload. It is good only during Deliver.
func (m *Message) Data() []byte { return m.event.Data }

// Headers returns the headers, without giving the event an identifier and a time as Event does. They are good only during Deliver.
func (m *Message) Headers() []event.Header { return m.event.Headers }

// Event returns the event, for looking at during Deliver only. See [Message.Keep].
func (m *Message) Event() *event.Event {
	m.bus.stamp(m.event)
	return m.event
}

// Keep returns the event for as long as it is needed. It is the same for all who ask, so it must not be changed.
func (m *Message) Keep() *event.Event {
	if m.kept == nil {
		m.kept = m.Event()
		if m.kept == &m.borrowed {
			m.kept = m.borrowed.Clone()
		}
	}
	return m.kept
}

// Stored returns where streams hold the event, or nothing if none captures it. It is good only during Deliver.
func (m *Message) Stored() []store.Append { return m.stored }

// Origin returns what the publisher gave to [Bus.PublishFrom] or [Bus.PublishBytesFrom], or nil. It is good only during Deliver.
func (m *Message) Origin() any { return m.origin }

// Format is one way of encoding messages, declared once by the protocol that speaks it. Its address is its identity.
type Format struct {
	// Encode appends the encoded message to dst and returns it.
	Encode func(dst []byte, m *Message) []byte
	// PerPattern says that the result depends on the pattern of the subscription, as that of Redis's pmessage
	// does. It must not depend on anything else of it.
	PerPattern bool
}

type frame struct {
	format  *Format
	pattern string
	bytes   []byte
}

// Frame returns the message in that format, encoded at most once however many subscriptions ask for it
// (with PerPattern once per pattern, since the subscriptions of a pattern are served together). The
// bytes may be kept and must not be changed.
func (m *Message) Frame(format *Format) []byte {
	pattern := ""
	if format.PerPattern {
		pattern = m.matched.pattern
	}
	for i := range m.frames {
		f := &m.frames[i]
		if f.format != format {
			continue
		}
		if f.pattern != pattern {
			f.pattern, f.bytes = pattern, m.encode(format)
		}
		return f.bytes
	}
	m.frames = append(m.frames, frame{format, pattern, m.encode(format)})
	return m.frames[len(m.frames)-1].bytes
}

// encode allocates once in the usual case: envelopes are a few dozen bytes.
func (m *Message) encode(format *Format) []byte {
	const envelope = 64
	size := envelope + len(m.event.Subject) + len(m.event.Data)
	if format.PerPattern {
		size += len(m.matched.pattern)
	}
	b := format.Encode(make([]byte, 0, size), m)
	return b[:len(b):len(b)] // an append by one subscriber must not reach the others
}

// reset forgets the event before the message goes back to the pool.
func (m *Message) reset() {
	clear(m.frames)
	*m = Message{bus: m.bus, frames: m.frames[:0]}
}

// stamp gives the event an identifier and a time if it has none.
func (b *Bus) stamp(e *event.Event) {
	if e.ID.IsZero() {
		e.ID = b.ids.New()
	}
	if e.Time.IsZero() {
		e.Time = b.now()
	}
}

func (b *Bus) now() time.Time {
	if b.clock == nil {
		return time.Now()
	}
	return b.clock()
}
