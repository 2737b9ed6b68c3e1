package pebblestore

import (
	"fmt"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// run commits what waits, group after group, until the store is closed or has failed. One goroutine does all of it: a second one that waited
// for the disk was woken behind all the publishers that the group before had woken, which took longer than the disk did.
func (s *Store) run() {
	timer := time.NewTicker(syncEvery)
	defer timer.Stop()
	for {
		g, more := s.builder.wait(timer.C)
		if g != nil {
			s.commit(g)
		}
		if !more || s.hasFailed() {
			return
		}
		for range yieldsPerGroup {
			runtime.Gosched()
		}
	}
}

// commit builds a group, writes it, waits for the fsync, shows the records to readers, and answers.
func (s *Store) commit(g *group) {
	s.builder.build(g)
	s.underWay.Store(g)
	err := s.write(g)
	if err != nil {
		s.fail(err)
	}
	if s.underWay.Swap(nil) == nil {
		return // it took so long after a failure that the answer was given without it
	}
	if s.hasFailed() {
		s.answer(g.requests, s.queue.failure())
		return
	}
	s.show(g)
	s.stats.committed(g)
	s.answer(g.requests, nil)
	_ = g.batch.Close() // only gives its memory back
}

// write hands the group to Pebble, which panics when its log cannot be written, and waits for the fsync.
func (s *Store) write(g *group) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("writing to the log: %v", p)
		}
	}()
	b := s.builder
	if !g.sync {
		b.interval, b.none = b.interval || g.interval, b.none || g.none
		if g.batch.Empty() {
			return nil
		}
		return s.db.Apply(g.batch, pebble.NoSync)
	}
	b.interval, b.none = false, false
	if g.batch.Empty() {
		if err := g.batch.LogData(nil, nil); err != nil {
			return err
		}
	}
	if err := s.db.ApplyNoSyncWait(g.batch, pebble.Sync); err != nil {
		return err
	}
	begin := time.Now()
	err = g.batch.SyncWait()
	s.stats.synced(time.Since(begin))
	if len(g.requests) == 0 {
		b.marked = s.fs.durable.Load() // a mark of this mark would need another
	}
	return err
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
		p.visible = p.head
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

// refuse answers with the failure, once there is one, whatever waits and whatever comes, until the store is closed.
func (s *Store) refuse() {
	select {
	case <-s.failed:
	case <-s.committed:
		if !s.hasFailed() {
			return
		}
	}
	failure := s.queue.failure()
	s.awaitCommit(failure)
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

// awaitCommit waits until the committing goroutine has ended. When it is stuck in Pebble, its group is answered here.
func (s *Store) awaitCommit(failure error) {
	timer := time.NewTimer(closeWithin)
	defer timer.Stop()
	select {
	case <-s.committed:
	case <-timer.C:
		if g := s.underWay.Swap(nil); g != nil {
			s.answer(g.requests, failure)
		}
	}
}
