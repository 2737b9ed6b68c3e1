package httpapi

import (
	"context"
	"net/netip"
)

// enter counts a subscription, or refuses it. Whoever enters must leave.
func (d *Door) enter(remote netip.AddrPort) (leave func(), err error) {
	limits, key := d.opts.Limits, keyOf(remote.Addr())
	counted := remote.IsValid() // a Unix socket has no address
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.draining.Err() != nil:
		return nil, problemf(kindUnavailable, "%v", errDrained)
	case d.subscribers >= limits.Subscribers:
		return nil, problemf(kindBusy, "there are %d subscriptions already: try again later", limits.Subscribers)
	case counted && d.subscribed[key] >= limits.SubscribersPerAddress:
		return nil, problemf(kindTooMany, "there are %d subscriptions from your address already: end one first", limits.SubscribersPerAddress)
	}
	d.subscribers++
	if counted {
		d.subscribed[key]++
	}
	return func() { d.leave(key, counted) }, nil
}

func (d *Door) leave(key addressKey, counted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.subscribers--
	if !counted {
		return
	}
	if d.subscribed[key]--; d.subscribed[key] <= 0 {
		delete(d.subscribed, key)
	}
}

// untilDrain returns a context that ends with errDrained when the door begins to drain.
func (d *Door) untilDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.draining, func() { cancel(errDrained) })
	return ctx, func() { stop(); cancel(nil) }
}

// Drain ends the subscriptions, each with a last comment, and refuses new ones with 503. Everything else goes on. It may be
// called more than once, and [Door.Shutdown] does it too.
func (d *Door) Drain() { d.drain() }
