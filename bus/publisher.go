package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spate-io/spate/event"
)

// PublisherOptions bounds a [Publisher]. The zero value is good.
type PublisherOptions struct {
	// Window is how many events may be on their way at a time. Default [DefaultWindow].
	Window int
	// Bytes is the same in bytes. Default [DefaultQueueBytes]. An event that is larger goes alone.
	Bytes int
}

// Publisher publishes without waiting for each event to be stored, and so many times faster. Its methods are safe for concurrent use.
// What one goroutine publishes is stored in that order, also when an event between fails.
type Publisher[T any] struct {
	bus     *Bus
	topic   *Topic[T]
	options PublisherOptions
	turn    chan struct{} // held by the one that submits

	mu        sync.Mutex
	submitted uint64
	finished  uint64
	bytes     int           // on their way
	changed   chan struct{} // closed when an event has finished; nil while nobody waits for it
	errs      []error
	dropped   int // errors beyond maxErrors
}

// NewPublisher returns a publisher to a topic. It needs no closing, but a last [Publisher.Flush].
func NewPublisher[T any](h Host, t *Topic[T], options ...PublisherOptions) (*Publisher[T], error) {
	o, err := one(options)
	n, absent := nodeOf(h)
	if err = errors.Join(t.err, err, absent); err != nil {
		return nil, err
	}
	o.Window, o.Bytes = orDefault(o.Window, DefaultWindow), orDefault(o.Bytes, DefaultQueueBytes)
	return &Publisher[T]{bus: n.Bus(), topic: t, options: o, turn: make(chan struct{}, 1)}, nil
}

// Publish hands over a value, outside of any step, and returns, or waits until the window has room for it, or the context ends. Its error is that of a value which
// cannot be an event; whether it was stored says [Publisher.Flush].
func (p *Publisher[T]) Publish(ctx context.Context, v T) error {
	e, err := p.topic.Event(ctx, v)
	if err == nil {
		err = p.bus.Prepare(e)
	}
	if err != nil {
		return err
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	size := e.Size()
	if err := p.admit(ctx, size); err != nil {
		return err
	}
	p.bus.Submit([]*event.Event{e}, func(_ Receipt, err error) { p.finish(size, err) })
	return nil
}

// admit waits for room in the window, and takes it.
func (p *Publisher[T]) admit(ctx context.Context, size int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.waitLocked(ctx, func() bool {
		under := p.submitted - p.finished
		return under < uint64(p.options.Window) && (under == 0 || p.bytes+size <= p.options.Bytes)
	})
	if err != nil {
		return err
	}
	p.submitted++
	p.bytes += size
	return nil
}

// waitLocked waits, without the lock, until the condition holds.
func (p *Publisher[T]) waitLocked(ctx context.Context, cond func() bool) error {
	for !cond() {
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if ctx.Err() != nil && !cond() {
			return ctx.Err()
		}
	}
	return nil
}

func (p *Publisher[T]) finish(size int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished++
	p.bytes -= size
	if err != nil && len(p.errs) < maxErrors {
		p.errs = append(p.errs, err)
	} else if err != nil {
		p.dropped++
	}
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// Flush waits until what was published before is stored and delivered, and returns the errors of all that was not, since the last Flush.
func (p *Publisher[T]) Flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := p.submitted
	if err := p.waitLocked(ctx, func() bool { return p.finished >= until }); err != nil {
		return err
	}
	errs := p.errs
	if p.dropped > 0 {
		errs = append(errs, fmt.Errorf("and %d events more", p.dropped))
	}
	p.errs, p.dropped = nil, 0
	return errors.Join(errs...)
}
