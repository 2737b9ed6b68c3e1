package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// AdoptOptions say what becomes of a connection that another server has
// accepted. Open is needed.
type AdoptOptions struct {
	// Open makes the session, as Protocol.Open does.
	Open func(c *Conn) Session
	// Read is what the other server has read and not used. It is copied, and
	// served before what is still in the socket. Default: nothing.
	Read []byte
}

// A Switch is a socket that another server reads and writes, and that Adopt can
// take from below the *tls.Conn on top of it, which goes on as it was.
type Switch struct{ net.Conn }

// NewSwitch returns a Switch of nc, for tls.Server.
func NewSwitch(nc net.Conn) *Switch { return &Switch{nc} }

// Adopter returns a listener that has no socket: its connections are those that
// [Listener.Adopt] gives to it. The address is that of the listener that
// accepts them. Network and Address of the options are not used, and TLS only
// tells what [Listener.Secure] says.
func (e *Engine) Adopter(addr net.Addr, o ListenOptions) (*Listener, error) {
	l, err := e.newListener(adopting{addr}, o)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// adopting is the socket that an Adopter does not have.
type adopting struct{ addr net.Addr }

func (adopting) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (adopting) Close() error              { return nil }
func (a adopting) Addr() net.Addr          { return a.addr }

// Adopt takes over a connection that another server has accepted and nobody
// uses any more, as http.Hijacker gives it: a socket, or a *tls.Conn on top of a
// [Switch], after its handshake. The connection is counted, limited and listed
// like any other, and on an event loop holds neither a goroutine nor a buffer
// while it waits. With an error, such as that a limit is reached ([CloseError])
// or that the engine is stopped, the connection is still the caller's.
func (l *Listener) Adopt(nc net.Conn, o AdoptOptions) error {
	a := adoption{socket: nc, o: o}
	if tc, ok := nc.(*tls.Conn); ok {
		if a.under, ok = tc.NetConn().(*Switch); !ok || !tc.ConnectionState().HandshakeComplete {
			return errors.New("adopting a connection: its TLS is not on top of a Switch, or its handshake is not done")
		}
		a.tls, a.socket = tc, a.under.Conn
	}
	if err := l.eng.beginAdopting(); err != nil {
		return err
	}
	defer l.eng.accepting.Done()
	a.remote = addrPort(a.socket.RemoteAddr())
	if r := l.eng.table.admit(a.remote.Addr(), &l.eng.limits); r != ReasonNone {
		l.eng.stats.closed[r].Add(1)
		return &CloseError{Reason: r}
	}
	if err := l.driver.take(l, &a); err != nil {
		l.eng.table.leave(a.remote.Addr())
		return fmt.Errorf("adopting a connection: %w", err)
	}
	return nil
}

// beginAdopting makes Shutdown wait until the connection is one of those that it
// drains.
func (e *Engine) beginAdopting() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping.Load() {
		return ErrStopped
	}
	e.accepting.Add(1)
	return nil
}

// fill puts into c what is known of an adopted connection. It is not in the
// table yet.
func (a *adoption) fill(c *Conn, l *Listener, wire net.Conn) {
	c.peer = packAddr(a.remote)
	c.sess = &opening{a.o.Open}
	if a.tls != nil {
		held, _ := wire.(drainer)
		c.tls = &tlsSock{sock: c.sock, tc: a.tls, held: held}
		a.under.Conn = wire
	}
	if len(a.o.Read) > 0 {
		c.in = l.eng.lend(len(a.o.Read))
		c.in.b = append(c.in.b, a.o.Read...)
		c.bytesIn.Add(uint64(len(a.o.Read)))
	}
	c.state.Store(stateOwned | eventOpen | eventIn) // so that no signal hands it out before it is ready
}

// An opening stands for the session of an adopted connection until that is made.
type opening struct{ open func(*Conn) Session }

func (*opening) Serve(*Conn, []byte) (int, error) { return 0, ErrClosed }
func (*opening) Close(*Conn, error)               {}

// newSession makes the session of a connection.
func (c *Conn) newSession() Session {
	if o, ok := c.sess.(*opening); ok {
		return o.open(c)
	}
	return c.lst.proto.Open(c)
}

// serveHeld serves what the server has read that the connection was adopted
// from.
func (c *Conn) serveHeld(scratch []byte) {
	buf, held, err := c.readBuffer(scratch)
	if err != nil {
		c.close(ReasonMemory, err)
		return
	}
	c.in.awaited = c.due.readAt.Load()
	c.serve(buf[:held])
}

// take makes a connection of a socket of package net, which stays what it was.
func (d *netDriver) take(l *Listener, a *adoption) error {
	if err := a.socket.SetDeadline(time.Time{}); err != nil {
		return err
	}
	s := &netSock{nc: a.socket, c: &Conn{}, wakeup: make(chan struct{}, 1)}
	s.c.sock = s
	a.fill(s.c, l, s.wire())
	d.eng.initConn(s.c, l, s)
	d.wake(s.c)
	return nil
}
