package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An mqttRun is a run of one goroutine over all connections: first the publishers, then the subscribers, the idle ones
// and the sessions that go offline.
type mqttRun struct {
	poller
	urgent    poller // of publishers and subscribers while a storm is measured
	o         *MQTTOptions
	address   mqttAddress
	domain    int
	sockaddr  unix.Sockaddr
	prefix    string // of the client identifiers
	keepAlive uint16
	m         *meter // for its clock and its window
	r         MQTTResult

	conns    []mqttConn
	lasting  map[mqttName]struct{} // the sessions that outlive their connections
	ending   bool                  // that is what is being done with them
	dialing  int                   // connections that are neither down nor up
	progress time.Duration         // when the last of them got on
	stream   []byte                // what frames of a WebSocket have carried
	storm    *mqttStorm            // while one rages

	publishers  []mqttPublisher
	subscribers []mqttSubscriber
	readers     []uint32 // subscribers that read, by publisher
	queue       []int    // publishers that may have something to publish
	spare       []int
	fill        []byte // what stands behind the head of a payload
	firstAck    byte   // the packet that answers a PUBLISH
	publishing  bool
	due         uint64        // messages of an open loop that were sent
	looked      time.Duration // when it was last seen whether one is due
	turn        int           // the publisher whose turn it is

	// Latencies are counted of what was sent, or due, between two times.
	latency, ack *Histogram
	since, until time.Duration
	arrived      time.Duration // when what is being read was read
}

// dialBatch is how many connections are begun, or events served, in a storm until the others have their turn.
const dialBatch = 16

func runMQTT(ctx context.Context, o *MQTTOptions) (*MQTTResult, error) {
	r := &mqttRun{o: o, prefix: fmt.Sprintf("b%x", os.Getpid()&0xffffff), keepAlive: math.MaxUint16, lasting: make(map[mqttName]struct{})}
	var err error
	if r.address, err = parseMQTTURL(o.URL); err != nil {
		return nil, err
	}
	if err := r.resolve(); err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.open(); err != nil {
		return nil, err
	}
	r.m = newMeter(&Options{Warmup: o.Warmup, Duration: o.Duration, PID: o.PID, Rate: o.Rate, Progress: o.Progress, progressEvery: time.Second})
	err = r.run(ctx)
	r.settle()
	r.leave()
	r.r.Ending = r.endSessions(ctx)
	if err != nil {
		return nil, errors.Join(err, r.r.Ending)
	}
	r.r.Elapsed, r.r.CPU = r.m.r.Elapsed, r.m.r.CPU
	return &r.r, r.m.cpuErr
}

// open makes both epoll instances. The urgent one is itself waited for in the other.
func (r *mqttRun) open() error {
	r.urgent.epfd = -1
	if err := r.poller.open(); err != nil {
		return err
	}
	if err := r.urgent.open(); err != nil {
		return err
	}
	return unix.EpollCtl(r.epfd, unix.EPOLL_CTL_ADD, r.urgent.epfd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1})
}

// close closes both.
func (r *mqttRun) close() {
	_ = unix.Close(r.urgent.epfd)
	_ = unix.Close(r.epfd)
}

// run goes through the phases.
func (r *mqttRun) run(ctx context.Context) error {
	o := r.o
	if err := r.warmMemory(ctx); err != nil {
		return err
	}
	r.populate(o.Publishers, o.Subscribers, o.Connections, o.Offline)
	r.prepareFlow()
	began := r.m.now()
	if err := r.connect(ctx); err != nil {
		return err
	}
	r.r.Connecting = r.m.now() - began
	if err := r.readMemory(ctx, &r.r.Memory.Connected); err != nil {
		return err
	}
	if o.Publishers > 0 {
		if o.Rate > 0 {
			defer sharpTimers()()
		}
		if err := r.publishFor(ctx); err != nil {
			return fmt.Errorf("after %d messages sent and %d received: %w", r.r.Sent, r.r.Delivered, err)
		}
	}
	if o.Connections > 0 && (o.Storm || o.Restart != nil) && ctx.Err() == nil {
		if err := r.endure(ctx); err != nil {
			return err
		}
	}
	return r.finish()
}

// populate makes connections, which are down.
func (r *mqttRun) populate(counts ...int) {
	r.conns = r.conns[:0]
	for role, n := range counts {
		for i := range n {
			c := mqttConn{number: i, role: mqttRole(role), socket: socket{fd: -1}}
			c.urgent = r.o.Storm && c.role <= mqttSubscriberRole
			r.conns = append(r.conns, c)
		}
	}
}

// warmMemory has some connections come and go, and reads the memory.
func (r *mqttRun) warmMemory(ctx context.Context) error {
	if r.o.PID == 0 || r.o.Settle == 0 {
		return r.readMemory(ctx, &r.r.Memory.Before)
	}
	r.populate(0, 0, mqttWarmConns, 0)
	if err := r.connect(ctx); err != nil {
		return err
	}
	for i := range r.conns {
		r.hangUp(&r.conns[i])
	}
	return r.readMemory(ctx, &r.r.Memory.Before)
}

// readMemory rests for a moment and reads the server's memory.
func (r *mqttRun) readMemory(ctx context.Context, to *int64) (err error) {
	if r.o.PID == 0 {
		return nil
	}
	for end := r.m.now() + r.o.Settle; r.m.now() < end && ctx.Err() == nil; {
		if err := r.serve(min(pollMax, end-r.m.now())); err != nil {
			return err
		}
	}
	*to, err = Resident(r.o.PID)
	return err
}

