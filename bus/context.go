package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/spate-io/spate/consumer"
)

// Delivery is an event that is being handled: what it is, where it comes from, and the step that is committed with it.
type Delivery = consumer.Delivery

// ErrNoNode means that a context has neither a step nor a node in it.
var ErrNoNode = errors.New("the context is not that of a handler and has no node: use PublishTo, or a context of WithNode")

// ErrNoStep means that a context is not that of a handler of [Handle] or [HandleBatch].
var ErrNoStep = consumer.ErrNoStep

type (
	nodeKey     struct{}
	handlingKey struct{}
)

// WithNode returns a context in which [Publish] and [Request] find the node. The contexts of handlers have it already.
func WithNode(ctx context.Context, h Host) context.Context {
	return context.WithValue(ctx, nodeKey{}, h.Node())
}

func nodeFrom(ctx context.Context) (*Node, error) {
	if n, ok := ctx.Value(nodeKey{}).(*Node); ok && n != nil {
		return n, nil
	}
	return nil, ErrNoNode
}

// handling is what a context knows beyond the delivery of package consumer. It is a context itself, which saves an allocation.
type handling struct {
	context.Context
	delivery *Delivery
	batch    []*Delivery
	key      string           // for events that are published without one
	keyOf    func(int) string // the same for an event of the batch
	live     bool
	reply    []byte // of a responder
}

func withHandling(ctx context.Context, h *handling) context.Context {
	h.Context = ctx
	return h
}

// Value returns the handling, or what the context around it has.
func (h *handling) Value(key any) any {
	if _, ok := key.(handlingKey); ok {
		return h
	}
	return h.Context.Value(key)
}

// Current returns the event that is being handled, with its ID, attempt and headers: in handlers, in those of live events, and in
// responders. For a batch it is the last one, see [At].
func Current(ctx context.Context) (*Delivery, bool) {
	if h, ok := ctx.Value(handlingKey{}).(*handling); ok && h.delivery != nil {
		return h.delivery, true
	}
	return consumer.FromContext(ctx)
}

// Batch returns the events that a handler of [HandleBatch] was given, or nil.
func Batch(ctx context.Context) []*Delivery {
	if h, ok := ctx.Value(handlingKey{}).(*handling); ok {
		return h.batch
	}
	return nil
}

// At returns the context of event i of a batch: in it, [State] is that of this event's key, what is published without a key gets this
// one, and [Current] is this event.
func At(ctx context.Context, i int) context.Context {
	h, _ := ctx.Value(handlingKey{}).(*handling)
	if h == nil || i < 0 || i >= len(h.batch) {
		panic(fmt.Sprintf("bus: At(ctx, %d) in a batch of %d events", i, len(Batch(ctx))))
	}
	one := &handling{delivery: h.batch[i], batch: h.batch, keyOf: h.keyOf}
	if h.keyOf != nil {
		one.key = h.keyOf(i)
	}
	return withHandling(ctx, one)
}

// step returns the delivery with which things are committed.
func step(ctx context.Context) (*Delivery, bool) {
	if h, ok := ctx.Value(handlingKey{}).(*handling); ok {
		if h.live {
			return nil, false
		}
		if h.delivery != nil {
			return h.delivery, true
		}
	}
	return consumer.FromContext(ctx)
}

// inheritedKey is the key of what is being handled. A batch has none.
func inheritedKey(ctx context.Context) string {
	if h, ok := ctx.Value(handlingKey{}).(*handling); ok && (h.key != "" || h.batch != nil) {
		return h.key
	}
	if d, ok := Current(ctx); ok {
		return d.Event.Key
	}
	return ""
}
