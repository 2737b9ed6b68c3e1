package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// Options configures a [Set].
type Options struct {
	// Log is the streams that the consumers read and write. Required.
	Log *stream.Log
	// Prepare checks an event that a handler publishes, and sets what it lacks. Required: it is the bus's.
	Prepare func(*event.Event) error
	// Reserve takes room for the delivery of the events of a step, before that is committed, and waits for it; release gives it back. Required: it is the bus's.
	Reserve func(ctx context.Context, events, bytes int) (release func(), err error)
	// Deliver is told of the events of a step that was committed, and calls release afterwards. It is called by the store's goroutine and must not block. Required:
	// it is the bus's.
	Deliver func(events []*event.Event, appends []store.Append, release func())
	// Logger is told of handlers that fail and of dead letters. Default: nobody is.
	Logger *slog.Logger
	// Clock tells the time of dead letters. Default time.Now.
	Clock func() time.Time
	// Grace is how long handlers may go on after Run's context has ended, before theirs end. Default [DefaultGrace].
	Grace time.Duration
	// Abort ends what Grace allows when it ends. Default: never.
	Abort context.Context
}

// DefaultGrace is how long handlers are waited for.
const DefaultGrace = 10 * time.Second

// Why a consumer cannot be used.
var (
	ErrNotFound = errors.New("there is no such consumer")
	ErrExists   = errors.New("there is a consumer of that name already")
	ErrRunning  = errors.New("its handler is in this process and would be off until that starts again")
	ErrPlace    = errors.New("there is no such place in the stream")
	ErrOwn      = errors.New("the consumer is the server's own: it can be looked at, paused and resumed, and nothing else")
)

// Set is the consumers of a process. Its methods are safe for concurrent use.
type Set struct {
	opts    Options
	letters sync.Mutex // held while dead letters are redriven or dropped

	mu      sync.Mutex
	all     map[string]*Consumer
	scope   *task.Scope     // not nil while Run runs
	ctx     context.Context // of Run
	hard    context.Context // of handlers
	running bool
	ended   bool
}

// Consumer is one consumer of this process.
type Consumer struct {
	set        *Set
	config     Config
	single     Handler
	batch      BatchHandler // instead of single
	stream     *stream.Stream
	filter     event.Filter
	stepLimits store.Limits // of one step: half of what a commit takes
	log        *slog.Logger
	stats      counters
	lines      engine.LineLimit // of the log, about events that failed
	hard       context.Context
	pool       *pool

	// Guarded by the lock of the set.
	stop      context.CancelFunc // for good
	holds     int                // changes under way, during which it does not run
	asked     uint64             // how often it was to begin anew
	begun     uint64             // what asked was when it began last
	active    bool               // it runs, or finds out that it is paused
	interrupt context.CancelFunc // while it is active
	changed   chan struct{}      // closed when one of these has changed
	err       error              // why it does not run

	mu    sync.Mutex
	parts []*partition // while it runs
}

type counters struct {
	handled, skipped, retried, dead, steps, missed, corrupt, full atomic.Uint64
}

// NewSet returns a set without consumers.
func NewSet(o Options) *Set {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Grace = orDefault(o.Grace, DefaultGrace)
	if o.Abort == nil {
		o.Abort = context.Background()
	}
	s := &Set{opts: o, all: map[string]*Consumer{}}
	o.Log.OnRemove(s.streamRemoved)
	o.Log.Readers(s.readers)
	return s
}

// streamRemoved has the consumers of a stream begin anew: its offsets do.
func (s *Set) streamRemoved(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		if c.config.Stream == name {
			c.log.Warn("the stream of a consumer was removed: nothing is handled until there is one of that name", "stream", name)
			c.againLocked()
		}
	}
}

func (s *Set) store() store.Store { return s.opts.Log.Store() }

// Handle has a handler process the events of a stream. It begins when Run does, or at once if that runs already.
func (s *Set) Handle(c Config, h Handler) error { return s.add(&Consumer{config: c, single: h}) }

// HandleBatch is Handle for several events at a time.
func (s *Set) HandleBatch(c Config, h BatchHandler) error {
	return s.add(&Consumer{config: c, batch: h})
}

