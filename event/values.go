package event

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// A bucket is copied whenever a value joins or leaves it, so its size is the price of a write, and
// the number of buckets is the price of a read (two dependent loads each).
const (
	bucketMost  = 32 // average size at which the number of buckets doubles
	bucketLeast = 8  // average size at which it halves
)

// values is a set of T for one writer at a time and any number of readers. Most filters have one
// subscriber, which costs one word here and one small allocation.
//
// A large set is spread over buckets by hash. Within one table a value never changes its bucket,
// and each bucket is replaced whole: a reader that takes the table once and each bucket once sees every
// value at most once, and sees all that were there throughout. A table that is replaced is not written to again.
type values[T comparable] struct {
	p atomic.Pointer[group[T]]
}

// group is either one value or many.
type group[T comparable] struct {
	one  T
	many *buckets[T]
}

type buckets[T comparable] struct {
	count atomic.Int64
	table []atomic.Pointer[[]T] // its length is a power of two
}

// len returns the number of values.
func (s *values[T]) len() int { return s.p.Load().len() }

func (g *group[T]) len() int {
	switch {
	case g == nil:
		return 0
	case g.many == nil:
		return 1
	}
	return int(g.many.count.Load())
}

// each calls yield for the values until it returns false, and reports whether it never did.
func (g *group[T]) each(yield func(T) bool) bool {
	if g.many == nil {
		return yield(g.one)
	}
	for i := range g.many.table {
		bucket := g.many.table[i].Load()
		if bucket == nil {
			continue
		}
		for _, v := range *bucket {
			if !yield(v) {
				return false
			}
		}
	}
	return true
}

// add adds v and reports the number of values now, and whether v is new.
func (s *values[T]) add(seed *maphash.Seed, v T) (n int, added bool) {
	g := s.p.Load()
	switch {
	case g == nil:
		s.p.Store(&group[T]{one: v})
		return 1, true
	case g.many != nil:
		return s.addMany(seed, g.many, v)
	case g.one == v:
		return 1, false
	}
	m := newBuckets[T](1)
	m.put(seed, g.one)
	m.put(seed, v)
	s.p.Store(&group[T]{many: m})
	return 2, true
}

func (s *values[T]) addMany(seed *maphash.Seed, m *buckets[T], v T) (n int, added bool) {
	if !m.put(seed, v) {
		return int(m.count.Load()), false
	}
	n = int(m.count.Load())
	if n > bucketMost*len(m.table) {
		s.resize(seed, m, 2*len(m.table))
	}
	return n, true
}

// remove removes v and reports the number of values left, and whether v was there.
func (s *values[T]) remove(seed *maphash.Seed, v T) (n int, removed bool) {
	g := s.p.Load()
	switch {
	case g == nil:
		return 0, false
	case g.many == nil:
		if g.one != v {
			return 1, false
		}
		s.p.Store(nil)
		return 0, true
	case !g.many.take(seed, v):
		return g.len(), false
	}
	n = g.len()
	if buckets := len(g.many.table); n == 1 || buckets > 1 && n < bucketLeast*buckets {
		s.resize(seed, g.many, buckets/2)
	}
	return n, true
}

// resize moves the values into a table of another length, or back into the single form.
func (s *values[T]) resize(seed *maphash.Seed, from *buckets[T], length int) {
	all := make([]T, 0, from.count.Load())
	(&group[T]{many: from}).each(func(v T) bool {
		all = append(all, v)
		return true
	})
	if len(all) == 1 {
		s.p.Store(&group[T]{one: all[0]})
		return
	}
	to := newBuckets[T](length)
	to.fill(seed, all)
	s.p.Store(&group[T]{many: to})
}

func newBuckets[T comparable](length int) *buckets[T] {
	return &buckets[T]{table: make([]atomic.Pointer[[]T], length)}
}

func (m *buckets[T]) bucket(seed *maphash.Seed, v T) *atomic.Pointer[[]T] {
	if len(m.table) == 1 {
		return &m.table[0]
	}
	return &m.table[maphash.Comparable(*seed, v)&uint64(len(m.table)-1)]
}

// fill puts distinct values into an empty table, each bucket in one piece.
func (m *buckets[T]) fill(seed *maphash.Seed, all []T) {
	grown := make([][]T, len(m.table))
	for _, v := range all {
		i := 0
		if len(m.table) > 1 {
			i = int(maphash.Comparable(*seed, v) & uint64(len(m.table)-1))
		}
		grown[i] = append(grown[i], v)
	}
	for i, bucket := range grown {
		if bucket != nil {
			exact := slices.Clip(append(make([]T, 0, len(bucket)), bucket...))
			m.table[i].Store(&exact)
		}
	}
	m.count.Store(int64(len(all)))
}

func (m *buckets[T]) put(seed *maphash.Seed, v T) bool {
	p := m.bucket(seed, v)
	var old []T
	if b := p.Load(); b != nil {
		old = *b
	}
	if slices.Contains(old, v) {
		return false
	}
	bucket := append(make([]T, 0, len(old)+1), old...)
	bucket = append(bucket, v)
	p.Store(&bucket)
	m.count.Add(1)
	return true
}

func (m *buckets[T]) take(seed *maphash.Seed, v T) bool {
	p := m.bucket(seed, v)
	old := p.Load()
	if old == nil {
		return false
	}
	i := slices.Index(*old, v)
	if i < 0 {
		return false
	}
	m.count.Add(-1)
	if len(*old) == 1 {
		p.Store(nil)
		return true
	}
	bucket := append(make([]T, 0, len(*old)-1), (*old)[:i]...)
	bucket = append(bucket, (*old)[i+1:]...)
	p.Store(&bucket)
	return true
}
