package load

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// fanoutPatience is how long a fan-out waits at its end for deliveries while
// none come.
const fanoutPatience = time.Second

// A fanout is a run of one goroutine over the publisher, which is number 0,
// and the subscribers.
type fanout struct {
	poller
	o       *FanoutOptions
	m       *meter // for its clock and its window
	sockets []socket
	next    []uint64 // the number of the message that each subscriber waits for
	head    []byte   // what stands in front of each payload
	r       FanoutResult

	// Messages from number done on, of which published exist; each has its
	// slot, by its number.
	window    []message
	done      uint64
	published uint64
	answered  uint64
}

func runFanout(ctx context.Context, o *FanoutOptions, conns []net.Conn) (*FanoutResult, error) {
	f := &fanout{
		o: o, sockets: make([]socket, len(conns)), next: make([]uint64, len(conns)), window: make([]message, o.Lag),
		head: fmt.Appendf(nil, "*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n", len(fanoutChannel), fanoutChannel, o.Size),
	}
	for i := range f.window {
		f.window[i].payload = bytes.Repeat([]byte{'x'}, o.Size)
	}
	defer f.close()
	if err := f.connect(conns); err != nil {
		return nil, fmt.Errorf("preparing the connections: %w", err)
	}
	f.m = newMeter(&Options{Warmup: o.Warmup, Duration: o.Duration, PID: o.PID, Progress: func(Progress) {}, progressEvery: time.Hour})
	if err := f.run(ctx); err != nil {
		return nil, fmt.Errorf("after %d messages to %d subscribers: %w", f.published, o.Subscribers, err)
	}
	for _, next := range f.next[1:] {
		f.r.Missed += f.published - next
	}
	f.r.Elapsed, f.r.CPU = f.m.r.Elapsed, f.m.r.CPU
	return &f.r, f.m.cpuErr
}

func (f *fanout) connect(conns []net.Conn) error {
	for i := range f.sockets {
		f.sockets[i].fd = -1
	}
	if err := f.open(); err != nil {
		return err
	}
	for i, nc := range conns {
		if err := f.adopt(&f.sockets[i], nc, i); err != nil {
			return err
		}
	}
	return nil
}

func (f *fanout) close() {
	for i := range f.sockets {
		f.sockets[i].close()
	}
	_ = unix.Close(f.epfd)
}

// run publishes and receives until the time is over, and then receives what is
// on its way.
func (f *fanout) run(ctx context.Context) error {
	last := f.m.now() // when something was received
	for {
		now := f.m.now()
		if !f.m.ended && (!f.m.tick(now) || ctx.Err() != nil) {
			f.m.end(now)
		}
		if f.m.ended && (f.done == f.published || now-last > fanoutPatience) {
			return nil
		}
		if err := f.publish(now); err != nil {
			return err
		}
		events, err := f.wait(pollMax)
		if err != nil {
			return err
		}
		for _, ev := range events {
			if err := f.handle(int(ev.Fd)); err != nil {
				return err
			}
			last = now
		}
	}
}

// publish sends as many messages as may be under way.
func (f *fanout) publish(now time.Duration) error {
	s := &f.sockets[0]
	for !f.m.ended && f.published-f.answered < uint64(f.o.Pipeline) && f.published-f.done < uint64(f.o.Lag) {
		m := &f.window[f.published%uint64(f.o.Lag)]
		m.at, m.delivered = now, 0
		payload(m.payload, f.published)
		s.out = AppendCommand(s.out, "PUBLISH", fanoutChannel, string(m.payload))
		f.published++
	}
	return s.flush()
}

// handle reads what has arrived at a connection.
func (f *fanout) handle(i int) error {
	s := &f.sockets[i]
	for more := true; more; {
		var b []byte
		var err error
		if b, more, err = s.recv(f.buf[:]); err != nil {
			return fmt.Errorf("reading from connection %d: %w", i, err)
		}
		if len(b) == 0 {
			return nil
		}
		if b = s.pending(b); i == 0 {
			b, err = f.replies(b)
		} else {
			b, err = f.messages(i, b)
		}
		if err == nil {
			err = s.keep(b)
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

// replies takes the publisher's replies from b and returns the rest.
func (f *fanout) replies(b []byte) ([]byte, error) {
	for len(b) > 0 {
		n, err := ReplyLength(b)
		if n == 0 || err != nil {
			return b, err
		}
		if got, err := strconv.Atoi(string(bytes.TrimSpace(b[1:n]))); b[0] != ':' || err != nil || got != f.o.Subscribers {
			return b, fmt.Errorf("PUBLISH was answered with %q instead of %d", shorten(b[:n]), f.o.Subscribers)
		}
		f.answered++
		b = b[n:]
	}
	return b, nil
}

// messages takes the messages for subscriber i from b and returns the rest.
func (f *fanout) messages(i int, b []byte) ([]byte, error) {
	length := len(f.head) + f.o.Size + len("\r\n")
	now := f.m.now()
	for len(b) >= length {
		if f.next[i] >= f.published {
			return b, errLeftOver
		}
		m := &f.window[f.next[i]%uint64(f.o.Lag)]
		if !bytes.HasPrefix(b, f.head) || !bytes.HasPrefix(b[len(f.head):], m.payload) {
			if err := f.skip(i, b[:length]); err != nil {
				return b, err
			}
			continue
		}
		f.next[i]++
		m.delivered++
		if f.m.measuring && !f.m.ended {
			f.r.Delivered++
		}
		b = b[length:]
		f.complete(now)
	}
	return b, nil
}

// skip notes that subscriber i missed what was published before the message b.
func (f *fanout) skip(i int, b []byte) error {
	seq := f.next[i]
	if bytes.HasPrefix(b, f.head) {
		seq, _ = strconv.ParseUint(string(b[len(f.head):][:minFanoutSize]), 16, 64)
	}
	if seq <= f.next[i] || seq >= f.published {
		return fmt.Errorf("%w: %q", errOutOfOrder, b[:min(len(b), 120)])
	}
	for ; f.next[i] < seq; f.next[i]++ {
		f.window[f.next[i]%uint64(f.o.Lag)].delivered++
		f.r.Missed++
	}
	return nil
}

// complete frees the slots of the messages that everybody has.
func (f *fanout) complete(now time.Duration) {
	for f.done < f.published {
		m := &f.window[f.done%uint64(f.o.Lag)]
		if m.delivered < f.o.Subscribers {
			return
		}
		if f.m.measuring && !f.m.ended {
			f.r.Latency.Record(now - m.at)
		}
		f.done++
	}
}
