package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/engine"
)

// A conn watches a connection on behalf of the door: net/http does not tell why
// it closes one, so what it reads, writes and waits for is observed here.
type conn struct {
	net.Conn // the socket, or TLS on top of it
	lst      *listener
	id       uint64
	remote   netip.AddrPort
	opened   time.Time
	tls      *tls.Conn // nil on a plain connection
	in, out  atomic.Uint64
	lastAt   atomic.Int64 // Unix nanoseconds of the last byte read
	user     atomic.Pointer[string]

	mu       sync.Mutex
	shaken   bool          // the TLS handshake is done
	deadline time.Time     // for reading, as net/http wants it
	fresh    bool          // bytes have arrived since the last response
	served   bool          // a request has been answered
	handling bool          // a handler has been given the request that was read last
	why      engine.Reason // why it would end if it ended now
	cause    error
	closed   bool
}

func newConn(l *listener, socket net.Conn, remote netip.AddrPort) *conn {
	c := &conn{Conn: socket, lst: l, id: l.door.nextID.Add(1), remote: remote, opened: time.Now()}
	if l.tls != nil {
		c.tls = tls.Server(engine.NewSwitch(socket), l.tls) // so that the engine can adopt it
		c.Conn = c.tls
	}
	c.lastAt.Store(c.opened.UnixNano())
	return c
}

type connKey struct{}

// withConn is http.Server.ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection of a request that the door serves.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// connState is http.Server.ConnState: a connection that becomes idle has had
// its request answered.
func connState(nc net.Conn, s http.ConnState) {
	if c, ok := nc.(*conn); ok && s == http.StateIdle {
		c.mu.Lock()
		c.fresh, c.handling, c.served = false, false, true
		c.why, c.cause = engine.ReasonNone, nil
		c.mu.Unlock()
	}
}

// SetReadDeadline keeps the deadline, to tell one that passed from one that
// net/http sets to interrupt a read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline is SetReadDeadline for both directions.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetDeadline(t)
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.handshake(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.in.Add(uint64(n))
		c.lastAt.Store(time.Now().UnixNano())
		c.fresh = true
		c.why, c.cause = engine.ReasonNone, nil
	}
	if err != nil {
		c.noteLocked(c.whyRead(err), err)
	}
	return n, err
}

// handshake does the TLS handshake before the first byte is read.
func (c *conn) handshake() error {
	if c.tls == nil {
		return nil
	}
	c.mu.Lock()
	shaken := c.shaken
	c.mu.Unlock()
	if shaken {
		return nil
	}
	socket := c.tls.NetConn()
	if err := socket.SetDeadline(time.Now().Add(c.lst.door.opts.Limits.HandshakeTimeout)); err != nil {
		return err
	}
	err := c.tls.HandshakeContext(context.Background()) // the deadline ends it
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		why := engine.ReasonHandshake
		if errors.Is(err, os.ErrDeadlineExceeded) {
			why = engine.ReasonHandshakeTimeout
		}
		c.noteLocked(why, err)
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.shaken = true
	return errors.Join(socket.SetWriteDeadline(time.Time{}), socket.SetReadDeadline(c.deadline))
}

// whyRead is the reason for which an error of reading ends the connection.
func (c *conn) whyRead(err error) engine.Reason {
	switch {
	case errors.Is(err, io.EOF):
		return engine.ReasonPeer
	case errors.Is(err, net.ErrClosed):
		return engine.ReasonNone
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return engine.ReasonReset
	case c.deadline.Unix() <= 1:
		return engine.ReasonNone // net/http interrupts its own reading like this
	case c.fresh:
		return engine.ReasonRequestTimeout
	case c.served:
		return engine.ReasonIdleTimeout
	}
	return engine.ReasonFirstTimeout
}

