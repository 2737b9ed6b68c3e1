package engine

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// epollConn is a connection of the epoll driver, and its socket. The system
// calls are made raw, without telling Go's scheduler: they do not block.
type epollConn struct {
	Conn
	loop     *loop
	tlsWire  *tlsWire // nil on plain connections
	fd       int32
	readable bool // the kernel may have bytes; owner only
	ended    bool // a short read does not mean that there is no more; owner only
}

var _ sock = (*epollConn)(nil)

// runTurn runs one turn and gives up the ownership if there is nothing more
// to do.
func (c *epollConn) runTurn(scratch []byte) (again bool) {
	events := c.take()
	c.noted(events)
	if c.turn(events, scratch) || !c.release() {
		return true
	}
	c.flushLate()
	return false
}

// ready tells the connection what the kernel reports, and returns whether it
// needs a worker.
func (c *Conn) ready(what uint32) bool {
	if what&syscall.EPOLLOUT != 0 {
		c.writable()
	}
	events := eventIn | stateOwned
	switch {
	case what&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR|syscall.EPOLLPRI) != 0:
		events |= eventHup
	case what&syscall.EPOLLIN == 0:
		c.sock.interrupt() // a handshake may wait for room
		return false
	}
	if c.state.Or(events)&stateOwned == 0 {
		return true
	}
	c.sock.interrupt()
	return false
}

// noted takes note of what the kernel has said about the socket.
func (c *epollConn) noted(events uint32) {
	if events&(eventIn|eventHup|eventDrain) != 0 {
		c.readable = true
	}
	if events&eventHup != 0 {
		c.ended = true
	}
}

// read reads until a read comes back short, which says that the kernel has no
// more: the next bytes bring a new event (epoll(7), "edge-triggered"). The end
// of the stream may come in one event with the last bytes, and is read for; a
// read also stops short of urgent data.
func (c *epollConn) read(p []byte) (int, error) {
	if !c.readable {
		return 0, errAgain
	}
	for {
		// recvfrom skips the checks that read makes for files: 2 % of echo.
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(c.fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		switch errno {
		case 0:
			if n == 0 {
				return 0, io.EOF
			}
			if int(n) < len(p) && !c.ended {
				c.readable = false
			}
			return int(n), nil
		case syscall.EAGAIN:
			c.readable = false
			return 0, errAgain
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// maxWrite bounds one system call, during which the scheduler cannot stop the
// goroutine.
const maxWrite = 256 << 10

func (c *epollConn) write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		chunk := p[sent:min(len(p), sent+maxWrite)]
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(c.fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(chunk))), uintptr(len(chunk)), syscall.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
			if int(n) < len(chunk) {
				return sent, errAgain
			}
		case syscall.EAGAIN:
			return sent, errAgain
		case syscall.EINTR:
		default:
			return sent, errno
		}
	}
	return sent, nil
}

func (c *epollConn) closeWrite() error { return syscall.Shutdown(int(c.fd), syscall.SHUT_WR) }

func (c *epollConn) shutdown() {
	_ = syscall.Shutdown(int(c.fd), syscall.SHUT_RDWR)
	c.interrupt()
}

func (c *epollConn) interrupt() {
	if c.tlsWire != nil {
		c.tlsWire.wakeUp()
	}
}

func (c *epollConn) blocks() bool { return false }

func (c *epollConn) waiting() bool { return false }

func (c *epollConn) unsent() int { return unsent(uintptr(c.fd)) }

// unsent returns how many bytes of fd the peer has not acknowledged (tcp(7),
// SIOCOUTQ), or, on a Unix socket, not read.
func unsent(fd uintptr) int { return queued(fd, syscall.TIOCOUTQ) }

// unread returns how many bytes of fd wait to be read.
func unread(fd uintptr) int { return queued(fd, syscall.TIOCINQ) }

func queued(fd, which uintptr) int {
	var n int32
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, fd, which, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 0
	}
	return int(n)
}

func (c *epollConn) close() error {
	if w := c.tlsWire; w != nil {
		w.mu.Lock()
		w.dropLocked()
		w.mu.Unlock()
	}
	return syscall.Close(int(c.fd))
}

// awaitFirst does not wait: what gave the connection its first turn was that
// there is something to read, or that it is closing.
func (c *epollConn) awaitFirst() error { return nil }

func (c *epollConn) wire() net.Conn { return c.tlsWire }

