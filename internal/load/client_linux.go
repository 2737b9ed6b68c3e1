package load

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysEpollPwait2 has the same number on every architecture. It exists since
// Linux 5.11 and is the only epoll call that can wait for microseconds.
const sysEpollPwait2 = 441

type syscall6 func(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err syscall.Errno)

// poll asks for events with the given system call, which blocks or does not.
func (p *polled) poll(ts *unix.Timespec, call syscall6) (int, syscall.Errno) {
	n, _, errno := call(sysEpollPwait2, uintptr(p.epfd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(ts)), 0, 0)
	return int(n), errno
}

// handle reads what has arrived at connection i and sends what can be sent.
func (p *polled) handle(i int, what uint32) {
	c := &p.clients[i]
	if c.broken {
		return
	}
	if what&^unix.EPOLLOUT != 0 {
		p.read(i)
	}
	if len(c.out) > 0 && !c.broken {
		p.flush(i)
	}
}

// read reads until nothing is left. A closed-loop connection sends as many
// requests as it got replies, after each read.
func (p *polled) read(i int) {
	c := &p.clients[i]
	for !c.broken {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd),
			uintptr(unsafe.Pointer(&p.buf[0])), uintptr(len(p.buf)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			p.fail(i, errno)
			return
		case n == 0:
			p.fail(i, errPeerClosed)
			return
		}
		now := p.m.now()
		answered := p.replies(i, p.buf[:n], now)
		if c.broken {
			return
		}
		if p.o.Rate == 0 {
			p.fill(i, now, answered)
			p.flush(i)
		} else {
			for range answered {
				p.free.push(i, now)
			}
		}
		if int(n) < len(p.buf) {
			return // edge-triggered: whatever comes now is a new event
		}
	}
}

// replies takes the complete replies from b, and keeps the rest.
func (p *polled) replies(i int, b []byte, now time.Duration) (answered int) {
	c := &p.clients[i]
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	for len(b) > 0 {
		if c.flight.n == 0 {
			p.fail(i, errLeftOver)
			return answered
		}
		n, err := c.sess.Reply(b)
		if err != nil && n == 0 {
			p.fail(i, err)
			return answered
		}
		if n == 0 {
			break
		}
		r := c.flight.pop()
		if err != nil {
			p.m.fail(i, err)
		} else {
			p.m.reply(r.class, r.start, now)
		}
		answered++
		b = b[n:]
	}
	if len(b) > MaxReply {
		p.fail(i, errLongReply)
		return answered
	}
	c.in = append(c.in[:0], b...)
	return answered
}

// flush writes what waits as far as the socket takes it.
func (p *polled) flush(i int) {
	c := &p.clients[i]
	for len(c.out) > 0 && !c.broken {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd),
			uintptr(unsafe.Pointer(&c.out[0])), uintptr(len(c.out)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			c.out = c.out[:copy(c.out, c.out[n:])]
		case unix.EINTR:
		case unix.EAGAIN:
			return // EPOLLOUT will say when
		default:
			p.fail(i, errno)
		}
	}
}

// fail gives a connection up.
func (p *polled) fail(i int, err error) {
	c := &p.clients[i]
	c.broken = true
	p.alive--
	_ = unix.Close(c.fd)
	p.m.fail(i, err)
}

// countUnanswered records what an open-loop run still waits for, and what it
// could not even send.
func (p *polled) countUnanswered() {
	if p.o.Rate == 0 {
		return
	}
	for i := range p.clients {
		c := &p.clients[i]
		for c.flight.n > 0 {
			p.m.unanswered(c.flight.pop())
		}
	}
	for ; p.m.due(p.sent) < p.m.to; p.sent++ {
		p.m.unanswered(request{start: p.m.due(p.sent)})
	}
}

// A freeList is the connections that can take a request, in the order in which
// they became free.
type freeList struct {
	ring []freeConn
	head int
	n    int
}

type freeConn struct {
	conn  int
	since time.Duration
}

func (f *freeList) push(conn int, since time.Duration) {
	if f.n == len(f.ring) {
		bigger := make([]freeConn, max(64, 2*len(f.ring)))
		for i := range f.n {
			bigger[i] = f.ring[(f.head+i)%len(f.ring)]
		}
		f.ring, f.head = bigger, 0
	}
	f.ring[(f.head+f.n)&(len(f.ring)-1)] = freeConn{conn, since}
	f.n++
}

func (f *freeList) pop() (conn int, since time.Duration, ok bool) {
	if f.n == 0 {
		return 0, 0, false
	}
	c := f.ring[f.head]
	f.head = (f.head + 1) & (len(f.ring) - 1)
	f.n--
	return c.conn, c.since, true
}
