package spatetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/spate-io/spate/store"
)

// CrashEverywhere runs a scenario without a crash, and then with a crash before, and after, its first commit, its second, and so on
// until it is over sooner: the scenario must pass every time. Each run is a subtest with a node of its own, under [testing/synctest]; so the options
// must not listen, and anything that the scenario and the handlers share across runs must be made in setup, which is called for each run and
// returns its options.
func CrashEverywhere(t *testing.T, setup func(t *testing.T) Options, scenario func(t *testing.T, n *Node)) {
	t.Helper()
	ok := t.Run("no crash", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { scenario(t, New(t, setup(t))) })
	})
	for k := 1; ok && k <= MaxCrashes; k++ {
		reached := false
		for _, when := range []string{"before", "after"} {
			ok = t.Run(fmt.Sprintf("%s commit %d", when, k), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { reached = crashAt(t, setup(t), scenario, when, k) || reached })
			}) && ok
		}
		if !reached {
			return
		}
	}
	if ok {
		t.Errorf("the scenario commits more than %d times: make it shorter", MaxCrashes)
	}
}

// crashAt runs the scenario with one crash, and reports whether it got that far.
func crashAt(t *testing.T, o Options, scenario func(*testing.T, *Node), when string, k int) (reached bool) {
	n := New(t, o)
	var seen atomic.Int64
	at := func(*store.Batch) bool { return seen.Add(1) == int64(k) }
	plan := n.CrashBefore
	if when == "after" {
		plan = n.CrashAfter
	}
	plan(at)
	scenario(t, n)
	return seen.Load() >= int64(k)
}
