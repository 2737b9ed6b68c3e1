package event

import (
	"hash/maphash"
	"strings"
	"sync"
)

// Trie finds the values whose filters match a subject. The zero value is empty and works; a Trie must not be
// copied. See the package comment for what readers and writers may expect of each other.
//
// Matching visits only nodes whose path matches the beginning of the subject, so with a million filters it costs what it
// costs with ten, apart from cache misses, unless many of them begin with wildcards that match. A filter costs about 100 bytes.
type Trie[T comparable] struct {
	mu      sync.Mutex // for writers
	seed    maphash.Seed
	seeded  bool
	filters int
	values  int
	root    node[T]
}

// Add adds v to the filter. It reports how many values the filter has now, and whether v is new
// there; the same value may be added to many filters, and counts for each of them.
func (t *Trie[T]) Add(filter Filter, v T) (n int, added bool) {
	if filter.text == "" {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.seeded {
		t.seed, t.seeded = maphash.MakeSeed(), true // readers hash only what was stored after this
	}
	n, added = t.makeEnd(&t.root, filter.text).add(&t.seed, v)
	if added {
		t.values++
	}
	if added && n == 1 {
		t.filters++
	}
	return n, added
}

// makeEnd returns the set of values of the filter, with the nodes on the way to it.
func (t *Trie[T]) makeEnd(n *node[T], rest string) *values[T] {
	for more := true; more; {
		if rest == multiLevel {
			return &n.below
		}
		level, _, _ := cutLevel(rest)
		next := n.next(&t.seed, level)
		if next == nil {
			return t.makeLeaf(n, rest)
		}
		shared := sharedLevels(next.path, rest)
		if shared < len(next.path) {
			next = t.split(n, next, shared)
		}
		n = next
		more = shared < len(rest)
		rest = rest[min(shared+1, len(rest)):]
	}
	return &n.here
}

// makeLeaf makes one node of all that is left of a filter.
func (t *Trie[T]) makeLeaf(n *node[T], rest string) *values[T] {
	path, below := strings.CutSuffix(rest, string(separator)+multiLevel)
	leaf := newNode[T](path)
	n.attach(&t.seed, leaf)
	if below {
		return &leaf.below
	}
	return &leaf.here
}

// split replaces a child of n by two nodes, one below the other, and returns the upper.
func (t *Trie[T]) split(n, child *node[T], at int) *node[T] {
	upper := newNode[T](child.path[:at])
	upper.attach(&t.seed, child.withPath(child.path[at+1:]))
	n.replace(&t.seed, child, upper)
	return upper
}

// sharedLevels returns the length of the whole levels that two texts have in common at their beginning.
func sharedLevels(a, b string) int {
	n, level := min(len(a), len(b)), 0
	for i := range n {
		if a[i] != b[i] {
			return level
		}
		if a[i] == separator {
			level = i
		}
	}
	if (len(a) == n || a[n] == separator) && (len(b) == n || b[n] == separator) {
		return n
	}
	return level
}

// Remove removes v from the filter. It reports how many values the filter has left, and whether v was there.
func (t *Trie[T]) Remove(filter Filter, v T) (n int, removed bool) {
	if filter.text == "" {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n, removed = t.removeFrom(&t.root, filter.text, true, v)
	if removed {
		t.values--
	}
	if removed && n == 0 {
		t.filters--
	}
	return n, removed
}

// removeFrom removes v below n and tidies up on the way back: a node that nobody needs is dropped, one that has only
// a child left is joined with it.
func (t *Trie[T]) removeFrom(n *node[T], rest string, more bool, v T) (left int, removed bool) {
	if !more {
		return n.here.remove(&t.seed, v)
	}
	if rest == multiLevel {
		return n.below.remove(&t.seed, v)
	}
	next, rest, more := t.step(n, rest)
	if next == nil {
		return 0, false
	}
	left, removed = t.removeFrom(next, rest, more, v)
	if !removed || left > 0 {
		return left, removed
	}
	if next.empty() {
		n.detach(&t.seed, next)
	} else if heir := next.heir(); heir != nil {
		n.replace(&t.seed, next, heir.withPath(next.path+string(separator)+heir.path))
	}
	return left, removed
}

// step goes from n to the node with the next levels of a filter, if it is on the way there.
func (t *Trie[T]) step(n *node[T], filter string) (next *node[T], rest string, more bool) {
	level, _, _ := cutLevel(filter)
	next = n.next(&t.seed, level)
	if next == nil || sharedLevels(next.path, filter) < len(next.path) {
		return nil, "", false
	}
	if len(next.path) == len(filter) {
		return next, "", false
	}
	return next, filter[len(next.path)+1:], true
}

// Match calls yield for each value whose filter matches the subject, until yield returns false. A
// value is yielded once per matching filter. The subject is not validated.
func (t *Trie[T]) Match(subject string, yield func(T) bool) {
	if !startsReserved(subject) {
		match(&t.root, &t.seed, subject, true, yield)
		return
	}
	level, rest, more := cutLevel(subject) // MQTT 5.0, 4.7.2: leading wildcards do not match it
	n := t.root.child(&t.seed, level)
	if n == nil {
		return
	}
	if rest, more, ok := n.pass(len(level), rest, more); ok {
		match(n, &t.seed, rest, more, yield)
	}
}

// MatchBytes is [Trie.Match] for a subject in a buffer, which must not change during the call.
func (t *Trie[T]) MatchBytes(subject []byte, yield func(T) bool) { t.Match(view(subject), yield) }

// match yields what is at and below n for the levels in rest, of which there are none unless more.
func match[T comparable](n *node[T], seed *maphash.Seed, rest string, more bool, yield func(T) bool) bool {
	for {
		if g := n.below.p.Load(); g != nil && !g.each(yield) {
			return false
		}
		if !more {
			g := n.here.p.Load()
			return g == nil || g.each(yield)
		}
		var level string
		level, rest, more = cutLevel(rest)
		if plus := n.plus.Load(); plus != nil {
			if rest, more, ok := plus.pass(len(singleLevel), rest, more); ok && !match(plus, seed, rest, more, yield) {
				return false
			}
		}
		if n = n.child(seed, level); n == nil {
			return true
		}
		var ok bool
		if rest, more, ok = n.pass(len(level), rest, more); !ok {
			return true
		}
	}
}

// Count returns the number of values of exactly this filter; matching plays no part in it.
func (t *Trie[T]) Count(filter Filter) int {
	n, rest := &t.root, filter.text
	for more := rest != ""; more; {
		if rest == multiLevel {
			return n.below.len()
		}
		if n, rest, more = t.step(n, rest); n == nil {
			return 0
		}
	}
	return n.here.len()
}

// Len returns the number of filters that have a value, and the number of values of all of them.
func (t *Trie[T]) Len() (filters, values int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.filters, t.values
}

// Walk calls yield for each filter and the number of its values until it returns false, in no
// particular order. The text is good only until yield returns.
func (t *Trie[T]) Walk(yield func(filter []byte, values int) bool) {
	w := walker[T]{seed: &t.seed, yield: yield}
	w.visit(&t.root, true)
}

type walker[T comparable] struct {
	seed  *maphash.Seed
	text  []byte
	yield func(filter []byte, values int) bool
}

func (w *walker[T]) visit(n *node[T], root bool) bool {
	if values := n.here.len(); values > 0 && !w.yield(w.text, values) {
		return false
	}
	length := len(w.text)
	defer func() { w.text = w.text[:length] }()
	if !root {
		w.text = append(w.text, separator)
	}
	if values := n.below.len(); values > 0 && !w.yield(append(w.text, multiLevel...), values) {
		return false
	}
	if plus := n.plus.Load(); plus != nil && !w.descend(plus) {
		return false
	}
	children := n.children.Load()
	return children == nil || children.each(w.seed, w.descend)
}

func (w *walker[T]) descend(n *node[T]) bool {
	length := len(w.text)
	w.text = append(w.text, n.path...)
	done := w.visit(n, false)
	w.text = w.text[:length]
	return done
}
