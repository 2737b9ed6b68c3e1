package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure an engine. The zero value is good.
type Options struct {
	// Driver is Epoll or Net. Default: Epoll on Linux, Net elsewhere.
	Driver string
	// Loops is the number of event loops of the epoll driver. Default: one
	// for every four CPUs that Go may use, since a loop hands its work to all
	// of them; more loops than that mean less work for each wake-up.
	Loops int
	// Limits bound what peers can make the engine hold.
	Limits Limits
	// Logger takes the log. Default: slog.Default().
	Logger *slog.Logger
	// Context is the parent of every connection's context, for the values in it.
	// Default: context.Background(). Danger: when it ends, handlers are told to
	// give up, but no connection closes; that is what Shutdown is for.
	Context context.Context
}

// An Engine accepts connections and runs the sessions of their protocols.
type Engine struct {
	log    *slog.Logger
	limits Limits
	opts   Options
	ctx    context.Context // the parent of every connection's context
	cancel context.CancelFunc

	clock      clock
	wheel      wheel
	table      table
	stats      counters
	closings   LineLimit // of the log
	buffers    buffers
	outputs    sync.Pool
	buffered   atomic.Int64
	nextID     atomic.Uint64
	handshakes chan struct{} // a token for each TLS handshake under way

	mu        sync.Mutex
	drivers   map[string]driver
	listeners []*Listener // those that accept
	stopping  atomic.Bool // set under mu
	accepting sync.WaitGroup
	timing    sync.WaitGroup
	stopTime  chan struct{}
}

// New returns an engine that listens to nothing yet. Shutdown releases it.
func New(o Options) (*Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Driver == "" {
		o.Driver = defaultDriver
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	limits := o.Limits.withDefaults()
	ctx, cancel := context.WithCancel(o.Context)
	e := &Engine{
		log: o.Logger, limits: limits, opts: o, ctx: ctx, cancel: cancel,
		handshakes: make(chan struct{}, min(limits.Handshakes, 1<<20)),
		drivers:    make(map[string]driver),
		stopTime:   make(chan struct{}),
	}
	e.clock.start = time.Now()
	e.clock.update()
	e.wheel.tick = e.clock.ms() / wheelTick.Milliseconds()
	if _, err := e.driver(o.Driver); err != nil {
		cancel()
		return nil, fmt.Errorf("starting the %q driver: %w", o.Driver, err)
	}
	e.timing.Go(e.keepTime)
	e.timing.Go(e.reportLeftOut)
	return e, nil
}

// driver returns the driver of the given name, started on first use.
func (e *Engine) driver(name string) (driver, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.drivers[name]; d != nil {
		return d, nil
	}
	if e.stopping.Load() {
		return nil, ErrStopped
	}
	var d driver
	var err error
	switch name {
	case Net:
		d = newNetDriver(e)
	case Epoll:
		d, err = newEpollDriver(e)
	default:
		err = ErrDriver
	}
	if err == nil {
		e.drivers[name] = d
	}
	return d, err
}

func (e *Engine) driverList() []driver {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []driver
	for _, d := range e.drivers {
		all = append(all, d)
	}
	return all
}

// keepTime updates the clock and turns the wheel until the engine stops.
func (e *Engine) keepTime() {
	t := time.NewTicker(wheelTick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			e.wheel.advance(e.clock.update(), e.deadline)
		case <-e.stopTime:
			return
		}
	}
}

// deadline ends c, whose deadline has passed, unless that was for the peer to
// send something and it is not the peer's turn, or for the peer to take
// something and it has.
func (e *Engine) deadline(c *Conn, why Reason) {
	switch why {
	case ReasonIdleTimeout, ReasonFirstTimeout, ReasonRequestTimeout, ReasonKeepAlive:
		if c.busy() {
			e.wheel.look(c, e.clock.ms()+time.Second.Milliseconds())
			return
		}
		if c.excuse(why) {
			e.lookAgain(c)
			return
		}
	case ReasonWriteTimeout:
		if c.takes() {
			e.lookAgain(c)
			return
		}
	}
	c.expire(why)
}

// lookAgain has the wheel, which has let go of c, look at its next deadline.
func (e *Engine) lookAgain(c *Conn) {
	if at, _ := c.due.earliest(); at != 0 {
		e.wheel.look(c, at)
	}
}

