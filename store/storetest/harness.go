package storetest

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/store"
)

// What every store must take in one batch, whatever its [store.Limits] are.
const (
	LeastOperations = 32
	LeastBytes      = 256 << 10
)

// Patience is how long the suite waits for what a store must do.
const Patience = 30 * time.Second

// moment is how long the suite watches that something does not happen.
const moment = 50 * time.Millisecond

// A Harness is the data of one store under test, and what can be done to it. Open, Restore and Clock are required.
type Harness struct {
	// Open opens the data: empty at first, and later what is there. One store is open at a time.
	Open func() (store.Store, error)

	// Restore makes another store, of its own data, from what Snapshot wrote.
	Restore func(r io.Reader) (store.Store, error)

	// Clock is the clock that the stores were given.
	Clock *Clock

	// Crash ends a store as kill -9 or a loss of power would: what was committed with [store.Fsync] must stay. The suite then calls Open, and does not close the old
	// store.
	Crash func(s store.Store)

	// Stall holds up what is submitted from now on, so that nothing becomes durable, until release is called. Release may be called twice.
	Stall func(s store.Store) (release func())

	// Corrupt makes a record fail its checksum, and returns the store to go on with, which may be the same.
	Corrupt func(s store.Store, at store.Position) store.Store
}

// A Clock stands still until it is set. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows some time in 2026.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the function to give to a store.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, also back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A check is one test of the suite.
type check struct {
	name string
	run  func(f *fixture)
}

// Run runs the suite. It calls open for each test, with that test's t.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for _, group := range []struct {
		name   string
		checks []check
	}{
		{"batch", batchChecks},
		{"order", orderChecks},
		{"limits", limitChecks},
		{"stream", streamChecks},
		{"event", eventChecks},
		{"read", readChecks},
		{"seam", seamChecks},
		{"time", timeChecks},
		{"wait", waitChecks},
		{"cursor", cursorChecks},
		{"state", stateChecks},
		{"dedupe", dedupeChecks},
		{"close", closeChecks},
		{"reopen", reopenChecks},
		{"snapshot", snapshotChecks},
		{"corrupt", corruptChecks},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.checks {
				t.Run(c.name, func(t *testing.T) {
					f := newFixture(t, open(t))
					c.run(f)
				})
			}
		})
	}
}
