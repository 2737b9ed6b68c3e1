package xstream

import (
	"container/list"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/spate-io/spate/store"
)

// An index tells where in a partition that many subjects share the records of each one are. It lives in memory only, in blocks of
// blockRecords offsets, which are made when somebody first needs them, by reading their records once for all subjects.
type index struct {
	set  *Set
	part store.Partition

	mu      sync.Mutex
	blocks  map[uint64]*block // those that are whole
	low     uint64            // no block before it is there
	tail    tail
	making  bool                // somebody reads records, to make a block of them
	dropped map[uint64]struct{} // those that were removed meanwhile

	maker chan struct{} // a place for the one who does
}

// A block has a mark for each record: the hash of its subject, its place in the block, and whether it has an ID that was given. They are sorted.
type block struct {
	of     *index
	number uint64
	marks  []mark
	place  *list.Element // in Set.shelf; guarded by its lock
}

// tail is a block that is not full yet.
type tail struct {
	number uint64
	upto   uint64 // offset, of the next record that there is no mark of
	marks  []mark // in the order of the offsets
}

// mark is of one record. The hash has 53 bits: of a billion records one subject is taken for another with a probability of 1 to 9 million, and then a
// length is wrong by one; what is read is compared.
type mark uint64

const (
	blockBits    = 10
	blockRecords = 1 << blockBits
	hashShift    = blockBits + 1
)

// blockEnd returns the end of the block with an offset.
func blockEnd(offset uint64) uint64 { return (offset>>blockBits + 1) << blockBits }

var hashSeed = maphash.MakeSeed()

func hashOf(subject string) mark { return mark(maphash.String(hashSeed, subject) << hashShift) }

func markOf(r *store.Record) mark {
	m := hashOf(r.Event.Subject) | mark(r.Offset%blockRecords)<<1
	if _, given := givenID(r.Event); given {
		m |= 1
	}
	return m
}

func (m mark) of(hash mark) bool { return m>>hashShift == hash>>hashShift }

func (m mark) offset(number uint64) uint64 { return number<<blockBits | uint64(m)%(2*blockRecords)>>1 }

// A shelf holds the blocks of all indexes, the oldest first.
type shelf struct {
	mu  sync.Mutex
	all list.List // of *block
}

// put adds a block, and returns those that have to make room.
func (s *shelf) put(b *block, most int) (out []*block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.place = s.all.PushBack(b)
	for s.all.Len() > most {
		old := s.all.Remove(s.all.Front()).(*block)
		old.place = nil
		out = append(out, old)
	}
	return out
}

// take removes a block, which may have gone already.
func (s *shelf) take(b *block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.place != nil {
		s.all.Remove(b.place)
		b.place = nil
	}
}

// clear forgets everything.
func (x *index) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range x.blocks {
		x.set.shelf.take(b)
	}
	clear(x.blocks)
	x.tail, x.low = tail{}, 0
}

// trimmed forgets what is before the first record.
func (x *index) trimmed(first uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	end := first >> blockBits
	if end-x.low > uint64(len(x.blocks)) {
		for number := range x.blocks {
			x.forget(number, end)
		}
	} else {
		for number := x.low; number < end; number++ {
			x.forget(number, end)
		}
	}
	x.low = max(x.low, end)
}

// forget removes a block before end. Called with the lock.
func (x *index) forget(number, end uint64) {
	if b := x.blocks[number]; b != nil && number < end {
		delete(x.blocks, number)
		x.set.shelf.take(b)
	}
}

// drop takes out marks of records that were removed.
func (x *index) drop(offsets []store.Position) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, at := range offsets {
		if at.Partition != x.part {
			continue
		}
		if x.making {
			x.dropped[at.Offset] = struct{}{}
		}
		number := at.Offset >> blockBits
		gone := func(m mark) bool { return m.offset(number) == at.Offset }
		if b := x.blocks[number]; b != nil {
			b.marks = slices.DeleteFunc(slices.Clone(b.marks), gone)
		} else if x.tail.number == number {
			x.tail.marks = slices.DeleteFunc(slices.Clone(x.tail.marks), gone)
		}
	}
}

