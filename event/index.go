package event

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// index maps the levels below one node to nodes when there are many, up to millions. It is a hash table
// whose readers take no lock: extendible hashing over small Swiss tables. The top bits of the
// hash select a table in the directory; a table that is full at tableMost groups is split in two, so that one
// addition never moves more than about 900 entries, however many there are.
//
// What makes it safe to read while it is written: an entry never moves within a table; a table is
// replaced by storing its successors in the directory, and is not written to afterwards; an empty slot that ends a probe
// is filled, but a slot that a probe may have to pass is never emptied (it gets a tombstone).
type index[T comparable] struct {
	directory atomic.Pointer[[]atomic.Pointer[table[T]]] // 1<<depth entries
	live      int                                        // entries; for the writer
	deepest   int                                        // tables as deep as the directory; for the writer
}

func newIndex[T comparable]() *index[T] {
	x := &index[T]{deepest: 1}
	directory := make([]atomic.Pointer[table[T]], 1)
	directory[0].Store(newTable[T](2, 0))
	x.directory.Store(&directory)
	return x
}

// get returns the node with that level, or nil.
func (x *index[T]) get(hash uint64, level string) *node[T] {
	return x.tableFor(hash).get(hash, level)
}

// each calls yield for each node until it returns false, and reports whether it never did.
func (x *index[T]) each(seed *maphash.Seed, yield func(*node[T]) bool) bool {
	directory := *x.directory.Load()
	depth := depthOf(len(directory))
	for i := 0; i < len(directory); {
		t := directory[i].Load()
		last := 1<<(depth-t.depth) - 1 // a shallow table has several places in a row
		halfDone := i&last != 0        // two tables were merged after the first of them was visited
		done := t.each(func(n *node[T]) bool {
			if halfDone && place(maphash.String(*seed, n.level()), depth) < i {
				return true
			}
			return yield(n)
		})
		if !done {
			return false
		}
		i = (i | last) + 1
	}
	return true
}

// put adds a node whose level is not there yet.
func (x *index[T]) put(seed *maphash.Seed, n *node[T]) {
	hash := maphash.String(*seed, n.level())
	t := x.tableFor(hash)
	for t.used >= len(t.groups)*groupSlots*7/8 {
		x.makeRoom(seed, t, hash)
		t = x.tableFor(hash)
	}
	t.put(hash, n)
	x.live++
}

// take removes a node that is there, and gives memory back.
func (x *index[T]) take(seed *maphash.Seed, n *node[T]) {
	hash := maphash.String(*seed, n.level())
	t := x.tableFor(hash)
	t.take(hash, n)
	x.live--
	if x.merge(seed, t, hash) {
		return
	}
	if groups := len(t.groups); groups > 2 && t.live < groups*groupSlots/8 {
		x.replace(hash, t, t.rebuilt(seed, groups/2))
	}
}

// replaceNode changes the slot of a node that is there.
func (x *index[T]) replaceNode(seed *maphash.Seed, old, successor *node[T]) {
	hash := maphash.String(*seed, old.level())
	group, slot := x.tableFor(hash).find(hash, old)
	group.slots[slot].Store(successor)
}

func (x *index[T]) tableFor(hash uint64) *table[T] {
	directory := *x.directory.Load()
	return directory[place(hash, depthOf(len(directory)))].Load()
}

// makeRoom replaces a full table by one without tombstones, by a larger one, or by two.
func (x *index[T]) makeRoom(seed *maphash.Seed, t *table[T], hash uint64) {
	groups := len(t.groups)
	switch {
	case t.live < groups*groupSlots/2:
		x.replace(hash, t, t.rebuilt(seed, groups))
	case groups < tableMost:
		x.replace(hash, t, t.rebuilt(seed, 2*groups))
	default:
		x.split(seed, t, hash)
	}
}

// replace stores a successor of the same depth in all of a table's places in the directory.
func (x *index[T]) replace(hash uint64, old, successor *table[T]) {
	directory := *x.directory.Load()
	first, places := span(len(directory), old.depth, hash)
	for i := range places {
		directory[first+i].Store(successor)
	}
}

// split replaces a table by two that each hold the entries with one value of the next bit of the hash.
func (x *index[T]) split(seed *maphash.Seed, t *table[T], hash uint64) {
	if t.depth == depthOf(len(*x.directory.Load())) {
		x.doubleDirectory()
	}
	halves := [2]*table[T]{newTable[T](tableMost, t.depth+1), newTable[T](tableMost, t.depth+1)}
	t.each(func(n *node[T]) bool {
		h := maphash.String(*seed, n.level())
		halves[h>>uint(63-t.depth)&1].put(h, n)
		return true
	})
	directory := *x.directory.Load()
	first, places := span(len(directory), t.depth, hash)
	for i := places - 1; i >= 0; i-- { // from the end, so that a reader who walks sees no entry twice
		directory[first+i].Store(halves[i*2/places])
	}
	if t.depth+1 == depthOf(len(directory)) {
		x.deepest += 2
	}
}

// merge puts a table and its other half together again when they fill a quarter of one table.
func (x *index[T]) merge(seed *maphash.Seed, t *table[T], hash uint64) bool {
	if t.depth == 0 {
		return false
	}
	other := x.tableFor(hash ^ 1<<uint(64-t.depth))
	if other.depth != t.depth || t.live+other.live > tableMost*groupSlots/4 {
		return false
	}
	whole := newTable[T](tableMost/2, t.depth-1)
	for _, half := range [2]*table[T]{t, other} {
		half.each(func(n *node[T]) bool {
			whole.put(maphash.String(*seed, n.level()), n)
			return true
		})
	}
	directory := *x.directory.Load()
	first, places := span(len(directory), whole.depth, hash)
	for i := range places {
		directory[first+i].Store(whole)
	}
	if t.depth == depthOf(len(directory)) {
		x.deepest -= 2
	}
	if x.deepest == 0 {
		x.halveDirectory()
	}
	return true
}

func (x *index[T]) doubleDirectory() {
	old := *x.directory.Load()
	directory := make([]atomic.Pointer[table[T]], 2*len(old))
	for i := range directory {
		directory[i].Store(old[i/2].Load())
	}
	x.directory.Store(&directory)
	x.deepest = 0
}

// halveDirectory drops the lowest bit as long as no table needs it.
func (x *index[T]) halveDirectory() {
	for x.deepest == 0 {
		old := *x.directory.Load()
		directory := make([]atomic.Pointer[table[T]], len(old)/2)
		depth := depthOf(len(directory))
		for i := range directory {
			t := old[2*i].Load()
			directory[i].Store(t)
			if t.depth == depth {
				x.deepest++
			}
		}
		x.directory.Store(&directory)
	}
}

// place returns where in a directory of that depth a hash belongs.
func place(hash uint64, depth int) int { return int(hash >> uint(64-depth)) }

// span returns where in a directory the tables of that depth and hash stand, and in how many places.
func span(length, depth int, hash uint64) (first, places int) {
	places = length >> depth
	return place(hash, depth) * places, places
}

// depthOf returns the logarithm of the length of a directory.
func depthOf(length int) int { return bits.TrailingZeros(uint(length)) }
