package event

import (
	"hash/maphash"
	"sync"
)

// Set is a set that many goroutines read while a few change it. The zero value is empty and works;
// a Set must not be copied. Adding and removing take a lock and about a
// microsecond however large the set is; reading takes none.
type Set[T comparable] struct {
	mu     sync.Mutex
	seed   maphash.Seed
	seeded bool
	values values[T]
}

// Add adds v and reports how many values there are now, and whether v is new.
func (s *Set[T]) Add(v T) (n int, added bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seeded {
		s.seed, s.seeded = maphash.MakeSeed(), true
	}
	return s.values.add(&s.seed, v)
}

// Remove removes v and reports how many values are left, and whether v was there.
func (s *Set[T]) Remove(v T) (n int, removed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values.remove(&s.seed, v)
}

// Len returns the number of values.
func (s *Set[T]) Len() int { return s.values.len() }

// Each calls yield for each value until it returns false. It does not allocate and takes no lock;
// values that come or go meanwhile may or may not be seen, all others exactly once.
func (s *Set[T]) Each(yield func(T) bool) {
	if g := s.values.p.Load(); g != nil {
		g.each(yield)
	}
}
