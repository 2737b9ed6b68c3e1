package bus

import (
	"context"
	"slices"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/task"
)

// Handler is what every typed handler is turned into, and what [Middleware] is put around.
type Handler = consumer.Handler

// Middleware puts something around a handler. It is called once for each handler, and what it returns for each event; for a batch once, with the last
// delivery, and [Batch] returns them all.
type Middleware func(Handler) Handler

// wrap puts the middleware of the node, and of the handler inside it, around a handler. A panic of the handler is an error to all of
// them; one of their own is that of the caller.
func (n *Node) wrap(own []Middleware, h Handler) Handler {
	if len(own)+len(n.opts.Middleware) == 0 {
		return h
	}
	h = Recovery()(h)
	for _, m := range slices.Backward(own) {
		h = m(h)
	}
	for _, m := range slices.Backward(n.opts.Middleware) {
		h = m(h)
	}
	return h
}

// Recovery returns middleware that makes a panic an error, a [task.PanicError] with the stack. Middleware has it inside of it already; it is for what is
// to be kept from the middleware further out.
func Recovery() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			return task.Try(func() error { return next(ctx, d) })
		}
	}
}
