package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// partition is one partition on its way through a consumer: a fetcher reads ahead, the pool of the consumer handles, and the
// loop commits what is finished, all that there is at a time, while the next is being handled.
type partition struct {
	consumer *Consumer
	at       store.Partition
	redrive  bool // records are dead letters that are to be handled again
	filter   event.Filter
	all      bool

	done <-chan struct{} // closed when nothing new is to be begun
	wake chan struct{}   // something happened that the loop should look at
	room chan struct{}   // the fetcher may look for room again

	mu       sync.Mutex
	flight   flight
	keys     map[string]*chain
	held     heldChains
	finished []*item              // handled, and not in a commit yet
	pending  map[string]*overlaid // state that was put and is not committed yet
	running  int                  // chains that a worker has
	commit   *step                // under way
	err      error
	stopping bool
}

// item is an event in memory.
type item struct {
	part  *partition
	key   string
	at    uint64 // offset in the partition, also of what is redriven
	size  int
	done  bool // handled, and in a commit or about to be
	tries int
	d     Delivery
	ctx   deliveryContext
	rest  []*item // the others of a batch that was handled as one
	lead  *item   // whose effects are those of the batch: itself, if there is none
	dead  *event.Event
	effects
}

// overlaid is a state that commits are about to write.
type overlaid struct {
	data []byte
	refs int
}

// signal leaves a token if there is none.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// runUntil handles the partition until the context ends, and then until what is being handled is committed.
func (p *partition) runUntil(ctx context.Context) error {
	p.done = ctx.Done()
	if err := p.flight.load(ctx, p); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	var fetcher sync.WaitGroup
	fetcher.Go(func() { p.fetch(reading) })
	defer fetcher.Wait()
	defer stop()
	timer := time.NewTimer(never)
	defer timer.Stop()
	for ended, hard := ctx.Done(), p.consumer.hard.Done(); ; {
		next, over, err := p.step()
		if over {
			return err
		}
		timer.Reset(next)
		select {
		case <-p.wake:
		case <-timer.C:
		case <-hard:
			hard = nil // what cannot be committed now is given up
		case <-ended:
			ended = nil
			stop()
			p.mu.Lock()
			p.stopping = true
			p.mu.Unlock()
		}
	}
}

// ended tells whether nothing new is to be begun.
func (p *partition) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// never is when a partition is looked at although nothing has happened.
const never = time.Hour

// step looks at what has happened: it gives chains back to the pool whose pause is over, and commits. It returns when to look again at the
// latest, or that all is over.
func (p *partition) step() (next time.Duration, over bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next = never
	if !p.stopping && p.err == nil {
		next = p.releaseLocked()
	}
	if p.err == nil {
		next = min(next, p.commitLocked())
	}
	if p.err != nil && p.commit != nil && !p.commit.again.IsZero() {
		p.dropLocked() // it begins anew from the last commit in any case
	}
	if p.commit == nil && p.running == 0 && (p.err != nil || p.stopping && len(p.finished) == 0) {
		return 0, true, p.err
	}
	return next, false, nil
}

// fetch reads ahead for as long as there is room.
func (p *partition) fetch(ctx context.Context) {
	for ctx.Err() == nil {
		options, at := p.ask()
		if options.Records <= 0 {
			select {
			case <-p.room:
			case <-ctx.Done():
			}
			continue
		}
		var corrupt []*store.CorruptError
		options.OnCorrupt = func(c *store.CorruptError) { corrupt = append(corrupt, c) }
		records, err := p.consumer.set.store().Read(ctx, at, options)
		if err == nil && len(records) == 0 && len(corrupt) == 0 {
			err = p.consumer.set.store().Wait(ctx, at)
		}
		if err != nil {
			if ctx.Err() == nil {
				p.fail(fmt.Errorf("reading: %w", err))
			}
			return
		}
		if len(records) > 0 || len(corrupt) > 0 {
			p.admit(records, corrupt)
		}
	}
}

// passLocked goes past the records before an offset that cannot be read, and returns the others. What is lost is the operator's to know, and to restore.
func (p *partition) passLocked(corrupt []*store.CorruptError, before uint64) (rest []*store.CorruptError) {
	for len(corrupt) > 0 && corrupt[0].Offset < before {
		c := corrupt[0]
		p.consumer.stats.corrupt.Add(max(1, c.Records))
		p.consumer.log.Error("records cannot be read, and are left out", "error", c)
		p.flight.fetched = max(p.flight.fetched, c.Offset+max(1, c.Records))
		corrupt = corrupt[1:]
	}
	return corrupt
}

// ask returns how much may be read now, and from where.
func (p *partition) ask() (store.ReadOptions, store.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.consumer.config
	o := store.ReadOptions{Records: c.InFlight - p.flight.len(), Bytes: c.InFlightBytes - p.flight.bytes}
	if o.Bytes <= 0 {
		o.Records = 0
	}
	const most = 1024 // so that handling begins before all is read
	o.Records = min(o.Records, most)
	return o, store.Position{Partition: p.at, Offset: p.flight.fetched}
}

// admit takes records in and gives their keys to the pool. Corrupt ones, also behind the last that can be read, are done with.
func (p *partition) admit(records []store.Record, corrupt []*store.CorruptError) {
	items := make([]item, len(records))
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.consumer.pool.wake()
	for i := range records {
		r := &records[i]
		corrupt = p.passLocked(corrupt, r.Offset)
		if missed := p.flight.missed(r.Offset); missed > 0 {
			p.consumer.stats.missed.Add(missed)
		}
		p.flight.fetched = r.Offset + 1
		if p.flight.wasDone(r.Offset) || !p.all && !p.filter.Match(r.Event.Subject) {
			continue
		}
		it := &items[i]
		*it = item{part: p, at: r.Offset, size: r.Event.Size(), d: Delivery{Partition: p.at, Record: *r, Consumer: p.consumer.config.Name}}
		it.d.item = it
		if p.redrive {
			restore(&it.d)
		}
		it.key = p.consumer.keyOf(it.d.Event)
		p.flight.push(it)
		p.enqueueLocked(it)
	}
	p.passLocked(corrupt, store.AnyCursor)
	signal(p.wake)
}

// enqueueLocked puts an item behind the others of its key.
func (p *partition) enqueueLocked(it *item) {
	name := it.key
	if p.consumer.batch != nil {
		name = "" // all of a partition are one batch
	}
	c := p.keys[name]
	if c == nil {
		c = &chain{part: p, name: name}
		p.keys[name] = c
	}
	c.items = append(c.items, it)
	if !c.queued {
		c.queued = true
		p.running++
		p.consumer.pool.push(c)
	}
}

// state returns the latest value of a state.
func (p *partition) state(ctx context.Context, key string) ([]byte, error) {
	p.mu.Lock()
	if o := p.pending[key]; o != nil {
		p.mu.Unlock()
		return o.data, nil
	}
	p.mu.Unlock()
	v, err := p.consumer.set.store().Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("reading state: %w", err)
	}
	if v.Revision != 0 && v.Data == nil {
		return []byte{}, nil
	}
	return v.Data, nil
}

// fail ends the partition for a reason that no retry mends.
func (p *partition) fail(err error) {
	p.mu.Lock()
	p.err = errors.Join(p.err, err)
	p.mu.Unlock()
	signal(p.wake)
}
