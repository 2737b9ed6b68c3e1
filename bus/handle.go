package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// Skip is an error that means: the event is done with, keep nothing of what the handler wanted to store or publish.
var Skip = consumer.Skip

// RetryAfter returns an error that means: try again after d, however often it has been tried.
func RetryAfter(d time.Duration) error { return consumer.RetryAfter(d) }

// Dead returns an error that means: this event will never be handled, make it a dead letter now.
func Dead(err error) error { return consumer.Dead(err) }

// HandlerOptions configures a durable handler. The zero value is good.
type HandlerOptions struct {
	// Stream is what it reads. Default: see [Handle].
	Stream string
	// From is where a handler begins whose name is new. Default: the beginning.
	From stream.From
	// Concurrency is how many keys are handled at the same time. Default [consumer.DefaultConcurrency].
	Concurrency int
	// InFlight is how many events of a partition are in memory. Default [consumer.DefaultInFlight]. What a stalled
	// handler costs is this.
	InFlight int
	// InFlightBytes is the same in bytes. Default [consumer.DefaultInFlightBytes].
	InFlightBytes int
	// BatchSize is how many events [HandleBatch] gives at most. Default [consumer.DefaultBatchSize].
	BatchSize int
	// Retry says how often, and when, an event is handled again after an error. Its zero value tries 10 times, over 16 s on
	// average.
	Retry task.Backoff
	// Timeout is how long a handler may take before its context ends. Default: for ever.
	Timeout time.Duration
	// Middleware is put around the handler, inside that of the node, the first one outermost. Default: none.
	Middleware []Middleware
}

// Handle has a function handle the events of a topic that a stream captures. The name identifies the handler, and its place in the stream, over
// restarts. What the function publishes with [Publish] and keeps as [State] is committed together with its place, in one step, if it returns nil; what
// another error means is said in package consumer. An event that is not of the type of the topic is a dead letter at once.
//
// The stream is the one that the options name; or else the one that the handler of this name already reads; or that which has the filter of the
// topic as one of its own; or the only one with a filter that covers it. If several cover it, that is an error. If none does, one is
// made, with the defaults of [stream.Config], which keep events for ever: its name is the filter with dots for slashes, with
// "any" and "all" for '+' and '#', without a '$' in front, and with a number behind it if another stream has that name. So make the
// streams that should be otherwise before the handlers.
//
// Several options are an error, and so is a handler after the node has ended. An error that is ignored here is that of [Node.Run].
func Handle[T any](h Host, t *Topic[T], name string, fn func(context.Context, T) error, options ...HandlerOptions) error {
	n := h.Node()
	c, o, err := n.config(t.Err(), t.filter, name, options)
	if err == nil {
		handler := n.wrap(o.Middleware, func(ctx context.Context, d *Delivery) error {
			v, err := t.Decode(d.Event)
			if err != nil {
				return Dead(err)
			}
			if d.Event.Key == "" {
				if key := t.keyOf(d.Event, v); key != "" {
					ctx = withHandling(ctx, &handling{delivery: d, key: key})
				}
			}
			return fn(ctx, v)
		})
		err = n.opts.Consumers.Handle(c, handler)
	}
	return n.refuse("handler", name, err)
}

// HandleBatch is [Handle] for up to HandlerOptions.BatchSize events of a partition at a time, in order, whatever their keys: all are
// done with one commit, or none. When the function has failed as often as an event is tried, the events are given to it one by one. In its
// context, [Batch] returns the events themselves, and [At] the context of one of them. Middleware is called once for a batch.
func HandleBatch[T any](h Host, t *Topic[T], name string, fn func(context.Context, []T) error, options ...HandlerOptions) error {
	n := h.Node()
	c, o, err := n.config(t.Err(), t.filter, name, options)
	if err == nil {
		handler := n.wrap(o.Middleware, func(ctx context.Context, _ *Delivery) error {
			current, _ := ctx.Value(handlingKey{}).(*handling)
			values := make([]T, len(current.batch))
			for i, d := range current.batch {
				var err error
				if values[i], err = t.Decode(d.Event); err != nil {
					return Dead(err)
				}
			}
			current.keyOf = func(i int) string { return t.keyOf(current.batch[i].Event, values[i]) }
			return fn(ctx, values)
		})
		err = n.opts.Consumers.HandleBatch(c, func(ctx context.Context, batch []*Delivery) error {
			return handler(withHandling(ctx, &handling{batch: batch}), batch[len(batch)-1])
		})
	}
	return n.refuse("handler", name, err)
}

// ErrNoStore means that a node cannot store anything, so that a handler on it cannot be durable.
var ErrNoStore = errors.New("the node has no store: give it one, or use HandleLive, which keeps nothing")

// one returns the options of a call, which were given at most once.
func one[O any](options []O) (o O, err error) {
	switch len(options) {
	case 0:
		return o, nil
	case 1:
		return options[0], nil
	}
	return o, fmt.Errorf("%d options are given, where one is enough", len(options))
}

// config makes the configuration of a consumer.
func (n *Node) config(err error, filter event.Filter, name string, options []HandlerOptions) (consumer.Config, HandlerOptions, error) {
	o, many := one(options)
	if n == nil {
		return consumer.Config{}, o, ErrNoHost
	}
	if err = errors.Join(err, many); err != nil {
		return consumer.Config{}, o, err
	}
	if n.opts.Consumers == nil || n.opts.Bus.Streams() == nil {
		return consumer.Config{}, o, ErrNoStore
	}
	from, err := n.streamFor(context.Background(), filter, name, o.Stream)
	return consumer.Config{
		Name: name, Stream: from, Filter: filter.String(), From: o.From, Concurrency: o.Concurrency, InFlight: o.InFlight,
		InFlightBytes: o.InFlightBytes, BatchSize: o.BatchSize, Retry: o.Retry, Timeout: o.Timeout,
	}, o, err
}

// ErrStream means that it is not clear which stream a handler should read.
var ErrStream = errors.New("which stream to read is not clear")

// streamFor returns which stream a handler reads, see [Handle].
func (n *Node) streamFor(ctx context.Context, filter event.Filter, name, wanted string) (string, error) {
	streams := n.opts.Bus.Streams()
	if wanted != "" {
		_, err := streams.Get(wanted)
		return wanted, err
	}
	var exact, covering []string
	for _, s := range streams.List() {
		c := s.Config()
		same, covers := selects(c.Subjects, filter)
		if same {
			exact = append(exact, c.Name)
		}
		if covers {
			covering = append(covering, c.Name)
		}
	}
	if len(covering) == 0 {
		return n.makeStream(ctx, filter)
	}
	if info, err := n.opts.Consumers.Info(ctx, name); err == nil && contains(covering, info.Stream) {
		return info.Stream, nil
	}
	if len(exact) > 0 {
		covering = exact
	}
	if len(covering) > 1 {
		return "", fmt.Errorf("%w: %d capture %q: %s. Name one of them in HandlerOptions.Stream", ErrStream, len(covering), filter, strings.Join(covering, ", "))
	}
	return covering[0], nil
}
