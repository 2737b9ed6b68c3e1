package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/event"
)

// Overflow says what a full [Queue] does with the next event.
type Overflow uint8

// The policies of a full queue. Each event that is lost is counted.
const (
	// DropNewest refuses the event that comes; the reader sees the oldest ones. The default.
	DropNewest Overflow = iota
	// DropOldest makes room by discarding from the front; the reader sees the latest ones.
	DropOldest
	// Block makes the publisher wait for room, for at most [QueueOptions].BlockTime, and then refuses the event. After that, nobody waits for the reader until it
	// takes an event again: one that has stopped holds everybody up once. One that is slow slows down everybody who publishes what it
	// subscribed to, and whatever else streams capture: stored events are delivered, and then acknowledged, in the order of their commits. A
	// reader that publishes to itself holds up itself.
	Block
	// Disconnect ends the subscription. The reader gets what is queued and then [ErrOverflow].
	Disconnect
)

// ErrOverflow means that a queue with the policy [Disconnect] was full.
var ErrOverflow = errors.New("the reader fell behind and was disconnected")

// QueueOptions configures a [Queue]. The zero value is good.
type QueueOptions struct {
	// Events is how many events the queue holds at most. Default [DefaultQueueEvents]. Memory is taken
	// as it fills, not before.
	Events int
	// Bytes is how many bytes of events the queue holds at most. Default [DefaultQueueBytes]. An event that is larger
	// than this is always refused. Queues share the events, so ten queues with one event hold it once.
	Bytes int
	// Overflow is what happens when it is full. Default [DropNewest].
	Overflow Overflow
	// BlockTime bounds the wait of [Block]. Default [DefaultBlockTime].
	BlockTime time.Duration
}

// Queue is a subscription for Go code: a bounded queue between the publishers and whoever calls
// [Queue.Next]. Several goroutines may read it, each event goes to one of them.
type Queue struct {
	options QueueOptions
	client  *Client
	ready   chan struct{} // holds a token while there may be something to read
	done    chan struct{} // closed with the queue

	dropped atomic.Uint64

	mu     sync.Mutex
	events ring
	bytes  int
	taken  uint64
	room   chan struct{} // closed when there may be room again; nil while nobody waits for it
	late   bool          // a publisher has waited in vain since the last event was taken
	reason error         // why it is closed
}

// NewQueue subscribes to a filter and returns the queue of what matches. Close it when done.
func (b *Bus) NewQueue(filter string, options QueueOptions) (*Queue, error) {
	return b.newQueue(filter, options, false)
}

// newQueue is NewQueue, also for those who respond to what they get.
func (b *Bus) newQueue(filter string, options QueueOptions, responds bool) (*Queue, error) {
	options.Events = orDefault(options.Events, DefaultQueueEvents)
	options.Bytes = orDefault(options.Bytes, DefaultQueueBytes)
	if options.BlockTime <= 0 {
		options.BlockTime = DefaultBlockTime
	}
	q := &Queue{
		options: options,
		ready:   make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	q.client = b.NewClient(queueEnd{q})
	q.client.responds = responds
	if _, err := q.client.Subscribe(filter); err != nil {
		return nil, err
	}
	return q, nil
}

// queueEnd is the end of a queue that the bus sees, so that Deliver is not among the methods for users.
type queueEnd struct{ *Queue }

// Deliver queues the event or does what the policy says.
func (q queueEnd) Deliver(m *Message) bool {
	size := m.event.Size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.options.Overflow == Block && q.full(size) && size <= q.options.Bytes && !q.late {
		q.waitForRoom(size)
	}
	if q.options.Overflow == DropOldest && size <= q.options.Bytes {
		q.discardFor(size, m.matched)
	}
	switch {
	case q.reason != nil:
	case !q.full(size):
		q.events.push(m.Keep(), q.options.Events)
		q.bytes += size
		signal(q.ready)
		return true
	case q.options.Overflow == Disconnect:
		q.dropped.Add(1)
		q.close(ErrOverflow)
		return false
	}
	q.dropped.Add(1)
	return false
}

// waitForRoom gives up the lock while it waits.
func (q *Queue) waitForRoom(size int) {
	timer := time.NewTimer(q.options.BlockTime)
	defer timer.Stop()
	for q.reason == nil && q.full(size) {
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room, expired := q.room, false
		q.mu.Unlock()
		select {
		case <-room:
		case <-q.done:
		case <-timer.C:
			expired = true
		}
		q.mu.Lock()
		if expired && q.full(size) {
			q.late = true
			return
		}
	}
}

// discardFor makes room for one event more.
func (q *Queue) discardFor(size int, s *Subscription) {
	for q.events.n > 0 && q.full(size) {
		q.bytes -= q.events.pop().Size()
		q.dropped.Add(1)
		s.CountDropped(1)
	}
}

func (q *Queue) full(size int) bool {
	return q.events.n >= q.options.Events || q.bytes+size > q.options.Bytes
}

// Next returns the next event, waiting for it until the context ends. The event is shared with other readers and must not be
// changed. After the queue was closed it returns what is left, and then why it was closed.
func (q *Queue) Next(ctx context.Context) (*event.Event, error) {
	for {
		if e, err := q.take(); e != nil || err != nil {
			return e, err
		}
		select {
		case <-q.ready:
		case <-q.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns the first event, or why there will be none, or neither.
func (q *Queue) take() (*event.Event, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.events.n == 0 {
		return nil, q.reason
	}
	e := q.events.pop()
	q.taken++
	q.late = false
	q.bytes -= e.Size()
	if q.room != nil {
		close(q.room) // all who wait look again, since what fits for one may not for another
		q.room = nil
	}
	if q.events.n > 0 {
		signal(q.ready) // for the next reader that waits
	}
	return e, nil
}

// All returns the events as they come. The sequence ends with the error that [Queue.Next] returned.
func (q *Queue) All(ctx context.Context) iter.Seq2[*event.Event, error] {
	return func(yield func(*event.Event, error) bool) {
		for {
			e, err := q.Next(ctx)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Dropped returns how many events were lost to the bounds of the queue.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// Len returns how many events wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events.n
}

// Close ends the subscription and lets publishers and readers go that wait. What is queued can still be read.
func (q *Queue) Close() {
	q.mu.Lock()
	q.close(fmt.Errorf("no more events from the queue: %w", ErrClosed))
	q.mu.Unlock()
}

// close is called with the lock held. The client's lock is taken inside it, never the other way round.
func (q *Queue) close(reason error) {
	if q.reason != nil {
		return
	}
	q.reason = reason
	close(q.done)
	q.client.Close()
}

// signal leaves a token if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ring is a queue of events that grows as needed and forgets its memory when it is empty.
type ring struct {
	slots []*event.Event
	first int
	n     int
}

// keptSlots are not given back, so that a queue which is now and then empty does not allocate for each event.
const keptSlots = 16

func (r *ring) push(e *event.Event, most int) {
	if r.n == len(r.slots) {
		r.grow(min(max(2*r.n, keptSlots), most))
	}
	r.slots[(r.first+r.n)%len(r.slots)] = e
	r.n++
}

func (r *ring) grow(to int) {
	slots := make([]*event.Event, to)
	n := copy(slots, r.slots[r.first:])
	copy(slots[n:], r.slots[:r.first])
	r.slots, r.first = slots, 0
}

func (r *ring) pop() *event.Event {
	e := r.slots[r.first]
	r.slots[r.first] = nil
	r.first = (r.first + 1) % len(r.slots)
	r.n--
	if r.n == 0 && len(r.slots) > keptSlots {
		*r = ring{}
	}
	return e
}
