package resp

import (
	"cmp"
	"fmt"

	"github.com/spate-io/spate/protocol/resp/wire"
)

// A body collects a reply that is a list of what other clients have made, and can be long: it grows only as far as
// longReply and longReplies allow. The zero value is empty.
type body struct {
	b     []byte
	proto *Protocol
	taken int // of longReplies
	most  int // bytes, longReply if it is 0
}

// reserve makes room for n more bytes, or says why there is none.
func (l *body) reserve(p *Protocol, n int) error {
	need, most := len(l.b)+n, cmp.Or(l.most, longReply)
	if need <= cap(l.b) {
		return nil
	}
	if need > most {
		return fmt.Errorf("it has more than %d bytes", most)
	}
	size := min(max(2*cap(l.b), need, 1024), most)
	if size > replyFlush {
		if p.long.Add(int64(size-l.taken)) > longReplies {
			p.long.Add(-int64(size - l.taken))
			return fmt.Errorf("it has more than %d bytes, and such replies to all clients already wait with %d bytes", replyFlush, longReplies)
		}
		l.proto, l.taken = p, size
	}
	grown := make([]byte, len(l.b), size)
	copy(grown, l.b)
	l.b = grown
	return nil
}

// grant takes room for a reply that may end early: as much as is wanted, or what is left of longReplies, but never less than replyFlush. Give it
// back with release.
func (p *Protocol) grant(want int) (got int, release func()) {
	for {
		used := p.long.Load()
		got = int(min(int64(want), longReplies-used))
		if got < replyFlush {
			return replyFlush, func() {}
		}
		if p.long.CompareAndSwap(used, used+int64(got)) {
			return got, func() { p.long.Add(-int64(got)) }
		}
	}
}

// release gives back what was taken. The bytes must not be used afterwards.
func (l *body) release() {
	if l.taken > 0 {
		l.proto.long.Add(-int64(l.taken))
	}
	*l = body{}
}

// elements replies with n elements of an aggregate, already encoded.
func (r *Request) elements(n int, encoded []byte) {
	r.want -= n
	r.pieces(encoded)
}

// long is Plain for a text that can be long.
func (r *Request) long(text []byte) {
	r.want--
	kind := byte('$')
	n := len(text)
	if r.resp3 {
		kind = '='
		n += len("txt:")
	}
	r.out = wire.Header(r.out, kind, n)
	if r.resp3 {
		r.out = append(r.out, "txt:"...)
	}
	r.pieces(text)
	r.out = append(r.out, "\r\n"...)
}

// pieces replies with bytes, of which it sends a part whenever there is enough: sending waits while the client does not
// read, so that no more than engine.Limits.Buffered is kept for it beside them.
func (r *Request) pieces(b []byte) {
	for len(b) > 0 {
		n := min(len(b), replyFlush)
		r.out = append(r.out, b[:n]...)
		b = b[n:]
		if len(r.out) >= replyFlush && r.flush() != nil {
			return // the connection is closed
		}
	}
}

// spill sends what there is of a reply if that is much: a request of 1 MiB can ask for the same 200 000 times.
func (r *Request) spill() {
	if len(r.out) >= replyFlush {
		_ = r.flush() // a broken connection is not served any further
	}
}
