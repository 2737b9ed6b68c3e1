package memstore

import (
	"fmt"

	"github.com/spate-io/spate/store"
)

// Submit implements [store.Store].
func (s *Store) Submit(b *store.Batch, done func(error)) {
	w := submission{batch: b, done: done, size: b.Size()}
	if !s.enqueue(w) {
		done(store.ErrClosed)
	}
}

// enqueue reports whether the goroutine that commits will answer.
func (s *Store) enqueue(w submission) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.pending > s.options.Limits.Pending && !s.closed {
		s.wake.Wait()
	}
	if s.ended {
		return false
	}
	w.late = s.closed
	s.queue = append(s.queue, w)
	s.pending += w.size
	s.wake.Broadcast()
	return true
}

// run commits what is submitted, one batch after the other, until the store is closed and all is answered.
func (s *Store) run() {
	for {
		w, ok := s.next()
		if !ok {
			return
		}
		err := s.commit(w)
		s.release(w.size)
		w.done(err)
	}
}

func (s *Store) next() (w submission, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 {
		if s.closed {
			s.ended = true
			return w, false
		}
		s.wake.Wait()
	}
	w = s.queue[0]
	s.queue[0] = submission{}
	s.queue = s.queue[1:]
	return w, true
}

func (s *Store) release(size int) {
	s.mu.Lock()
	s.pending -= size
	s.wake.Broadcast()
	s.mu.Unlock()
}

// commit is the way of one batch: may it, the hook, does it hold, change, the other hook.
func (s *Store) commit(w submission) error {
	if w.late {
		return store.ErrClosed
	}
	if err := s.refuse(w); err != nil {
		return err
	}
	if err := s.options.BeforeCommit(w.batch); err != nil {
		return err
	}
	if err := s.change(w.batch); err != nil {
		return err
	}
	s.options.AfterCommit(w.batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return store.ErrClosed
	}
	return nil
}

func (s *Store) refuse(w submission) error {
	if err := tooLarge(w.batch, w.size, s.options.Limits); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.failed == nil && s.faults.full && w.batch.MakesRoom() {
		return nil
	}
	return s.faults.next()
}

// change commits the batch to the data.
func (s *Store) change(b *store.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return store.ErrClosed
	}
	if err := s.data.check(b); err != nil {
		return err
	}
	s.data.apply(b, s.options.Clock())
	s.signalLocked()
	return nil
}

func tooLarge(b *store.Batch, size int, limits store.Limits) error {
	if n := b.Operations(); n > limits.Operations {
		return fmt.Errorf("%w: it has %d operations, at most %d are taken", store.ErrTooLarge, n, limits.Operations)
	}
	if size > limits.Bytes {
		return fmt.Errorf("%w: it has %d bytes, at most %d are taken", store.ErrTooLarge, size, limits.Bytes)
	}
	longest := 0
	for _, p := range b.Puts {
		longest = max(longest, len(p.Key))
	}
	for _, r := range b.Requires {
		longest = max(longest, len(r.Key))
	}
	for _, key := range b.Deletes {
		longest = max(longest, len(key))
	}
	if longest > limits.Key {
		return fmt.Errorf("%w: a key has %d bytes, at most %d are taken", store.ErrTooLarge, longest, limits.Key)
	}
	return nil
}
