package consumer

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/spate-io/spate/task"
)

// A chain is the events of one key that are in memory. At most one worker has it at a time, which is what keeps their order. The
// lock of the partition guards it.
type chain struct {
	part   *partition
	name   string
	items  []*item
	queued bool // a worker has it, or will, or it waits for its next attempt
	tries  int  // of the first item, or the first batch
	single int  // items that are handled one by one after their batch has failed
	most   int  // size of batches, if they may not be as large as configured since what they do is too much for a commit
	due    time.Time
}

// chainTurn is how many calls a worker makes for one chain before others have their turn.
const chainTurn = 64

// pool is the workers of a consumer: as many goroutines as there are chains to work on, up to its concurrency. One that a
// handler does not block takes one chain after the other, so that cheap handlers cost no goroutine each.
type pool struct {
	consumer *Consumer
	working  sync.WaitGroup

	mu      sync.Mutex
	ready   []*chain
	head    int
	workers int
	free    int // workers that will look for a chain before they run a handler
}

func (l *pool) push(c *chain) {
	l.mu.Lock()
	l.ready = append(l.ready, c)
	l.mu.Unlock()
}

// wake makes sure that a worker comes for what is ready.
func (l *pool) wake() {
	l.mu.Lock()
	l.wakeLocked()
	l.mu.Unlock()
}

func (l *pool) wakeLocked() {
	if l.free == 0 && l.head < len(l.ready) && l.workers < l.consumer.config.Concurrency {
		l.free++
		l.workers++
		l.working.Go(l.work)
	}
}

// work is a worker.
func (l *pool) work() {
	l.mu.Lock()
	for l.head < len(l.ready) {
		c := l.ready[l.head]
		l.ready[l.head] = nil
		if l.head++; l.head == len(l.ready) {
			l.ready, l.head = l.ready[:0], 0
		}
		l.turn(c)
	}
	l.free--
	l.workers--
	l.mu.Unlock()
}

// turn runs a chain, with the lock released. A handler that calls runtime.Goexit ends the worker: another takes its place.
func (l *pool) turn(c *chain) {
	l.free--
	l.wakeLocked()
	l.mu.Unlock()
	returned, more := false, false
	defer func() {
		l.mu.Lock()
		l.free++
		if more {
			l.ready = append(l.ready, c)
		}
		if !returned {
			l.working.Go(l.work)
			l.mu.Unlock()
		}
	}()
	c.run(l.consumer.hard, &more)
	returned = true
}

// run handles what the chain has, for its turn. It sets whether there is more to do at once, which is not a result since a handler may never return.
func (c *chain) run(ctx context.Context, more *bool) {
	defer signal(c.part.wake)
	for range chainTurn {
		*more = false
		batch := c.next()
		if batch == nil {
			return
		}
		c.call(ctx, batch, more)
		if !*more {
			return
		}
	}
}

// next returns what is to be handled now, or nil when there is no more, and the worker is to let go of the chain.
func (c *chain) next() []*item {
	p := c.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(c.items) == 0 || p.err != nil || p.ended() {
		c.queued = false
		p.running--
		if len(c.items) == 0 {
			delete(p.keys, c.name)
		}
		return nil
	}
	n := 1
	if p.consumer.batch != nil && c.single == 0 {
		n = min(len(c.items), p.consumer.config.BatchSize)
		if c.most > 0 {
			n = min(n, c.most)
		}
	}
	c.tries++
	batch := c.items[:n]
	for _, it := range batch {
		it.tries = c.tries
		it.d.Attempt = c.tries
		it.effects = effects{}
		it.lead = batch[0]
	}
	return batch
}

// call calls the handler, and does what its error says, also if it never returns.
func (c *chain) call(outer context.Context, batch []*item, more *bool) {
	consumer := c.part.consumer
	last := batch[len(batch)-1]
	ctx := outer
	if t := consumer.config.Timeout; t > 0 {
		limited, cancel := context.WithTimeout(ctx, t)
		defer cancel()
		ctx = context.WithValue(limited, contextKey{}, &last.d)
	} else {
		ctx = last.context(ctx)
	}
	task.Finally(func() error {
		if consumer.batch == nil {
			return consumer.single(ctx, &last.d)
		}
		all := make([]*Delivery, len(batch))
		for i, it := range batch {
			all[i] = &it.d
		}
		return consumer.batch(ctx, all)
	}, func(err error) {
		for _, it := range batch {
			it.over = true
			if err == nil {
				err = it.err // the handler went on nevertheless
			}
		}
		*more = c.settle(outer, batch, CutError(err))
	})
}

