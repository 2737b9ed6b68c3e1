package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// Streams returns the streams that capture what is published, or nil.
func (b *Bus) Streams() *stream.Log { return b.streams }

// Captured tells whether a stream captures a subject, so that publishing to it waits for the disk: all of its events, or those that a tap accepts. It does not
// allocate.
func (b *Bus) Captured(subject []byte) (some, all bool) {
	if b.streams == nil {
		return false, false
	}
	return b.streams.Captures(view(subject))
}

// Receipt says what became of events that were published. Nobody may change it.
type Receipt struct {
	// Receivers is how many subscriptions accepted them, in all.
	Receivers int
	// Stored has an element for each event and stream that captures it, in order: where the event is. One that is a Duplicate was left out, since
	// the stream holds an event of that ID already, at that place.
	Stored []store.Append
}

// Duplicate tells whether an event was left out by every stream that captures it, and so was not delivered either.
func (r Receipt) Duplicate(e *event.Event) bool {
	captured := false
	for i := range r.Stored {
		if a := &r.Stored[i]; a.Event == e {
			if captured = true; !a.Duplicate {
				return false
			}
		}
	}
	return captured
}

// Publish publishes an event: it is stored in the streams that capture its subject, if there are any, and then delivered to
// the subscriptions. It returns once it is stored and delivered. It sets the ID and the time if they are zero. From
// here on nobody may change the event. When the context ends first, the event may be published nevertheless.
func (b *Bus) Publish(ctx context.Context, e *event.Event) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	type result struct {
		receipt Receipt
		err     error
	}
	done := make(chan result, 1) // nobody may wait for it any more
	b.submitOf(ctx, []*event.Event{e}, nil, func(r Receipt, err error) { done <- result{r, err} })
	select {
	case r := <-done:
		return r.receipt, r.err
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

// Submit publishes events without waiting for the disk, unless too many wait for it, or for their delivery to slow readers. All of them are stored in one commit, or
// none is. Done is called once, with what became of them: before Submit returns if no stream captures any of
// the events, and else from the goroutine that delivers, in the order in which the events were stored. It must not
// block.
func (b *Bus) Submit(events []*event.Event, done func(Receipt, error)) {
	b.submitOf(context.Background(), events, nil, done)
}

// SubmitWith is Submit of events together with changes of the publisher's own, in one commit: the batch, which appends nothing and which belongs to the
// store until done is called. It is committed also where no stream captures any of the events, and must not be empty. It needs a store.
func (b *Bus) SubmitWith(batch *store.Batch, events []*event.Event, done func(Receipt, error)) {
	b.submitOf(context.Background(), events, batch, done)
}

// SubmitReserved is SubmitWith for the server itself: the events may be on subjects that are [Reserved].
func (b *Bus) SubmitReserved(batch *store.Batch, events []*event.Event, done func(Receipt, error)) {
	b.submit(context.Background(), events, batch, done)
}

// submitOf submits what somebody else than the server publishes.
func (b *Bus) submitOf(ctx context.Context, events []*event.Event, with *store.Batch, done func(Receipt, error)) {
	for _, e := range events {
		if Reserved(e.Subject) {
			done(Receipt{}, reserved(e.Subject))
			return
		}
	}
	b.submit(ctx, events, with, done)
}

func (b *Bus) submit(ctx context.Context, events []*event.Event, with *store.Batch, done func(Receipt, error)) {
	for _, e := range events {
		if err := b.Prepare(e); err != nil {
			done(Receipt{}, err)
			return
		}
	}
	captured, err := false, error(nil)
	if b.streams != nil {
		captured, err = b.capture(ctx, events, with, done)
	}
	switch {
	case err != nil:
		done(Receipt{}, err)
	case !captured:
		done(Receipt{Receivers: b.deliverAll(events, nil)}, nil)
	}
}

// capture stores what streams capture of events, once there is room for their delivery, and tells whether that is anything.
func (b *Bus) capture(ctx context.Context, events []*event.Event, with *store.Batch, done func(Receipt, error)) (captured bool, err error) {
	n, bytes := len(events), 0
	for _, e := range events {
		bytes += e.Size()
	}
	if !b.room.try(n, bytes) {
		// What is only live need not wait. A stream that begins to capture it just now is let in without.
		if with == nil && !slices.ContainsFunc(events, func(e *event.Event) bool { some, _ := b.streams.Captures(e.Subject); return some }) {
			b.room.force(n, bytes)
		} else if err := b.room.take(ctx, n, bytes); err != nil {
			return true, storing(events, err)
		}
	}
	b.streams.Capture(func() { captured, err = b.store(events, with, done, func() { b.room.give(n, bytes) }) })
	if err != nil || !captured {
		b.room.give(n, bytes)
	}
	return captured, err
}

// store submits what streams capture of events, and tells whether that is anything: then done is called in due course.
func (b *Bus) store(events []*event.Event, with *store.Batch, done func(Receipt, error), release func()) (captured bool, err error) {
	batch, strongest := with, store.None
	if with == nil {
		batch = &store.Batch{}
	} else {
		strongest = with.Durability
	}
	for _, e := range events {
		n, durability, err := b.streams.Add(batch, e)
		if err != nil {
			return false, err
		}
		if n > 0 {
			strongest = min(strongest, durability)
		}
	}
	if len(batch.Appends) == 0 && with == nil {
		return false, nil
	}
	batch.Durability = strongest
	b.streams.Store().Submit(batch, func(err error) {
		if err != nil {
			err = storing(events, err)
		}
		b.stored.push(stored{events: events, appends: batch.Appends, done: done, err: err, release: release})
	})
	return true, nil
}

// storing says what has failed.
func storing(events []*event.Event, err error) error {
	if len(events) == 0 {
		return err
	}
	return fmt.Errorf("storing an event on subject %.80q: %w", events[0].Subject, err)
}

// Fence calls fn once every event that was stored before has been delivered, in the goroutine that delivers. It must not block.
func (b *Bus) Fence(fn func()) { b.stored.push(stored{release: fn}) }

// DeliverStored delivers events that were committed by somebody else, as a step of a consumer does, to the subscriptions, soon
// and in order, and calls release afterwards. The appends say where they are, in the order of the events, and belong to the bus until then. Their room was taken by [Bus.Reserve] before they were committed. It may be called from the store's goroutine.
func (b *Bus) DeliverStored(events []*event.Event, appends []store.Append, release func()) {
	b.stored.push(stored{events: events, appends: appends, release: release})
}

// Prepare checks an event that somebody else is going to commit, and sets what it lacks.
func (b *Bus) Prepare(e *event.Event) error {
	if err := e.Validate(b.limits.Event); err != nil {
		return err
	}
	b.stamp(e)
	return nil
}

// Idle reports whether all events that were stored have been delivered.
func (b *Bus) Idle() bool {
	b.stored.mu.Lock()
	defer b.stored.mu.Unlock()
	return !b.stored.active
}

// Wait waits until all events that were stored have been delivered.
func (b *Bus) Wait() { _ = b.WaitFor(context.Background()) }

// WaitFor is Wait for as long as the context lasts: readers with the policy [Block] can hold the delivery up.
func (b *Bus) WaitFor(ctx context.Context) error {
	if err := b.stored.wait(ctx); err != nil {
		events, _ := b.Undelivered()
		return fmt.Errorf("%d events that are stored were not delivered live, since readers are slow: %w", events, err)
	}
	return nil
}

// deliverAll delivers events, of which the streams hold what appends says, in the same order.
func (b *Bus) deliverAll(events []*event.Event, appends []store.Append) (receivers int) {
	for _, e := range events {
		f := fanOut{bus: b, event: e}
		f.stored, appends = appendsOf(e, appends)
		receivers += f.run(e.Subject)
	}
	return receivers
}

// appendsOf returns the appends of one event, which come first, and those behind them.
func appendsOf(e *event.Event, appends []store.Append) (own, rest []store.Append) {
	n := 0
	for n < len(appends) && appends[n].Event == e {
		n++
	}
	return appends[:n], appends[n:]
}

// delivery hands stored events to the subscriptions, one after the other in the order of their commits, outside of the
// goroutine that commits: a subscriber that is slow must not hold up the disk.
type delivery struct {
	bus *Bus

	mu     sync.Mutex
	queue  []stored
	active bool          // run runs
	idle   chan struct{} // closed when it no longer does; nil while nobody waits for that
}

// stored is events that were committed, or were to be.
type stored struct {
	events  []*event.Event
	appends []store.Append
	done    func(Receipt, error)
	err     error

	release func() // gives its room back
}

// push queues what was stored. The queue is bounded by [room].
func (d *delivery) push(s stored) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, s)
	if !d.active {
		d.active = true
		d.start(nil)
	}
}

