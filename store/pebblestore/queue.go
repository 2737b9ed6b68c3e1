package pebblestore

import (
	"sync"

	"github.com/spate-io/spate/store"
)

// A request is a batch that waits for its commit.
type request struct {
	batch *store.Batch
	done  func(error)
	size  int
	err   error // why it is refused
}

// A queue holds the requests that no group has taken yet. It is bounded by the bytes of all that were not answered.
type queue struct {
	limit int
	wake  chan struct{} // has a value when there may be something to take

	mu     sync.Mutex
	room   sync.Cond
	bytes  int // of requests that were not answered
	list   []request
	closed bool
	failed error
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit, wake: make(chan struct{}, 1)}
	q.room.L = &q.mu
	return q
}

// put waits for room and reports whether the queue takes the request, which a closed one does not.
func (q *queue) put(r request) bool {
	q.mu.Lock()
	for q.bytes > q.limit && !q.closed && q.failed == nil {
		q.room.Wait()
	}
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.bytes += r.size
	q.list = append(q.list, r)
	first := len(q.list) == 1
	q.mu.Unlock()
	if first {
		q.notify()
	}
	return true
}

func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take moves requests to dst, up to the bounds of a group. closed is true once nothing is left and nothing will come.
func (q *queue) take(dst []request) (taken []request, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < len(q.list) && n < groupRequests && bytes < groupBytes {
		bytes += q.list[n].size
		n++
	}
	dst = append(dst, q.list[:n]...)
	rest := copy(q.list, q.list[n:])
	clear(q.list[rest:])
	q.list = q.list[:rest]
	if rest > 0 {
		q.notify()
	}
	return dst, q.closed && n == 0
}

// answered gives the room of requests back.
func (q *queue) answered(bytes int) {
	q.mu.Lock()
	q.bytes -= bytes
	q.mu.Unlock()
	q.room.Broadcast()
}

func (q *queue) close() (first bool) {
	q.mu.Lock()
	first = !q.closed
	q.closed = true
	q.mu.Unlock()
	q.room.Broadcast()
	q.notify()
	return first
}

// fail lets everybody in who waits for room, to be told why it is of no use. It reports whether it is the first failure.
func (q *queue) fail(err error) (first bool) {
	q.mu.Lock()
	first = q.failed == nil
	if first {
		q.failed = err
	}
	q.mu.Unlock()
	q.room.Broadcast()
	q.notify()
	return first
}

func (q *queue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed
}

func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
