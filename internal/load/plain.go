package load

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// plainTick is how often a run with goroutines looks at the time.
const plainTick = 10 * time.Millisecond

// A plain is a run with two goroutines for each connection.
type plain struct {
	o       *Options
	m       *meter
	clients []plainClient
	alive   atomic.Int64
	stop    chan struct{} // closed when the run is over
	next    atomic.Uint64 // the next request of an open-loop run
}

// A plainClient is one connection: its writer takes a token, sends a request
// and hands it to the reader, which gives the token back with the reply.
type plainClient struct {
	conn   net.Conn
	sess   Session
	tokens chan time.Duration // when the place in the pipeline became free
	under  chan request       // under way, oldest first
	broken bool               // set by the reader, which ends with it
}

func runPlain(ctx context.Context, o *Options, conns []net.Conn, m *meter) error {
	p := &plain{o: o, m: m, stop: make(chan struct{}), clients: make([]plainClient, len(conns))}
	p.alive.Store(int64(len(conns)))
	m.begin = time.Now()
	var all sync.WaitGroup
	for i, nc := range conns {
		c := &p.clients[i]
		*c = plainClient{
			conn: nc, sess: o.Work.Session(i),
			tokens: make(chan time.Duration, o.Pipeline),
			under:  make(chan request, o.Pipeline),
		}
		for range o.Pipeline {
			c.tokens <- 0
		}
		all.Go(func() { p.write(c) })
		all.Go(func() { p.read(c, i) })
	}
	err := p.watch(ctx)
	close(p.stop)
	closeAll(conns)
	all.Wait()
	p.countUnanswered()
	return err
}

// watch waits for the end of the run.
func (p *plain) watch(ctx context.Context) error {
	t := time.NewTicker(plainTick)
	defer t.Stop()
	for going := true; going; {
		select {
		case <-t.C:
		case <-ctx.Done():
			going = false
		}
		p.m.mu.Lock()
		now := p.m.now()
		if !going {
			p.m.end(now)
		}
		going = p.m.tick(now) && going
		p.m.mu.Unlock()
		if p.alive.Load() == 0 {
			return p.m.broken()
		}
	}
	return nil
}

// write sends the requests of one connection.
func (p *plain) write(c *plainClient) {
	var out []byte
	for {
		var free time.Duration
		select {
		case free = <-c.tokens:
		case <-p.stop:
			return
		}
		out = out[:0]
		for more := true; more; {
			r, ok := p.begin(free)
			if !ok {
				return
			}
			out, r.class = c.sess.Append(out)
			c.under <- r
			select {
			case free = <-c.tokens:
			default:
				more = false
			}
			if p.o.Rate > 0 && more {
				// The next one may be due much later than this one.
				if _, err := c.conn.Write(out); err != nil {
					return // the reader reports it
				}
				out = out[:0]
			}
		}
		if _, err := c.conn.Write(out); err != nil {
			_ = c.conn.Close()
			return
		}
	}
}

// begin returns the next request, in an open-loop run once it is due.
func (p *plain) begin(free time.Duration) (request, bool) {
	if p.o.Rate == 0 {
		return request{start: p.m.now()}, true
	}
	due := p.m.due(p.next.Add(1) - 1)
	if d := due - p.m.now(); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.stop:
			p.m.mu.Lock()
			p.m.unanswered(request{start: due})
			p.m.mu.Unlock()
			return request{}, false
		}
	}
	now := p.m.now()
	p.m.mu.Lock()
	p.m.sent(due, free, now)
	p.m.mu.Unlock()
	return request{start: due}, true
}

// read takes the replies of one connection.
func (p *plain) read(c *plainClient, i int) {
	buf := make([]byte, 4<<10)
	have := 0
	for {
		n, err := c.conn.Read(buf[have:])
		now := p.m.now()
		have += n
		if err == nil {
			var used int
			used, err = p.replies(c, i, buf[:have], now)
			if used > 0 {
				have = copy(buf, buf[used:have])
			}
		}
		if err == nil && have > MaxReply {
			err = errLongReply
		}
		if err != nil {
			p.fail(c, i, err)
			return
		}
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// fail gives a connection up, unless the run is over.
func (p *plain) fail(c *plainClient, i int, err error) {
	select {
	case <-p.stop:
		return
	default:
	}
	_ = c.conn.Close()
	c.broken = true
	if errors.Is(err, io.EOF) {
		err = ErrPeerClosed
	}
	p.m.mu.Lock()
	p.m.fail(i, err)
	p.m.mu.Unlock()
	p.alive.Add(-1)
}

// replies takes the complete replies from b.
func (p *plain) replies(c *plainClient, i int, b []byte, now time.Duration) (used int, err error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for used < len(b) {
		if len(c.under) == 0 {
			return used, errLeftOver
		}
		n, err := c.sess.Reply(b[used:])
		if n == 0 {
			return used, err
		}
		used += n
		r := <-c.under
		if err != nil {
			p.m.fail(i, err)
		} else {
			p.m.reply(r.class, r.start, now)
		}
		c.tokens <- now
	}
	return used, nil
}

// countUnanswered records what is still waited for, as that of polled does.
func (p *plain) countUnanswered() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for i := range p.clients {
		c := &p.clients[i]
		if p.o.Rate == 0 && c.broken {
			continue
		}
		for len(c.under) > 0 {
			p.m.unanswered(<-c.under)
		}
	}
	if p.o.Rate > 0 {
		p.m.neverSent(p.next.Load())
	}
}
