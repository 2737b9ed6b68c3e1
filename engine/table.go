package engine

import (
	"net/netip"
	"sync"
)

// table holds every connection of the engine. A connection's slot and the low
// half of its ID are what epoll carries for it: a slot that was reused does
// not match the ID of an event that came too late.
type table struct {
	mu    sync.Mutex
	slots []*Conn
	free  []uint32
	count int
	empty chan struct{} // closed while there is no connection and somebody waits
	addrs map[netip.Addr]int

	// Bytes of connections that are gone; each open one counts its own, so
	// that the hot path shares no cache line.
	bytesIn, bytesOut uint64
}

// admit counts a connection from addr in, unless a limit is reached.
func (t *table) admit(addr netip.Addr, l *Limits) Reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count >= l.Connections {
		return ReasonTooMany
	}
	if addr.IsValid() && l.PerAddress < maxInt {
		key := addressKey(addr)
		if t.addrs[key] >= l.PerAddress {
			return ReasonTooManyAddress
		}
		if t.addrs == nil {
			t.addrs = make(map[netip.Addr]int)
		}
		t.addrs[key]++
	}
	t.count++
	return ReasonNone
}

// leave takes back what admit counted.
func (t *table) leave(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count--
	if key := addressKey(addr); t.addrs[key] > 1 {
		t.addrs[key]--
	} else {
		delete(t.addrs, key)
	}
	if t.count == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// addressKey is what PerAddress counts: an IPv4 address, or the /64 that a
// single IPv6 host usually commands.
func addressKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func (t *table) add(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		c.slot = t.free[n-1]
		t.free = t.free[:n-1]
		t.slots[c.slot] = c
		return
	}
	c.slot = uint32(len(t.slots))
	t.slots = append(t.slots, c)
}

func (t *table) remove(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slots[c.slot] = nil
	t.free = append(t.free, c.slot)
	t.bytesIn += c.bytesIn.Load()
	t.bytesOut += c.bytesOut.Load()
}

// bytes returns how many bytes all connections have read and written, those
// that are gone included. It never goes back.
func (t *table) bytes() (in, out uint64) {
	t.mu.Lock()
	in, out = t.bytesIn, t.bytesOut
	open := t.allLocked()
	t.mu.Unlock()
	for _, c := range open {
		in += c.bytesIn.Load()
		out += c.bytesOut.Load()
	}
	return in, out
}

// find appends to dst the connections that tags name, leaving out those that
// are gone.
func (t *table) find(dst []*Conn, tags []uint64) []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tag := range tags {
		var c *Conn
		if slot := uint32(tag); int(slot) < len(t.slots) {
			c = t.slots[slot]
		}
		if c != nil && c.tag() != tag {
			c = nil
		}
		dst = append(dst, c)
	}
	return dst
}

// tag is what identifies the connection to the kernel.
func (c *Conn) tag() uint64 { return c.id<<32 | uint64(c.slot) }

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

func (t *table) all() []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.allLocked()
}

func (t *table) allLocked() []*Conn {
	conns := make([]*Conn, 0, t.count)
	for _, c := range t.slots {
		if c != nil {
			conns = append(conns, c)
		}
	}
	return conns
}

// drained returns a channel that is closed once there is no connection.
func (t *table) drained() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	return t.empty
}