// Shutdown stops accepting, lets every connection answer the requests that it
// has received, delivers what waits to be sent, and closes. When ctx ends it
// closes what is left at once; handlers that are still running have their
// context canceled and are waited for a moment more. The error says what had
// to be cut off. It may be called once.
func (e *Engine) Shutdown(ctx context.Context) error {
	listeners, err := e.stopListening()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	e.accepting.Wait() // what was accepted last is in the table now
	for c := range e.Connections {
		c.signal(eventDrain)
	}
	select {
	case <-e.table.drained():
	case <-ctx.Done():
		errs = append(errs, e.cutOff())
	}
	e.cancel()
	close(e.stopTime)
	e.timing.Wait()
	for _, d := range e.driverList() {
		errs = append(errs, d.stop(e.table.size() == 0))
	}
	e.sayLeftOut()
	return errors.Join(errs...)
}

// stopListening has Listen and Serve fail from here on, and returns what
// listens now.
func (e *Engine) stopListening() ([]*Listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping.Load() {
		return nil, ErrStopped
	}
	e.stopping.Store(true)
	return slices.Clone(e.listeners), nil
}

// cutOff ends the connections that did not drain in time.
func (e *Engine) cutOff() error {
	left := 0
	for _, c := range e.table.all() {
		if c.cutOff() {
			left++
		}
	}
	const grace = time.Second // for handlers to notice that their context has ended
	stuck := time.NewTimer(grace)
	defer stuck.Stop()
	select {
	case <-e.table.drained():
		if left == 0 {
			return nil
		}
		return fmt.Errorf("%d connections were cut off: they did not finish within the drain timeout", left)
	case <-stuck.C:
		return fmt.Errorf("%d connections were cut off, and %d handlers are still running: "+
			"handlers must return when their context ends", left, e.table.size())
	}
}

// crowded tells whether a connection must not get so much memory that it holds
// held bytes, because all together hold what they may and that is more than an
// equal share. Those that hold little go on, so that a few large peers cannot
// stop the others; together they hold at most twice the bound, and what is
// asked for at the very moment when it is reached.
func (e *Engine) crowded(held int) bool {
	total := e.limits.BufferedTotal
	return e.buffered.Load() >= total && int64(held) >= total/int64(max(1, e.table.size()))
}

func (e *Engine) crowdedError() error {
	return fmt.Errorf("all connections together hold %d bytes", e.buffered.Load())
}

// halfWriteDeadline is when a write that starts now has taken half the time
// that it may, for sockets that block.
func (e *Engine) halfWriteDeadline() time.Time {
	if e.limits.WriteTimeout >= forever {
		return time.Time{}
	}
	return time.Now().Add(e.limits.WriteTimeout / 2)
}

// lend returns a buffer of at least n bytes and counts it.
func (e *Engine) lend(n int) *buffer {
	b := e.buffers.get(n)
	e.buffered.Add(int64(cap(b.b)))
	return b
}

func (e *Engine) giveBack(b *buffer) {
	e.buffered.Add(-int64(cap(b.b)))
	e.buffers.put(b)
}

func (e *Engine) grow(b *buffer, n int) *buffer {
	before := cap(b.b)
	b = e.buffers.grow(b, n)
	e.buffered.Add(int64(cap(b.b) - before))
	return b
}

func (e *Engine) newOutput() *output {
	if o, ok := e.outputs.Get().(*output); ok {
		return o
	}
	return &output{}
}

func (e *Engine) freeOutput(o *output) {
	marks := o.marks[:0]
	if cap(marks) > 64 {
		marks = nil
	}
	*o = output{marks: marks}
	e.outputs.Put(o)
}

// newConn makes the connection for a socket that l has accepted.
func (e *Engine) initConn(c *Conn, l *Listener, s sock) {
	c.eng, c.lst, c.sock = e, l, s
	c.id = e.nextID.Add(1)
	c.openedAt = e.clock.ticks()
	c.lastAt.Store(c.openedAt)
	secret := l.tls != nil && c.tls == nil
	if secret {
		c.hints.set(hintSecret)
	}
	e.table.add(c)
	e.stats.accepted.Add(1)
	if secret {
		c.setReadDeadline(e.limits.HandshakeTimeout, ReasonHandshakeTimeout)
	}
	l.accepted.Add(1)
}

// forget removes a connection whose descriptor is closed.
func (e *Engine) forget(c *Conn) {
	e.stats.closed[c.reason].Add(1)
	e.table.remove(c)
	e.table.leave(c.Remote().Addr())
	if c.ext != nil && c.ext.cancel != nil {
		c.ext.cancel(c.whyLocked())
	}
}
