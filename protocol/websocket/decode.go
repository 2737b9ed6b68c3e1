package websocket

import (
	"fmt"
	"unicode/utf8"

	"github.com/spate-io/spate/engine"
)

// A decoder is where a connection is in what its client sends. The payload that has arrived and that nobody has taken yet stays where the
// engine keeps what is offered again, in front of the frame that has not arrived whole, with the headers and masks taken off; so it needs
// no buffer of its own, and counts among what the engine bounds.
type decoder struct {
	left      int64  // of the payload of the frame that is arriving
	plain     uint32 // bytes of payload at the head of what is offered again; before the handshake, bytes that were searched
	fragments uint32 // frames of the message so far
	key       uint32 // for what follows of the frame
	code      Code   // of the client's Close frame
	op        opcode // of the message
	unchecked uint8  // bytes at the end of the payload that are the beginning of a character
	inMessage bool   // the message has not ended
	inFrame   bool   // the header has arrived, the payload has not
	fin       bool   // of the frame
	packed    bool   // the message is compressed
	closed    bool   // a Close frame has arrived
}

// decode takes the frames apart that have arrived and hands what they carry to the session. It returns what is to be offered again.
func (c *Conn) decode(in []byte) (rest []byte, finished bool, err error) {
	r := run{c: c, d: &c.in, in: in, end: int(c.in.plain), at: int(c.in.plain)}
	for more := true; more && err == nil && r.err == nil; {
		var v *violation
		if more, v = r.frame(); v != nil {
			err = v.because()
		}
	}
	if err == nil {
		err = r.err
	}
	if c.stream != nil {
		if failed := r.serve(); failed != nil {
			return nil, r.finished, failed
		}
	}
	if err == nil && c.in.closed {
		err = engine.Because(engine.ReasonPeer, nil)
	}
	if err != nil {
		return nil, r.finished, err
	}
	// What follows the payload is at most a header and a control frame, and is moved up to it.
	n := copy(in[r.end:], in[r.at:])
	c.in.plain = uint32(r.end - r.begin)
	return in[r.begin : r.end+n], r.finished, nil
}

// A run is one call of decode. The payload that nobody has taken is in[begin:end], what has not been looked at is in[at:].
type run struct {
	c              *Conn
	d              *decoder
	in             []byte
	begin, end, at int
	fresh          bool // payload has been added since the session saw it
	finished       bool // the session has taken something
	err            error
}

// frame takes the next frame, or what has arrived of it, and tells whether there may be another.
func (r *run) frame() (more bool, v *violation) {
	d := r.d
	if r.c.Closing() || d.closed {
		return false, nil
	}
	if !d.inFrame {
		h, size, v := parseHeader(r.in[r.at:], r.c.deflate)
		if size == 0 || v != nil {
			return false, v
		}
		if h.op.control() {
			return r.control(h, size)
		}
		if v := r.start(h); v != nil {
			return false, v
		}
		r.at += size
	}
	return r.payload()
}

// start begins a frame of data.
func (r *run) start(h header) *violation {
	d, limits := r.d, r.c.limits()
	switch {
	case h.op == opContinuation && !d.inMessage:
		return errContinuation
	case h.op != opContinuation && d.inMessage:
		return errInterleaved
	case h.op == opText && r.c.stream != nil:
		return errKind
	}
	if h.op != opContinuation {
		d.op, d.packed, d.fragments = h.op, h.compressed, 0
	}
	held := 0
	if r.c.messages != nil {
		held = r.end - r.begin
	}
	if d.fragments++; int(d.fragments) > limits.Fragments {
		return errFragments
	}
	if h.length > int64(r.c.maxMessage()-held) {
		return errTooLarge
	}
	d.inMessage, d.inFrame, d.fin, d.left, d.key = true, true, h.fin, h.length, h.key
	return nil
}

// payload takes what has arrived of a frame of data.
func (r *run) payload() (more bool, v *violation) {
	d := r.d
	n := int(min(int64(len(r.in)-r.at), d.left))
	d.key = unmask(r.in[r.end:r.end+n], r.in[r.at:r.at+n], d.key)
	r.end, r.at, d.left, r.fresh = r.end+n, r.at+n, d.left-int64(n), r.fresh || n > 0
	if d.op == opText && !d.packed {
		open, ok := checkText(r.in[r.end-n-int(d.unchecked) : r.end])
		if d.unchecked = uint8(open); !ok {
			return false, errNotText
		}
	}
	if d.left > 0 {
		return false, nil
	}
	d.inFrame = false
	if !d.fin {
		return true, nil
	}
	d.inMessage = false
	if d.unchecked > 0 {
		return false, errNotText
	}
	if r.c.messages == nil {
		return true, nil
	}
	return true, r.message()
}

// message hands a whole message to the session.
func (r *run) message() *violation {
	data := r.in[r.begin:r.end]
	r.begin = r.end
	r.finished = true
	if r.d.packed {
		return r.inflated(data)
	}
	r.err = r.c.messages.Message(r.c, Kind(r.d.op), data)
	return nil
}

// inflated is message for one that is compressed.
func (r *run) inflated(data []byte) *violation {
	ep := r.c.ep.Load()
	k, v := ep.packer.inflate(data, r.c.maxMessage())
	if v != nil {
		return v
	}
	defer ep.packer.free(k)
	if r.d.op == opText && !utf8.Valid(k.b) {
		return errNotText
	}
	r.err = r.c.messages.Message(r.c, Kind(r.d.op), k.b)
	return nil
}

// serve offers the payload to the session of a stream, if there is more than it has seen.
func (r *run) serve() error {
	if !r.fresh || r.c.Closing() {
		return nil
	}
	n, err := r.c.stream.Serve(r.c, r.in[r.begin:r.end])
	if n < 0 || n > r.end-r.begin {
		panic(fmt.Sprintf("%s: Serve was given %d bytes and took %d", r.c.ep.Load().Name, r.end-r.begin, n))
	}
	r.begin += n
	r.finished = r.finished || n > 0
	return err
}

// control takes a control frame, once it has arrived whole.
func (r *run) control(h header, size int) (more bool, v *violation) {
	payload := r.in[r.at+size:]
	if int64(len(payload)) < h.length {
		return false, nil
	}
	payload = payload[:h.length]
	unmask(payload, payload, h.key)
	r.at += size + len(payload)
	switch h.op {
	case opPing:
		// A client that sends pings and does not read is not read any more.
		r.err = r.c.frame(opPong, false, payload)
		return r.err == nil, nil
	case opClose:
		code, v := parseClose(payload)
		if v != nil {
			return false, v
		}
		r.d.closed, r.d.code = true, code
		return false, nil
	}
	return true, nil // a pong that nobody has asked for
}
