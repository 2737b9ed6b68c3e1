package mqtt

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Run does what is due later: it ends sessions, publishes wills that wait, writes progress, and holds queues to their bounds. It returns once the context has ended and what it had to
// write is handed to the store: end the context when the last connection has ended.
func (b *Broker) Run(ctx context.Context) error {
	mark, sweep, sys := time.NewTicker(marksEvery), time.NewTicker(sweepEvery), time.NewTicker(sysEvery)
	defer mark.Stop()
	defer sweep.Stop()
	defer sys.Stop()
	all := make(chan struct{}) // closed
	close(all)
	looking := all // there is more to look at, as soon as there is nothing else to do
	if b.store == nil {
		looking = nil
	}
	due := time.NewTimer(b.agenda.work())
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			b.marks.flush()
			return nil
		case <-mark.C:
			b.marks.flush()
		case <-sweep.C:
			b.sweep(ctx)
			if b.retained.anew() {
				looking = all
			}
			b.publishLosses()
		case <-sys.C:
			b.publishSys()
		case <-looking:
			done, err := b.retained.look(ctx)
			if err != nil && ctx.Err() == nil {
				b.log.Error("counting the retained messages", "error", err)
			}
			if done || err != nil {
				looking = nil
			}
		case <-b.agenda.wake:
			due.Reset(b.agenda.work())
		case <-due.C:
			due.Reset(b.agenda.work())
		}
	}
}

// loadSalt returns what publishers' tags are made with, and makes it once.
func (b *Broker) loadSalt(ctx context.Context) ([]byte, error) {
	v, err := b.store.Get(ctx, saltKey)
	if err != nil || v.Revision != 0 {
		return v.Data, err
	}
	salt := []byte(rand.Text())
	return salt, store.Commit(ctx, b.store, &store.Batch{Puts: []store.Put{{Key: saltKey, Data: salt}}})
}

// forget removes a key from the store. Nobody waits for it.
func (b *Broker) forget(key string) {
	b.store.Submit(&store.Batch{Deletes: []string{key}}, func(err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) {
			b.log.Error("what is not needed any more is still in the store", "key", key, "error", err)
		}
	})
}

// sweep holds the queues of sessions to their bounds, forgets places that nobody reads any more, and trims the log.
func (b *Broker) sweep(ctx context.Context) {
	if b.store == nil {
		return
	}
	bounds, err := b.store.Bounds(ctx, theLog)
	if err != nil {
		b.log.Error("looking for what sessions wait for", "error", err)
		return
	}
	end := bounds.Next
	if !b.noted(ctx, end) {
		return
	}
	old, err := b.store.Find(ctx, theLog, b.now().Add(-b.limits.QueueAge))
	if err != nil {
		b.log.Error("looking for old messages", "error", err)
		return
	}
	sessions, shares := b.everything()
	for _, s := range sessions {
		if b.bound(s, bounds.First, old) {
			b.endOverflowed(s)
		}
		if first, ok := s.oldest(); ok {
			end = min(end, first)
		}
	}
	for _, sh := range shares {
		if first, ok := sh.oldest(); ok {
			end = min(end, first)
		}
	}
	b.mu.RLock()
	for _, l := range b.backlogs {
		l.forget(bounds.Next)
	}
	b.mu.RUnlock()
	if end > bounds.First {
		b.trim(ctx, end)
	}
}

// noted waits until everything before a place in the log has been delivered, and so is noted where somebody waits for it. What can be read need not be on its way to its delivery yet:
// a commit behind it makes sure of that.
func (b *Broker) noted(ctx context.Context, end uint64) bool {
	if end != b.swept {
		if err := store.Commit(ctx, b.store, &store.Batch{Trims: []store.Position{{Partition: theLog}}, Durability: store.None}); err != nil {
			return false
		}
		b.swept = end
	}
	passed := make(chan struct{})
	b.bus.Fence(func() { close(passed) })
	select {
	case <-passed:
		return true
	case <-ctx.Done():
		return false
	}
}

// everything returns the lasting sessions and the shared subscriptions that are in the log.
func (b *Broker) everything() (sessions []*session, shares []*share) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.sessions {
		if s.lasting != nil {
			sessions = append(sessions, s)
		}
	}
	for _, sh := range b.shares {
		shares = append(shares, sh)
	}
	return sessions, shares
}

// oldest returns the first place in the log that the session still needs, and whether there is one.
func (s *session) oldest() (first uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.window.entries {
		if e.logged && (!ok || e.offset < first) {
			first, ok = e.offset, true
		}
	}
	if s.lasting.behind {
		for sub := range s.subs.all {
			if sub.log() != nil {
				sub.log().need(max(s.lasting.next, sub.start()))
			}
		}
		for _, offset := range s.nextPlacesLocked(1) {
			if !ok || offset < first {
				first, ok = offset, true
			}
		}
	}
	return first, ok
}

// trim removes what nobody waits for.
func (b *Broker) trim(ctx context.Context, before uint64) {
	batch := &store.Batch{Trims: []store.Position{{Partition: theLog, Offset: before}}, Durability: store.Interval}
	if err := store.Commit(ctx, b.store, batch); err != nil && ctx.Err() == nil {
		b.log.Error("removing messages that nobody waits for", "error", err)
	}
}

// check reports why an event cannot be stored, before it is tried together with others.
func (b *Broker) check(e *event.Event) error {
	if err := b.bus.Prepare(e); err != nil {
		return err
	}
	if streams := b.bus.Streams(); streams != nil {
		return streams.Check(e)
	}
	return nil
}