// settle does what the error says, and returns whether the chain may go on at once.
func (c *chain) settle(ctx context.Context, batch []*item, err error) (more bool) {
	p, consumer := c.part, c.part.consumer
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		consumer.stats.handled.Add(uint64(len(batch)))
		c.finishLocked(batch)
		return true
	}
	var after *retryAfter
	var hopeless *dead
	switch {
	case errors.Is(err, Skip):
		consumer.stats.skipped.Add(uint64(len(batch)))
		forget(batch)
	case ctx.Err() != nil: // the consumer stops: nothing is decided
		c.tries--
		return true
	case len(batch) > 1 && errors.Is(err, ErrStepTooLarge):
		c.most, c.tries = len(batch)/2, 0
		return true
	case errors.As(err, &after):
		c.holdLocked(after.after, err)
		return false
	case errors.As(err, &hopeless) || consumer.config.Retry.Attempts > 0 && c.tries >= consumer.config.Retry.Attempts:
		if len(batch) > 1 {
			c.single, c.tries = len(batch), 0
			return true
		}
		forget(batch)
		consumer.stats.dead.Add(1)
		batch[0].dead = consumer.letter(batch[0], err)
		if consumer.says(slog.LevelError) {
			consumer.log.Error("an event became a dead letter", "stream", p.at.Stream, "partition", p.at.Number, "offset", batch[0].at,
				"subject", batch[0].d.Event.Subject, "id", batch[0].d.Event.ID, "attempts", c.tries, "error", err)
		}
	default:
		consumer.stats.retried.Add(1)
		c.holdLocked(consumer.config.Retry.Delay(c.tries), err)
		return false
	}
	c.finishLocked(batch)
	return true
}

// says reports whether a line about what became of an event is written. Handlers decide how often that is, so the lines are few, and those that are
// left out are counted.
func (c *Consumer) says(level slog.Level) bool {
	if !c.log.Enabled(context.Background(), level) || !c.lines.Allow(time.Now()) {
		return false
	}
	c.sayLeftOut()
	return true
}

// sayLeftOut says how many events had no line of their own.
func (c *Consumer) sayLeftOut() {
	if n := c.lines.Take(); n > 0 {
		c.log.Warn("failures of a handler without a line of their own: too many at a time", "count", n)
	}
}

// forget drops what handlers wanted to commit.
func forget(batch []*item) {
	for _, it := range batch {
		it.effects = effects{over: true}
	}
}

// finishLocked takes handled items off the chain and leaves them to the next commit, as one.
func (c *chain) finishLocked(batch []*item) {
	p := c.part
	first := batch[0]
	if len(batch) > 1 {
		first.rest = append([]*item(nil), batch[1:]...)
	}
	for _, it := range batch {
		for _, w := range it.writes {
			o := p.pending[w.key]
			if o == nil {
				o = &overlaid{}
				p.pending[w.key] = o
			}
			o.data = w.data
			o.refs++
		}
	}
	c.items = c.items[len(batch):]
	c.tries, c.single = 0, max(0, c.single-1)
	p.finished = append(p.finished, first)
	if len(p.finished) == 1 {
		signal(p.wake)
	}
}

// holdLocked has the chain wait for its next attempt.
func (c *chain) holdLocked(d time.Duration, err error) {
	p := c.part
	if p.consumer.says(slog.LevelWarn) {
		p.consumer.log.Warn("a handler failed; it is called again", "stream", p.at.Stream, "partition", p.at.Number, "offset", c.items[0].at,
			"subject", c.items[0].d.Event.Subject, "attempt", c.tries, "after", d, "error", err)
	}
	c.due = time.Now().Add(d)
	heap.Push(&p.held, c)
	p.running--
}

// releaseLocked gives the chains whose pause is over back to the pool, and returns how long the next one has to wait.
func (p *partition) releaseLocked() time.Duration {
	released := false
	for len(p.held) > 0 {
		c := p.held[0]
		if left := time.Until(c.due); left > 0 {
			if released {
				p.consumer.pool.wake()
			}
			return left
		}
		heap.Pop(&p.held)
		p.running++
		p.consumer.pool.push(c)
		released = true
	}
	if released {
		p.consumer.pool.wake()
	}
	return never
}

// heldChains is a heap by when they are due.
type heldChains []*chain

func (h heldChains) Len() int           { return len(h) }
func (h heldChains) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h heldChains) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heldChains) Push(x any)        { *h = append(*h, x.(*chain)) }
func (h *heldChains) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}