// afterHandshake acknowledges the client's last message at once: the kernel
// would wait 40 ms for an answer to send along, and a client without
// TCP_NODELAY waits for the acknowledgment before it sends its first request.
func (c *epollConn) afterHandshake() {
	c.tlsWire.blocking = false
	_ = syscall.SetsockoptInt(int(c.fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}

// tlsWire is the socket as crypto/tls sees it. Reads wait during the handshake
// and return wouldBlock afterwards; bytes for which the socket has no room are
// held, and leave with drain.
type tlsWire struct {
	c        *epollConn
	blocking bool          // owner only
	wake     chan struct{} // something happened to the socket

	mu   sync.Mutex
	held *buffer // nil while there are none
}

func newTLSWire(c *epollConn) *tlsWire {
	return &tlsWire{c: c, blocking: true, wake: make(chan struct{}, 1)}
}

func (w *tlsWire) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *tlsWire) Read(p []byte) (int, error) {
	for {
		n, err := w.c.read(p)
		if err != errAgain {
			return n, err
		}
		if !w.blocking {
			return 0, wouldBlock{}
		}
		if err := w.drain(); err != nil && err != errAgain {
			return 0, err
		}
		<-w.wake
		w.c.noted(w.c.state.And(^(eventIn | eventHup)))
		if w.c.unwanted() {
			return 0, net.ErrClosed
		}
	}
}

func (w *tlsWire) Write(p []byte) (int, error) {
	n, err := w.send(p)
	switch err {
	case errHeld:
		w.c.Close(ReasonOverflow, err)
	case errCrowded:
		w.c.Close(ReasonMemory, w.c.eng.crowdedError())
	}
	return n, err
}

func (w *tlsWire) send(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := 0
	if w.held == nil {
		n, err := w.c.write(p)
		if err == nil || err != errAgain {
			return n, err
		}
		if sent = n; w.c.eng.crowded(bufferSize(len(p) - sent)) {
			return sent, errCrowded
		}
		w.held = w.c.eng.lend(len(p) - sent)
	}
	rest := p[sent:]
	switch held := len(w.held.b) + len(rest); {
	case held > maxHeld:
		return sent, errHeld
	case held > cap(w.held.b):
		w.held = w.c.eng.grow(w.held, len(rest))
	}
	w.held.b = append(w.held.b, rest...)
	return len(p), nil
}

// drain sends what is held.
func (w *tlsWire) drain() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		return nil
	}
	n, err := w.c.write(w.held.b)
	w.held.b = append(w.held.b[:0], w.held.b[n:]...)
	if len(w.held.b) == 0 {
		w.dropLocked()
	}
	return err
}

func (w *tlsWire) dropLocked() {
	if w.held != nil {
		w.c.eng.giveBack(w.held)
		w.held = nil
	}
}

// What crypto/tls asks of a net.Conn beyond reading and writing.

func (w *tlsWire) Close() error                     { return nil }
func (w *tlsWire) LocalAddr() net.Addr              { return nil }
func (w *tlsWire) RemoteAddr() net.Addr             { return nil }
func (w *tlsWire) SetDeadline(time.Time) error      { return nil }
func (w *tlsWire) SetReadDeadline(time.Time) error  { return nil }
func (w *tlsWire) SetWriteDeadline(time.Time) error { return nil }

// epollWait returns the number of events that are ready, without waiting.
func epollWait(epfd int, events []syscall.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// acceptor takes connections from a listening socket. It is made once for a
// listener, so that a connection costs no garbage.
type acceptor struct {
	rc    syscall.RawConn
	try   func(ln uintptr) bool
	sa    syscall.RawSockaddrAny
	fd    int
	errno syscall.Errno
}

func newAcceptor(rc syscall.RawConn) *acceptor {
	a := &acceptor{rc: rc}
	a.try = a.accept4
	return a
}

// accept4 tells whether there was a connection, or an error.
func (a *acceptor) accept4(ln uintptr) bool {
	for {
		size := uint32(unsafe.Sizeof(a.sa))
		fd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, ln, uintptr(unsafe.Pointer(&a.sa)),
			uintptr(unsafe.Pointer(&size)), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		a.fd, a.errno = int(fd), errno
		if errno != syscall.EINTR {
			return errno != syscall.EAGAIN
		}
	}
}

// next waits for a connection and returns its descriptor. Waiting is done by
// Go's poller; accept4 itself does not block.
func (a *acceptor) next() (fd int, remote netip.AddrPort, err error) {
	if err := a.rc.Read(a.try); err != nil {
		return -1, remote, err
	}
	if a.errno != 0 {
		return -1, remote, a.errno
	}
	return a.fd, sockaddr(&a.sa), nil
}

// sockaddr decodes an address as accept4 returns it.
func sockaddr(sa *syscall.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case syscall.AF_INET:
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), swapPort(in.Port))
	case syscall.AF_INET6:
		in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), swapPort(in.Port))
	}
	return netip.AddrPort{}
}

// swapPort turns a port from network byte order into a number.
func swapPort(p uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// controlListener sets what accepted connections inherit from the listening
// socket (tcp(7)), which saves five system calls for each.
func controlListener(network, _ string, rc syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var errs []error
	ctl := rc.Control(func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(keepAliveIdle.Seconds())},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(keepAliveInterval.Seconds())},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
		} {
			errs = append(errs, os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), o.level, o.name, o.value)))
		}
	})
	return errors.Join(append(errs, ctl)...)
}

// reserveDescriptors grows the process's descriptor table to what n
// connections need. The kernel doubles it on demand otherwise, and every
// thread of the process waits tens of milliseconds for that (expand_files).
func reserveDescriptors(n int) {
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) != nil || lim.Cur < 64 {
		return
	}
	const most = 1 << 20 // 8 MB of kernel memory; "no limit" would ask for 16 GB
	high := min(uint64(n), most, lim.Cur-64) + 63
	fd, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, 0, syscall.F_DUPFD_CLOEXEC, uintptr(high))
	if errno == 0 {
		_ = syscall.Close(int(fd))
	}
}
