package engine

import "errors"

// Overflow says what happens to a message that is pushed to a connection whose
// peer reads too slowly, once Limits.Buffered bytes wait for it.
type Overflow uint8

// The overflow policies.
const (
	// Disconnect closes the connection with ReasonOverflow: the peer learns
	// that it missed something. It is what Redis does.
	Disconnect Overflow = iota
	// DropNewest drops the message that does not fit.
	DropNewest
	// DropOldest drops messages that wait, oldest first, until it fits. Only
	// messages that were pushed with this policy are dropped, and only whole.
	// What is being sent is not dropped and does not count, so that up to twice
	// the bound may wait.
	DropOldest
	// Block makes the pusher wait until there is room, the connection closes,
	// or the write timeout closes it.
	Block
)

// errAgain is what a socket returns that has nothing to read or no room to
// write for now.
var errAgain = errors.New("would block")

// output is what waits to be sent. The bytes of head are being written, and
// belong to the goroutine that writes; tail is appended to.
type output struct {
	head, tail *buffer
	off        int    // bytes of head that have left
	unsent     int    // bytes in the kernel when the write deadline was set
	marks      []mark // droppable messages in tail, oldest first
}

// mark is where a droppable message lies in tail.
type mark struct{ from, to int }

// markSize is what a mark adds to the bytes that wait: tiny droppable messages
// must not hold many times the memory that the bound allows.
const markSize = 16

func (o *output) waiting() int {
	if o.head == nil {
		return o.queued()
	}
	return len(o.head.b) - o.off + o.queued()
}

// queued is waiting without what is being sent.
func (o *output) queued() int {
	if o.tail == nil {
		return 0
	}
	return len(o.tail.b) + len(o.marks)*markSize
}

// Write queues p for the peer. It returns once p is queued, which is at once
// unless more than Limits.Buffered bytes wait: then it waits for the peer to
// read, for at most the write timeout, after which the connection is closed.
// Called while the session is serving, the bytes leave when Serve returns, so
// that a pipeline of requests is answered by one write; otherwise they leave
// soon. The bytes of one call stay together. p is not retained.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.WriteParts(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteParts is Write of bytes that lie in several pieces.
func (c *Conn) WriteParts(parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reserveLocked(n, Block); err != nil {
		return err
	}
	c.appendLocked(n, parts...)
	if !c.busy() {
		c.scheduleFlushLocked()
	}
	return nil
}

// WriteThrough is Write and Flush in one, without a copy of p when nothing
// else waits and the socket has room: the way to send the answers that a
// session collected itself.
func (c *Conn) WriteThrough(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return 0, ErrClosed
	}
	if c.out != nil || c.flags&flagFlushing != 0 || c.hints.has(hintSecret) {
		if err := c.reserveLocked(len(p), Block); err != nil {
			return 0, err
		}
		c.appendLocked(len(p), p)
		c.flushLocked()
		return len(p), nil
	}
	c.flags |= flagFlushing
	to := c.stream()
	c.mu.Unlock()
	n, err := to.write(p)
	c.mu.Lock()
	c.flags &^= flagFlushing
	c.bytesOut.Add(uint64(n))
	if err != nil && err != errAgain {
		c.writeFailedLocked(err)
		c.flushedLocked()
		return n, ErrClosed
	}
	if err == errAgain {
		c.prependLocked(p[n:])
	}
	if c.out == nil {
		c.flushedLocked()
	} else {
		c.flushLocked()
	}
	return len(p), nil
}

// Congested tells whether more than half of Limits.Buffered waits to be sent: the peer reads more slowly than it is written to.
func (c *Conn) Congested() bool {
	if !c.hints.has(hintWaiting) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waitingLocked() > c.eng.limits.Buffered/2
}

// AwaitRoom waits while the connection is congested, for at most the write timeout, after which it is closed. It is for who produces much and must
// not wait where it is handed over.
func (c *Conn) AwaitRoom() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.phase == phaseOpen && c.waitingLocked() > c.eng.limits.Buffered/2 {
		if c.flushLocked(); c.phase == phaseOpen && c.waitingLocked() > c.eng.limits.Buffered/2 {
			c.waitRoomLocked()
		}
	}
	if c.phase != phaseOpen {
		return ErrClosed
	}
	return nil
}

// Flush sends what waits as far as the socket takes it; the rest follows as
// the peer reads.
func (c *Conn) Flush() {
	if !c.hints.has(hintWaiting) {
		return
	}
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
}

// Push queues a message for the peer from any goroutine and sends it soon,
// together with whatever else is pushed until then. With any policy but Block
// it never waits. It returns ErrDropped if the policy drops p, and ErrClosed
// if the connection is closed, or is closed by the policy. p is not retained.
func (c *Conn) Push(p []byte, policy Overflow) error { return c.PushParts(policy, p) }

// PushParts is Push of a message that lies in several pieces, without joining them first: the head that is each receiver's own, and the
// body that all of them share.
func (c *Conn) PushParts(policy Overflow, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reserveLocked(n, policy); err != nil {
		return err
	}
	from := c.appendLocked(n, parts...)
	if policy == DropOldest {
		c.out.marks = append(c.out.marks, mark{from, from + n})
	}
	c.scheduleFlushLocked()
	return nil
}