// marks returns the marks of a subject from an offset up to another one of the same block, in order. All records before that are visible.
func (x *index) marks(ctx context.Context, hash mark, from, to uint64) ([]mark, error) {
	number := from >> blockBits
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if found, ok := x.known(hash, number, from, to); ok {
			return found, nil
		}
		if err := x.build(ctx, number, to); err != nil {
			return nil, err
		}
	}
}

// known is marks of what is there.
func (x *index) known(hash mark, number, from, to uint64) (found []mark, ok bool) {
	x.mu.Lock()
	var all []mark
	b := x.blocks[number]
	switch {
	case b != nil:
		all = b.marks
	case x.tail.number == number && x.tail.upto >= to:
		all = x.tail.marks
	default:
		x.mu.Unlock()
		return nil, false
	}
	x.mu.Unlock()
	if b != nil {
		first, _ := slices.BinarySearch(all, hash)
		all = all[first:]
	}
	for _, m := range all {
		switch at := m.offset(number); {
		case !m.of(hash):
			if b != nil {
				return found, true
			}
		case at >= from && at < to:
			found = append(found, m)
		}
	}
	return found, true
}

// build makes a block, or the tail up to what is visible. Whole blocks are made by few at a time: thousands of keys that are opened together
// do not take the processors from others, and wait for one pass over the partition, not each for its own.
func (x *index) build(ctx context.Context, number, visible uint64) error {
	t, end := tail{number: number, upto: number << blockBits}, blockEnd(number<<blockBits)
	to := min(end, visible)
	select {
	case x.maker <- struct{}{}:
		defer func() { <-x.maker }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if to == end {
		select {
		case x.set.builders <- struct{}{}:
			defer func() { <-x.set.builders }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	x.mu.Lock()
	switch {
	case x.blocks[number] != nil || number == x.tail.number && x.tail.upto >= to: // made while we waited
		x.mu.Unlock()
		return nil
	case number < x.tail.number: // others have seen more than we have
		to = end
	case number == x.tail.number && x.tail.upto > t.upto:
		t = x.tail
		t.marks = slices.Clip(t.marks)
	}
	x.making = true
	x.mu.Unlock()
	err := x.extend(ctx, &t, to)
	out := x.made(t, end, err == nil)
	for _, b := range out {
		b.of.lose(b)
	}
	return err
}

// made ends a build, and returns what has to make room for it.
func (x *index) made(t tail, end uint64, good bool) (out []*block) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.dropped) > 0 {
		t.marks = slices.DeleteFunc(slices.Clone(t.marks), func(m mark) bool { _, is := x.dropped[m.offset(t.number)]; return is })
	}
	x.making = false
	clear(x.dropped)
	if good {
		out = x.keep(t, end)
	}
	return out
}

// extend reads the records that there are no marks of yet.
func (x *index) extend(ctx context.Context, t *tail, to uint64) error {
	for t.upto < to {
		records, err := x.set.store.Read(ctx, store.Position{Partition: x.part, Offset: t.upto}, store.ReadOptions{Records: int(to - t.upto), Bytes: scanBytes})
		if err != nil {
			return fmt.Errorf("looking through %q, partition %d, for the entries of a key: %w", x.part.Stream, x.part.Number, err)
		}
		if len(records) == 0 {
			t.upto = to
			return nil
		}
		for i := range records {
			if r := &records[i]; r.Offset < to {
				t.marks = append(t.marks, markOf(r))
			}
		}
		t.upto = min(to, records[len(records)-1].Offset+1)
	}
	return nil
}

// keep enters what was made, and returns what has to make room for it. Called with the lock.
func (x *index) keep(t tail, end uint64) (out []*block) {
	switch {
	case t.upto < end:
		if t.number > x.tail.number || t.number == x.tail.number && t.upto > x.tail.upto {
			x.tail = t
		}
	case x.blocks[t.number] == nil:
		t.marks = slices.Clone(t.marks)
		slices.Sort(t.marks)
		b := &block{of: x, number: t.number, marks: t.marks}
		x.blocks[t.number] = b
		out = x.set.shelf.put(b, x.set.limits.Index)
		if x.tail.number == t.number {
			x.tail = tail{}
		}
	}
	return out
}

// lose forgets a block that had to make room.
func (x *index) lose(b *block) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.blocks[b.number] == b {
		delete(x.blocks, b.number)
	}
}
