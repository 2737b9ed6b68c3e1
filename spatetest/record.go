package spatetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// record is what was published, over all lives.
type record struct {
	mu      sync.Mutex
	events  []*event.Event
	over    bool          // there were more than MaxEvents
	changed chan struct{} // closed and replaced by every commit and every event
}

// commit takes the events that a batch has stored: once each, however many streams hold them.
func (r *record) commit(b *store.Batch) {
	var seen []event.ID
	for i := range b.Appends {
		a := &b.Appends[i]
		if a.Duplicate || slices.Contains(seen, a.Event.ID) {
			continue
		}
		if len(b.Appends) > 1 {
			seen = append(seen, a.Event.ID)
		}
		r.add(a.Event.Clone()) // the batch is the publisher's again soon
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signalLocked()
}

func (r *record) add(e *event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over = r.over || len(r.events) == MaxEvents; !r.over {
		r.events = append(r.events, e)
	}
	r.signalLocked()
}

func (r *record) signalLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// more returns a channel that is closed when something is committed or published.
func (r *record) more() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// matching returns the events that match, and a channel that is closed when there may be more.
func (r *record) matching(f event.Filter) (found []*event.Event, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if f.Match(e.Subject) {
			found = append(found, e)
		}
	}
	return found, r.changed
}

func (r *record) has(id event.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.events, func(e *event.Event) bool { return e.ID == id })
}

// live records the events that no stream captures.
type live struct {
	node *Node
	app  *spate.App
}

// Deliver implements bus.Subscriber. It takes nothing, so that the kit is not counted among the receivers of an event.
func (l live) Deliver(m *bus.Message) bool {
	if captured, _ := l.app.Streams().Captures(m.Subject()); !captured {
		l.node.record.add(m.Keep())
	}
	return false
}

// Publish publishes text on a subject, as [Node.PublishEvent] does.
func (n *Node) Publish(subject, data string) *event.Event {
	n.t.Helper()
	return n.PublishEvent(&event.Event{Subject: subject, Data: []byte(data)})
}

// PublishEvent publishes an event and waits until it is stored and delivered. When the node crashes meanwhile, the event is published again in the next
// life unless it was stored: exactly once, as by a client that knows. From here on nobody may change the event, which has its ID and time now.
func (n *Node) PublishEvent(e *event.Event) *event.Event {
	n.t.Helper()
	ctx, cancel := n.patient()
	defer cancel()
	for {
		l, err := n.alive(ctx)
		if err == nil {
			_, err = l.app.Bus().Publish(ctx, e)
			if err == nil || !e.ID.IsZero() && n.record.has(e.ID) && l.hasCrashed() {
				return e
			}
		}
		if l == nil || !l.hasCrashed() || !errors.Is(err, store.ErrClosed) {
			n.t.Fatalf("publishing on %q: %v", e.Subject, err)
		}
	}
}

func (l *life) hasCrashed() bool { return closed(l.crashed) }

// Published returns the events that were published so far and match a filter, oldest first.
func (n *Node) Published(filter string) []*event.Event {
	n.t.Helper()
	found, _ := n.record.matching(n.filter(filter))
	return found
}

func (n *Node) filter(text string) event.Filter {
	n.t.Helper()
	f, err := event.ParseFilter(text, event.Limits{})
	if err != nil {
		n.t.Fatalf("the filter %q: %v", text, err)
	}
	return f
}

// WaitFor waits until at least count events that match a filter were published, and returns all of them.
func (n *Node) WaitFor(filter string, count int) []*event.Event {
	n.t.Helper()
	f := n.filter(filter)
	ctx, cancel := n.patient()
	defer cancel()
	for {
		found, changed := n.record.matching(f)
		if len(found) >= count {
			return found
		}
		if err := pause(ctx, changed); err != nil {
			n.t.Fatalf("waiting for %d events on %q: %v; there are %d. %s", count, filter, err, len(found), n.report())
		}
	}
}