// wait waits until there is nothing to deliver. A WaitGroup would not do: a commit may begin something while it is being waited for.
func (d *delivery) wait(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.active {
		if d.idle == nil {
			d.idle = make(chan struct{})
		}
		idle := d.idle
		d.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
		}
		d.mu.Lock()
		if ctx.Err() != nil && d.active {
			return ctx.Err()
		}
	}
	return nil
}

func (d *delivery) start(todo []stored) { go d.run(todo) }

// run delivers what is left of what another has taken, and then until the queue is empty. A subscriber that calls runtime.Goexit ends this
// goroutine; another goes on behind what it was delivered.
func (d *delivery) run(todo []stored) {
	var empty []stored
	done := 0
	defer func() {
		if len(todo) > 0 {
			d.start(todo[done:])
		}
	}()
	for {
		for done = 0; done < len(todo); {
			done++
			d.deliver(&todo[done-1])
		}
		clear(todo)
		empty = todo[:0]
		if cap(todo) > maxKeptQueue {
			empty = nil
		}
		d.mu.Lock()
		todo, d.queue = d.queue, empty
		d.active = len(todo) > 0
		if !d.active && d.idle != nil {
			close(d.idle)
			d.idle = nil
		}
		d.mu.Unlock()
		if len(todo) == 0 {
			return
		}
	}
}

// maxKeptQueue bounds what a burst leaves behind.
const maxKeptQueue = 4096

func (d *delivery) deliver(s *stored) {
	defer s.release()
	r := Receipt{}
	if s.done != nil {
		defer func() {
			if s.err == nil {
				r.Stored = s.appends
			}
			s.done(r, s.err)
		}()
	}
	if s.err == nil {
		r.Receivers = d.bus.deliverAll(s.fresh())
	}
}

// fresh returns the events without those that every stream already had, and where they are.
func (s *stored) fresh() ([]*event.Event, []store.Append) {
	if !slices.ContainsFunc(s.appends, func(a store.Append) bool { return a.Duplicate }) {
		return s.events, s.appends
	}
	var events []*event.Event
	var appends []store.Append
	rest := s.appends
	for _, e := range s.events {
		var own []store.Append
		own, rest = appendsOf(e, rest)
		added := len(own) == 0 // nothing captures it
		for _, a := range own {
			if !a.Duplicate {
				added = true
				appends = append(appends, a)
			}
		}
		if added {
			events = append(events, e)
		}
	}
	return events, appends
}
