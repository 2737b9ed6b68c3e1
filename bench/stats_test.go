package main

import (
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 100}, 3},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
}

// The machine may be twice as slow in one round as in another; what counts is
// the ratio within each.
func TestRatioIsTakenWithinARound(t *testing.T) {
	if got := ratio([]float64{1, 10, 100}, []float64{2, 20, 50}); got != 0.5 {
		t.Errorf("ratio %v, want 0.5", got)
	}
	if got := ratio([]float64{1, 1}, []float64{0, 4}); got != 0.25 {
		t.Errorf("ratio %v with a round of zero, want 0.25", got)
	}
}

func TestTable(t *testing.T) {
	var tab table
	tab.add("peer", "p99", "ratio")
	tab.add("a", 1234567*time.Nanosecond, 0.5)
	tab.add("longer", "x", 12)
	const want = "| peer   | p99    | ratio |\n|---     |---     |---|\n| a      | 1.23ms | 0.50 |\n| longer | x      | 12 |\n"
	if got := tab.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