// report says what was published, for the message of a test that fails.
func (n *Node) report() string {
	n.record.mu.Lock()
	defer n.record.mu.Unlock()
	if n.record.over {
		return fmt.Sprintf("More than %d events were published", MaxEvents)
	}
	const most = 20
	var b strings.Builder
	fmt.Fprintf(&b, "%d were published:", len(n.record.events))
	for i, e := range n.record.events {
		if i == most {
			b.WriteString("\n  …")
			break
		}
		fmt.Fprintf(&b, "\n  %s %.200q", e.Subject, e.Data)
	}
	return b.String()
}

// Settle waits until everything is handled: by all consumers that are not paused, and by the live handlers and responders, to whom all that was stored has
// been delivered. What they have not published by then they will not. It does not wait for goroutines of the test, nor for readers.
func (n *Node) Settle() {
	n.t.Helper()
	ctx, cancel := n.patient()
	defer cancel()
	who := ""
	for {
		changed := n.record.more()
		before := n.progress()
		busy, err := n.busy(ctx)
		if busy != "" {
			who = busy // when the time is up, only who was busy before can be told
		}
		if err == nil && busy == "" && n.progress() == before && !closed(changed) {
			return // at no moment since before was there anything to do, or it would have been seen here or there
		}
		if waited := pause(ctx, changed); waited != nil {
			if ctx.Err() != nil {
				err = nil // which is no more than that
			}
			n.t.Fatalf("waiting for everything to be handled: %v; %s", errors.Join(waited, err), who)
		}
	}
}

// progress changes with every event that is delivered, and with every life.
func (n *Node) progress() string {
	l := n.last()
	return fmt.Sprintf("%p %d", l, l.app.Bus().Stats().Published)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// busy says who has something to do, or nothing. Consumers come first: they hand over for delivery before they are done.
func (n *Node) busy(ctx context.Context) (string, error) {
	l, err := n.alive(ctx)
	if err != nil {
		return "", err
	}
	all, err := l.app.Consumers().List(ctx)
	if err != nil {
		return "", err
	}
	for _, c := range all {
		if !c.Paused && (c.Lag > 0 || slices.ContainsFunc(c.Partitions, func(p consumer.PartitionInfo) bool { return p.InFlight > 0 })) {
			return fmt.Sprintf("the consumer %q has %d events to handle; running: %t; %s", c.Name, c.Lag, c.Running, c.Error), nil
		}
	}
	if !l.app.Bus().Idle() {
		return "stored events are being delivered", nil
	}
	for _, h := range l.app.Node().Live() {
		if h.Queued+h.Busy > 0 {
			return fmt.Sprintf("%q has %d live events to handle", h.Name, h.Queued+h.Busy), nil
		}
	}
	if l.hasCrashed() {
		return "the node is starting again", nil
	}
	b, err := l.app.Streams().Store().Bounds(ctx, store.Partition{Stream: consumer.RedriveStream})
	if b.Count > 0 {
		return fmt.Sprintf("%d dead letters are being handled again", b.Count), err
	}
	return "", err
}

// Stored returns the events that a stream holds, those of each partition in order.
func (n *Node) Stored(name string) []*event.Event {
	n.t.Helper()
	ctx, cancel := n.patient()
	defer cancel()
	l, err := n.alive(ctx)
	var r *stream.Reader
	if err == nil {
		r, err = l.app.Streams().NewReader(ctx, name, "", stream.Beginning)
	}
	var all []*event.Event
	for err == nil {
		var records []store.Record
		if records, _, err = r.Read(ctx); len(records) == 0 {
			break
		}
		for _, rec := range records {
			all = append(all, rec.Event)
		}
	}
	if err != nil {
		n.t.Fatalf("reading the stream %q: %v", name, err)
	}
	return all
}

// DeadLetters returns the dead letters of a consumer, or of all if the name is empty, oldest first.
func (n *Node) DeadLetters(name string) []consumer.DeadLetter {
	n.t.Helper()
	ctx, cancel := n.patient()
	defer cancel()
	l, err := n.alive(ctx)
	var letters []consumer.DeadLetter
	if err == nil {
		letters, err = l.app.Consumers().Dead(ctx, name, "", MaxEvents)
	}
	if err != nil {
		n.t.Fatalf("reading the dead letters: %v", err)
	}
	return letters
}
