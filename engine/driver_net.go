package engine

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// netDriver gives every connection a goroutine that reads it, and a buffer.
type netDriver struct {
	eng     *Engine
	running sync.WaitGroup
	count   atomic.Int64
	scratch sync.Pool
}

func newNetDriver(e *Engine) driver { return &netDriver{eng: e} }

func (d *netDriver) accept(l *Listener) error {
	var backoff time.Duration
	for l.ready() {
		nc, err := l.ln.Accept()
		if err != nil {
			if !l.failed(err, &backoff) {
				return nil
			}
			continue
		}
		l.recovered(&backoff)
		d.adopt(l, nc)
	}
	return nil
}

func (d *netDriver) adopt(l *Listener, nc net.Conn) {
	remote := addrPort(nc.RemoteAddr())
	if !l.admit(remote.Addr()) {
		_ = nc.Close()
		return
	}
	s := &netSock{nc: nc, c: &Conn{peer: packAddr(remote)}, wakeup: make(chan struct{}, 1)}
	s.c.state.Store(stateOwned | eventOpen) // so that no signal hands it out before it is ready
	d.eng.initConn(s.c, l, s)
	d.wake(s.c)
}

// addrPort returns the address of an IP peer, and otherwise an invalid one.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// wake starts the goroutine of a connection, which stays its owner until it
// is closed.
func (d *netDriver) wake(c *Conn) {
	d.running.Go(func() { d.own(c) })
}

// own runs the connection's turns until it is closed. A session that calls runtime.Goexit ends the goroutine: another goes on to close the connection.
func (d *netDriver) own(c *Conn) {
	d.count.Add(1)
	defer d.count.Add(-1)
	s := c.sock.(*netSock)
	var scratch *[scratchSize]byte
	if b, ok := d.scratch.Get().(*[scratchSize]byte); ok {
		scratch = b
	} else {
		scratch = new([scratchSize]byte)
	}
	defer d.scratch.Put(scratch)
	returned := false
	defer func() {
		if !returned {
			d.wake(c)
		}
	}()
	for {
		s.rearm()
		events := c.take()
		s.draining = events&eventDrain != 0
		if !c.turn(events, scratch[:]) && !s.closed.Load() {
			s.wait()
		}
		if s.closed.Load() {
			returned = true
			return
		}
	}
}

// scheduleFlush writes in a goroutine of its own, since the socket may block.
func (d *netDriver) scheduleFlush(c *Conn) {
	d.running.Go(c.flushJob)
}

func (d *netDriver) workers() int { return int(d.count.Load()) }

func (d *netDriver) stop(wait bool) error {
	if wait {
		d.running.Wait()
	}
	return nil
}

// netSock is a socket of Go's net package, or whatever looks like one.
type netSock struct {
	nc      net.Conn
	c       *Conn
	wakeup  chan struct{}
	resting atomic.Bool // the owner waits for the peer, or for a signal
	// draining says that reads wait no longer than drainPause. Owner only.
	draining bool
	first    byte        // the byte that awaitFirst has read
	peeked   bool        // first is still to be returned; owner only
	down     atomic.Bool // shutdown was called
	closed   atomic.Bool
}

// drainPause is how long a draining connection waits for requests that its
// peer has sent already, since a socket of package net cannot tell.
const drainPause = 200 * time.Millisecond

// longAgo is the deadline of those who are to stop waiting.
func longAgo() time.Time { return time.Unix(1, 0) }

// rearm undoes an interrupt. Events are taken after it: an interrupt in
// between makes the next read return at once.
func (s *netSock) rearm() {
	select {
	case <-s.wakeup:
	default:
	}
	_ = s.nc.SetReadDeadline(time.Time{})
}

// rest says that the owner is about to wait for the peer, or for a signal.
func (s *netSock) rest() {
	if s.draining {
		_ = s.nc.SetReadDeadline(time.Now().Add(drainPause))
	}
	s.resting.Store(true)
	s.c.flushLate()
}

