package engine

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
)

// A Conn is one connection. Its methods may be called from any goroutine at
// any time, also after it is closed.
//
// While it waits it is this struct and its session: no goroutine, no buffer.
type Conn struct {
	eng      *Engine
	lst      *Listener
	sock     sock     // the socket; never changes
	tls      *tlsSock // TLS on top of it, from the handshake on
	sess     Session  // nil until opened; set by the owner under mu, read by the owner without
	id       uint64
	slot     uint32 // index in the engine's table
	lingered int32  // bytes thrown away while lingering; owner only
	peer     peerAddr
	openedAt uint32        // ticks
	lastAt   atomic.Uint32 // ticks; when a request was last complete
	bytesIn  atomic.Uint64
	bytesOut atomic.Uint64

	keepAlive atomic.Uint32 // in units of wheelTick; 0 is none

	// state holds the event bits and the owner bit; see turn.go.
	state atomic.Uint32
	// in holds a partial request between two turns. Owner only.
	in *buffer

	due   due // deadlines; see wheel.go
	hints hints

	// mu guards what follows.
	mu      sync.Mutex
	out     *output // nil while nothing waits to be sent
	ext     *extra  // what few connections need
	phase   phase
	reason  Reason
	flags   flags
	carrier bool   // sess is a Carrier; set when opened, read by the owner without mu
	dropped uint32 // messages dropped by overflow policies
}

// phase is how far the connection's closing has got.
type phase uint8

const (
	phaseOpen      phase = iota
	phaseClosing         // a reason is set; the owner has yet to act on it
	phaseFlushing        // the session is closed; output is still leaving
	phaseLingering       // our side is shut; waiting for the peer to close
	phaseClosed          // the descriptor is gone
)

// hints are facts that are asked for more often than mu should be locked.
type hints struct{ bits atomic.Uint32 }

const (
	hintFull    uint32 = 1 << iota // the socket has no room; the driver calls writable when it has
	hintClosing                    // phase is not phaseOpen
	hintWaiting                    // out is not nil
	hintSecret                     // nothing may be sent before TLS is in place
)

func (h *hints) has(hint uint32) bool { return h.bits.Load()&hint != 0 }

func (h *hints) set(hint uint32) { h.bits.Or(hint) }

// clear takes the hint away and tells whether it was there.
func (h *hints) clear(hint uint32) bool {
	return h.has(hint) && h.bits.And(^hint)&hint != 0
}

type flags uint8

const (
	flagFlushing  flags = 1 << iota // a goroutine is writing to the socket
	flagFlushJob                    // a flush is scheduled
	flagPeerEOF                     // the peer has shut its side
	flagPaused                      // not read because output waits
	flagFinish                      // the owner waits for the writing goroutine to let go
	flagAbandoned                   // nothing more is sent, nobody is waited for
)

// extra holds what most connections never need.
type extra struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	cause  error         // why it closes, if there is more to say than the reason
	room   chan struct{} // closed when output has left; see output.go
}

// stream returns what bytes are read from and written to.
func (c *Conn) stream() stream {
	if c.tls != nil {
		return c.tls
	}
	return c.sock
}

func (c *Conn) extra() *extra {
	if c.ext == nil {
		c.ext = &extra{}
	}
	return c.ext
}

// ID returns the connection's number: unique, increasing, from 1.
func (c *Conn) ID() uint64 { return c.id }

// Remote returns the peer's address; it is not valid for Unix sockets.
func (c *Conn) Remote() netip.AddrPort { return c.peer.addrPort() }

// RemoteString returns the peer's address for people: "127.0.0.1:5170", or
// "unix" where there is none.
func (c *Conn) RemoteString() string {
	remote := c.Remote()
	if !remote.IsValid() {
		return "unix"
	}
	return remote.String()
}

// Listener returns the listener that accepted the connection.
func (c *Conn) Listener() *Listener { return c.lst }

// Logger returns the engine's logger with the connection's ID and peer. It
// allocates: it is for the rare line.
func (c *Conn) Logger() *slog.Logger {
	return c.eng.log.With("conn", c.id, "listener", c.lst.name, "remote", c.RemoteString())
}

// TLS returns the state of the TLS session, or nil on a plain connection.
func (c *Conn) TLS() *tls.ConnectionState {
	c.mu.Lock()
	t := c.tls
	c.mu.Unlock()
	if t == nil {
		return nil
	}
	state := t.tc.ConnectionState()
	return &state
}

// Context returns a context that ends, with a [CloseError] as its cause, when
// the connection closes. Handlers that block should watch it.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extra()
	if x.ctx == nil {
		x.ctx, x.cancel = context.WithCancelCause(c.eng.ctx)
		if c.phase != phaseOpen {
			x.cancel(c.whyLocked())
		}
	}
	return x.ctx
}

// Closing tells whether the connection is closed or about to be; a session
// that serves a long pipeline asks between two requests.
func (c *Conn) Closing() bool { return c.hints.has(hintClosing) }

// Dropped returns the number of messages that overflow policies have dropped.
func (c *Conn) Dropped() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

// busy tells whether the owner is doing something for the connection, rather
// than waiting for its peer.
func (c *Conn) busy() bool {
	return c.state.Load()&stateOwned != 0 && !c.sock.waiting()
}

func (c *Conn) whyLocked() *CloseError {
	e := &CloseError{Reason: c.reason}
	if c.ext != nil {
		e.Err = c.ext.cause
	}
	return e
}

// peerAddr is a netip.AddrPort in 18 bytes instead of 32: it has no zone, and
// an address that is all zero is none.
type peerAddr struct {
	ip   [16]byte
	port uint16
}

func packAddr(a netip.AddrPort) peerAddr {
	if !a.IsValid() {
		return peerAddr{}
	}
	return peerAddr{a.Addr().As16(), a.Port()}
}

func (p *peerAddr) addrPort() netip.AddrPort {
	if p.ip == [16]byte{} {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(p.ip).Unmap(), p.port)
}
