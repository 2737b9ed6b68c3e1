package engine

import (
	"errors"
	"io"
)

// Close ends the connection for reason r; cause may be nil. What was written
// before is still delivered, unless the reason says that the peer does not
// read or must not be waited for. Close does not wait; a handler that is
// running finishes first, with its context canceled. Only the first call
// counts.
func (c *Conn) Close(r Reason, cause error) { c.close(r, cause) }

func (c *Conn) close(r Reason, cause error) {
	c.mu.Lock()
	c.closeLocked(r, cause)
	c.mu.Unlock()
}

func (c *Conn) closeLocked(r Reason, cause error) {
	if c.phase != phaseOpen {
		if c.phase < phaseLingering && c.flags&flagAbandoned == 0 && c.forgoesLocked(r) {
			// The farewell cannot be delivered: no more waiting.
			c.abandonLocked()
		}
		return
	}
	c.phase = phaseClosing
	c.hints.set(hintClosing)
	c.reason = r
	if cause != nil {
		c.extra().cause = unwrapClose(cause)
	}
	if c.ext != nil && c.ext.cancel != nil {
		c.ext.cancel(c.whyLocked())
	}
	if c.forgoesLocked(r) {
		c.abandonLocked()
	}
	c.roomLocked()
	c.signal(eventClose)
}

// forgoesLocked tells whether nothing more is to reach the peer of a connection that ends for r. One that an administrator ends is told so if its protocol has a word for it, but waited for no longer
// than Limits.LingerTimeout.
func (c *Conn) forgoesLocked(r Reason) bool {
	if _, told := c.sess.(Fareweller); r == ReasonKilled && told {
		return c.hints.has(hintSecret)
	}
	return !r.graceful()
}

// unwrapClose drops the reason from a cause that carries one, since the
// connection keeps it itself.
func unwrapClose(err error) error {
	if ce, ok := err.(*CloseError); ok {
		return ce.Err
	}
	return err
}

// abandonLocked gives up what waits to be sent and ends both directions, so
// that whoever reads or writes the socket stops.
func (c *Conn) abandonLocked() {
	if c.flags&flagFlushing == 0 {
		c.dropOutputLocked()
	}
	c.flags |= flagAbandoned
	c.sock.shutdown()
	c.signal(eventClose)
}

func (c *Conn) dropOutputLocked() {
	o := c.out
	if o == nil {
		return
	}
	c.setOutput(nil)
	for _, b := range []*buffer{o.head, o.tail} {
		if b != nil {
			c.eng.giveBack(b)
		}
	}
	c.eng.freeOutput(o)
}

// closeStep takes the closing as far as it goes without waiting for the peer:
// end the session, send what waits, shut our side, wait for the peer to close
// its side, let go of the descriptor. Owner only.
func (c *Conn) closeStep(scratch []byte) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseClosing {
		c.phase = phaseFlushing
		c.endReadDeadline() // from here on the peer only has to read
		if c.hints.has(hintSecret) {
			c.dropOutputLocked() // the handshake failed
		}
		c.farewellLocked()
		c.endSessionLocked()
		if c.reason == ReasonKilled {
			c.setReadDeadline(c.eng.limits.LingerTimeout, ReasonPeer)
		}
	}
	if c.phase == phaseFlushing {
		c.flushLocked()
		if c.flags&flagAbandoned == 0 && (c.out != nil || c.flags&flagFlushing != 0) {
			return false // a flush, or the write deadline, signals again
		}
		c.endOutputLocked()
	}
	if c.phase == phaseLingering {
		return c.lingerLocked(scratch)
	}
	return false
}

