package engine

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spate-io/spate/task"
)

// A connection has at most one owner: the goroutine that runs its turns. The
// state word holds what has happened since the owner last looked, and whether
// there is an owner; whoever sets the first bit on a connection without one
// hands it to the driver, which gives it a goroutine.
const (
	stateOwned  uint32 = 1 << iota
	eventOpen          // it was just accepted
	eventIn            // the socket has bytes, or its end, or an error
	eventHup           // what the socket has includes its end, an error, or urgent data
	eventResume        // enough output has left for reading to go on
	eventClose         // its closing has come a step further
	eventDrain         // the engine shuts down
)

// signal reports events to the connection's owner, and finds it one if it has
// none.
func (c *Conn) signal(events uint32) {
	if old := c.state.Or(events | stateOwned); old&stateOwned == 0 {
		c.lst.driver.wake(c)
	} else {
		c.sock.interrupt()
	}
}

// take returns the events since the last take. Owner only.
func (c *Conn) take() uint32 {
	return c.state.And(stateOwned) &^ stateOwned
}

// release gives up ownership, unless events came in the meantime.
func (c *Conn) release() bool {
	return c.state.CompareAndSwap(stateOwned, 0)
}

// turn is one turn of the connection's owner: open, read, serve, write, close,
// as far as it goes without waiting for the peer. It returns whether there is
// more to do at once.
func (c *Conn) turn(events uint32, scratch []byte) (again bool) {
	if events&eventOpen != 0 {
		c.contain("opening the session", c.open)
		if c.in != nil && !c.Closing() {
			c.serveHeld(scratch)
		}
	}
	if !c.Closing() {
		var paused bool
		again, paused = c.readAndServe(scratch)
		// A connection that is not read for now may have received requests: it
		// drains when it is resumed.
		if events&eventDrain != 0 && !c.Closing() && !again && !paused {
			c.contain("draining the session", c.drain)
		}
	}
	if c.Closing() {
		return c.closeStep(scratch)
	}
	if again {
		c.state.Or(events & eventDrain)
	}
	return again
}

// open makes the session, after the handshake where there is one.
func (c *Conn) open() {
	if err := c.handshake(); err != nil {
		why := ReasonHandshake
		if c.eng.stopping.Load() {
			why, err = ReasonShutdown, nil
		}
		c.close(why, err)
	}
	if c.Closing() {
		return
	}
	c.setReadDeadline(c.eng.limits.FirstTimeout, ReasonFirstTimeout)
	sess := c.newSession()
	_, carrier := sess.(Carrier)
	c.mu.Lock()
	c.sess, c.carrier = sess, carrier
	c.mu.Unlock()
	c.Flush()
}

// readAndServe reads and serves until the socket is empty, the connection
// closes or pauses, or its share of the turn is used up, which is again.
func (c *Conn) readAndServe(scratch []byte) (again, paused bool) {
	for range turnReads {
		if c.pause() {
			return false, true
		}
		buf, held, err := c.readBuffer(scratch)
		if err != nil {
			c.close(ReasonMemory, err)
			return false, false
		}
		n, err := c.stream().read(buf[held:])
		if n > 0 {
			c.bytesIn.Add(uint64(n))
			if !c.serve(buf[:held+n]) {
				return false, false
			}
		}
		switch err {
		case nil:
		case errAgain:
			return false, false
		default:
			c.peerEnded(err)
			return false, false
		}
	}
	return true, false
}

// pause tells whether the connection is not to be read because its peer does
// not read either. A flush that makes room resumes it.
func (c *Conn) pause() bool {
	if !c.hints.has(hintWaiting) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waitingLocked() <= c.eng.limits.Buffered/2 {
		return false
	}
	c.flags |= flagPaused
	return true
}

// readBuffer returns where to read to, behind the partial request that the connection holds: the task's scratch buffer, so that a read takes
// as much with a small rest as without one, or the room behind a large rest.
func (c *Conn) readBuffer(scratch []byte) (buf []byte, held int, err error) {
	if c.in == nil {
		return scratch, 0, nil
	}
	if held = len(c.in.b); held <= len(scratch)/2 {
		copy(scratch, c.in.b)
		return scratch, held, nil
	}
	if held == cap(c.in.b) {
		if c.eng.crowded(bufferSize(2 * held)) {
			return nil, 0, c.eng.crowdedError()
		}
		c.in = c.eng.grow(c.in, 1)
	}
	return c.in.b[:cap(c.in.b)], held, nil
}

// serve hands data, which is the partial request and the new bytes, to the
// session, keeps what the session leaves, and sends what it wrote. It returns
// false once the connection is closing.
func (c *Conn) serve(data []byte) bool {
	rest, finished, err := c.call(data)
	if err != nil {
		c.Flush()
		c.close(ReasonOf(err, ReasonProtocol), err)
		return false
	}
	if finished {
		c.touch()
	}
	if !c.keep(rest, finished) {
		return false
	}
	c.Flush()
	return !c.Closing()
}

// call runs the session's Serve; a panic becomes the end of this connection, and so does a runtime.Goexit, after which nobody returns. It
// returns what is left of data, and whether a request was completed.
func (c *Conn) call(data []byte) (rest []byte, finished bool, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		err = c.panicked("serving a request", p)
		if p == nil {
			c.close(ReasonPanic, err)
		}
	}()
	if c.carrier {
		rest, finished, err = c.sess.(Carrier).Carry(c, data)
		returned = true
		return rest, finished, err
	}
	used, err := c.sess.Serve(c, data)
	if used < 0 || used > len(data) {
		panic(fmt.Sprintf("%s: Serve was given %d bytes and took %d", c.lst.proto.Name(), len(data), used))
	}
	returned = true
	return data[used:], used > 0, err
}

