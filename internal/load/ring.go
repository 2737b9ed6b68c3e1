package load

import "time"

// A request is one that is under way.
type request struct {
	start time.Duration // when it was sent, or was due
	class Class
}

// A ring is a first-in first-out queue that grows as needed.
type ring[T any] struct {
	slots []T
	head  int
	n     int
}

func (r *ring[T]) push(v T) {
	if r.n == len(r.slots) {
		bigger := make([]T, max(1, 2*len(r.slots)))
		for i := range r.n {
			bigger[i] = r.slots[(r.head+i)%len(r.slots)]
		}
		r.slots, r.head = bigger, 0
	}
	r.slots[(r.head+r.n)&(len(r.slots)-1)] = v
	r.n++
}

// pop removes the oldest; there must be one.
func (r *ring[T]) pop() T {
	v := r.slots[r.head]
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.n--
	return v
}
