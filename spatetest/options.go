package spatetest

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/store"
)

// Options of a [Node]. The zero value is good.
type Options struct {
	// App is what every life is made with. Store and Data are the node's, and Metrics is left out, since a registry serves one App. The log goes to
	// the test unless there is a Logger. The default of DrainTimeout is one second here, and that of Driver is [engine.Net].
	App spate.Options

	// Make makes the App of each life of the options that it is given, which are App with a store. Give it the function that makes yours. Default [spate.New].
	Make func(spate.Options) *spate.App

	// Setup adds handlers and whatever else an App needs before it runs. It is called at the beginning of each life, for later ones
	// from another goroutine than that of the test. Default: nothing is added.
	Setup func(*spate.App) error

	// Clock tells the time. Default: [time.Now], which is the fake time under testing/synctest.
	Clock *Clock

	// Limits is what the store takes in a batch. The defaults are those of memstore, which are tight.
	Limits store.Limits

	// Patience is how long a test waits for what must happen. Default [DefaultPatience].
	Patience time.Duration
}

// Bounds.
const (
	// DefaultPatience is how long a test waits for what must happen: longer than all attempts of a handler with the default
	// [bus.HandlerOptions].Retry take, which is 33 s at most.
	DefaultPatience = time.Minute
	// MaxEvents is how many events are kept for [Node.Published]; a test that publishes more fails.
	MaxEvents = 1 << 20
	// MaxCrashes is how often [CrashEverywhere] runs a scenario. One that commits more often is too long to be crashed everywhere.
	MaxCrashes = 2000

	drainTimeout = time.Second
	startTime    = "2026-01-01T00:00:00Z"
)

func (o Options) withDefaults(t testing.TB) Options {
	if o.Make == nil {
		o.Make = spate.New
	}
	if o.Setup == nil {
		o.Setup = func(*spate.App) error { return nil }
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.App.DrainTimeout == 0 {
		o.App.DrainTimeout = drainTimeout
	}
	if o.App.Driver == "" {
		o.App.Driver = engine.Net // epoll waits in the system, where the fake clock of synctest does not see that it waits
	}
	if o.App.Logger == nil {
		o.App.Logger = slog.New(slog.NewTextHandler(testLog{t}, nil))
	}
	if o.App.Clock == nil {
		o.App.Clock = time.Now
	}
	if o.Clock != nil {
		o.App.Clock = o.Clock.Now
	}
	o.App.Metrics, o.App.Data = nil, ""
	return o
}

// testLog writes the log of a node to that of its test.
type testLog struct{ t testing.TB }

// Write implements io.Writer.
func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

// A Clock stands still until it is moved. Its zero value shows the beginning of 2026. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() time.Time {
	if c.now.IsZero() {
		c.now, _ = time.Parse(time.RFC3339, startTime)
	}
	return c.now
}

// Advance moves the time on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.nowLocked().Add(d)
}

// Set sets the time.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}
