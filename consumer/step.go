package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// step is one commit: what a number of handlers want, and the place after them.
type step struct {
	batch  *store.Batch
	items  []*item // what is handled with it
	events []*event.Event
	writes map[string]write
	cursor uint64
	marked bool
	again  time.Time // when it is submitted again, if the disk was full

	release func() // gives the room of events back
}

// measureLocked returns how much of what is finished one commit takes, and how many events, with how many bytes, it publishes.
func (p *partition) measureLocked() (taken, events, bytes int) {
	limits := p.consumer.stepLimits
	operations := 0
	for _, first := range p.finished {
		// What a commit takes is more than twice stepLimits: any one step fits behind what is below them.
		if bytes > limits.Bytes || operations > limits.Operations {
			break
		}
		taken++
		events += len(first.events) // a batch has its effects in its first item
		bytes += first.effects.bytes
		operations += 2*len(first.events) + len(first.writes)
		if first.dead != nil {
			events++
			bytes += first.dead.Size()
		}
	}
	return taken, events, bytes
}

// reserveLocked takes room for the delivery of what the next step publishes. It gives up the lock while it waits for that.
func (p *partition) reserveLocked(events, bytes int) (release func()) {
	if events == 0 {
		return func() {}
	}
	p.mu.Unlock()
	release, err := p.consumer.set.opts.Reserve(p.consumer.hard, events, bytes)
	p.mu.Lock()
	if err != nil {
		p.err = errors.Join(p.err, fmt.Errorf("partition %d of %q: what was handled is not committed, and will be handled again: %w", p.at.Number, p.at.Stream, err))
		return nil
	}
	return release
}

// gatherLocked makes a step of finished items, at most so many, or nil if there is nothing to commit.
func (p *partition) gatherLocked(most int) *step {
	s := &step{batch: &store.Batch{}}
	taken := 0
	for _, first := range p.finished[:most] {
		if s.operations() > p.consumer.stepLimits.Operations { // several streams may capture an event
			break
		}
		taken++
		p.takeLocked(s, first)
		for _, it := range first.rest {
			p.takeLocked(s, it)
		}
	}
	n := copy(p.finished, p.finished[taken:])
	clear(p.finished[n:])
	p.finished = p.finished[:n]
	s.cursor = p.flight.place()
	if s.cursor == p.flight.cursor && taken == 0 {
		return nil
	}
	s.write()
	p.placeLocked(s)
	return s
}

func (s *step) operations() int { return s.batch.Operations() + len(s.writes) }

// write adds what is left of the writes to the batch: the last one of each key.
func (s *step) write() {
	for key, w := range s.writes {
		if w.deleted {
			s.batch.Deletes = append(s.batch.Deletes, key)
			continue
		}
		s.batch.Puts = append(s.batch.Puts, store.Put{Key: key, Data: w.data})
	}
}

// takeLocked adds what one item wants to a step.
func (p *partition) takeLocked(s *step, it *item) {
	it.done = true
	s.items = append(s.items, it)
	p.appendLocked(s, it.events...)
	if it.dead != nil {
		p.appendLocked(s, it.dead)
	}
	if p.redrive {
		s.batch.Removes = append(s.batch.Removes, store.Position{Partition: p.at, Offset: it.at})
	}
	if len(it.writes) > 0 && s.writes == nil {
		s.writes = map[string]write{}
	}
	for _, w := range it.writes {
		s.writes[w.key] = w
	}
}

// appendLocked adds events to a step. They were checked when they were published; a stream that has since been changed to refuse one
// ends the consumer, which handles it again.
func (p *partition) appendLocked(s *step, events ...*event.Event) {
	for _, e := range events {
		if _, _, err := p.consumer.set.opts.Log.Add(s.batch, e); err != nil {
			p.err = errors.Join(p.err, err)
		}
		s.events = append(s.events, e)
	}
}

// placeLocked adds the place after a step to it.
func (p *partition) placeLocked(s *step) {
	id := store.Cursor{Consumer: p.consumer.config.Name, Partition: p.at}
	s.batch.Cursors = []store.MoveCursor{{Cursor: id, From: p.flight.cursor, To: s.cursor}}
	marks := p.flight.encode(s.cursor)
	s.marked = marks != nil
	switch key := marksKey(id); {
	case s.marked:
		s.batch.Puts = append(s.batch.Puts, store.Put{Key: key, Data: marks})
	case p.flight.marked:
		s.batch.Deletes = append(s.batch.Deletes, key)
	}
}

// submitLocked commits a step. It gives up the lock while the store may wait.
func (p *partition) submitLocked(s *step) {
	p.commit, s.again = s, time.Time{}
	p.mu.Unlock()
	defer p.mu.Lock()
	p.consumer.set.store().Submit(s.batch, func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		defer signal(p.wake)
		if errors.Is(err, store.ErrFull) {
			p.consumer.stats.full.Add(1)
			s.again = time.Now().Add(fullPause)
			return
		}
		p.commit = nil
		if err != nil {
			s.release()
			p.err = errors.Join(p.err, fmt.Errorf("committing a step: %w", err))
			return
		}
		p.committedLocked(s)
	})
}

// fullPause is how long a step waits for room on the disk before it is tried again.
const fullPause = 500 * time.Millisecond

// commitLocked submits what is finished, or again what the disk had no room for, so that what its handlers did is not lost, and not done again. It
// returns when to look again. Streams may have been removed since a step was gathered, so it is asked anew which ones capture.
func (p *partition) commitLocked() (next time.Duration) {
	switch s := p.commit; {
	case s == nil:
		p.beginLocked()
	case s.again.IsZero(): // the store has it
	case p.consumer.hard.Err() != nil:
		p.dropLocked()
		p.err = fmt.Errorf("partition %d of %q: what was handled is not committed, and will be handled again: %w", p.at.Number, p.at.Stream, store.ErrFull)
	case time.Until(s.again) > 0:
		return time.Until(s.again)
	default:
		p.consumer.set.opts.Log.Capture(func() {
			events := s.events
			s.events, s.batch.Appends = s.events[:0], nil
			if p.appendLocked(s, events...); p.err == nil {
				p.submitLocked(s)
				return
			}
			p.dropLocked()
		})
	}
	return never
}

// beginLocked submits what is finished.
func (p *partition) beginLocked() {
	taken, events, bytes := p.measureLocked()
	release := p.reserveLocked(events, bytes)
	if release == nil {
		return
	}
	p.consumer.set.opts.Log.Capture(func() {
		s := p.gatherLocked(taken)
		if s == nil || p.err != nil {
			release()
			return
		}
		s.release = release
		p.submitLocked(s)
	})
}

// dropLocked gives a step up.
func (p *partition) dropLocked() {
	p.commit.release()
	p.commit = nil
}

// committedLocked is what follows from a commit.
func (p *partition) committedLocked(s *step) {
	p.flight.cursor, p.flight.marked = s.cursor, s.marked
	for _, it := range s.items {
		for _, w := range it.writes {
			if o := p.pending[w.key]; o != nil {
				if o.refs--; o.refs == 0 {
					delete(p.pending, w.key)
				}
			}
		}
	}
	p.consumer.stats.steps.Add(1)
	if len(s.events) > 0 {
		p.consumer.set.opts.Deliver(s.events, s.batch.Appends, s.release)
	} else {
		s.release()
	}
	signal(p.room)
}