// reserveLocked makes sure that n more bytes may wait, as the policy says.
func (c *Conn) reserveLocked(n int, policy Overflow) error {
	for {
		if c.phase != phaseOpen {
			return ErrClosed
		}
		held := c.growthLocked(n)
		memory := held > 0 && c.eng.crowded(held)
		if !memory && c.fitsLocked(n, policy) {
			return nil
		}
		if err := c.overflowLocked(n, policy, memory); err != nil {
			return err
		}
	}
}

func (c *Conn) waitingLocked() int {
	if c.out == nil {
		return 0
	}
	return c.out.waiting()
}

// growthLocked returns how much memory the output holds once n more bytes wait,
// or 0 if that is as much as it does now.
func (c *Conn) growthLocked(n int) int {
	o, sent := c.out, 0
	if o != nil && o.head != nil {
		sent = cap(o.head.b)
	}
	switch {
	case o == nil || o.tail == nil:
		return sent + bufferSize(n)
	case len(o.tail.b)+n > cap(o.tail.b):
		return sent + bufferSize(max(len(o.tail.b)+n, 2*cap(o.tail.b)))
	}
	return 0
}

// fitsLocked tells whether n more bytes may wait. One message always fits an
// empty queue: a reply may be larger than the bound, and its handler has it in
// memory already. For DropOldest, what is being sent does not count: it cannot
// be dropped any more, and would make the newest messages lose.
func (c *Conn) fitsLocked(n int, policy Overflow) bool {
	waiting := c.waitingLocked()
	if policy == DropOldest && c.out != nil {
		waiting = c.out.queued()
	}
	return waiting == 0 || waiting+n <= c.eng.limits.Buffered
}

// overflowLocked makes room, or returns why there is none.
func (c *Conn) overflowLocked(n int, policy Overflow, memory bool) error {
	if policy == Block || !c.sock.blocks() {
		// Pushing may have been faster than the task that sends; it is only
		// the peer who is too slow once the socket is full.
		if c.flushLocked(); c.phase != phaseOpen || c.fitsLocked(n, policy) && !memory {
			return nil
		}
	}
	switch policy {
	case DropNewest:
		return c.droppedLocked(1)
	case DropOldest:
		if dropped := c.dropOldestLocked(n); dropped > 0 {
			_ = c.droppedLocked(dropped)
			return nil
		}
		return c.droppedLocked(1)
	}
	switch {
	case memory:
		c.closeLocked(ReasonMemory, nil)
		return ErrClosed
	case policy == Disconnect:
		_ = c.droppedLocked(1)
		c.closeLocked(ReasonOverflow, nil)
		return ErrClosed
	}
	c.waitRoomLocked()
	return nil
}

func (c *Conn) droppedLocked(n int) error {
	c.dropped += uint32(n)
	c.eng.stats.dropped.Add(uint64(n))
	return ErrDropped
}

// dropOldestLocked removes droppable messages from the front until n bytes
// fit, without more memory, and a quarter of the bound more, so that the
// copying is paid once for many messages. It returns how many it removed.
func (c *Conn) dropOldestLocked(n int) int {
	if c.out == nil || len(c.out.marks) == 0 {
		return 0
	}
	o := c.out
	limit := c.eng.limits.Buffered
	need := max(n, o.queued()+n-limit+limit/4)
	drop, freed := 0, 0
	for drop < len(o.marks) && freed < need {
		freed += o.marks[drop].to - o.marks[drop].from
		drop++
	}
	kept, at := o.tail.b[:0], 0
	for _, m := range o.marks[:drop] {
		kept = append(kept, o.tail.b[at:m.from]...)
		at = m.to
	}
	o.tail.b = append(kept, o.tail.b[at:]...)
	o.marks = append(o.marks[:0], o.marks[drop:]...)
	for i := range o.marks {
		o.marks[i].from -= freed
		o.marks[i].to -= freed
	}
	return drop
}

// waitRoomLocked waits until output has left or the connection closes.
func (c *Conn) waitRoomLocked() {
	x := c.extra()
	if x.room == nil {
		x.room = make(chan struct{})
	}
	room := x.room
	c.mu.Unlock()
	<-room
	c.mu.Lock()
}

// roomLocked wakes those who wait for room.
func (c *Conn) roomLocked() {
	if c.ext != nil && c.ext.room != nil {
		close(c.ext.room)
		c.ext.room = nil
	}
}

func (c *Conn) setOutput(o *output) {
	c.out = o
	if o != nil {
		c.hints.set(hintWaiting)
	} else {
		c.hints.clear(hintWaiting)
	}
}

// appendLocked adds n bytes to the tail, which are those of parts, and returns where they begin there.
func (c *Conn) appendLocked(n int, parts ...[]byte) int {
	if c.out == nil {
		c.setOutput(c.eng.newOutput())
	}
	o := c.out
	switch {
	case o.tail == nil:
		o.tail = c.eng.lend(n)
	case len(o.tail.b)+n > cap(o.tail.b):
		o.tail = c.eng.grow(o.tail, n)
	}
	from := len(o.tail.b)
	for _, p := range parts {
		o.tail.b = append(o.tail.b, p...)
	}
	return from
}

// prependLocked puts p, which a write could not place, before all else. It may
// be empty: then it stands for bytes that TLS has encrypted but not yet sent.
func (c *Conn) prependLocked(p []byte) {
	if c.out == nil {
		c.setOutput(c.eng.newOutput())
	}
	c.out.head = c.eng.lend(len(p))
	c.out.head.b = append(c.out.head.b, p...)
	c.out.off = 0
}