func (s *Set) add(c *Consumer) (err error) {
	if c.config, err = c.config.withDefaults(); err != nil {
		return err
	}
	name := c.config.Name
	if err := event.ValidateSubject(DeadSubject(name), event.Limits{}); err != nil {
		return fmt.Errorf("the name of a consumer must be usable in a subject: %w", err)
	}
	if c.config.Filter != "" {
		if c.filter, err = event.ParseFilter(c.config.Filter, event.Limits{}); err != nil {
			return fmt.Errorf("consumer %q: %w", name, err)
		}
	}
	if c.stream, err = s.opts.Log.Get(c.config.Stream); err != nil {
		return fmt.Errorf("consumer %q: %w", name, err)
	}
	limits := s.store().Limits()
	c.stepLimits = store.Limits{Bytes: limits.Bytes / 3, Operations: limits.Operations / 3}
	c.set, c.changed, c.log = s, make(chan struct{}), s.opts.Logger.With("consumer", name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[name] != nil {
		return fmt.Errorf("%w: %q", ErrExists, name)
	}
	s.all[name] = c
	if s.running {
		s.startLocked(c)
	}
	return nil
}

// Run runs the consumers until the context ends, and then waits for the handlers that are at work and for their commits. When the contexts of handlers have
// ended too, it gives up what the disk has no room for, and says so; but it waits for handlers in any case. It may be called once.
func (s *Set) Run(ctx context.Context) error {
	again := task.Backoff{Initial: time.Second, Max: 30 * time.Second}
	for n := 1; ; n++ {
		err := s.reserve(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil // before it began
		}
		s.opts.Logger.Error("the consumers cannot begin; it is tried again", "error", err)
		s.pause(ctx, again.Delay(n))
	}
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.mu.Lock()
	s.scope = &task.Scope{Policy: task.KeepGoing}
	s.ctx, s.hard, s.running = ctx, hard, true
	for _, c := range s.all {
		s.startLocked(c)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.running, s.ended = false, true
	s.mu.Unlock()
	grace := time.AfterFunc(s.opts.Grace, cancel)
	defer grace.Stop()
	defer context.AfterFunc(s.opts.Abort, cancel)()
	return s.scope.Wait()
}

// startLocked begins to run a consumer, under the lock of the set.
func (s *Set) startLocked(c *Consumer) {
	ctx, stop := context.WithCancel(s.ctx)
	c.stop, c.hard = stop, s.hard
	s.scope.Go(context.WithoutCancel(s.ctx), "consumer "+c.config.Name, func(context.Context) error {
		defer stop()
		return c.supervise(ctx)
	})
}

// supervise runs the consumer again and again until the context ends. It returns what had to be given up then.
func (c *Consumer) supervise(ctx context.Context) error {
	again := task.Backoff{Initial: time.Second, Max: 30 * time.Second, Attempts: -1}
	paused := false
	for n := 1; ; n++ {
		run := c.activate(ctx, paused)
		if run == nil {
			return nil
		}
		var err error
		paused, err = c.run(run)
		c.deactivate(run, &err)
		if ctx.Err() != nil && (err == nil || c.hard.Err() != nil) {
			return err
		}
		if err == nil {
			n = 0
			continue // it is paused, or to begin anew
		}
		wait := again.Delay(n)
		c.log.Error("a consumer stopped; it starts again from its last commit", "error", err, "after", wait)
		c.set.pause(ctx, wait)
	}
}

// pause waits for a while, or for the end of the context.
func (s *Set) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// run runs the consumer until it is to begin anew, or its context ends, or it fails, or is found to be paused.
func (c *Consumer) run(ctx context.Context) (paused bool, err error) {
	meta, err := c.set.enter(ctx, c)
	if err != nil || meta.Paused {
		return meta.Paused, err
	}
	if c.stream, err = c.set.opts.Log.Get(c.config.Stream); err != nil {
		return false, err
	}
	c.pool = &pool{consumer: c}
	parts := c.partitions()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c.setParts(parts)
	defer c.setParts(nil)
	defer c.sayLeftOut()
	scope := task.Scope{Policy: task.KeepGoing}
	for _, p := range parts {
		scope.Go(context.WithoutCancel(ctx), fmt.Sprintf("consumer %s, %s/%d", c.config.Name, p.at.Stream, p.at.Number), func(context.Context) error {
			defer stop() // one that fails ends the others
			return p.runUntil(ctx)
		})
	}
	err = scope.Wait()
	c.pool.working.Wait()
	return false, err
}

func (c *Consumer) setParts(parts []*partition) {
	c.mu.Lock()
	c.parts = parts
	c.mu.Unlock()
}

// partitions returns what the consumer reads: those of its stream, and what is redriven to it.
func (c *Consumer) partitions() []*partition {
	var parts []*partition
	for n := range c.stream.Config().Partitions {
		parts = append(parts, c.partition(store.Partition{Stream: c.config.Stream, Number: n}, c.filter, c.config.Filter == ""))
	}
	redriven, err := event.ParseFilter(redriveSubject(c.config.Name), event.Limits{})
	if err != nil {
		panic("consumer: a name that was accepted is no longer: " + err.Error())
	}
	p := c.partition(store.Partition{Stream: RedriveStream}, redriven, false)
	p.redrive = true
	return append(parts, p)
}

func (c *Consumer) partition(at store.Partition, filter event.Filter, all bool) *partition {
	return &partition{
		consumer: c, at: at, filter: filter, all: all,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		keys: map[string]*chain{}, pending: map[string]*overlaid{},
	}
}

// from is where the consumer begins a partition.
func (c *Consumer) from(p *partition) stream.From {
	if p.redrive {
		return stream.Beginning
	}
	return c.config.From
}

// keyOf is what the order is kept by.
func (c *Consumer) keyOf(e *event.Event) string { return c.stream.Key(e) }

// names returns the consumers of this process.
func (s *Set) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
