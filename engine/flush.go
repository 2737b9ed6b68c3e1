package engine

import (
	"errors"
	"os"
)

// scheduleFlushLocked has a task of the driver send what waits, unless one is
// about to anyway, or the socket has no room.
func (c *Conn) scheduleFlushLocked() {
	if c.flags&(flagFlushJob|flagFlushing) != 0 || c.out == nil || c.hints.has(hintFull|hintSecret) {
		return
	}
	c.flags |= flagFlushJob
	c.lst.driver.scheduleFlush(c)
}

// flushLate sends what others wrote while the owner was busy, and so left to
// it. A driver calls it once busy says no: whoever wrote before that has set
// hintWaiting, and whoever writes after it schedules a flush.
func (c *Conn) flushLate() {
	if !c.hints.has(hintWaiting) || c.hints.has(hintFull) {
		return
	}
	c.mu.Lock()
	c.scheduleFlushLocked()
	c.mu.Unlock()
}

// flushJob is what a driver runs for a scheduled flush.
func (c *Conn) flushJob() {
	c.mu.Lock()
	c.flags &^= flagFlushJob
	c.flushLocked()
	c.mu.Unlock()
}

// writable is what a driver calls when the socket has room again.
func (c *Conn) writable() {
	if !c.hints.clear(hintFull) {
		return
	}
	c.mu.Lock()
	c.scheduleFlushLocked()
	c.mu.Unlock()
}

// flushLocked writes until nothing waits or the socket is full. The lock is
// released while it writes; one goroutine writes at a time, and takes along
// what others append meanwhile.
func (c *Conn) flushLocked() {
	if c.out == nil || c.flags&flagFlushing != 0 || c.hints.has(hintFull|hintSecret) || c.phase >= phaseLingering {
		return
	}
	c.flags |= flagFlushing
	for full := false; c.out != nil && c.phase < phaseLingering; {
		err := c.writeChunkLocked()
		switch {
		case err == nil:
			full = false
			continue
		case err != errAgain:
			c.writeFailedLocked(err)
		case !full || !c.hints.has(hintFull):
			// The driver ignores "writable" unless hintFull is set, and it may
			// have become so just before: set it, and try once more.
			full = true
			c.hints.set(hintFull)
			continue
		}
		break
	}
	c.flags &^= flagFlushing
	if c.flags&flagAbandoned != 0 {
		c.dropOutputLocked()
	}
	c.flushedLocked()
}

// writeFailedLocked ends the connection after an error of a write.
func (c *Conn) writeFailedLocked(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.closeLocked(ReasonWriteTimeout, nil)
		return
	}
	c.closeLocked(ReasonReset, err)
}

// writeChunkLocked gives the socket what is at the head of the output. It
// returns nil once all of that has left.
func (c *Conn) writeChunkLocked() error {
	o := c.out
	if o.head == nil {
		o.head, o.tail, o.off = o.tail, nil, 0
		o.marks = o.marks[:0]
	}
	chunk, to := o.head.b[o.off:], c.stream()
	c.mu.Unlock()
	n, err := to.write(chunk)
	c.mu.Lock()
	o.off += n
	c.bytesOut.Add(uint64(n))
	c.touch()
	if err != nil {
		return err
	}
	c.hints.clear(hintFull)
	c.eng.giveBack(o.head)
	o.head = nil
	if o.tail == nil {
		c.eng.freeOutput(o)
		c.setOutput(nil)
	}
	return nil
}

// takes tells whether the peer has taken bytes since the write deadline was
// set, and sets it anew if so. The kernel reports room only when a third of its
// buffer is free (sk_stream_is_writeable), which a slow peer may take minutes
// for.
func (c *Conn) takes() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil || c.phase >= phaseLingering {
		return true
	}
	unsent := c.sock.unsent()
	if unsent >= c.out.unsent {
		return false
	}
	c.out.unsent = unsent
	c.setWriteDeadline(c.eng.clock.ms() + c.eng.limits.WriteTimeout.Milliseconds())
	return true
}

// excuse tells whether the peer may be silent longer than why allows, because it still has answers to take: the write deadline watches over
// that. The time begins anew once it has taken them.
func (c *Conn) excuse(why Reason) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, allowed := c.eng.clock.ms(), c.eng.limits.silence(why).Milliseconds()
	again, idle := now+allowed, why == ReasonIdleTimeout
	switch {
	case c.flags&flagPaused != 0 || idle && (c.out != nil || c.sock.unsent() > 0):
	case idle:
		if again = int64(c.lastAt.Load()+1)*wheelTick.Milliseconds() + allowed; again <= now {
			return false
		}
	default:
		return false
	}
	was := c.due.readAt.Load()
	if Reason(was&0xff) == why {
		c.due.readAt.CompareAndSwap(was, again<<8|int64(why)) // or else the owner has just set it
	}
	return true
}

// touch notes that something was taken from the peer, or by it.
func (c *Conn) touch() {
	if now := c.eng.clock.ticks(); c.lastAt.Load() != now {
		c.lastAt.Store(now)
	}
}

// flushedLocked wakes whoever waits for what a flush achieves.
func (c *Conn) flushedLocked() {
	if c.out != nil && c.hints.has(hintFull) {
		c.out.unsent = c.sock.unsent()
		c.setWriteDeadline(c.eng.clock.ms() + c.eng.limits.WriteTimeout.Milliseconds())
	} else {
		c.setWriteDeadline(0)
	}
	if c.waitingLocked() <= c.eng.limits.Buffered/2 {
		c.roomLocked()
		if c.flags&flagPaused != 0 {
			c.flags &^= flagPaused
			events := eventResume
			if c.eng.stopping.Load() {
				events |= eventDrain
			}
			c.signal(events)
		}
	}
	if c.phase == phaseFlushing && c.out == nil || c.flags&flagFinish != 0 {
		c.signal(eventClose)
	}
}
