package spatetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/stream"
)

// A failing is a test that is expected to fail.
type failing struct {
	testing.TB
	ctx      context.Context
	mu       sync.Mutex
	said     []string
	cleanups []func()
}

func (f *failing) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func (f *failing) Fatal(args ...any)        { f.Fatalf("%s", fmt.Sprint(args...)) }
func (f *failing) Helper()                  {}
func (f *failing) Context() context.Context { return f.ctx }
func (f *failing) Cleanup(do func())        { f.cleanups = append(f.cleanups, do) }

// What is wrong with a test, or with what it tests, is said in a sentence, and nothing is left behind.
func TestFails(t *testing.T) {
	streams := spate.Options{Streams: []stream.Config{{Name: "s", Subjects: []string{"s/#"}}}}
	node := func(t testing.TB) *spatetest.Node { return spatetest.New(t, spatetest.Options{App: streams}) }
	for name, test := range map[string]struct {
		run  func(t testing.TB)
		want string
	}{
		"two options": {func(t testing.TB) { spatetest.New(t, spatetest.Options{}, spatetest.Options{}) }, "at most one Options"},
		"wrong options": {func(t testing.TB) {
			spatetest.New(t, spatetest.Options{App: spate.Options{Streams: []stream.Config{{Name: "s"}}}})
		}, "the node does not start: "},
		"a setup that fails": {func(t testing.TB) {
			spatetest.New(t, spatetest.Options{Setup: func(*spate.App) error { return errors.New("no setup") }})
		}, "the node does not start: no setup"},
		"a setup that fails after a crash": {func(t testing.TB) {
			lives := 0
			n := spatetest.New(t, spatetest.Options{Setup: func(*spate.App) error {
				if lives++; lives > 1 {
					return errors.New("no second life")
				}
				return nil
			}})
			n.Crash()
		}, "after a crash: no second life"},
		"nothing comes": {func(t testing.TB) {
			n := node(t)
			n.Publish("s/1", "one")
			n.WaitFor("s/#", 2)
		}, "waiting for 2 events on \"s/#\": it has not happened within 1m0s; there are 1. 1 were published:\n  s/1 \"one\""},
		"somebody never ends": {func(t testing.TB) {
			n := spatetest.New(t, options(func(context.Context, *consumer.Delivery) error { return consumer.RetryAfter(time.Minute) }, consumer.Config{}))
			n.Publish("in/1", "one")
			n.Settle()
		}, "waiting for everything to be handled: it has not happened within 1m0s; the consumer \"worker\" has 1 events to handle"},
		"no filter":          {func(t testing.TB) { node(t).Published("#/a") }, `the filter "#/a"`},
		"no subject":         {func(t testing.TB) { node(t).Publish("s/+", "") }, `publishing on "s/+"`},
		"no stream":          {func(t testing.TB) { node(t).Stored("x") }, `reading the stream "x"`},
		"nothing to corrupt": {func(t testing.TB) { n := node(t); n.Corrupt(position("s", 7)) }, "there is no record at offset 7"},
		"a full disk":        {func(t testing.TB) { n := node(t); n.FillDisk(true); n.Publish("s/1", "") }, "full"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &failing{TB: t, ctx: t.Context()}
				var over sync.WaitGroup
				over.Go(func() { test.run(f) })
				over.Wait()
				for i := len(f.cleanups) - 1; i >= 0; i-- {
					f.cleanups[i]()
				}
				if got := strings.Join(f.said, "\n"); !strings.Contains(got, test.want) {
					t.Errorf("it said %q, want %q", got, test.want)
				}
			})
		})
	}
}
