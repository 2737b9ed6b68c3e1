package event

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// table is one Swiss table. All but groups is for the writer.
type table[T comparable] struct {
	groups []slotGroup[T] // a power of two, at most tableMost
	depth  int            // how many top bits of the hash all its entries share
	live   int            // entries
	used   int            // entries and tombstones
}

// slotGroup is groupSlots slots and a word of control bytes: 0 empty, 1 tombstone, otherwise
// the tag of the entry's hash. A slot is written before its control byte.
type slotGroup[T comparable] struct {
	control atomic.Uint64
	slots   [groupSlots]atomic.Pointer[node[T]]
}

const (
	groupSlots = 8
	tableMost  = 128 // groups, so 1024 slots
	lowBits    = 0x0101010101010101
	highBits   = 0x8080808080808080
	tombstone  = 1
)

// tagOf returns the control byte of an entry: seven bits of its hash that select neither table nor group, and the top bit.
func tagOf(hash uint64) uint64 { return hash&0x7f | 0x80 }

// groupOf returns where the probe for a hash begins.
func groupOf(hash uint64) uint64 { return hash >> 7 }

// matchTag marks the bytes of control that may equal tag. A false mark is possible (the comparison
// of the level finds it), a missing one is not.
func matchTag(control, tag uint64) uint64 {
	x := control ^ tag*lowBits
	return (x - lowBits) &^ x & highBits
}

// hasEmpty reports whether a control byte is 0.
func hasEmpty(control uint64) bool { return (control-lowBits)&^control&highBits != 0 }

// firstSlot returns the slot of the lowest mark.
func firstSlot(marks uint64) int { return bits.TrailingZeros64(marks) / 8 }

func newTable[T comparable](groups, depth int) *table[T] {
	return &table[T]{groups: make([]slotGroup[T], groups), depth: depth}
}

// get returns the node with that level, or nil.
func (t *table[T]) get(hash uint64, level string) *node[T] {
	tag, mask := tagOf(hash), uint64(len(t.groups)-1)
	for g, step := groupOf(hash)&mask, uint64(1); ; g, step = (g+step)&mask, step+1 {
		group := &t.groups[g]
		control := group.control.Load()
		for m := matchTag(control, tag); m != 0; m &= m - 1 {
			if n := group.slots[firstSlot(m)].Load(); n != nil && n.beginsWith(level) {
				return n
			}
		}
		if hasEmpty(control) || step > mask {
			return nil
		}
	}
}

// each calls yield for each node until it returns false, and reports whether it never did.
func (t *table[T]) each(yield func(*node[T]) bool) bool {
	for g := range t.groups {
		for s := range t.groups[g].slots {
			if n := t.groups[g].slots[s].Load(); n != nil && !yield(n) {
				return false
			}
		}
	}
	return true
}

// rebuilt returns a copy without tombstones and with another number of groups.
func (t *table[T]) rebuilt(seed *maphash.Seed, groups int) *table[T] {
	r := newTable[T](groups, t.depth)
	t.each(func(n *node[T]) bool {
		r.put(maphash.String(*seed, n.level()), n)
		return true
	})
	return r
}

// put stores a node in the first free slot of its probe. There always is one.
func (t *table[T]) put(hash uint64, n *node[T]) {
	mask := uint64(len(t.groups) - 1)
	for g, step := groupOf(hash)&mask, uint64(1); ; g, step = (g+step)&mask, step+1 {
		group := &t.groups[g]
		control := group.control.Load()
		free := ^control & highBits // tags have the top bit, empty slots and tombstones do not
		if free == 0 {
			continue
		}
		slot := firstSlot(free)
		if control>>(8*slot)&0xff != tombstone {
			t.used++
		}
		t.live++
		group.slots[slot].Store(n)
		group.control.Store(control&^(0xff<<(8*slot)) | tagOf(hash)<<(8*slot))
		return
	}
}

// take clears the slot of a node that is there. The slot may become empty again when its group has
// another empty one: then no probe has ever passed the group.
func (t *table[T]) take(hash uint64, n *node[T]) {
	group, slot := t.find(hash, n)
	control := group.control.Load()
	cleared := control &^ (0xff << (8 * slot))
	if hasEmpty(control) {
		t.used--
	} else {
		cleared |= tombstone << (8 * slot)
	}
	t.live--
	group.control.Store(cleared)
	group.slots[slot].Store(nil)
}

// find returns the slot of a node that is there.
func (t *table[T]) find(hash uint64, n *node[T]) (*slotGroup[T], int) {
	mask := uint64(len(t.groups) - 1)
	for g, step := groupOf(hash)&mask, uint64(1); step <= mask+1; g, step = (g+step)&mask, step+1 {
		group := &t.groups[g]
		for m := matchTag(group.control.Load(), tagOf(hash)); m != 0; m &= m - 1 {
			if slot := firstSlot(m); group.slots[slot].Load() == n {
				return group, slot
			}
		}
	}
	panic("event: the trie's index has lost the level " + n.path)
}
