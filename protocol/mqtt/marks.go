package mqtt

import (
	"errors"
	"slices"
	"sync"

	"github.com/spate-io/spate/store"
)

// marks are the sessions whose progress is not in the store yet. It is written every marksEvery and need not be: after a crash, messages of QoS 1 that were
// acknowledged since come again, and those of QoS 2 have the same identifiers, by which their clients know them.
type marks struct {
	broker *Broker

	mu     sync.Mutex
	dirty  []*session
	shares []*share
	waits  []*share // what waits for them may be handed out
}

// note has the progress of a session written soon. The caller has the lock of the session.
func (m *marks) note(s *session) {
	if s.lasting.dirty {
		return
	}
	s.lasting.dirty = true
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty = append(m.dirty, s)
}

// flush writes what has changed.
func (m *marks) flush() {
	m.mu.Lock()
	todo, shares, waits := m.dirty, m.shares, m.waits
	m.dirty, m.shares, m.waits = nil, nil, nil
	m.mu.Unlock()
	for _, sh := range waits {
		sh.serve()
	}
	m.writeShares(shares)
	for len(todo) > 0 {
		n := min(len(todo), marksBatch)
		m.write(todo[:n])
		todo = todo[n:]
	}
}

func (m *marks) write(sessions []*session) {
	batch := &store.Batch{Durability: store.Interval}
	var held []*lasting
	for _, s := range sessions {
		if !s.lasting.save.TryLock() { // its connection is writing newer ones
			s.mu.Lock()
			s.lasting.dirty = false
			m.note(s)
			s.mu.Unlock()
			continue
		}
		held = append(held, s.lasting)
		s.mu.Lock()
		s.lasting.dirty = false
		if !s.over {
			batch.Puts = append(batch.Puts, store.Put{Key: marksKey(s.id), Data: s.marksLocked()})
		}
		s.mu.Unlock()
	}
	if len(batch.Puts) > 0 {
		m.broker.store.Submit(batch, func(err error) {
			if err != nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrFull) {
				m.broker.log.Error("storing how far sessions have got; some messages may come to them again", "error", err)
			}
		})
	}
	for _, l := range held {
		l.save.Unlock()
	}
}

// noteShare has the place of a shared subscription written soon. The caller has its lock.
func (m *marks) noteShare(sh *share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = append(m.shares, sh)
}

// serveSoon has what waits for a shared subscription handed out by Run, where nobody is there who may read from the log.
func (m *marks) serveSoon(sh *share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.waits, sh) {
		m.waits = append(m.waits, sh)
	}
}

func (m *marks) writeShares(shares []*share) {
	if len(shares) == 0 {
		return
	}
	batch := &store.Batch{Durability: store.Interval}
	for _, sh := range shares {
		batch.Puts = append(batch.Puts, store.Put{Key: shareKey(sh.name), Data: sh.encode()})
	}
	m.broker.store.Submit(batch, func(err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrFull) {
			m.broker.log.Error("storing how far shared subscriptions have got; some messages may come to them again", "error", err)
		}
	})
}
