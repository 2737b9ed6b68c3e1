package resp

import (
	"sync/atomic"
	"time"
)

// latencyBounds are what the buckets of the histogram go up to. Most requests
// take a few microseconds; the rest tells a slow command from one that waits.
var latencyBounds = [...]time.Duration{
	25 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond, 2500 * time.Microsecond,
	10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second,
}

// A Bucket is a part of [Stats].Latency.
type Bucket struct {
	UpTo  time.Duration // the longest that is in it; 0 in the last, which has no bound
	Count uint64        // requests in this bucket and no other
}

// latency is a histogram of how long requests took.
type latency struct {
	buckets [len(latencyBounds) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

// add enters n requests that took as long.
func (l *latency) add(n uint64, took time.Duration) {
	i := 0
	for i < len(latencyBounds) && took > latencyBounds[i] {
		i++
	}
	l.buckets[i].Add(n)
	l.sum.Add(int64(n) * int64(took))
}

// read returns the buckets, shortest first, and the sum of all times.
func (l *latency) read() (buckets []Bucket, sum time.Duration) {
	sum = time.Duration(l.sum.Load())
	buckets = make([]Bucket, len(l.buckets))
	for i := range l.buckets {
		buckets[i].Count = l.buckets[i].Load()
		if i < len(latencyBounds) {
			buckets[i].UpTo = latencyBounds[i]
		}
	}
	return buckets, sum
}

// uptime is the time since the protocol was made, from the clock that nobody sets and that is the cheaper one to read.
func (p *Protocol) uptime() time.Duration { return time.Since(p.epoch) }

// answered enters the requests whose replies have left since it was last called. They share one look at the clock, so
// each has taken as long as the last of them; a request that still runs, and sends its long reply in parts, is not among them.
func (r *Request) answered() {
	done := r.tally.commands
	if r.running {
		done--
	}
	if n := done - r.timed; n > 0 {
		r.proto.latency.add(n, r.proto.uptime()-r.began)
		r.timed = done
	}
}
