package bus

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// room bounds the events that are being stored or wait for their live delivery. Whoever stores an event takes its room before it submits it, and waits for
// that if there is none; it is given back after the delivery. The store's goroutine therefore never waits, and never queues without bound.
// Who waits is served in order, so that a large step is not passed by for ever. The delivery itself never waits for room, so this ends: at the latest
// when the readers that hold it up have exhausted their [QueueOptions].BlockTime.
type room struct {
	mostEvents, mostBytes int

	mu      sync.Mutex
	events  int
	bytes   int
	waiting list.List // of *claim
}

// claim is room that somebody waits for.
type claim struct {
	events, bytes int
	granted       chan struct{} // closed once it is
}

// try takes room if there is some and nobody waits for it.
func (r *room) try(events, bytes int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting.Len() == 0 && r.takeLocked(events, bytes)
}

// takeLocked takes room. What is larger than all there is, as a step may be, gets it when nobody else has any.
func (r *room) takeLocked(events, bytes int) bool {
	if r.events > 0 && (r.events+events > r.mostEvents || r.bytes+bytes > r.mostBytes) {
		return false
	}
	r.events += events
	r.bytes += bytes
	return true
}

// take takes room, and waits for it.
func (r *room) take(ctx context.Context, events, bytes int) error {
	if r.try(events, bytes) {
		return nil
	}
	c := &claim{events, bytes, make(chan struct{})}
	r.mu.Lock()
	at := r.waiting.PushBack(c)
	r.grantLocked()
	r.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-c.granted: // meanwhile
		return nil
	default:
	}
	r.waiting.Remove(at)
	r.grantLocked() // it may have been in the way of smaller ones
	return fmt.Errorf("too much waits to be delivered to readers that are slow: %w", ctx.Err())
}

// force takes room that may not be there.
func (r *room) force(events, bytes int) {
	r.mu.Lock()
	r.events += events
	r.bytes += bytes
	r.mu.Unlock()
}

func (r *room) give(events, bytes int) {
	r.mu.Lock()
	r.events -= events
	r.bytes -= bytes
	r.grantLocked()
	r.mu.Unlock()
}

// grantLocked gives room to those who wait, in order.
func (r *room) grantLocked() {
	for first := r.waiting.Front(); first != nil; first = r.waiting.Front() {
		c := first.Value.(*claim)
		if !r.takeLocked(c.events, c.bytes) {
			return
		}
		r.waiting.Remove(first)
		close(c.granted)
	}
}

// Reserve takes room for events that somebody else is going to commit, before that, and waits while there is none. Release gives it back; it is called once, by
// [Bus.DeliverStored], or by whoever does not commit.
func (b *Bus) Reserve(ctx context.Context, events, bytes int) (release func(), err error) {
	if err := b.room.take(ctx, events, bytes); err != nil {
		return nil, err
	}
	return func() { b.room.give(events, bytes) }, nil
}

// Undelivered returns how many events are being stored or wait for their delivery, and their bytes. [Limits] bounds both.
func (b *Bus) Undelivered() (events, bytes int) {
	b.room.mu.Lock()
	defer b.room.mu.Unlock()
	return b.room.events, b.room.bytes
}
