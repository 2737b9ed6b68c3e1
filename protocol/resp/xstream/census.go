package xstream

import (
	"fmt"
	"sync"
)

// Kinds of things that are counted, by what they are called in the store: the first of stateKinds.
const (
	kindGroup = iota
	kindConsumer
	kindPending
	kinds
)

type counts [kinds]int64

// A census counts the groups, the consumers and the pending entries of all keys, in memory or not: as many as there are in the store, and those on their
// way there. What is removed counts until that is committed.
type census struct {
	most counts

	mu    sync.Mutex
	total counts
}

// reserve counts one that is to be added to a home, if there may be another.
func (n *census) reserve(h *home, kind int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.total[kind] >= n.most[kind] {
		return false
	}
	n.shift(h, kind, 1)
	return true
}

// shift changes a number. Called with the lock.
func (n *census) shift(h *home, kind int, by int64) {
	if !h.gone { // else they were counted out together
		h.counts[kind] += by
		n.total[kind] += by
	}
}

// committed counts out what a batch has removed, or, if it has failed, what it had to add.
func (n *census) committed(h *home, added, removed counts, err error) {
	if err != nil {
		removed = added
	}
	if removed == (counts{}) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind, by := range removed {
		n.shift(h, kind, -by)
	}
}

// enter counts what is stored of a home.
func (n *census) enter(h *home, c counts) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind, by := range c {
		n.shift(h, kind, by)
	}
}

// leave counts out all of a home.
func (n *census) leave(h *home) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind, by := range h.counts {
		n.shift(h, kind, -by)
	}
	h.gone = true
}

// Totals is how much consumer groups hold, of all keys together.
type Totals struct{ Groups, Consumers, Pending int64 }

// Totals returns how much consumer groups hold. What is stored is counted with the first command that needs a key.
func (s *Set) Totals() Totals {
	s.census.mu.Lock()
	defer s.census.mu.Unlock()
	t := s.census.total
	return Totals{t[kindGroup], t[kindConsumer], t[kindPending]}
}

// refusedf is an error that is replied as it is.
func refusedf(format string, args ...any) Error { return Error("ERR " + fmt.Sprintf(format, args...)) }

// tooMany says which limit was reached, and what to do.
func (s *Set) tooMany(kind int) Error {
	what := [...]string{
		kindGroup:    "consumer groups, and no more are allowed: destroy some, or raise resp.limits.streams.total_groups",
		kindConsumer: "consumers of groups, and no more are allowed: remove some with XGROUP DELCONSUMER, or raise resp.limits.streams.total_consumers",
		kindPending:  "pending entries of consumer groups, and no more are allowed: acknowledge some, or raise resp.limits.streams.total_pending",
	}
	return refusedf("the server holds %d %s", s.census.most[kind], what[kind])
}

// errManyPending is for one group.
const errManyPending = Error("ERR the group has as many pending entries as are allowed: acknowledge some")
