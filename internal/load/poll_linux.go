package load

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A polled is a run of one goroutine over all connections.
type polled struct {
	poller
	o       *Options
	m       *meter
	clients []client
	alive   int

	// Open-loop: requests sent so far, and the connections that can take one,
	// the one that has been free for longest first.
	sent uint64
	free ring[place]
}

// A client is one connection. It is broken once its descriptor is closed.
type client struct {
	socket
	sess   Session
	flight ring[request]
}

// A place in a connection's pipeline, free since some time.
type place struct {
	conn  int
	since time.Duration
}

func runPoll(ctx context.Context, o *Options, conns []net.Conn, m *meter) error {
	p := &polled{o: o, m: m, clients: make([]client, len(conns))}
	defer p.close()
	if err := p.connect(conns); err != nil {
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
			return m.broken()
		}
		events, err := p.wait(p.sendDue(now))
		if err != nil {
			return err
		}
		for _, ev := range events {
			p.handle(int(ev.Fd), ev.Events)
		}
	}
	m.end(m.now())
	p.countUnanswered()
	return nil
}

// connect takes the connections over.
func (p *polled) connect(conns []net.Conn) error {
	for i := range p.clients {
		p.clients[i].fd = -1
	}
	if err := p.open(); err != nil {
		return err
	}
	for i, nc := range conns {
		p.clients[i].sess = p.o.Work.Session(i)
		if err := p.adopt(&p.clients[i].socket, nc, i); err != nil {
			return err
		}
	}
	p.alive = len(conns)
	return nil
}

func (p *polled) close() {
	for i := range p.clients {
		p.clients[i].close()
	}
	_ = unix.Close(p.epfd)
}

// start fills the pipelines of a closed-loop run, or makes all connections
// free for an open-loop one.
func (p *polled) start() {
	for i := range p.clients {
		if p.o.Rate == 0 {
			p.send(i, p.m.now(), p.o.Pipeline)
			continue
		}
		for range p.o.Pipeline {
			p.free.push(place{conn: i})
		}
	}
}

// send sends n requests that count as started at the given time.
func (p *polled) send(i int, start time.Duration, n int) {
	c := &p.clients[i]
	for range n {
		r := request{start: start}
		c.out, r.class = c.sess.Append(c.out)
		c.flight.push(r)
	}
	if err := c.flush(); err != nil {
		p.fail(i, err)
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
		if p.free.n == 0 {
			return pollMax // a reply makes one free
		}
		to := p.free.pop()
		if p.clients[to.conn].fd < 0 {
			continue
		}
		p.m.sent(due, to.since, now)
		p.sent++
		p.send(to.conn, due, 1)
	}
	return 0
}

// handle reads what has arrived at connection i and sends what can be sent.
func (p *polled) handle(i int, what uint32) {
	c := &p.clients[i]
	for more := c.fd >= 0 && what&^unix.EPOLLOUT != 0; more; {
		var b []byte
		var err error
		if b, more, err = c.recv(p.buf[:]); err != nil {
			p.fail(i, err)
			return
		}
		if len(b) == 0 {
			break
		}
		now := p.m.now()
		answered, err := p.replies(i, b, now)
		if err != nil {
			p.fail(i, err)
			return
		}
		p.again(i, answered, now)
		more = more && c.fd >= 0
	}
	if c.fd >= 0 && len(c.out) > 0 {
		if err := c.flush(); err != nil {
			p.fail(i, err)
		}
	}
}

// again puts n places of a pipeline to use that have become free.
func (p *polled) again(i, n int, now time.Duration) {
	if p.o.Rate == 0 {
		p.send(i, now, n)
		return
	}
	for range n {
		p.free.push(place{i, now})
	}
}

// replies takes the complete replies from b, keeps the rest and returns how
// many there were.
func (p *polled) replies(i int, b []byte, now time.Duration) (answered int, err error) {
	c := &p.clients[i]
	for b = c.pending(b); len(b) > 0; answered++ {
		if c.flight.n == 0 {
			return answered, errLeftOver
		}
		n, err := c.sess.Reply(b)
		if n == 0 {
			if err != nil {
				return answered, err
			}
			break
		}
		r := c.flight.pop()
		if err != nil {
			p.m.fail(i, err)
		} else {
			p.m.reply(r.class, r.start, now)
		}
		b = b[n:]
	}
	return answered, c.keep(b)
}

// fail gives a connection up.
func (p *polled) fail(i int, err error) {
	p.clients[i].close()
	p.alive--
	p.m.fail(i, err)
}

// countUnanswered records what is still waited for, and what an open-loop run
// could not even send. A closed-loop run makes no requests for a broken
// connection, and waits for none.
func (p *polled) countUnanswered() {
	for i := range p.clients {
		if p.o.Rate == 0 && p.clients[i].fd < 0 {
			continue
		}
		for f := &p.clients[i].flight; f.n > 0; {
			p.m.unanswered(f.pop())
		}
	}
	if p.o.Rate > 0 {
		p.m.neverSent(p.sent)
	}
}
