package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramBucketsJoinWithoutGapOrOverlap(t *testing.T) {
	next := uint64(0)
	last := bucket(math.MaxInt64)
	for b := 0; b <= last; b++ {
		if got := bucket(next); got != b {
			t.Fatalf("value %d is in bucket %d, want %d", next, got, b)
		}
		if got := bucket(upper(b)); got != b {
			t.Fatalf("value %d is in bucket %d, want %d", upper(b), got, b)
		}
		next = upper(b) + 1
	}
	if upper(last) != math.MaxInt64 {
		t.Errorf("the last bucket ends at %d", upper(last))
	}
}

func TestHistogramQuantilesAreWithinOnePercent(t *testing.T) {
	var h Histogram
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]time.Duration, 100_000)
	for i := range values {
		values[i] = time.Duration(math.Exp(rng.Float64() * 25))
		h.Record(values[i])
	}
	slices.Sort(values)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := values[int(math.Ceil(q*float64(len(values))))-1]
		got := h.Quantile(q)
		if got < exact || float64(got) > float64(exact)*1.008+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, exact)
		}
	}
	if h.Max() != values[len(values)-1] || h.Count() != uint64(len(values)) {
		t.Errorf("max %v count %d", h.Max(), h.Count())
	}
}

func TestHistogramEdges(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Mean() != 0 {
		t.Error("an empty histogram has a quantile or a mean")
	}
	h.Record(-time.Second)
	h.Record(math.MaxInt64)
	if h.Quantile(0.5) != 0 || h.Quantile(1) != math.MaxInt64 {
		t.Errorf("quantiles %v and %v", h.Quantile(0.5), h.Quantile(1))
	}
}

func TestHistogramAdd(t *testing.T) {
	var a, b, both Histogram
	for i := range 1000 {
		d := time.Duration(i * i)
		both.Record(d)
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Add(&b)
	if a != both {
		t.Error("the sum of two histograms differs from one that recorded both")
	}
}
