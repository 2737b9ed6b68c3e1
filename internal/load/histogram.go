package load

import (
	"math"
	"math/bits"
	"time"
)

// subBits is the number of significant bits that a bucket keeps: 128 buckets
// for each doubling, so that a quantile is at most 0.8 % too high.
const subBits = 7

// A Histogram counts durations in buckets whose width grows with the value.
// Its zero value is empty and ready. It is not safe for concurrent use.
type Histogram struct {
	buckets [(64 - subBits) << subBits]uint64
	count   uint64
	sum     uint64
	max     time.Duration
}

// Record counts d; a negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucket(uint64(d))]++
	h.count++
	h.sum += uint64(d)
	h.max = max(h.max, d)
}

// Extend raises the maximum to d, for something that has taken so long and is
// not over.
func (h *Histogram) Extend(d time.Duration) { h.max = max(h.max, d) }

// bucket returns the bucket of v. Below 2<<subBits each value has its own.
func bucket(v uint64) int {
	exp := max(bits.Len64(v)-subBits-1, 0)
	return exp<<subBits + int(v>>exp)
}

// upper returns the largest value of a bucket.
func upper(bucket int) uint64 {
	exp := max(bucket>>subBits-1, 0)
	return (uint64(bucket-exp<<subBits)+1)<<exp - 1
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Max returns the largest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean returns the mean, exactly.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(h.sum / h.count)
}

// Quantile returns the duration that a share q of those recorded do not
// exceed, at most 0.8 % too high; zero when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(q*float64(h.count))), 1), h.count)
	seen := uint64(0)
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}

// Add counts what other has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}
