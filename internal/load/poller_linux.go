package load

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysEpollPwait2 has the same number on every architecture. It exists since
// Linux 5.11 and is the only epoll call that can wait for microseconds.
const sysEpollPwait2 = 441

// pollMax bounds one wait, so that the end of the context and of the warm-up
// are noticed.
const pollMax = 20 * time.Millisecond

// A poller waits for many sockets. It is for one goroutine.
type poller struct {
	epfd   int
	events [256]unix.EpollEvent
	buf    [readSize]byte
}

// pollable tells whether runPoll works: older kernels, and some sandboxes, do
// not have the call that it needs.
func pollable() bool {
	var p poller
	if p.open() != nil {
		return false
	}
	defer func() { _ = unix.Close(p.epfd) }()
	_, errno := p.poll(0, syscall.RawSyscall6)
	return errno == 0
}

func (p *poller) open() (err error) {
	if p.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("creating an epoll instance: %w", err)
	}
	return nil
}

// adopt takes a connection over. Events of its socket carry tag.
func (p *poller) adopt(s *socket, nc net.Conn, tag int) (err error) {
	if s.fd, err = ownDescriptor(nc); err != nil {
		return err
	}
	return p.register(s, tag)
}

// register has events of a socket reported with tag.
func (p *poller) register(s *socket, tag int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(tag)}
	if err := unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, s.fd, &ev); err != nil {
		return fmt.Errorf("registering a connection with epoll: %w", err)
	}
	return nil
}

// ownDescriptor returns a copy of nc's descriptor and closes nc, because the
// descriptors of the net package report to Go's own poller.
func ownDescriptor(nc net.Conn) (int, error) {
	defer nc.Close()
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("a %T has no descriptor", nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(orig uintptr) {
		fd, dupErr = unix.FcntlInt(orig, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	if dupErr != nil {
		return -1, fmt.Errorf("copying a descriptor: %w", dupErr)
	}
	return fd, nil
}

// wait returns the events of the next d. It polls before it sleeps, because a
// sleep costs Go's scheduler more than a system call does.
func (p *poller) wait(d time.Duration) ([]unix.EpollEvent, error) {
	n, errno := p.poll(0, syscall.RawSyscall6)
	if n == 0 && errno == 0 && d > 0 {
		n, errno = p.poll(d, syscall.Syscall6)
	}
	if errno == unix.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, fmt.Errorf("waiting for replies: %w", errno)
	}
	return p.events[:n], nil
}

type syscall6 func(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err syscall.Errno)

// poll asks for events with the given system call, which blocks or does not.
func (p *poller) poll(d time.Duration, call syscall6) (int, syscall.Errno) {
	ts := unix.NsecToTimespec(int64(d))
	n, _, errno := call(sysEpollPwait2, uintptr(p.epfd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	return int(n), errno
}

// sharpTimers makes the kernel end this goroutine's waits on time instead of
// up to 50 µs late, until the function that it returns is called.
func sharpTimers() func() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default
		runtime.UnlockOSThread()
	}
}

// A socket is a connection that does not block.
type socket struct {
	fd  int
	in  []byte // the part of a reply that has arrived
	out []byte // what the kernel has not taken yet
}

// recv returns what has arrived: nothing if that is nothing. more tells
// whether there may be more; if not, an event will say when there is.
func (s *socket) recv(buf []byte) (b []byte, more bool, err error) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return nil, false, nil
		case errno != 0:
			return nil, false, errno
		case n == 0:
			return nil, false, ErrPeerClosed
		}
		return buf[:n], int(n) == len(buf), nil
	}
}

// pending returns b behind what was kept.
func (s *socket) pending(b []byte) []byte {
	if len(s.in) == 0 {
		return b
	}
	s.in = append(s.in, b...)
	return s.in
}

// keep saves a part of a reply, which may be the end of what pending returned.
func (s *socket) keep(b []byte) error {
	if len(b) > MaxReply {
		return errLongReply
	}
	s.in = append(s.in[:0], b...)
	return nil
}

// flush sends what waits as far as the kernel takes it; an event says when it
// takes more.
func (s *socket) flush() error {
	for len(s.out) > 0 {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.out[0])), uintptr(len(s.out)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			s.out = s.out[:copy(s.out, s.out[n:])]
		case unix.EINTR:
		case unix.EAGAIN:
			return nil
		default:
			return errno
		}
	}
	return nil
}

func (s *socket) close() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}
