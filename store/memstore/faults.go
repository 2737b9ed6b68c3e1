package memstore

import (
	"fmt"

	"github.com/spate-io/spate/store"
)

// faults is what a test has asked to go wrong.
type faults struct {
	failed error // for ever
	full   bool
	once   []error // one for each of the next batches
}

func (f *faults) health() error {
	switch {
	case f.failed != nil:
		return f.failed
	case f.full:
		return store.ErrFull
	}
	return nil
}

// next returns what refuses the next batch, or nil.
func (f *faults) next() error {
	if err := f.health(); err != nil {
		return err
	}
	if len(f.once) == 0 {
		return nil
	}
	err := f.once[0]
	f.once = f.once[1:]
	return err
}

// Fail makes the store behave as after a write that failed because of err: every batch that is not yet committed fails with [store.ErrFailed], and so
// does every later one, until the store is reopened.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.failed = fmt.Errorf("%w: %w", store.ErrFailed, err)
}

// FailNext makes the next n batches fail with err. Nothing of them is kept, and those after them are committed.
func (s *Store) FailNext(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.faults.once = append(s.faults.once, err)
	}
}

// SetFull says whether the disk is full. While it is, every batch fails with [store.ErrFull] that does not make room, see [store.Batch.MakesRoom].
func (s *Store) SetFull(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.full = full
}

// Corrupt makes the record at a position fail its checksum from now on, also after Reopen. It reports whether there is one.
func (s *Store) Corrupt(at store.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.data.partition(at.Partition)
	i, found := p.search(at.Offset)
	if found {
		p.Records[i].Corrupt = true
	}
	return found
}
