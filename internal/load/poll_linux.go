package load

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pollable tells whether runPoll exists.
const pollable = true

// pollMax bounds one wait, so that the end of the context and of the warm-up
// are noticed.
const pollMax = 20 * time.Millisecond

// A polled is a run of one goroutine over all connections.
type polled struct {
	o       *Options
	m       *meter
	epfd    int
	clients []client
	alive   int
	events  [256]unix.EpollEvent
	buf     [readSize]byte

	// Open-loop: requests sent so far, and the connections that can take one,
	// the one that has been free for longest first.
	sent uint64
	free freeList
}

// A client is one connection.
type client struct {
	fd     int
	sess   Session
	in     []byte // a part of a reply
	out    []byte // what the socket has not taken yet
	flight flight
	broken bool
}

func runPoll(ctx context.Context, o *Options, conns []net.Conn, m *meter) error {
	p := &polled{o: o, m: m}
	defer p.close()
	if err := p.open(conns); err != nil {
		return fmt.Errorf("preparing the connections: %w", err)
	}
	if o.Rate > 0 {
		defer sharpTimers()()
	}
	m.begin = time.Now()
	p.start()
	for ctx.Err() == nil {
		now := m.now()
		if !m.tick(now) {
			break
		}
		if p.alive == 0 {
			return fmt.Errorf("making requests: %w: %w", errAllBroken, m.r.FirstError)
		}
		n, err := p.wait(p.sendDue(now))
		if err != nil {
			return fmt.Errorf("waiting for replies: %w", err)
		}
		for _, ev := range p.events[:n] {
			p.handle(int(ev.Fd), ev.Events)
		}
	}
	m.end(m.now())
	p.countUnanswered()
	return nil
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

// open takes descriptors of its own for the connections, because those of the
// net package report to Go's poller.
func (p *polled) open(conns []net.Conn) (err error) {
	if p.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("creating an epoll instance: %w", err)
	}
	p.clients = make([]client, len(conns))
	for i := range p.clients {
		p.clients[i].fd = -1
	}
	for i, nc := range conns {
		c := &p.clients[i]
		if c.fd, err = ownDescriptor(nc); err != nil {
			return err
		}
		c.sess = p.o.Work.Session(i)
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i)}
		if err = unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
			return fmt.Errorf("registering a connection with epoll: %w", err)
		}
	}
	p.alive = len(conns)
	return nil
}

// ownDescriptor returns a copy of nc's descriptor and closes nc.
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

func (p *polled) close() {
	for i := range p.clients {
		if c := &p.clients[i]; c.fd >= 0 && !c.broken {
			_ = unix.Close(c.fd)
		}
	}
	_ = unix.Close(p.epfd)
}

// start fills the pipelines of a closed-loop run, or makes all connections
// free for an open-loop one.
func (p *polled) start() {
	for i := range p.clients {
		if p.o.Rate > 0 {
			for range p.o.Pipeline {
				p.free.push(i, 0)
			}
			continue
		}
		p.fill(i, p.m.now(), p.o.Pipeline)
		p.flush(i)
	}
}

// fill appends n requests that start now.
func (p *polled) fill(i int, now time.Duration, n int) {
	c := &p.clients[i]
	for range n {
		r := request{start: now}
		c.out, r.class = c.sess.Append(c.out)
		c.flight.push(r)
	}
}

// sendDue sends what is due and returns how long to wait for the next.
func (p *polled) sendDue(now time.Duration) time.Duration {
	if p.o.Rate == 0 {
		return pollMax
	}
	// At most so many in one go, or replies would wait for a long backlog.
	for range len(p.events) {
		due := p.m.due(p.sent)
		if due > now {
			return min(due-now, pollMax)
		}
		i, since, ok := p.free.pop()
		if !ok {
			return pollMax // a reply makes one free
		}
		if p.clients[i].broken {
			continue
		}
		p.m.sent(due, since, now)
		p.sent++
		p.fill(i, due, 1)
		p.flush(i)
	}
	return 0
}

// wait returns how many events there are. It polls before it sleeps, because
// a sleep costs Go's scheduler more than a system call does.
func (p *polled) wait(d time.Duration) (int, error) {
	ts := unix.NsecToTimespec(0)
	n, errno := p.poll(&ts, syscall.RawSyscall6)
	if n == 0 && errno == 0 && d > 0 {
		ts = unix.NsecToTimespec(int64(d))
		n, errno = p.poll(&ts, syscall.Syscall6)
	}
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}