// Write gives each piece of a response its own deadline: what matters is that
// the peer goes on reading, not how long the whole response takes.
func (c *conn) Write(p []byte) (int, error) {
	c.noteAnswer(p)
	sent := 0
	for sent < len(p) {
		piece := p[sent:min(len(p), sent+writePiece)]
		if err := c.SetWriteDeadline(time.Now().Add(c.lst.door.opts.Limits.WriteTimeout)); err != nil {
			return sent, err
		}
		n, err := c.Conn.Write(piece)
		sent += n
		c.out.Add(uint64(n))
		if err != nil {
			c.noteWrite(err)
			return sent, err
		}
	}
	return sent, nil
}

// noteAnswer recognizes the answers that net/http gives itself to what is no
// request, after which it closes.
func (c *conn) noteAnswer(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	status, answer := bytes.CutPrefix(p, []byte("HTTP/1.1 "))
	if c.handling || !answer || len(status) < 3 {
		return
	}
	why := engine.ReasonProtocol
	if string(status[:3]) == "431" {
		why = engine.ReasonTooLarge
	}
	line, _, _ := bytes.Cut(status[:min(len(status), 80)], []byte("\r"))
	c.noteLocked(why, fmt.Errorf("answered with %s", line))
}

func (c *conn) noteWrite(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, net.ErrClosed):
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.noteLocked(engine.ReasonWriteTimeout, err)
	default:
		c.noteLocked(engine.ReasonReset, err)
	}
}

// note sets why the connection is about to end, unless that is known already.
func (c *conn) note(why engine.Reason, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteLocked(why, cause)
}

func (c *conn) noteLocked(why engine.Reason, cause error) {
	if c.why == engine.ReasonNone {
		c.why, c.cause = why, cause
	}
}

// begin is called when a handler is given a request.
func (c *conn) begin() {
	c.mu.Lock()
	c.handling = true
	c.mu.Unlock()
}

// closeIdle closes the connection because the server shuts down, if it waits
// for a request.
func (c *conn) closeIdle() {
	c.mu.Lock()
	idle := !c.fresh && !c.closed
	if idle {
		c.noteLocked(engine.ReasonShutdown, nil)
	}
	c.mu.Unlock()
	if idle {
		_ = c.rawClose() // whoever reads it is woken, and calls Close
	}
}

// CloseWrite tells the peer that nothing more comes; net/http waits a moment
// afterwards, so that a final answer is not lost with a reset.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Close closes the socket, and counts and logs why. Only the first call counts.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	why, cause := c.why, c.cause
	c.mu.Unlock()
	if why == engine.ReasonNone {
		why = engine.ReasonQuit
		if c.lst.isClosed() {
			why = engine.ReasonShutdown
		}
	}
	c.lst.door.forget(c, why)
	c.report(why, cause)
	if c.tls != nil && why != engine.ReasonWriteTimeout {
		return c.tls.Close()
	}
	return c.rawClose()
}

// letGo ends what the door has to do with the connection: it is the engine's.
func (c *conn) letGo() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.lst.door.forget(c, engine.ReasonUpgraded)
}

// rawClose closes without the farewell of TLS, for which a peer that does not
// read would have to be waited for.
func (c *conn) rawClose() error {
	if c.tls != nil {
		return c.tls.NetConn().Close()
	}
	return c.Conn.Close()
}

func (c *conn) remoteString() string {
	if !c.remote.IsValid() {
		return "unix"
	}
	return c.remote.String()
}

// info describes the connection as the engine describes its own.
func (c *conn) info() engine.Info {
	now := time.Now()
	i := engine.Info{
		ID: c.id, Remote: c.remoteString(), Addr: c.remote, Listener: c.lst.name, Protocol: "http", State: "idle",
		Age: now.Sub(c.opened), Idle: now.Sub(time.Unix(0, c.lastAt.Load())),
		BytesIn: c.in.Load(), BytesOut: c.out.Load(),
	}
	if u := c.user.Load(); u != nil {
		i.User = *u
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handling {
		i.State = "serving"
	}
	if c.closed {
		i.State = "closing"
	}
	return i
}