// connect makes all connections.
func (r *mqttRun) connect(ctx context.Context) error {
	r.progress = r.m.now()
	for next := 0; next < len(r.conns) || r.dialing > 0; {
		for ; next < len(r.conns) && r.dialing < dialers; next++ {
			if err := r.dial(next); err != nil {
				return err
			}
		}
		if err := r.serve(pollMax); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.m.now()-r.progress > dialPatience {
			return fmt.Errorf("connecting to %s: %w", r.o.URL, r.unfinished())
		}
	}
	return nil
}

// unfinished says what a connection that is neither down nor up waits for.
func (r *mqttRun) unfinished() error {
	for i := range r.conns {
		if c := &r.conns[i]; c.state != mqttDown && c.state != mqttUp {
			return fmt.Errorf("for %v nothing happened; %s is still %s", dialPatience, c, c.state)
		}
	}
	return fmt.Errorf("for %v nothing happened", dialPatience)
}

// serve waits for events at most for a time, and serves them.
func (r *mqttRun) serve(d time.Duration) error {
	events, err := r.wait(d)
	if err != nil {
		return err
	}
	for n, ev := range events {
		if ev.Fd < 0 || r.storm != nil && n%dialBatch == 0 {
			if err := r.serveUrgent(); err != nil {
				return err
			}
		}
		if ev.Fd >= 0 {
			if err := r.handle(int(ev.Fd), ev.Events); err != nil {
				return err
			}
		}
	}
	return r.publishReady()
}

// serveUrgent serves publishers and subscribers in between.
func (r *mqttRun) serveUrgent() error {
	if _, err := r.publishDue(); err != nil {
		return err
	}
	events, err := r.urgent.wait(0)
	for _, ev := range events {
		if err := r.handle(int(ev.Fd), ev.Events); err != nil {
			return err
		}
	}
	return err
}

// publishFor publishes until the time is over.
func (r *mqttRun) publishFor(ctx context.Context) error {
	r.m.begin = time.Now() // the clock of payloads as well: nothing was published yet
	r.publishing = true
	for i := range r.publishers {
		r.ready(i)
	}
	looked := time.Duration(0)
	for {
		now := r.m.now()
		if !r.m.tick(now) || ctx.Err() != nil {
			break
		}
		if r.m.measuring && r.latency == nil {
			r.measure(&r.r.Latency, &r.r.Ack, r.m.from)
			if r.o.Stalled > 0 {
				r.stall()
			}
		}
		if now-looked > r.o.patience/10 {
			looked = now
			r.writeOffStuck(now)
		}
		wait, err := r.publishDue()
		if err != nil {
			return err
		}
		if len(r.queue) > 0 {
			wait = 0
		}
		if err := r.serve(wait); err != nil {
			return err
		}
	}
	r.m.end(r.m.now())
	r.until = r.m.to
	return nil
}

// measure has latencies of what is sent or due from now on counted.
func (r *mqttRun) measure(latency, ack *Histogram, since time.Duration) {
	r.latency, r.ack, r.since, r.until = latency, ack, since, math.MaxInt64
}

// publishDue publishes what is due in an open loop, and returns how long to wait for the next. What became due since it was last called, and could have been
// published then, is late by the generator's own fault: in a storm that is not counted against the server, since the connecting of thousands keeps the generator's CPU
// from going on for tens of milliseconds, in the kernel.
func (r *mqttRun) publishDue() (time.Duration, error) {
	if r.o.Rate == 0 || !r.publishing {
		return pollMax, nil
	}
	before := r.looked
	for range len(r.events) {
		now := r.m.now()
		r.looked = now
		at := r.m.due(r.due)
		if at > now {
			return min(at-now, pollMax), nil
		}
		p := r.nextWithRoom()
		if p == nil {
			return pollMax, nil // a delivery or an acknowledgement makes room
		}
		if late := at > before && now-at > time.Millisecond; late && (r.counting() || r.storm != nil) {
			r.r.Late++
			if r.storm != nil {
				at = now
			}
		}
		r.due++
		start := len(r.conns[p.conn].out)
		r.publish(p, at)
		if err := r.send(p, start); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// nextWithRoom returns the next publisher, in turn, that may publish, or nil.
func (r *mqttRun) nextWithRoom() *mqttPublisher {
	for range r.publishers {
		p := &r.publishers[r.turn]
		r.turn = (r.turn + 1) % len(r.publishers)
		if r.room(p) {
			return p
		}
	}
	return nil
}

// finish waits for what is under way, counts what does not come, and reads the memory.
func (r *mqttRun) finish() error {
	r.publishing = false
	for r.arrived = r.m.now(); r.underWay() && r.m.now()-r.arrived < r.o.patience; {
		if err := r.serve(pollMax); err != nil {
			return err
		}
	}
	for i := range r.publishers {
		r.writeOff(i)
	}
	if r.o.PID == 0 || r.o.Restart != nil {
		return nil // or it is another process now
	}
	var err error
	r.r.Memory.After, err = Resident(r.o.PID)
	return err
}

// underWay tells whether something is waited for.
func (r *mqttRun) underWay() bool {
	for i := range r.publishers {
		if p := &r.publishers[i]; p.done != p.sent {
			return true
		}
	}
	return false
}
