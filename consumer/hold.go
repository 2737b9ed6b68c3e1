package consumer

import (
	"context"
	"errors"
	"fmt"
)

// activate waits until the consumer may run: no change is under way, and, if it is paused, it is to look again. It returns the context of this
// run, or nil when the given one has ended.
func (c *Consumer) activate(ctx context.Context, paused bool) context.Context {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	for ctx.Err() == nil && (c.holds > 0 || paused && c.begun == c.asked) {
		changed := c.changed
		c.set.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.set.mu.Lock()
	}
	if ctx.Err() != nil {
		return nil
	}
	run, stop := context.WithCancel(ctx)
	c.active, c.begun, c.interrupt = true, c.asked, stop
	return run
}

// deactivate is the end of a run. That it was interrupted is no error.
func (c *Consumer) deactivate(run context.Context, err *error) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if run.Err() != nil && errors.Is(*err, context.Canceled) {
		*err = nil
	}
	c.interrupt()
	c.active, c.err = false, *err
	c.changedLocked()
}

func (c *Consumer) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// againLocked has a consumer begin anew from what is stored, once what it is at is committed.
func (c *Consumer) againLocked() {
	c.asked++
	if c.active {
		c.interrupt()
	}
	c.changedLocked()
}

// again has a consumer, if this process has it, begin anew from what is stored, and waits until it has done what it was at before. An error says what
// that waits for; it begins anew nevertheless.
func (s *Set) again(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.all[name]
	if c == nil {
		return nil
	}
	c.againLocked()
	asked := c.asked
	return c.waitLocked(ctx, func() bool { return !c.active || c.begun >= asked })
}

// held does something while a consumer does not run in this process, after it has committed what it is at. If that takes longer than the context, nothing is
// done, and the consumer goes on.
func (s *Set) held(ctx context.Context, name string, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.all[name]
	if c != nil {
		c.holds++
		c.againLocked()
		defer func() {
			c.holds--
			c.changedLocked()
		}()
		if err := c.waitLocked(ctx, func() bool { return !c.active }); err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	return do()
}

// waitLocked waits for something to become true of the consumer.
func (c *Consumer) waitLocked(ctx context.Context, cond func() bool) error {
	s := c.set
	for !cond() {
		changed := c.changed
		s.mu.Unlock()
		err := error(nil)
		select {
		case <-changed:
		case <-ctx.Done():
			err = fmt.Errorf("the consumer %q begins nothing new, but it %s: %w", c.config.Name, c.atWork(), ctx.Err())
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// atWork is busy, of a consumer that may just have become idle.
func (c *Consumer) atWork() string {
	if what := c.busy(); what != "" {
		return what
	}
	return "has not stopped yet"
}
