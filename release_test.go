package spate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is released once after a burst, when it is quiet and worth it.
func TestMemoryComesBackAfterABurst(t *testing.T) {
	const mb, kb = 1 << 20, 1 << 10
	tests := []struct {
		name  string
		steps []memoryUsage
		want  []int // how often memory has been released after each step
	}{
		{"a burst, then quiet", []memoryUsage{
			{50 * mb, 20 * mb, 50 * mb}, {90 * mb, 20 * mb, 60 * mb}, {90 * mb, 20 * mb, 60 * mb}, {90 * mb, 20 * mb, 60 * mb},
		}, []int{0, 0, 1, 1}},
		{"always busy", []memoryUsage{
			{50 * mb, 20 * mb, 50 * mb}, {90 * mb, 20 * mb, 60 * mb}, {130 * mb, 20 * mb, 60 * mb},
		}, []int{0, 0, 0}},
		{"nothing to gain", []memoryUsage{
			{50 * mb, 50*mb - 500*kb, 50 * mb}, {50 * mb, 50*mb - 500*kb, 50 * mb},
		}, []int{0, 0}},
		{"two bursts", []memoryUsage{
			{50 * mb, 20 * mb, 50 * mb}, {50 * mb, 20 * mb, 50 * mb}, {99 * mb, 20 * mb, 50 * mb}, {99 * mb, 20 * mb, 50 * mb},
		}, []int{0, 1, 1, 2}},
		{"a trickle is not worth it", []memoryUsage{
			{50 * mb, 20 * mb, 50 * mb}, {50 * mb, 20 * mb, 50 * mb}, {50*mb + 500*kb, 20 * mb, 50 * mb}, {50*mb + 500*kb, 20 * mb, 50 * mb},
		}, []int{0, 1, 1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var now memoryUsage
			n := 0
			r := &releaser{usage: func() memoryUsage { return now }, release: func() { n++ }}
			for i, step := range tt.steps {
				now = step
				if r.look(); n != tt.want[i] {
					t.Errorf("after step %d memory has been released %d times, want %d", i, n, tt.want[i])
				}
			}
		})
	}
}

func TestReleaserLooksUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		r := &releaser{usage: func() memoryUsage { looks++; return memoryUsage{} }, release: func() {}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*releaseEvery+time.Second)
		defer cancel()
		if err := r.run(ctx); err != nil || looks != 10 {
			t.Errorf("%d looks, %v", looks, err)
		}
	})
}

// The figures of the runtime are there under the names that are asked for.
func TestReadMemoryUsage(t *testing.T) {
	u := readMemoryUsage()
	if u.allocated == 0 || u.held == 0 {
		t.Errorf("got %+v", u)
	}
}
