package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

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
// to be kept from the middleware further out. A text of an error that is longer than [consumer.MaxErrorText] is cut.
func Recovery() Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			return consumer.CutError(task.Try(func() error { return next(ctx, d) }))
		}
	}
}

// Logging returns middleware that logs each event: as Debug, and as Warn with the error if it could not be handled.
func Logging(log *slog.Logger) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			start := time.Now()
			err := next(ctx, d)
			level := slog.LevelDebug
			if failed(err) {
				level = slog.LevelWarn
			}
			if !log.Enabled(ctx, level) {
				return err
			}
			attrs := []slog.Attr{
				slog.String("handler", d.Consumer), slog.String("subject", d.Event.Subject), slog.String("id", d.Event.ID.String()),
				slog.Int("attempt", d.Attempt), slog.Duration("took", time.Since(start)),
			}
			if d.Stream != "" {
				attrs = append(attrs, slog.String("stream", d.Stream), slog.Int("partition", d.Number), slog.Uint64("offset", d.Offset))
			}
			if n := len(Batch(ctx)); n > 0 {
				attrs = append(attrs, slog.Int("events", n))
			}
			if err != nil {
				attrs = append(attrs, slog.Any("error", err))
			}
			log.LogAttrs(ctx, level, "handled", attrs...)
			return err
		}
	}
}

// failed tells whether an error of a handler is one.
func failed(err error) bool { return err != nil && !errors.Is(err, Skip) }

// RateLimit returns middleware that lets perSecond events through per second, on average, and burst at once at most, together over all handlers
// that it is put around; a batch counts its events. The others wait, and their keys and partitions with them, so nothing is lost
// that comes from a stream. It panics if one of the numbers is not above 0.
func RateLimit(perSecond float64, burst int) Middleware {
	if !(perSecond > 0) || burst <= 0 {
		panic(fmt.Sprintf("bus: a rate limit of %v events per second and %d at once lets nothing through", perSecond, burst))
	}
	l := &limiter{perSecond: perSecond, burst: float64(burst), tokens: float64(burst)}
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			if err := l.take(ctx, max(1, len(Batch(ctx)))); err != nil {
				return err
			}
			return next(ctx, d)
		}
	}
}

// limiter is a bucket of tokens. Whoever takes more than there are waits until the debt is paid, first come first served.
type limiter struct {
	perSecond, burst float64

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func (l *limiter) take(ctx context.Context, n int) error {
	l.mu.Lock()
	now := time.Now()
	if !l.last.IsZero() {
		l.tokens = min(l.burst, l.tokens+l.perSecond*now.Sub(l.last).Seconds())
	}
	l.last = now
	l.tokens -= float64(n)
	debt := -l.tokens
	l.mu.Unlock()
	if debt <= 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(debt / l.perSecond * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		l.tokens += float64(n)
		l.mu.Unlock()
		return ctx.Err()
	}
}
