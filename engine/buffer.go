package engine

import "sync"

// A buffer is a pooled byte slice. Buffers hold partial requests and waiting
// output only for as long as there are any: an idle connection has none.
type buffer struct {
	b     []byte
	class int8 // index into bufferSizes, or -1 for one that is too large to keep
	// awaited is the read deadline that ran before what is held here began to
	// arrive.
	awaited int64
}

// bufferSizes are the capacities that are pooled. Larger buffers are left to
// the garbage collector, because a pool would keep the memory of one burst.
var bufferSizes = [...]int{1 << 10, 4 << 10, 16 << 10, 64 << 10}

// buffers lends buffers of one engine and counts the bytes that are out.
type buffers struct {
	pools [len(bufferSizes)]sync.Pool
}

// get returns an empty buffer with room for at least n bytes.
func (p *buffers) get(n int) *buffer {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		if b, ok := p.pools[i].Get().(*buffer); ok {
			return b
		}
		return &buffer{b: make([]byte, 0, size), class: int8(i)}
	}
	return &buffer{b: make([]byte, 0, n), class: -1}
}

// bufferSize returns the capacity of the buffer that get(n) returns.
func bufferSize(n int) int {
	for _, size := range bufferSizes {
		if n <= size {
			return size
		}
	}
	return n
}

// put takes b back; the caller must not use it, or its bytes, again.
func (p *buffers) put(b *buffer) {
	if b.class < 0 {
		return
	}
	b.b = b.b[:0]
	p.pools[b.class].Put(b)
}

// grow returns a buffer with b's bytes and room for n more, at least doubling
// so that a message that arrives in small pieces is copied O(1) times a byte.
func (p *buffers) grow(b *buffer, n int) *buffer {
	want := max(len(b.b)+n, 2*cap(b.b))
	bigger := p.get(want)
	bigger.b = append(bigger.b, b.b...)
	bigger.awaited = b.awaited
	p.put(b)
	return bigger
}
