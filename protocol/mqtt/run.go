package mqtt

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// Run does what is due later: it ends sessions, publishes wills that wait, writes progress, and holds queues to their bounds. It returns once the context has ended and what it had to
// write is handed to the store: end the context when the last connection has ended.
func (b *Broker) Run(ctx context.Context) error {
	mark, sweep, sys := time.NewTicker(marksEvery), time.NewTicker(sweepEvery), time.NewTicker(sysEvery)
	defer mark.Stop()
	defer sweep.Stop()
	defer sys.Stop()
	looking := make(chan struct{}) // closed: there is more to look at, as soon as there is nothing else to do
	if close(looking); b.store == nil {
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
	end := b.logEnd()
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
		if b.bound(s, old) {
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
	b.trim(ctx, end)
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
		for _, offset := range s.nextPlacesLocked(1) {
			if !ok || offset < first {
				first, ok = offset, true
			}
		}
	}
	return first, ok
}

// trim removes what nobody waits for, and tells the backlogs.
func (b *Broker) trim(ctx context.Context, before uint64) {
	bounds, err := b.store.Bounds(ctx, theLog)
	if err != nil || before <= bounds.First {
		return
	}
	batch := &store.Batch{Trims: []store.Position{{Partition: theLog, Offset: before}}, Durability: store.Interval}
	if err := store.Commit(ctx, b.store, batch); err != nil {
		if ctx.Err() == nil {
			b.log.Error("removing messages that nobody waits for", "error", err)
		}
		return
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, l := range b.backlogs {
		l.forget(before)
	}
}

// bound drops what waits for a session beyond its limits. Old is the place before which everything is too old.
func (b *Broker) bound(s *session, old uint64) (end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || !s.lasting.behind {
		return false
	}
	if old > s.lasting.next {
		b.dropWaitingLocked(s, old, dropAge)
	}
	n, bytes := s.waitingLocked()
	if n <= b.limits.Queue && bytes <= uint64(b.limits.QueueBytes) {
		return false
	}
	switch b.config.Overflow {
	case EndSession:
		b.drop(s, 1, n, dropQueue)
		return true
	case DropNewest:
		s.cutLocked(b.limits.Queue)
		return false
	}
	for n > 0 && (n > b.limits.Queue || bytes > uint64(b.limits.QueueBytes)) {
		over := max(1, n-b.limits.Queue)
		places := s.nextPlacesLocked(over)
		if len(places) == 0 {
			return false
		}
		b.dropWaitingLocked(s, places[len(places)-1]+1, dropQueue)
		n, bytes = s.waitingLocked()
	}
	return false
}

// cutLocked has the session not wait for what comes after the first so many messages, until it has had them.
func (s *session) cutLocked(most int) {
	if s.lasting.cut != 0 {
		return
	}
	if places := s.nextPlacesLocked(most + 1); len(places) > most {
		s.lasting.cut = places[most]
	}
}

// resumeCutLocked is told that the session has had what it waits for: what came meanwhile is lost.
func (s *session) resumeCutLocked() {
	s.lasting.cut = 0
	places := s.nextPlacesLocked(maxInt)
	if len(places) > 0 {
		s.lasting.next = places[len(places)-1] + 1
		s.broker.drop(s, 1, len(places), dropQueue)
	}
}

// endOverflowed ends a session that waits for more than it may.
func (b *Broker) endOverflowed(s *session) {
	k := b.stripe(s.id)
	k.Lock()
	defer k.Unlock()
	_, w := b.takeOverFor(s, packet.QuotaExceeded, engine.ReasonOverflow)
	if w == nil {
		w = b.agenda.takeWill(s.id)
	}
	b.endSession(s)
	if w != nil {
		b.publishWill(s.id, w)
	}
}

// waitingLocked returns how much waits for a session, counting twice what two of its subscriptions select.
func (s *session) waitingLocked() (n int, bytes uint64) {
	for sub := range s.subs.all {
		if sub.log() != nil {
			m, size := sub.log().waiting(max(s.lasting.next, sub.start()))
			n, bytes = n+m, bytes+size
		}
	}
	return n, bytes
}

// dropWaitingLocked has a session go on at a place, and counts what it loses.
func (b *Broker) dropWaitingLocked(s *session, to uint64, why string) {
	lost := 0
	for _, offset := range s.nextPlacesLocked(maxInt) {
		if offset >= to {
			break
		}
		lost++
	}
	s.lasting.next = max(s.lasting.next, to)
	b.marks.note(s)
	if lost > 0 {
		b.drop(s, 1, lost, why)
	}
}

const maxInt = int(^uint(0) >> 1)

// Why messages are dropped, in the counters and on $spate/dropped.
const (
	dropQueue = "queue-full"
	dropAge   = "too-old"
	dropLog   = "log-full"
)

// drop counts messages of QoS 1 and 2 that a session loses, and says so.
func (b *Broker) drop(s *session, qos byte, n int, why string) {
	b.count.dropped[qos].Add(uint64(n))
	b.losses.add(s.id, why, n)
}

// check reports why an event cannot be stored, before it is tried together with others.
func (b *Broker) check(e *event.Event) error {
	if err := b.bus.Prepare(e); err != nil {
		return err
	}
	return b.bus.Streams().Check(e)
}
