package task

import "errors"

// errFull is why TryGo did not start a task.
var errFull = errors.New("the scope has reached its limit")

// slots count the running tasks of a limited Scope and queue the callers that wait for room, first come first
// served: a freed slot goes to the oldest waiter by hand, so that a newcomer never overtakes. They are guarded
// by the scope's lock. The queue holds one entry per blocked caller, so its length is bounded by theirs.
type slots struct {
	taken       int
	first, last *waiter
}

// A waiter is one caller that waits for a slot.
type waiter struct {
	ready      chan struct{} // closed when granted or refused
	granted    bool
	queued     bool
	prev, next *waiter
}

// tryTake takes a slot if there is one: then nobody waits for it, because put would have given it to them.
// A limit of 0 is none.
func (q *slots) tryTake(limit int) bool {
	if limit > 0 && q.taken >= limit {
		return false
	}
	q.taken++
	return true
}

// put returns a slot: to the oldest waiter, or to the free ones.
func (q *slots) put() {
	w := q.first
	if w == nil {
		q.taken--
		return
	}
	q.remove(w)
	w.granted = true
	close(w.ready)
}

func (q *slots) enqueue() *waiter {
	w := &waiter{ready: make(chan struct{}), queued: true, prev: q.last}
	if q.last != nil {
		q.last.next = w
	} else {
		q.first = w
	}
	q.last = w
	return w
}

// dequeue ends w's waiting and reports whether it holds a slot now.
func (q *slots) dequeue(w *waiter) bool {
	if w.queued {
		q.remove(w)
	}
	return w.granted
}

// refuseAll wakes every waiter without a slot.
func (q *slots) refuseAll() {
	for w := q.first; w != nil; w = q.first {
		q.remove(w)
		close(w.ready)
	}
}

func (q *slots) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
}
