package engine

import (
	"sync"
	"sync/atomic"
	"time"
)

// due is a connection's deadlines. Setting one is an atomic store unless it
// comes before all that the wheel knows of: a connection that is busy touches
// the wheel once in an idle timeout, not once a message, which is what makes
// deadlines cheap at 100 000 connections.
type due struct {
	readAt  atomic.Int64 // milliseconds<<8 | Reason; ReasonNone is none
	writeAt atomic.Int64 // milliseconds; 0 is none
	wheelAt atomic.Int64 // when the wheel looks at the connection; 0 is never

	// Guarded by wheel.mu.
	prev, next *Conn
}

// setReadDeadline closes the connection for reason why in d from now, unless
// it is set anew before. Owner only.
func (c *Conn) setReadDeadline(d time.Duration, why Reason) {
	if d >= forever {
		if c.due.readAt.Load() != 0 {
			c.due.readAt.Store(0)
		}
		return
	}
	at := c.eng.clock.ms() + d.Milliseconds()
	c.due.readAt.Store(at<<8 | int64(why))
	c.eng.wheel.look(c, at)
}

// resumeReadDeadline sets the deadline as it was when due.readAt was at. Owner only.
func (c *Conn) resumeReadDeadline(at int64) {
	c.due.readAt.Store(at)
	if at != 0 {
		c.eng.wheel.look(c, at>>8)
	}
}

// endReadDeadline ends the read deadline. When that of a keep-alive was due stays there for [Conn.Silence].
func (c *Conn) endReadDeadline() {
	at := c.due.readAt.Load()
	if Reason(at&0xff) != ReasonKeepAlive {
		at = 0
	}
	c.due.readAt.Store(at &^ 0xff)
}

// setWriteDeadline closes the connection at the given engine time, or never
// when it is 0. Called with c.mu held.
func (c *Conn) setWriteDeadline(at int64) {
	if c.due.writeAt.Load() == at {
		return
	}
	c.due.writeAt.Store(at)
	if at != 0 {
		c.eng.wheel.look(c, at)
	}
}

// next returns the earliest deadline and its reason, or 0.
func (d *due) earliest() (at int64, why Reason) {
	if r := d.readAt.Load(); Reason(r&0xff) != ReasonNone {
		at, why = r>>8, Reason(r&0xff)
	}
	if w := d.writeAt.Load(); w != 0 && (at == 0 || w < at) {
		at, why = w, ReasonWriteTimeout
	}
	return at, why
}

// wheelSlots × wheelTick is how far the wheel sees: 51 s. What is due later is
// looked at once a turn.
const wheelSlots = 512

// wheel is a hashed timing wheel (Varghese and Lauck 1987): a list of
// connections for each tick.
type wheel struct {
	mu    sync.Mutex
	slots [wheelSlots]*Conn
	tick  int64 // the last tick that was handled
}

// look makes sure that the wheel looks at c no later than at milliseconds.
func (w *wheel) look(c *Conn, at int64) {
	if before := c.due.wheelAt.Load(); before != 0 && before <= at {
		return
	}
	w.mu.Lock()
	w.insertLocked(c, at)
	w.mu.Unlock()
}

func (w *wheel) insertLocked(c *Conn, at int64) {
	w.removeLocked(c)
	tick := at/wheelTick.Milliseconds() + 1
	tick = min(max(tick, w.tick+1), w.tick+wheelSlots-1)
	c.due.wheelAt.Store(max(tick*wheelTick.Milliseconds(), 1))
	head := &w.slots[tick%wheelSlots]
	c.due.next = *head
	if *head != nil {
		(*head).due.prev = c
	}
	*head = c
}

func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	w.removeLocked(c)
	w.mu.Unlock()
}

func (w *wheel) removeLocked(c *Conn) {
	at := c.due.wheelAt.Load()
	if at == 0 {
		return
	}
	if c.due.prev != nil {
		c.due.prev.due.next = c.due.next
	} else {
		w.slots[at/wheelTick.Milliseconds()%wheelSlots] = c.due.next
	}
	if c.due.next != nil {
		c.due.next.due.prev = c.due.prev
	}
	c.due.prev, c.due.next = nil, nil
	c.due.wheelAt.Store(0)
}

// advance handles every tick up to now and calls expire for each connection
// with a deadline that has passed.
func (w *wheel) advance(now int64, expire func(*Conn, Reason)) {
	type ended struct {
		c   *Conn
		why Reason
	}
	var expired []ended
	w.mu.Lock()
	for last := now / wheelTick.Milliseconds(); w.tick < last; {
		w.tick++
		for c := w.slots[w.tick%wheelSlots]; c != nil; {
			next := c.due.next
			// Out of the wheel first: a deadline that is set from here on
			// finds no wheelAt and comes back in through look.
			w.removeLocked(c)
			if at, why := c.due.earliest(); at != 0 && at <= now {
				expired = append(expired, ended{c, why})
			} else if at != 0 {
				w.insertLocked(c, at)
			}
			c = next
		}
	}
	w.mu.Unlock()
	for _, e := range expired {
		expire(e.c, e.why)
	}
}

// clock is the engine's time: milliseconds since it started, as of the last
// tick. Reading it is a load, where time.Now is a call.
type clock struct {
	start time.Time
	now   atomic.Int64
}

func (k *clock) ms() int64 { return k.now.Load() }

// ticks is ms in units of wheelTick, which lasts 13 years in 32 bits.
func (k *clock) ticks() uint32 { return uint32(k.ms() / wheelTick.Milliseconds()) }

func (k *clock) update() int64 {
	ms := time.Since(k.start).Milliseconds() + 1 // 0 means never
	k.now.Store(ms)
	return ms
}
