package bus

import (
	"context"
	"fmt"
)

// Publish publishes a value. In a handler of [Handle] or [HandleBatch] it is published with the step: stored and delivered if the handler
// returns nil, and not at all otherwise; it does not wait. In any other context that has a node, of a live handler, a
// responder, or [WithNode], it is [PublishTo].
func Publish[T any](ctx context.Context, t *Topic[T], v T) error {
	d, ok := step(ctx)
	if !ok {
		n, err := nodeFrom(ctx)
		if err != nil {
			return fmt.Errorf("publishing on the topic %q: %w", t.filter, err)
		}
		return PublishTo(ctx, n, t, v)
	}
	e, err := t.Event(ctx, v)
	if err != nil {
		return err
	}
	return d.Publish(e)
}

// PublishTo publishes a value now, outside of any step, and returns when it is stored in the streams that capture it and was delivered. When
// the context ends first, it may be published nevertheless.
func PublishTo[T any](ctx context.Context, h Host, t *Topic[T], v T) error {
	n, err := nodeOf(h)
	if err != nil {
		return err
	}
	e, err := t.Event(ctx, v)
	if err != nil {
		return err
	}
	_, err = n.Bus().Publish(ctx, e)
	return err
}