// endOutputLocked tells the peer that nothing more comes, now that all output
// has left, and waits for it to do the same. The lock is released meanwhile,
// since a socket that blocks may have no room for TLS's good-bye.
func (c *Conn) endOutputLocked() {
	if c.flags&flagAbandoned != 0 || c.flags&flagPeerEOF != 0 && c.tls == nil {
		c.finishLocked()
		return
	}
	c.setReadDeadline(c.eng.limits.LingerTimeout, ReasonPeer)
	to := c.stream()
	c.mu.Unlock()
	err := to.closeWrite()
	c.mu.Lock()
	switch err {
	case nil:
		c.phase = phaseLingering
		c.lingered = 0
	case errAgain:
		c.due.readAt.Store(0) // the write deadline takes over
		c.prependLocked(nil)
		c.flushLocked()
	default:
		c.finishLocked()
	}
}

// farewellLocked queues the session's last message, however much waits already: nothing comes after it.
func (c *Conn) farewellLocked() {
	f, ok := c.sess.(Fareweller)
	if !ok || c.flags&(flagAbandoned|flagPeerEOF) != 0 {
		return
	}
	why := c.whyLocked()
	var last []byte
	c.mu.Unlock()
	func() {
		defer c.mu.Lock() // also after a runtime.Goexit
		c.contain("saying good-bye", func() { last = f.Farewell(c, why) })
	}()
	if len(last) > 0 && c.flags&flagAbandoned == 0 {
		c.appendLocked(len(last), last)
	}
}

// endSessionLocked tells the session, and releases what the owner held.
func (c *Conn) endSessionLocked() {
	why := c.whyLocked()
	sess := c.sess
	c.mu.Unlock()
	defer func() { // also after a runtime.Goexit: the lock is released again further out
		if c.in != nil {
			c.eng.giveBack(c.in)
			c.in = nil
		}
		c.mu.Lock()
	}()
	if sess != nil {
		c.contain("closing the session", func() { sess.Close(c, why) })
	}
}

// lingerLocked reads and throws away what the peer still sends. Closing the
// descriptor with unread bytes would send a reset, which makes the peer's
// kernel discard the final message before the peer has read it (RFC 1122,
// section 4.2.2.13).
func (c *Conn) lingerLocked(scratch []byte) (again bool) {
	for range turnReads {
		if c.flags&flagAbandoned != 0 || c.lingered > lingerBytes {
			c.finishLocked()
			return false
		}
		c.mu.Unlock()
		n, err := c.sock.read(scratch) // under TLS it need not be decrypted
		c.mu.Lock()
		c.lingered += int32(n)
		if err == errAgain {
			return false
		}
		if err != nil {
			c.finishLocked()
			return false
		}
	}
	return true
}

// finishLocked closes the descriptor. A goroutine that is writing must be let
// out first: the number could otherwise be given to another connection while
// it writes.
func (c *Conn) finishLocked() {
	if c.phase == phaseClosed {
		return
	}
	if c.flags&flagFlushing != 0 {
		c.flags |= flagFinish
		c.sock.shutdown()
		return
	}
	c.phase = phaseClosed
	c.dropOutputLocked()
	c.roomLocked()
	c.setWriteDeadline(0)
	c.due.readAt.Store(0)
	err := c.sock.close()
	c.eng.wheel.remove(c)
	c.eng.forget(c)
	why := c.whyLocked()
	c.mu.Unlock() // the logger may want to push to this very connection
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.eng.log.Debug("closing a socket", "conn", c.id, "error", err)
	}
	c.report(why)
	c.mu.Lock()
}

// cutOff ends the connection without waiting for its peer.
func (c *Conn) cutOff() (unfinished bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unfinished = c.phase < phaseLingering // else all was delivered, and only the peer has not closed
	c.closeLocked(ReasonShutdown, nil)
	if c.phase < phaseClosed { // the descriptor's number may be another's by then
		c.abandonLocked()
	}
	return unfinished
}

// expire closes the connection because a deadline has passed.
func (c *Conn) expire(r Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.phase == phaseOpen:
		c.closeLocked(r, nil)
	case c.phase < phaseClosed:
		c.abandonLocked() // the peer did not take the farewell in time
	}
}
