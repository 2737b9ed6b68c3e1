package bus

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/task"
)

// Reader is a live subscription to a topic: what is published while it is open, at most once. Several goroutines may read it,
// each event goes to one of them.
type Reader[T any] struct {
	topic *Topic[T]
	queue *Queue
}

// Subscribe subscribes to a topic. What is published after it has returned reaches the reader, as far as its queue has room; see [QueueOptions]. Close
// it when done. Subscriptions are independent of [Node.Run].
func Subscribe[T any](h Host, t *Topic[T], options ...QueueOptions) (*Reader[T], error) {
	o, err := one(options)
	n, absent := nodeOf(h)
	if err = errors.Join(t.err, err, absent); err != nil {
		return nil, err
	}
	q, err := n.Bus().NewQueue(t.filter.String(), o)
	if err != nil {
		return nil, err
	}
	return &Reader[T]{t, q}, nil
}

// Next returns the next value, waiting for it until the context ends. An event that is not of the type of the topic is a [DecodeError], after
// which reading goes on. Any other error is the last: after Close, [ErrClosed], once what was queued is read; with the policy
// [Disconnect], [ErrOverflow].
func (r *Reader[T]) Next(ctx context.Context) (T, error) {
	v, _, err := r.NextEvent(ctx)
	return v, err
}

// NextEvent is [Reader.Next] with the event, which is shared and must not be changed. It is nil if the error is not a [DecodeError].
func (r *Reader[T]) NextEvent(ctx context.Context) (T, *event.Event, error) {
	e, err := r.queue.Next(ctx)
	if err != nil {
		var none T
		return none, nil, err
	}
	v, err := r.topic.Decode(e)
	return v, e, err
}

// All returns the values as they come. A [DecodeError] does not end the sequence; any other error is its last element.
func (r *Reader[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, e, err := r.NextEvent(ctx)
			if !yield(v, err) || e == nil {
				return
			}
		}
	}
}

// Dropped returns how many events were lost because the queue was full.
func (r *Reader[T]) Dropped() uint64 { return r.queue.Dropped() }

// Close ends the subscription. What is queued can still be read.
func (r *Reader[T]) Close() { r.queue.Close() }

// LiveOptions configures a live handler. The zero value is good.
type LiveOptions struct {
	// Queue is what is kept for the handler while it is busy, and what happens when that is full. Default: see [QueueOptions].
	Queue QueueOptions
	// Concurrency is how many events are handled at the same time. Default 1: with more, they are in no order.
	Concurrency int
	// Middleware is put around the handler, inside that of the node, the first one outermost. Default: none.
	Middleware []Middleware
}

// HandleLive has a function handle what is published on a topic, as it comes: nothing is stored, each event is handled at most once, and what it
// publishes is published at once. An error is logged, and the event is not tried again. The queue fills from now on, and the
// function is called from [Node.Run] on. The name is for logs and metrics.
func HandleLive[T any](h Host, t *Topic[T], name string, fn func(context.Context, T) error, options ...LiveOptions) error {
	n, absent := nodeOf(h)
	o, err := one(options)
	err = errors.Join(t.err, err, absent)
	if err == nil {
		handler := n.wrap(o.Middleware, func(ctx context.Context, d *Delivery) error {
			v, err := t.Decode(d.Event)
			if err != nil {
				return err
			}
			return fn(withHandling(ctx, &handling{delivery: d, key: t.keyOf(d.Event, v), live: true}), v)
		})
		err = n.addLive(&liveHandler{node: n, kind: "live handler", name: name, workers: max(1, o.Concurrency), handler: handler}, t.filter, o.Queue)
	}
	return n.refuse("live handler", name, err)
}

// liveHandler is a handler with a queue before it.
type liveHandler struct {
	node    *Node
	kind    string
	name    string
	filter  string
	workers int
	handler Handler
	queue   *Queue
	working sync.WaitGroup
	lines   engine.LineLimit // of the log, about events that failed
	handled atomic.Uint64    // of those taken from the queue
}

// busy returns how many events wait, and how many are being handled.
func (l *liveHandler) busy() (queued, handling int) {
	l.queue.mu.Lock()
	queued, taken := l.queue.events.n, l.queue.taken
	l.queue.mu.Unlock()
	if handled := l.handled.Load(); handled < taken { // it may have gone on meanwhile
		handling = int(taken - handled)
	}
	return queued, handling
}

// addLive subscribes a live handler and enters it in the node.
func (n *Node) addLive(l *liveHandler, filter event.Filter, o QueueOptions) (err error) {
	l.filter = filter.String()
	if l.queue, err = n.opts.Bus.newQueue(filter.String(), o, l.kind == kindResponder); err != nil {
		return err
	}
	if err = n.add(l); err != nil {
		l.queue.Close()
	}
	return err
}

// run runs the workers until the queue is closed and empty, or the context ends.
func (l *liveHandler) run(ctx context.Context) {
	for range l.workers {
		l.working.Go(func() { l.work(ctx) })
	}
	l.working.Wait()
	l.sayLeftOut()
}

// say logs an event that could not be handled. The lines are few, as those of durable handlers are.
func (l *liveHandler) say(args ...any) {
	if l.lines.Allow(time.Now()) {
		l.sayLeftOut()
		l.node.opts.Logger.With("kind", l.kind, "name", l.name).Warn("an event could not be handled", args...)
	}
}

// sayLeftOut says how many events had no line of their own.
func (l *liveHandler) sayLeftOut() {
	if n := l.lines.Take(); n > 0 {
		l.node.opts.Logger.Warn("failures of a handler without a line of their own: too many at a time", "kind", l.kind, "name", l.name, "count", n)
	}
}

// work is a worker. When its handler calls runtime.Goexit, another takes its place.
func (l *liveHandler) work(ctx context.Context) {
	returned := false
	defer func() {
		if !returned {
			l.working.Go(func() { l.work(ctx) })
		}
	}()
	l.handleAll(ctx)
	returned = true
}

// handleAll handles events one after the other.
func (l *liveHandler) handleAll(ctx context.Context) {
	for ctx.Err() == nil {
		e, err := l.queue.Next(ctx)
		if err != nil {
			if !errors.Is(err, ErrClosed) {
				l.node.opts.Logger.Error("a live handler ends", "kind", l.kind, "name", l.name, "error", err)
			}
			return
		}
		d := &Delivery{Record: store.Record{Event: e}, Consumer: l.name, Attempt: 1}
		task.Finally(func() error { return l.handler(ctx, d) }, func(err error) {
			if failed(err) {
				l.say("subject", e.Subject, "id", e.ID, "error", consumer.CutError(err))
			}
			l.handled.Add(1)
		})
	}
}
