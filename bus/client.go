package bus

import (
	"fmt"
	"sync"

	"github.com/spate-io/spate/event"
)

// Client is one subscriber's set of subscriptions: each filter and each glob at most once, and not more than the limits
// allow. Its methods are safe for concurrent use. A client without subscriptions costs about 120 bytes.
type Client struct {
	bus        *Bus
	subscriber Subscriber
	responds   bool // its subscriptions answer requests

	mu      sync.Mutex
	closed  bool
	filters subscriptions
	globs   *subscriptions // nil until there is one: few clients have any
}

// NewClient returns a client without subscriptions, whose messages go to the subscriber.
func (b *Bus) NewClient(subscriber Subscriber) *Client {
	return &Client{bus: b, subscriber: subscriber}
}

// Subscribe subscribes to a subject or a filter. Added is false when the client had it already.
func (c *Client) Subscribe(filter string) (added bool, err error) {
	parsed, err := event.ParseFilter(filter, c.bus.limits.Event)
	if err != nil {
		return false, err
	}
	s := &Subscription{client: c, subscriber: c.subscriber, pattern: filter, kind: KindFilter, responds: c.responds}
	if parsed.IsLiteral() {
		s.kind = KindSubject
	}
	return c.add(&c.filters, s, func() error {
		c.bus.addFilter(parsed, s)
		return nil
	})
}

// SubscribeGlob subscribes to the subjects that match a pattern of Redis, see [Glob]; but see [ErrTooVague].
func (c *Client) SubscribeGlob(pattern string) (added bool, err error) {
	if err := c.bus.checkGlobLength(pattern); err != nil {
		return false, err
	}
	s := &Subscription{client: c, subscriber: c.subscriber, pattern: pattern, kind: KindGlob}
	return c.add(c.ownGlobs(), s, func() error { return c.bus.addGlob(s) })
}

// ownGlobs returns the list of globs, made when it is first needed.
func (c *Client) ownGlobs() *subscriptions {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.globs == nil {
		c.globs = &subscriptions{}
	}
	return c.globs
}

// add enters s in one of the client's lists and then in the bus.
func (c *Client) add(list *subscriptions, s *Subscription, enter func() error) (added bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, fmt.Errorf("client cannot subscribe to %.64q: %w", s.pattern, ErrClosed)
	}
	if list.get(s.pattern) != nil {
		return false, nil
	}
	if err := c.admit(s); err != nil {
		return false, err
	}
	s.active.Store(true)
	if err := enter(); err != nil {
		c.bus.subscriptions.Add(-1)
		return false, err
	}
	list.put(s)
	return true, nil
}

// admit checks the limits and counts the subscription.
func (c *Client) admit(s *Subscription) error {
	limits := c.bus.limits
	if c.filters.len()+c.globs.len() >= limits.ClientSubscriptions {
		return tooMany(s, "subscriptions of one client", limits.ClientSubscriptions)
	}
	if s.kind == KindGlob && c.globs.len() >= limits.ClientGlobs {
		return tooMany(s, "patterns of one client", limits.ClientGlobs)
	}
	if c.bus.subscriptions.Add(1) > int64(limits.Subscriptions) {
		c.bus.subscriptions.Add(-1)
		return tooMany(s, "subscriptions in all", limits.Subscriptions)
	}
	return nil
}

func tooMany(s *Subscription, what string, most int) error {
	return fmt.Errorf("cannot subscribe to %.64q: the limit of %d %s is reached: %w", s.pattern, most, what, ErrTooMany)
}

// Unsubscribe ends the subscription to a subject or filter, and reports whether there was one.
func (c *Client) Unsubscribe(filter string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.filters.take(filter)
	c.bus.drop(s)
	return s != nil
}

// UnsubscribeGlob ends the subscription to a pattern, and reports whether there was one.
func (c *Client) UnsubscribeGlob(pattern string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.globs.take(pattern)
	c.bus.drop(s)
	return s != nil
}

// Subscriptions returns the subscriptions of now, in no particular order.
func (c *Client) Subscriptions() []*Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all()
}

func (c *Client) all() []*Subscription {
	return c.globs.appendTo(c.filters.appendTo(make([]*Subscription, 0, c.filters.len()+c.globs.len())))
}

// Close ends all subscriptions and refuses new ones.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, s := range c.all() {
		c.bus.drop(s)
	}
	c.filters, c.globs = subscriptions{}, nil
}

func (b *Bus) addFilter(filter event.Filter, s *Subscription) {
	if n, _ := b.filters.Add(filter, s); n == 1 && !filter.IsLiteral() {
		b.wild.Add(1)
	}
}

// drop takes a subscription out of the routes; nil is none.
func (b *Bus) drop(s *Subscription) {
	if s == nil {
		return
	}
	s.active.Store(false)
	b.subscriptions.Add(-1)
	if s.kind == KindGlob {
		b.removeGlob(s)
		return
	}
	filter, err := event.ParseFilter(s.pattern, b.limits.Event)
	if err != nil {
		panic("bus: a filter that was accepted is no longer: " + err.Error())
	}
	if n, _ := b.filters.Remove(filter, s); n == 0 && !filter.IsLiteral() {
		b.wild.Add(-1)
	}
}
