package event

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

// The seed is passed by pointer, because a reader may load it only after it has seen something
// that was stored after the seed was made.

// node is one level of one or more filters. Only the fields are written to, and only by the one writer;
// readers load each field once per visit. It is 48 bytes, a size class of the allocator.
type node[T comparable] struct {
	level    string // the text of this level; never changes
	children atomic.Pointer[children[T]]
	plus     atomic.Pointer[node[T]] // the level '+' below this one
	here     values[T]               // of the filter that ends here
	below    values[T]               // of the filter that ends with '#' below this level
}

func newNode[T comparable](level string) *node[T] {
	return &node[T]{level: strings.Clone(level)}
}

// empty reports whether nothing needs the node any more.
func (n *node[T]) empty() bool {
	return n.children.Load() == nil && n.plus.Load() == nil && n.here.p.Load() == nil && n.below.p.Load() == nil
}

// A node's children take the smallest of three forms. Each is published whole, except that an index is
// changed in place in a way that its readers allow for.
type children[T comparable] struct {
	one    *node[T]  // a single child
	family *few[T]   // two to fewMost
	index  *index[T] // more
}

const (
	fewMost  = groupSlots // children that are searched by their tags in one word
	fewLeast = 4          // an index that shrinks to this many becomes a few again
)

// few is a handful of children, copied on each change. Byte i of tags belongs to nodes[i].
type few[T comparable] struct {
	tags  uint64
	nodes []*node[T]
}

// child returns the child with that level, or nil.
func (n *node[T]) child(seed *maphash.Seed, level string) *node[T] {
	c := n.children.Load()
	switch {
	case c == nil:
		return nil
	case c.one != nil:
		if c.one.level == level {
			return c.one
		}
		return nil
	case c.family != nil:
		return c.family.get(maphash.String(*seed, level), level)
	}
	return c.index.get(maphash.String(*seed, level), level)
}

// next returns the node of one level of a filter, or nil.
func (n *node[T]) next(seed *maphash.Seed, level string) *node[T] {
	if level == singleLevel {
		return n.plus.Load()
	}
	return n.child(seed, level)
}

// attach adds the node of one level of a filter.
func (n *node[T]) attach(seed *maphash.Seed, next *node[T]) {
	if next.level == singleLevel {
		n.plus.Store(next)
		return
	}
	n.addChild(seed, next)
}

// detach removes it.
func (n *node[T]) detach(seed *maphash.Seed, next *node[T]) {
	if next.level == singleLevel {
		n.plus.Store(nil)
		return
	}
	n.removeChild(seed, next)
}

// addChild adds a child whose level is not there yet.
func (n *node[T]) addChild(seed *maphash.Seed, child *node[T]) {
	c := n.children.Load()
	switch {
	case c == nil:
		n.children.Store(&children[T]{one: child})
	case c.one != nil:
		n.children.Store(&children[T]{family: newFew(seed, []*node[T]{c.one, child})})
	case c.index != nil:
		c.index.put(seed, child)
	case len(c.family.nodes) < fewMost:
		nodes := append(make([]*node[T], 0, len(c.family.nodes)+1), c.family.nodes...)
		n.children.Store(&children[T]{family: newFew(seed, append(nodes, child))})
	default:
		index := newIndex[T]()
		for _, sibling := range c.family.nodes {
			index.put(seed, sibling)
		}
		index.put(seed, child)
		n.children.Store(&children[T]{index: index})
	}
}

// removeChild removes a child that is there.
func (n *node[T]) removeChild(seed *maphash.Seed, child *node[T]) {
	c := n.children.Load()
	var left []*node[T]
	switch {
	case c.one != nil:
	case c.family != nil:
		left = append(left, c.family.nodes...)
		left = slices.DeleteFunc(left, func(sibling *node[T]) bool { return sibling == child })
	default:
		c.index.take(seed, child)
		if c.index.live > fewLeast {
			return
		}
		c.index.each(seed, func(sibling *node[T]) bool {
			left = append(left, sibling)
			return true
		})
	}
	switch len(left) {
	case 0:
		n.children.Store(nil)
	case 1:
		n.children.Store(&children[T]{one: left[0]})
	default:
		n.children.Store(&children[T]{family: newFew(seed, slices.Clip(left))})
	}
}

// each calls yield for each child until it returns false, and reports whether it never did.
func (c *children[T]) each(seed *maphash.Seed, yield func(*node[T]) bool) bool {
	switch {
	case c.one != nil:
		return yield(c.one)
	case c.index != nil:
		return c.index.each(seed, yield)
	}
	for _, child := range c.family.nodes {
		if !yield(child) {
			return false
		}
	}
	return true
}

func newFew[T comparable](seed *maphash.Seed, nodes []*node[T]) *few[T] {
	f := &few[T]{nodes: nodes}
	for i, child := range nodes {
		f.tags |= tagOf(maphash.String(*seed, child.level)) << (8 * i)
	}
	return f
}

func (f *few[T]) get(hash uint64, level string) *node[T] {
	for m := matchTag(f.tags, tagOf(hash)); m != 0; m &= m - 1 {
		if child := f.nodes[firstSlot(m)]; child.level == level {
			return child
		}
	}
	return nil
}
