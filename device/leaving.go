package device

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// leaving is a connection that has ended and of which the registry does not know yet.
type leaving struct {
	id     string // of the device
	epoch  uint64
	at     time.Time
	heard  time.Time // when something was last heard of it; zero if nobody knows
	reason string
}

// leave queues it. There is one for a device at most, the last, so that the queue is never longer than there were devices connected.
func (s *Service) leave(l leaving) {
	s.keepLeaving(l)
	signal(s.some)
}

func (s *Service) keepLeaving(l leaving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[l.id].epoch < l.epoch {
		s.left[l.id] = l
	}
}

// signal leaves a token if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// takeLeaving takes the queue. It does no more under the lock: when ten thousand go at once, all of them wait for whoever is interrupted while holding it.
func (s *Service) takeLeaving() map[string]leaving {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.left
	s.left = map[string]leaving{}
	return all
}

// flush marks all devices in the queue as offline, many with one commit.
func (s *Service) flush(ctx context.Context) error {
	if err := s.keepNotices(); err != nil { // what was told of a device before it went comes first
		return err
	}
	most := min(leavingBatch, max(1, s.store.Limits().Operations/8)) // a put, a requirement, and the event in several streams
	for {
		all := slices.Collect(maps.Values(s.takeLeaving()))
		if len(all) == 0 {
			return nil
		}
		for some := range slices.Chunk(all, most) {
			if err := s.departAll(ctx, some); err != nil {
				for _, l := range all { // those that have departed do so once
					s.keepLeaving(l)
				}
				return err
			}
		}
	}
}

// departAll marks devices as offline with one commit, or one by one if that does not go.
func (s *Service) departAll(ctx context.Context, some []leaving) error {
	err := s.depart(ctx, some)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTooLarge) {
		err = nil
		for i := range some {
			err = errors.Join(err, s.depart(ctx, some[i:i+1]))
		}
	}
	return err
}

// depart marks devices as offline with one commit, except those that have connected again. It holds the locks of all of them; who else holds one waits for nothing
// but the store.
func (s *Service) depart(ctx context.Context, some []leaving) error {
	b := &store.Batch{}
	var events []*event.Event
	for _, l := range some {
		defer s.locks.lock(l.id)()
		runtime.Gosched() // thousands may go at once, which is half a second of work, and others wait for this processor
		e, err := s.read(ctx, l.id)
		if err != nil {
			return err
		}
		told, err := s.gone(&e, b, l)
		if err != nil {
			return err
		}
		events = append(events, told...)
	}
	if b.Operations() == 0 {
		return nil
	}
	return s.commit(b, events...)
}

// gone adds to a batch that a device has gone, unless it has come back.
func (s *Service) gone(e *entry, b *store.Batch, l leaving) ([]*event.Event, error) {
	if !e.Online || e.Epoch != l.epoch {
		return nil, nil
	}
	e.Online, e.Cut = false, l.reason == restarted || l.reason == engine.ReasonShutdown.String()
	if l.heard.After(e.LastSeen) {
		e.LastSeen = l.heard
	}
	told, err := s.presence(e, l.at, l.reason)
	if err != nil {
		return nil, err
	}
	s.expect(e)
	return []*event.Event{told}, e.put(b)
}

// restarted is the reason of the offline event of a device that was connected with an earlier process.
const restarted = "the server stopped, and the device did not come back"

// sweep marks devices as offline that were connected with an earlier process and did not come back.
func (s *Service) sweep(ctx context.Context) error {
	at := s.now()
	return s.each(ctx, func(e *entry) {
		if e.Online && e.Life != s.life {
			s.leave(leaving{id: e.ID, epoch: e.Epoch, at: at, reason: restarted})
		}
	})
}

// each calls fn with every device.
func (s *Service) each(ctx context.Context, fn func(*entry)) error {
	for after, more := "", true; more; {
		entries, err := s.store.Scan(ctx, registryPrefix, after, readPage)
		if err != nil {
			return err
		}
		for _, stored := range entries {
			e, err := decodeEntry(stored)
			if err != nil {
				return err
			}
			fn(&e)
			after = stored.Key
		}
		more = len(entries) == readPage
	}
	return nil
}
