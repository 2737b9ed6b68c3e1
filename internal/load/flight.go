package load

import "time"

// A request is one that is under way.
type request struct {
	start time.Duration // when it was sent, or was due
	class Class
}

// A flight is the requests of a connection that are under way, oldest first,
// on a ring that grows to the pipeline's length.
type flight struct {
	ring []request
	head int
	n    int
}

func (f *flight) push(r request) {
	if f.n == len(f.ring) {
		bigger := make([]request, max(1, 2*len(f.ring)))
		for i := range f.n {
			bigger[i] = f.ring[(f.head+i)%len(f.ring)]
		}
		f.ring, f.head = bigger, 0
	}
	f.ring[(f.head+f.n)&(len(f.ring)-1)] = r
	f.n++
}

func (f *flight) pop() request {
	r := f.ring[f.head]
	f.head = (f.head + 1) & (len(f.ring) - 1)
	f.n--
	return r
}
