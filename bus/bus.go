package bus

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// Options configures a [Bus]. The zero value is good.
type Options struct {
	// Limits bounds what clients can make the bus do. Default: the constants of this package.
	Limits Limits
	// Clock tells the time of events that carry none. Default time.Now.
	Clock func() time.Time
	// Logger is told about subscribers that panic. Default: nobody is, they are only counted.
	Logger *slog.Logger
	// Log is the streams that capture what is published. Default: there are none, and nothing is stored.
	Log *stream.Log
}

// Bus routes events to subscriptions. Its methods are safe for concurrent use. One with a [stream.Log] has a goroutine while
// there is something to deliver, for which [Bus.Wait] waits; one without has none.
type Bus struct {
	limits Limits
	clock  func() time.Time
	log    *slog.Logger
	ids    event.Generator

	streams *stream.Log // nil if nothing is stored
	stored  delivery
	room    room // of stored

	filters  event.Trie[*Subscription]
	plain    event.Trie[*Subscription] // globs without special characters, by what they match
	globs    globList
	wild     atomic.Int64 // distinct filters with wildcards
	messages sync.Pool

	subscriptions atomic.Int64
	published     atomic.Uint64
	delivered     atomic.Uint64
	dropped       atomic.Uint64
	panics        atomic.Uint64
}

// New returns a bus.
func New(options Options) *Bus {
	b := &Bus{limits: options.Limits.withDefaults(), clock: options.Clock, log: options.Logger, streams: options.Log}
	b.ids.Clock = options.Clock
	b.stored.bus = b
	if b.streams != nil {
		b.streams.Own(Reserved)
	}
	b.room.mostEvents, b.room.mostBytes = b.limits.DeliveryEvents, b.limits.DeliveryBytes
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.messages.New = func() any { return &Message{bus: b} }
	return b
}

// PublishLive routes an event to subscriptions, without storing it, and returns how many accepted it. It sets the ID and the time if they are
// zero. From here on nobody may change the event, its headers or its data: subscribers may keep it.
func (b *Bus) PublishLive(e *event.Event) (receivers int, err error) {
	return b.PublishFrom(nil, e)
}

// offer is [Bus.PublishLive] that tells to how many responders the event was offered, and how many of them accepted it.
func (b *Bus) offer(e *event.Event) (responders, accepted int, err error) {
	if Reserved(e.Subject) {
		return 0, 0, reserved(e.Subject)
	}
	if err := b.Prepare(e); err != nil {
		return 0, 0, err
	}
	f := fanOut{bus: b, event: e}
	f.run(e.Subject)
	return f.responders, f.responding, nil
}

// PublishBytes is [Bus.PublishLive] for a subject and a payload in buffers, which it borrows until it returns. With nobody
// subscribed it does not allocate.
func (b *Bus) PublishBytes(subject, data []byte) (receivers int, err error) {
	return b.PublishBytesFrom(nil, subject, data)
}

// PublishFrom is [Bus.PublishLive] with something that subscribers of the same protocol can ask the message for, see [Message.Origin].
func (b *Bus) PublishFrom(origin any, e *event.Event) (receivers int, err error) {
	if Reserved(e.Subject) {
		return 0, reserved(e.Subject)
	}
	return b.PublishReserved(origin, e)
}

// PublishReserved is [Bus.PublishFrom] for the server itself: the event may be on a subject that is [Reserved].
func (b *Bus) PublishReserved(origin any, e *event.Event) (receivers int, err error) {
	if err := b.Prepare(e); err != nil {
		return 0, err
	}
	f := fanOut{bus: b, event: e, origin: origin}
	return f.run(e.Subject), nil
}

// PublishBytesFrom is [Bus.PublishBytes] with an origin, see [Bus.PublishFrom].
func (b *Bus) PublishBytesFrom(origin any, subject, data []byte) (receivers int, err error) {
	if err := event.ValidateSubjectBytes(subject, b.limits.Event); err != nil {
		return 0, err
	}
	if Reserved(view(subject)) {
		return 0, reserved(string(subject))
	}
	if most := b.limits.Event.Data(); len(data) > most {
		return 0, fmt.Errorf("event on subject %.64q has %d bytes of data, at most %d are allowed: %w", subject, len(data), most, event.ErrTooLong)
	}
	f := fanOut{bus: b, data: data, origin: origin}
	return f.run(view(subject)), nil
}

// view reads b as a string without copying, for as long as b is not written to.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// fanOut is one publish under way.
type fanOut struct {
	bus     *Bus
	event   *event.Event   // nil when the parts are borrowed
	stored  []store.Append // where it is
	origin  any
	subject string
	data    []byte
	message *Message // made for the first subscription that matches

	accepted, refused      uint64
	responders, responding int // those that answer requests, and those of them that accepted
}

// run is the way of every event: match, deliver, count.
func (f *fanOut) run(subject string) (receivers int) {
	b := f.bus
	f.subject = subject
	b.filters.Match(subject, f.visit)
	b.plain.Match(subject, f.visit)
	b.globs.match(subject, f.visit)
	b.published.Add(1)
	if f.message == nil {
		return 0
	}
	b.delivered.Add(f.accepted)
	if f.refused > 0 {
		b.dropped.Add(f.refused)
	}
	f.message.reset()
	b.messages.Put(f.message)
	return int(f.accepted)
}

// visit delivers to one subscription that matched.
func (f *fanOut) visit(s *Subscription) bool {
	if !s.active.Load() {
		return true
	}
	if f.message == nil {
		f.message = f.newMessage()
	}
	f.message.matched = s
	accepted := f.bus.deliver(s, f.message)
	if s.responds {
		f.responders++
		if accepted {
			f.responding++
		}
	}
	if accepted {
		f.accepted++
		return true
	}
	s.dropped.Add(1)
	f.refused++
	return true
}

func (f *fanOut) newMessage() *Message {
	m := f.bus.messages.Get().(*Message)
	m.event, m.stored, m.origin = f.event, f.stored, f.origin
	if f.event == nil {
		m.borrowed.Subject, m.borrowed.Data = f.subject, f.data
		m.event = &m.borrowed
	}
	return m
}

// deliver keeps a subscriber that panics from ending its publisher, and from panicking twice.
func (b *Bus) deliver(s *Subscription, m *Message) (accepted bool) {
	returned := false
	defer func() {
		reason := recover()
		if !returned && reason == nil {
			reason = task.ErrGoexit // it ends the publisher too
		}
		if reason != nil {
			accepted = false
			b.panics.Add(1)
			b.log.Error("a subscriber panicked and lost its subscription", "pattern", s.pattern, "panic", reason, "stack", string(debug.Stack()))
			s.end()
		}
	}()
	accepted = s.subscriber.Deliver(m)
	returned = true
	return accepted
}

// Stats are counters since the bus was made, and the sizes of now.
type Stats struct {
	Published     uint64 // events
	Delivered     uint64 // events accepted, once per subscription
	Dropped       uint64 // events not accepted, or accepted and discarded later
	Panics        uint64 // subscribers that panicked
	Subscriptions int
	Filters       int // distinct, without globs
	Patterns      int // distinct filters with wildcards, and distinct globs
}

// Stats returns the counters. They are read one after the other, so they may be some events apart.
func (b *Bus) Stats() Stats {
	filters, _ := b.filters.Len()
	return Stats{
		Published: b.published.Load(), Delivered: b.delivered.Load(), Dropped: b.dropped.Load(), Panics: b.panics.Load(),
		Subscriptions: int(b.subscriptions.Load()), Filters: filters, Patterns: b.NumPat(),
	}
}