// wait waits for an interrupt.
func (s *netSock) wait() {
	s.rest()
	<-s.wakeup
	s.resting.Store(false)
}

func (s *netSock) read(p []byte) (int, error) {
	n, err := s.receive(p)
	return n, againIfTimeout(err)
}

// receive reads. The deadline of a drain may pass before the read has begun,
// on a busy machine: what has arrived by then is read nevertheless.
func (s *netSock) receive(p []byte) (n int, err error) {
	for again := true; again; {
		s.rest()
		n, err = s.nc.Read(p)
		s.resting.Store(false)
		again = s.draining && errors.Is(err, os.ErrDeadlineExceeded) && s.ask(unread) > 0
	}
	return n, err
}

func againIfTimeout(err error) error {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return errAgain
	}
	return err
}

// write waits until the peer has taken all of p. A peer that takes nothing for
// two halves of the write timeout has stopped reading.
func (s *netSock) write(p []byte) (sent int, err error) {
	const piece = 64 << 10
	stalled, unsent := false, 0
	for sent < len(p) && err == nil {
		_ = s.nc.SetWriteDeadline(s.c.eng.halfWriteDeadline())
		if s.down.Load() {
			_ = s.nc.SetWriteDeadline(longAgo())
		}
		var n int
		n, err = s.nc.Write(p[sent:min(len(p), sent+piece)])
		sent += n
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || s.down.Load() {
			continue
		}
		if left := s.unsent(); n > 0 || !stalled || left < unsent {
			stalled, unsent, err = true, left, nil
		}
	}
	return sent, err
}

func (s *netSock) unsent() int { return s.ask(unsent) }

// ask asks the kernel about the socket. Those that are not of the operating
// system have no answer, which is 0.
func (s *netSock) ask(question func(fd uintptr) int) (n int) {
	if sc, ok := s.nc.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			_ = rc.Control(func(fd uintptr) { n = question(fd) })
		}
	}
	return n
}

func (s *netSock) closeWrite() error {
	if cw, ok := s.nc.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (s *netSock) shutdown() {
	s.down.Store(true)
	_ = s.nc.SetDeadline(longAgo())
	if cw, ok := s.nc.(interface{ CloseWrite() error }); ok {
		_ = cw.CloseWrite()
	}
	s.interrupt()
}

// interrupt ends a read or a wait. The deadline comes first: set after the
// owner has been woken and has rearmed, it would end a read for nothing, and no
// signal would follow.
func (s *netSock) interrupt() {
	_ = s.nc.SetReadDeadline(longAgo())
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

func (s *netSock) blocks() bool { return true }

func (s *netSock) waiting() bool { return s.resting.Load() }

func (s *netSock) close() error {
	s.closed.Store(true)
	return s.nc.Close()
}

func (s *netSock) wire() net.Conn { return netWire{s.nc, s} }

// netWire is the socket as crypto/tls sees it: reads are noticed,
// writes have a deadline.
type netWire struct {
	net.Conn
	s *netSock
}

func (w netWire) Read(p []byte) (int, error) {
	s := w.s
	if s.peeked {
		p[0], s.peeked = s.first, false
		return 1, nil
	}
	return s.receive(p)
}

// Write ends the connection itself when the peer takes nothing: crypto/tls
// keeps the error of what it says of its own accord for the next write, which
// may never come.
func (w netWire) Write(p []byte) (int, error) {
	n, err := w.s.write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.s.c.Close(ReasonWriteTimeout, nil)
	}
	return n, err
}

// awaitFirst reads the first byte, which Read of the wire then returns first: a
// socket of package net cannot be asked whether it has any.
func (s *netSock) awaitFirst() error {
	var b [1]byte
	for {
		_, err := io.ReadFull(s.wire(), b[:])
		switch {
		case err == nil:
			s.first, s.peeked = b[0], true
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded) || s.c.unwanted():
			return err
		}
		s.rearm() // what interrupted is told by the events
	}
}

func (s *netSock) afterHandshake() {}

var _ sock = (*netSock)(nil)
