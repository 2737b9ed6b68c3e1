package engine

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
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
	s := &netSock{nc: nc, c: &Conn{remote: remote}, wakeup: make(chan struct{}, 1)}
	d.eng.initConn(s.c, l, s)
	s.c.signal(eventOpen)
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
// is closed: this happens once.
func (d *netDriver) wake(c *Conn) {
	d.running.Go(func() { d.own(c) })
}

// own runs the connection's turns until it is closed.
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
	for {
		s.rearm()
		if !c.turn(c.take(), scratch[:]) && !s.closed.Load() {
			<-s.wakeup
		}
		if s.closed.Load() {
			return
		}
	}
}

// scheduleFlush writes in a goroutine of its own, since the socket may block.
func (d *netDriver) scheduleFlush(c *Conn) {
	d.running.Go(c.flushJob)
}

func (d *netDriver) workers() int { return int(d.count.Load()) }

func (d *netDriver) stop() error {
	d.running.Wait()
	return nil
}

// netSock is a socket of Go's net package, or whatever looks like one.
type netSock struct {
	nc      net.Conn
	c       *Conn
	wakeup  chan struct{}
	reading atomic.Bool
	closed  atomic.Bool
}

var longAgo = time.Unix(1, 0)

// rearm undoes an interrupt. Events are taken after it: an interrupt in
// between makes the next read return at once.
func (s *netSock) rearm() {
	select {
	case <-s.wakeup:
	default:
	}
	_ = s.nc.SetReadDeadline(time.Time{})
}

func (s *netSock) read(p []byte) (int, error) {
	s.reading.Store(true)
	n, err := s.nc.Read(p)
	s.reading.Store(false)
	return n, againIfTimeout(err)
}

func againIfTimeout(err error) error {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return errAgain
	}
	return err
}

func (s *netSock) write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.nc.Write(p)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.ErrClosedPipe // only shutdown sets a write deadline
	}
	return n, err
}

func (s *netSock) closeWrite() error {
	if cw, ok := s.nc.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (s *netSock) shutdown() {
	_ = s.nc.SetDeadline(longAgo)
	if cw, ok := s.nc.(interface{ CloseWrite() error }); ok {
		_ = cw.CloseWrite()
	}
	s.interrupt()
}

func (s *netSock) interrupt() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
	_ = s.nc.SetReadDeadline(longAgo)
}

func (s *netSock) waiting() bool { return s.reading.Load() }

func (s *netSock) close() error {
	s.closed.Store(true)
	return s.nc.Close()
}

func (s *netSock) wire() net.Conn { return s.nc }

func (s *netSock) afterHandshake() {}

var _ sock = (*netSock)(nil)
