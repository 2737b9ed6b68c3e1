package pebblestore

import (
	"sync/atomic"
	"time"
)

// FsyncBounds are the upper bounds of the buckets of [Stats].FsyncLatency. The last bucket has none.
var FsyncBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second,
}

// Stats are figures for metrics. All but the last group only grow.
type Stats struct {
	Commits    uint64 // batches that were committed
	Refused    uint64 // batches that were not
	Groups     uint64 // writes to the log, each of which holds what had come together
	Events     uint64 // that were appended
	Bytes      uint64 // of them, as stored
	Duplicates uint64 // appends that were left out

	Fsyncs       uint64
	FsyncTime    time.Duration                // all that was waited for
	FsyncLatency [len(FsyncBounds) + 1]uint64 // how many took how long

	BackgroundErrors uint64 // of flushes and compactions, which are tried again
	Corruptions      uint64 // damaged files that were met

	Pending    int    // bytes that wait to be committed
	TailBytes  int    // memory of recent records
	CacheBytes int64  // memory of what was read from disk
	TableBytes uint64 // memory of what is not in an sstable yet
	DiskBytes  uint64 // of all files
}

// counters are the figures that only grow.
type counters struct {
	commits, refused, groups, events, bytes, duplicates atomic.Uint64
	fsyncs, fsyncTime                                   atomic.Uint64
	latency                                             [len(FsyncBounds) + 1]atomic.Uint64
	backgroundErrors, corruptions                       atomic.Uint64
	warned                                              atomic.Int64 // when a background error was logged last
}

func (c *counters) synced(took time.Duration) {
	c.fsyncs.Add(1)
	c.fsyncTime.Add(uint64(took))
	i := 0
	for i < len(FsyncBounds) && took > FsyncBounds[i] {
		i++
	}
	c.latency[i].Add(1)
}

func (c *counters) committed(g *group) {
	n := 0
	for i := range g.requests {
		if g.requests[i].err == nil {
			n++
		}
	}
	c.commits.Add(uint64(n))
	c.groups.Add(1)
	c.events.Add(uint64(g.events))
	c.bytes.Add(uint64(g.bytes))
}

// Stats returns the figures of this moment.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{
		Commits: c.commits.Load(), Refused: c.refused.Load(), Groups: c.groups.Load(), Events: c.events.Load(), Bytes: c.bytes.Load(),
		Duplicates: c.duplicates.Load(), Fsyncs: c.fsyncs.Load(), FsyncTime: time.Duration(c.fsyncTime.Load()),
		BackgroundErrors: c.backgroundErrors.Load(), Corruptions: c.corruptions.Load(), Pending: s.queue.waiting(),
	}
	for i := range c.latency {
		st.FsyncLatency[i] = c.latency[i].Load()
	}
	s.mu.RLock()
	st.TailBytes = s.tail.bytes
	s.mu.RUnlock()
	s.closing.RLock()
	defer s.closing.RUnlock()
	if !s.closed.Load() {
		m := s.db.Metrics()
		st.CacheBytes, st.TableBytes, st.DiskBytes = m.BlockCache.Size, m.MemTable.Size, m.DiskSpaceUsage()
	}
	return st
}
