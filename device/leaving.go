package device

import (
	"context"
	"errors"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// leaving is a connection that has ended and of which the registry does not know yet.
type leaving struct {
	epoch  uint64
	at     time.Time
	reason string
}

// leave queues it. There is one for a device at most, the last, so that the queue is never longer than there were devices connected.
func (s *Service) leave(id string, l leaving) {
	s.keepLeaving(id, l)
	signal(s.some)
}

func (s *Service) keepLeaving(id string, l leaving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[id].epoch < l.epoch {
		s.left[id] = l
	}
}

// signal leaves a token if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// takeLeaving takes some of the queue.
func (s *Service) takeLeaving() map[string]leaving {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := min(leavingBatch, max(1, s.store.Limits().Operations/8)) // a put, a requirement, and the event in several streams
	some := map[string]leaving{}
	for id, l := range s.left {
		if len(some) == most {
			break
		}
		some[id] = l
		delete(s.left, id)
	}
	if len(s.left) == 0 {
		s.left = map[string]leaving{} // a map keeps the size that it once had
	}
	return some
}

// flush marks all devices in the queue as offline, many with one commit.
func (s *Service) flush(ctx context.Context) error {
	if err := s.keepNotices(); err != nil { // what was told of a device before it went comes first
		return err
	}
	for {
		some := s.takeLeaving()
		if len(some) == 0 {
			return nil
		}
		err := s.depart(ctx, some)
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrTooLarge) {
			err = nil
			for id, l := range some { // one by one
				if failed := s.departOne(ctx, id, l); failed != nil {
					err = failed
					s.keepLeaving(id, l)
				}
			}
		} else if err != nil {
			for id, l := range some {
				s.keepLeaving(id, l)
			}
		}
		if err != nil {
			return err
		}
	}
}

// depart marks devices as offline with one commit, except those that have connected again. It holds the locks of all of them; who else holds one waits for nothing
// but the store.
func (s *Service) depart(ctx context.Context, some map[string]leaving) error {
	b := &store.Batch{}
	var events []*event.Event
	for id, l := range some {
		defer s.locks.lock(id)()
		e, err := s.read(ctx, id)
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

func (s *Service) departOne(ctx context.Context, id string, l leaving) error {
	return s.depart(ctx, map[string]leaving{id: l})
}

// gone adds to a batch that a device has gone, unless it has come back.
func (s *Service) gone(e *entry, b *store.Batch, l leaving) ([]*event.Event, error) {
	if !e.Online || e.Epoch != l.epoch {
		return nil, nil
	}
	e.Online = false
	if l.at.After(e.LastSeen) && l.reason != restarted { // nothing was heard of it then
		e.LastSeen = l.at
	}
	told, err := s.presence(e, l.at, l.reason)
	if err != nil {
		return nil, err
	}
	return []*event.Event{told}, e.put(b)
}

// restarted is the reason of the offline event of a device that was connected with an earlier process.
const restarted = "the server stopped, and the device did not come back"

// sweep marks devices as offline that were connected with an earlier process and did not come back.
func (s *Service) sweep(ctx context.Context) error {
	at := s.now()
	return s.each(ctx, func(e *entry) {
		if e.Online && e.Life != s.life {
			s.leave(e.ID, leaving{epoch: e.Epoch, at: at, reason: restarted})
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
