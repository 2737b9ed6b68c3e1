package pebblestore

import (
	"time"

	"github.com/spate-io/spate/store"
)

// publish finishes the groups in order: waits for the fsync, shows the records to readers, and answers. After a failure it answers everything with that.
func (s *Store) publish() {
	for g := range s.groups {
		if s.finish(g) {
			continue
		}
		failure := s.queue.failure()
		s.answer(g.requests, failure)
		s.awaitBuilder(g, failure)
		break
	}
	if s.hasFailed() {
		s.refuse()
	}
}

// finish reports whether the group was committed.
func (s *Store) finish(g *group) bool {
	select {
	case <-g.applied:
	case <-s.failed:
		return false
	}
	if g.sync && !s.hasFailed() {
		begin := time.Now()
		if err := g.batch.SyncWait(); err != nil {
			s.fail(err)
		}
		s.stats.synced(time.Since(begin))
	}
	if s.hasFailed() {
		return false
	}
	<-s.slots
	s.show(g)
	s.stats.committed(g)
	s.answer(g.requests, nil)
	_ = g.batch.Close() // only gives its memory back
	return true
}

// show lets readers see what the group has changed.
func (s *Store) show(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, gp := range g.parts {
		p := gp.partition
		if gp.dropped {
			p.dropped = true
			s.tail.drop(p)
			if s.visible[p.Partition] == p {
				delete(s.visible, p.Partition)
			}
			continue
		}
		p.visible = gp.after
		if p.visible.Next > 0 && s.visible[p.Partition] != p {
			s.visible[p.Partition] = p
		}
		s.tail.change(gp)
		for w := range s.waiters[p.Partition] {
			if w.satisfied(p) {
				w.wake()
			}
		}
	}
}

// answer calls the done functions.
func (s *Store) answer(requests []request, failure error) {
	bytes := 0
	for i := range requests {
		r := &requests[i]
		bytes += r.size
		err := r.err
		if err == nil {
			err = failure
		}
		if err != nil {
			s.stats.refused.Add(1)
		}
		r.done(err)
	}
	if bytes > 0 {
		s.queue.answered(bytes)
	}
}

// refuse answers whatever comes with the failure, until the store is closed.
func (s *Store) refuse() {
	failure := s.queue.failure()
	if s.options.OnFail != nil {
		s.options.OnFail(failure)
	}
	for {
		requests, closed := s.queue.take(nil)
		s.answer(requests, failure)
		if closed {
			return
		}
		if len(requests) == 0 {
			<-s.queue.wake
		}
	}
}

// awaitBuilder waits until the builder has ended, or is stuck in Pebble, where it has nothing in its hands but the last group.
func (s *Store) awaitBuilder(g *group, failure error) {
	timer := time.NewTimer(closeWithin)
	defer timer.Stop()
	for {
		select {
		case <-g.applied:
		case <-timer.C:
			return
		}
		var more bool
		if g, more = <-s.groups; !more {
			return
		}
		s.answer(g.requests, failure)
	}
}

// A tail is the recent records of all partitions, in the order in which they were committed. Store.mu guards it.
type tail struct {
	limit int
	bytes int
	order []tailBlock
	gone  int // of order
}

type tailBlock struct {
	of *partition
	*block
}

// change adds the blocks of a group, replaces those it has rewritten, and forgets what was trimmed.
func (t *tail) change(gp *groupPart) {
	p := gp.partition
	for first, bl := range gp.rewritten {
		t.replace(p, first, bl)
	}
	for _, bl := range gp.blocks {
		if now := gp.now(bl); now != nil {
			p.tail = append(p.tail, now)
			t.order = append(t.order, tailBlock{p, now})
			t.bytes += now.size()
		}
	}
	for len(p.tail) > 0 && p.tail[0].end <= p.visible.First {
		t.pop(p)
	}
	for t.bytes > t.limit && t.gone < len(t.order) {
		t.evict()
	}
}

// evict forgets the oldest block.
func (t *tail) evict() {
	oldest := t.order[t.gone]
	t.order[t.gone] = tailBlock{}
	t.gone++
	if !oldest.evicted && len(oldest.of.tail) > 0 {
		t.pop(oldest.of)
	}
	if t.gone > len(t.order)/2 && t.gone > 1024 {
		rest := copy(t.order, t.order[t.gone:])
		clear(t.order[rest:])
		t.order, t.gone = t.order[:rest], 0
	}
}

// pop forgets the first block of a partition.
func (t *tail) pop(p *partition) {
	bl := p.tail[0]
	bl.evicted = true
	t.bytes -= bl.size()
	p.tail[0] = nil
	p.tail = p.tail[1:]
}

// replace puts a rewritten block in the place of the old one, or takes that out.
func (t *tail) replace(p *partition, first uint64, bl *block) {
	for _, old := range p.tail {
		if old.first != first {
			continue
		}
		if bl == nil {
			bl = &block{first: old.first, end: old.end} // keeps the tail without a hole
		}
		t.bytes += cap(bl.value) - cap(old.value)
		old.records, old.value = bl.records, bl.value
		return
	}
}

// drop forgets all of a partition.
func (t *tail) drop(p *partition) {
	for len(p.tail) > 0 {
		t.pop(p)
	}
	p.tail = nil
}

// A waiter is a call of Wait.
type waiter struct {
	at    []store.Position
	ready chan struct{}
}

func (w *waiter) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// satisfied reports whether the partition has a record that the waiter waits for.
func (w *waiter) satisfied(p *partition) bool {
	for i := range w.at {
		if w.at[i].Partition == p.Partition && w.at[i].Offset < p.visible.End && p.visible.Count > 0 {
			return true
		}
	}
	return false
}