// keep holds rest, the beginning of a request, until more of it arrives.
func (c *Conn) keep(rest []byte, progress bool) bool {
	limits := &c.eng.limits
	if len(rest) == 0 {
		if c.in != nil {
			if c.carrier && !progress { // what was held is no request
				c.resumeReadDeadline(c.in.awaited)
			}
			c.eng.giveBack(c.in)
			c.in = nil
		}
		if progress {
			c.awaitRequest()
		}
		return true
	}
	if len(rest) >= limits.Message {
		c.close(ReasonTooLarge, fmt.Errorf("a request exceeds %d bytes", limits.Message))
		return false
	}
	if c.carrier && progress {
		c.awaitRequest() // to be resumed when it turns out that rest is no request
	}
	begun, awaited := c.in == nil || progress, c.due.readAt.Load()
	if begun && !(c.carrier && awaited != 0 && awaited>>8 <= c.eng.clock.ms()+limits.RequestTimeout.Milliseconds()) {
		c.setReadDeadline(limits.RequestTimeout, ReasonRequestTimeout)
	}
	if (c.in == nil || len(rest) > cap(c.in.b)) && c.eng.crowded(bufferSize(len(rest))) {
		c.close(ReasonMemory, c.eng.crowdedError())
		return false
	}
	if c.in == nil {
		c.in = c.eng.lend(len(rest))
	}
	if begun {
		c.in.awaited = awaited
	}
	switch {
	case c.carrier && len(rest) <= cap(c.in.b) && &rest[0] == &c.in.b[:1][0]: // a long message that comes in many reads is not copied for each
		c.in.b = c.in.b[:len(rest)]
		return true
	case progress || c.carrier:
		c.in.b = c.in.b[:0]
	}
	// Without progress the beginning lies there already, and what was read behind it too: a peer may send it byte by byte.
	fresh := rest[len(c.in.b):]
	if len(rest) > cap(c.in.b) {
		c.in = c.eng.grow(c.in, len(fresh))
	}
	c.in.b = append(c.in.b, fresh...)
	return true
}

// awaitRequest sets the deadline of the next request.
func (c *Conn) awaitRequest() {
	if d := time.Duration(c.keepAlive.Load()) * wheelTick; d > 0 {
		c.setReadDeadline(d, ReasonKeepAlive)
		return
	}
	c.setReadDeadline(c.eng.limits.IdleTimeout, ReasonIdleTimeout)
}

// SetKeepAlive closes the connection with [ReasonKeepAlive] once the peer has not sent a whole request for d, from the end of the Serve that
// calls it on, whatever is sent to the peer meanwhile. It takes the place of Limits.IdleTimeout; 0 gives that back.
// It is for sessions whose peers promise to be heard, as those of MQTT do.
func (c *Conn) SetKeepAlive(d time.Duration) {
	c.keepAlive.Store(uint32(min((d+wheelTick-1)/wheelTick, 1<<31)))
}

// Silence returns for how long nothing was heard of a peer that has promised to be heard, see [Conn.SetKeepAlive], to a tenth of a second; of others that is
// not known. It costs nothing for what is heard, and may be called from any goroutine, and in Close of the session.
func (c *Conn) Silence() (d time.Duration, known bool) {
	keep := int64(c.keepAlive.Load()) * wheelTick.Milliseconds()
	if keep == 0 {
		return 0, false
	}
	at := c.due.readAt.Load()
	if why := Reason(at & 0xff); at == 0 || why != ReasonKeepAlive && why != ReasonNone {
		return 0, true // it is in the middle of a request
	}
	return time.Duration(max(0, c.eng.clock.ms()-(at>>8-keep))) * time.Millisecond, true
}

// peerEnded handles the end of the stream, or an error, from the socket.
func (c *Conn) peerEnded(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flags |= flagPeerEOF
	switch {
	case err == io.EOF:
		c.closeLocked(ReasonPeer, nil)
	case c.tls != nil && ofTLS(err):
		c.closeLocked(ReasonProtocol, err)
	default:
		c.closeLocked(ReasonReset, err)
	}
}

// drain ends the connection between two requests because the engine shuts
// down. A request of which only a part has arrived is not waited for.
func (c *Conn) drain() {
	if d, ok := c.sess.(Drainer); ok {
		d.Drain(c)
	}
	c.close(ReasonShutdown, nil)
}

// contain runs a part of the session. A panic becomes the end of the connection, and so does a runtime.Goexit, which ends the goroutine too.
func (c *Conn) contain(doing string, part func()) {
	returned := false
	defer func() {
		if !returned {
			c.close(ReasonPanic, c.panicked(doing, recover()))
		}
	}()
	part()
	returned = true
}

// panicked tells of a panic, or if there was none, of a runtime.Goexit.
func (c *Conn) panicked(doing string, p any) error {
	if p == nil {
		p = task.ErrGoexit
	}
	said := strings.TrimPrefix((&task.PanicError{Value: p}).Error(), "panic: ") // of a long value only the beginning
	c.eng.stats.panics.Add(1)
	c.Logger().Error("a handler panicked; its connection is closed",
		"doing", doing, "panic", said, "stack", string(debug.Stack()))
	return Because(ReasonPanic, fmt.Errorf("panic while %s: %s", doing, said))
}
