package event

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

// The seed is passed by pointer, because a reader may load it only after it has seen something
// that was stored after the seed was made.

// node is one or more levels of one or more filters: a level at which nothing ends and nothing branches
// has no node of its own, which halves the memory and the cache misses of the usual "device/17/state". Its path never
// changes; a node whose path has to is replaced by others that share its sets and its children. The other fields are
// written by the one writer and loaded once per visit by readers. It is 48 bytes, a size class of the allocator.
type node[T comparable] struct {
	path     string // the levels, the first of which is the key among the siblings
	children atomic.Pointer[children[T]]
	plus     atomic.Pointer[node[T]] // the child that begins with '+'
	here     values[T]               // of the filter that ends here
	below    values[T]               // of the filter that ends with '#' below this
}

func newNode[T comparable](path string) *node[T] {
	return &node[T]{path: strings.Clone(path)}
}

// withPath returns a node in the place of n. Readers who still visit n see what it led to at this moment.
func (n *node[T]) withPath(path string) *node[T] {
	m := newNode[T](path)
	m.children.Store(n.children.Load())
	m.plus.Store(n.plus.Load())
	m.here.p.Store(n.here.p.Load())
	m.below.p.Store(n.below.p.Load())
	return m
}

// beginsWith reports whether level is the first level of the path.
func (n *node[T]) beginsWith(level string) bool {
	return strings.HasPrefix(n.path, level) && (len(n.path) == len(level) || n.path[len(level)] == separator)
}

// level returns the first level of the path.
func (n *node[T]) level() string {
	level, _, _ := cutLevel(n.path)
	return level
}

// pass matches the levels of the path after the first, which is given, with those of a subject. It returns what is left of the subject.
func (n *node[T]) pass(first int, rest string, more bool) (left string, leftMore, ok bool) {
	tail := n.path[first:]
	for tail != "" {
		if !more {
			return "", false, false
		}
		want := tail[1:]
		if end := strings.IndexByte(want, separator); end >= 0 {
			want = want[:end]
		}
		tail = tail[1+len(want):]
		var have string
		have, rest, more = cutLevel(rest)
		if want != have && want != singleLevel {
			return "", false, false
		}
	}
	return rest, more, true
}

// heir returns the only child of a node at which nothing ends, so that the two can be one.
func (n *node[T]) heir() *node[T] {
	if n.here.p.Load() != nil || n.below.p.Load() != nil {
		return nil
	}
	c, plus := n.children.Load(), n.plus.Load()
	switch {
	case c == nil:
		return plus
	case plus == nil && len(c.nodes) == 1:
		return c.nodes[0]
	}
	return nil
}

// empty reports whether nothing needs the node any more.
func (n *node[T]) empty() bool {
	return n.children.Load() == nil && n.plus.Load() == nil && n.here.p.Load() == nil && n.below.p.Load() == nil
}

// A node's children are a few or an index. Each is published whole, except that an index is
// changed in place in a way that its readers allow for.
type children[T comparable] struct {
	tags  uint64     // of a few: byte i belongs to nodes[i]
	nodes []*node[T] // up to fewMost, never changed
	index *index[T]  // nil unless there are more
}

const (
	fewMost  = groupSlots // children that are searched by their tags in one word
	fewLeast = 4          // an index that shrinks to this many becomes a few again
)

// child returns the child that begins with that level, or nil.
func (n *node[T]) child(seed *maphash.Seed, level string) *node[T] {
	c := n.children.Load()
	if c == nil {
		return nil
	}
	hash := maphash.String(*seed, level)
	if c.index != nil {
		return c.index.get(hash, level)
	}
	for m := matchTag(c.tags, tagOf(hash)); m != 0; m &= m - 1 {
		if child := c.nodes[firstSlot(m)]; child.beginsWith(level) {
			return child
		}
	}
	return nil
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
	if next.beginsWith(singleLevel) {
		n.plus.Store(next)
		return
	}
	n.addChild(seed, next)
}

// detach removes it.
func (n *node[T]) detach(seed *maphash.Seed, next *node[T]) {
	if next.beginsWith(singleLevel) {
		n.plus.Store(nil)
		return
	}
	n.removeChild(seed, next)
}

// replace puts a node in the place of a sibling with the same first level.
func (n *node[T]) replace(seed *maphash.Seed, old, successor *node[T]) {
	c := n.children.Load()
	switch {
	case old.beginsWith(singleLevel):
		n.plus.Store(successor)
	case c.index != nil:
		c.index.replaceNode(seed, old, successor)
	default:
		nodes := slices.Clone(c.nodes)
		nodes[slices.Index(nodes, old)] = successor
		n.children.Store(&children[T]{tags: c.tags, nodes: nodes})
	}
}

// addChild adds a child whose first level is not there yet.
func (n *node[T]) addChild(seed *maphash.Seed, child *node[T]) {
	c := n.children.Load()
	switch {
	case c == nil:
		n.children.Store(newFew(seed, []*node[T]{child}))
	case c.index != nil:
		c.index.put(seed, child)
	case len(c.nodes) < fewMost:
		nodes := append(make([]*node[T], 0, len(c.nodes)+1), c.nodes...)
		n.children.Store(newFew(seed, append(nodes, child)))
	default:
		index := newIndex[T]()
		for _, sibling := range c.nodes {
			index.put(seed, sibling)
		}
		index.put(seed, child)
		n.children.Store(&children[T]{index: index})
	}
}

// removeChild removes a child that is there.
func (n *node[T]) removeChild(seed *maphash.Seed, child *node[T]) {
	c := n.children.Load()
	if c.index != nil {
		c.index.take(seed, child)
		if c.index.live > fewLeast {
			return
		}
	}
	left := make([]*node[T], 0, fewMost)
	c.each(seed, func(sibling *node[T]) bool {
		if sibling != child {
			left = append(left, sibling)
		}
		return true
	})
	if len(left) == 0 {
		n.children.Store(nil)
		return
	}
	n.children.Store(newFew(seed, append(make([]*node[T], 0, len(left)), left...)))
}

// each calls yield for each child until it returns false, and reports whether it never did.
func (c *children[T]) each(seed *maphash.Seed, yield func(*node[T]) bool) bool {
	if c.index != nil {
		return c.index.each(seed, yield)
	}
	for _, child := range c.nodes {
		if !yield(child) {
			return false
		}
	}
	return true
}

func newFew[T comparable](seed *maphash.Seed, nodes []*node[T]) *children[T] {
	c := &children[T]{nodes: nodes}
	for i, child := range nodes {
		c.tags |= tagOf(maphash.String(*seed, child.level())) << (8 * i)
	}
	return c
}
