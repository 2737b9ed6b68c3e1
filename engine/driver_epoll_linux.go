package engine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const defaultDriver = Epoll

// epollDriver spreads connections over a few event loops.
type epollDriver struct {
	eng   *Engine
	loops []*loop
	turn  atomic.Uint32 // which loop gets the next connection
}

func newEpollDriver(e *Engine) (driver, error) {
	reserveDescriptors(e.limits.Connections)
	n := e.opts.Loops
	if n <= 0 {
		n = max(1, runtime.GOMAXPROCS(0)/4)
	}
	d := &epollDriver{eng: e}
	for range n {
		l, err := newLoop(e)
		if err != nil {
			return nil, errors.Join(err, d.stop(true))
		}
		d.loops = append(d.loops, l)
	}
	return d, nil
}

func (d *epollDriver) accept(l *Listener) error {
	rc, err := l.rawConn()
	if err != nil {
		return err
	}
	a := newAcceptor(rc)
	var backoff time.Duration
	for l.ready() {
		fd, remote, err := a.next()
		if err != nil {
			if !l.failed(err, &backoff) {
				return nil
			}
			continue
		}
		l.recovered(&backoff)
		if !l.admit(remote.Addr()) {
			_ = syscall.Close(fd)
			continue
		}
		d.adopt(l, fd, remote)
	}
	return nil
}

// adopt makes a connection of an accepted descriptor and gives it a loop.
func (d *epollDriver) adopt(l *Listener, fd int, remote netip.AddrPort) {
	c := &epollConn{fd: int32(fd), loop: d.loops[int(d.turn.Add(1))%len(d.loops)]}
	c.peer = packAddr(remote)
	if l.tls != nil {
		c.tlsWire = newTLSWire(c)
	}
	c.state.Store(stateOwned | eventOpen) // so that no event hands it out before it is ready
	d.eng.initConn(&c.Conn, l, c)
	if err := c.loop.register(fd, c.tag()); err != nil {
		c.Close(ReasonInternal, err)
	}
	// Under TLS the client speaks first. Until it does, its connection holds
	// neither a goroutine nor a place among the handshakes.
	if l.tls != nil && c.state.CompareAndSwap(stateOwned|eventOpen, eventOpen) {
		return
	}
	c.loop.pushTurn(c)
}

// take moves the descriptor into an event loop: a duplicate of it stays open when
// the socket of package net is closed, which ends what that has set.
func (d *epollDriver) take(l *Listener, a *adoption) error {
	fd, err := duplicate(a.socket)
	if err != nil {
		return err
	}
	c := &epollConn{fd: int32(fd), loop: d.loops[int(d.turn.Add(1))%len(d.loops)]}
	c.sock = c
	if a.tls != nil {
		c.tlsWire = newTLSWire(c)
		c.tlsWire.blocking = false
	}
	a.fill(&c.Conn, l, c.tlsWire)
	if err := a.socket.Close(); err != nil {
		d.eng.log.Debug("letting go of an adopted socket", "error", err)
	}
	d.eng.initConn(&c.Conn, l, c)
	if err := c.loop.register(fd, c.tag()); err != nil {
		c.Close(ReasonInternal, err)
	}
	c.loop.pushTurn(c)
	return nil
}

// duplicate returns another descriptor of a socket of the operating system.
func duplicate(nc net.Conn) (fd int, err error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("the %q driver needs a TCP or Unix socket, not a %T; use %q", Epoll, nc, Net)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errno syscall.Errno
	err = rc.Control(func(of uintptr) {
		var n uintptr
		n, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, of, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int(n)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return fd, err
}

func (d *epollDriver) wake(c *Conn) {
	ec := epollOf(c)
	ec.loop.pushTurn(ec)
}

func (d *epollDriver) scheduleFlush(c *Conn) {
	ec := epollOf(c)
	ec.loop.pushFlush(ec)
}

func epollOf(c *Conn) *epollConn { return c.sock.(*epollConn) }

func (d *epollDriver) workers() int {
	n := 0
	for _, l := range d.loops {
		n += l.workers()
	}
	return n
}

func (d *epollDriver) stop(wait bool) error {
	var errs []error
	for _, l := range d.loops {
		errs = append(errs, l.stop(wait))
	}
	return errors.Join(errs...)
}

// scratchPool lends the read buffers of workers.
type scratchPool struct{ p sync.Pool }

func (s *scratchPool) get() *[scratchSize]byte {
	if b, ok := s.p.Get().(*[scratchSize]byte); ok {
		return b
	}
	return new([scratchSize]byte)
}

func (s *scratchPool) put(b *[scratchSize]byte) { s.p.Put(b) }

// rawConn returns the listening socket to call accept4 on, with waiting left
// to Go's poller. The net package does not give that for its own descriptor,
// so it is for a duplicate, which Close closes too.
func (l *Listener) rawConn() (syscall.RawConn, error) {
	f, err := l.ln.(filer).File()
	if err != nil {
		return nil, fmt.Errorf("duplicating the listening socket: %w", err)
	}
	l.eng.mu.Lock()
	defer l.eng.mu.Unlock()
	if l.isClosed() {
		return nil, errors.Join(net.ErrClosed, f.Close())
	}
	l.dup = f
	return f.SyscallConn()
}
