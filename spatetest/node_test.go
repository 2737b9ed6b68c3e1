package spatetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// options are those of a node with the streams in and out.
func options(h consumer.Handler, c consumer.Config) spatetest.Options {
	c.Name, c.Stream = "worker", "in"
	return spatetest.Options{
		App: spate.Options{Streams: []stream.Config{
			{Name: "in", Subjects: []string{"in/#"}, Partitions: 2}, {Name: "out", Subjects: []string{"out/#"}, Partitions: 1},
		}},
		Setup: func(app *spate.App) error { return app.Consumers().Handle(c, h) },
	}
}

// forward publishes what comes on in/… on out/….
func forward(_ context.Context, d *consumer.Delivery) error {
	return d.Publish(&event.Event{Subject: "out/" + d.Event.Subject[3:], Data: d.Event.Data})
}

func texts(events []*event.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Subject+"="+string(e.Data))
	}
	return all
}

func check(t *testing.T, what string, got []*event.Event, want ...string) {
	t.Helper()
	if have := texts(got); fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, have, want)
	}
}

func TestNode(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, f func(t *testing.T)){
		"in real time": func(t *testing.T, f func(*testing.T)) { f(t) },
		"in fake time": synctest.Test,
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				n := spatetest.New(t, options(forward, consumer.Config{}))
				n.Publish("live/b", "2")
				n.Publish("in/a", "1")
				check(t, "waited for", n.WaitFor("out/#", 1), "out/a=1")
				n.Publish("in/a", "3")
				n.Settle()
				check(t, "published", n.Published("#"), "live/b=2", "in/a=1", "out/a=1", "in/a=3", "out/a=3")
				check(t, "stored", n.Stored("out"), "out/a=1", "out/a=3")
				check(t, "stored", n.Stored("in"), "in/a=1", "in/a=3")
			})
		})
	}
}

// Settle waits for live handlers too, whether what they handle was stored, and whoever published it: nothing that they publish comes later.
func TestSettleWaitsForLiveHandlers(t *testing.T) {
	o := options(forward, consumer.Config{})
	setup := o.Setup
	o.Setup = func(app *spate.App) error {
		relay := func(from, to string) error {
			return bus.HandleLive(app, bus.NewTopic[[]byte](from), from, func(ctx context.Context, data []byte) error {
				for range 100 {
					runtime.Gosched()
				}
				return bus.Publish(ctx, bus.NewTopic[[]byte](to), data)
			})
		}
		return errors.Join(setup(app), relay("out/a", "$one"), relay("$one", "$two"), relay("$two", "in/b"))
	}
	n := spatetest.New(t, o)
	for i := range 50 {
		n.Publish("in/a", fmt.Sprint(i))
		n.Settle()
		if got := n.Published("out/b"); len(got) != i+1 {
			t.Fatalf("after %d events %d came to the end", i+1, len(got))
		}
	}
}

func TestNothingToSetUp(t *testing.T) {
	n := spatetest.New(t)
	n.Publish("a/b", "c")
	check(t, "published", n.Published("a/+"), "a/b=c")
	if r, err := n.App().Bus().Publish(t.Context(), &event.Event{Subject: "a/b"}); err != nil || r.Receivers != 0 {
		t.Errorf("%d receivers, %v: the kit must not be one", r.Receivers, err)
	}
}

// An event that two streams capture was published once.
func TestCapturedTwice(t *testing.T) {
	n := spatetest.New(t, spatetest.Options{App: spate.Options{Streams: []stream.Config{
		{Name: "one", Subjects: []string{"x/#"}}, {Name: "two", Subjects: []string{"#"}},
	}}})
	n.Publish("x/1", "")
	check(t, "published", n.Published("#"), "x/1=")
	check(t, "stored", append(n.Stored("one"), n.Stored("two")...), "x/1=", "x/1=")
}

func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lives, handled atomic.Int64
		o := options(func(ctx context.Context, d *consumer.Delivery) error {
			if handled.Add(1) == 1 {
				<-ctx.Done() // the first attempt never gets anywhere
				return ctx.Err()
			}
			return forward(ctx, d)
		}, consumer.Config{})
		setup := o.Setup
		o.Setup = func(app *spate.App) error {
			lives.Add(1)
			return setup(app)
		}
		n := spatetest.New(t, o)
		n.Publish("in/a", "1")
		synctest.Wait()
		first := n.App()
		n.Crash()
		if n.App() == first || lives.Load() != 2 {
			t.Errorf("%d lives", lives.Load())
		}
		n.Settle()
		check(t, "out", n.Published("out/#"), "out/a=1")
		if _, err := first.Bus().Publish(t.Context(), &event.Event{Subject: "in/a"}); !errors.Is(err, store.ErrClosed) {
			t.Errorf("the life before the crash can publish: %v", err)
		}
	})
}

func TestCrashAtACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := spatetest.New(t, options(forward, consumer.Config{}))
		n.CrashAfter(n.Appends("in/#"))
		n.Publish("in/a", "1") // is stored by the first life, and found out by the second
		n.CrashBefore(n.Appends("in/#"))
		n.Publish("in/a", "2") // is stored by the third one
		n.CrashBefore(n.Appends("out/#"))
		n.Publish("in/a", "3")
		n.Settle()
		n.CrashAfter(n.Appends("out/#"))
		n.Publish("in/a", "4")
		n.Settle()
		check(t, "in", n.Stored("in"), "in/a=1", "in/a=2", "in/a=3", "in/a=4")
		check(t, "out", n.Published("out/#"), "out/a=1", "out/a=2", "out/a=3", "out/a=4")
		check(t, "out", n.Stored("out"), "out/a=1", "out/a=2", "out/a=3", "out/a=4")
	})
}

// What a handler commits happens once, wherever the node crashes.
func TestCrashEverywhere(t *testing.T) {
	spatetest.CrashEverywhere(t, func(*testing.T) spatetest.Options {
		return options(func(ctx context.Context, d *consumer.Delivery) error {
			count, err := d.Get(ctx, "count")
			if err != nil {
				return err
			}
			if err := d.Put("count", append(count, 'I')); err != nil {
				return err
			}
			return d.Publish(&event.Event{Subject: "out/" + d.Event.Subject[3:], Data: append(count, 'I')})
		}, consumer.Config{})
	}, func(t *testing.T, n *spatetest.Node) {
		for range 3 {
			n.Publish("in/a", "")
		}
		n.Settle()
		check(t, "out", n.Stored("out"), "out/a=I", "out/a=II", "out/a=III")
	})
}

// The kit has to find a handler that is not careful: this one counts outside of its step.
func TestCrashEverywhereFinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outside atomic.Int64
		n := spatetest.New(t, options(func(ctx context.Context, d *consumer.Delivery) error {
			outside.Add(1)
			return forward(ctx, d)
		}, consumer.Config{}))
		n.CrashBefore(n.Appends("out/#"))
		n.Publish("in/a", "1")
		n.Settle()
		if outside.Load() != 2 {
			t.Errorf("the handler was called %d times, want twice", outside.Load())
		}
		check(t, "out", n.Stored("out"), "out/a=1")
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := spatetest.New(t, options(forward, consumer.Config{}))
		n.Settle()
		boom := errors.New("boom")
		n.FailCommits(1, n.Appends("in/#"), boom)
		if _, err := n.App().Bus().Publish(t.Context(), &event.Event{Subject: "in/a"}); !errors.Is(err, boom) {
			t.Errorf("a commit that was to fail: %v", err)
		}
		n.FillDisk(true)
		if _, err := n.App().Bus().Publish(t.Context(), &event.Event{Subject: "in/a"}); !errors.Is(err, store.ErrFull) {
			t.Errorf("a full disk: %v", err)
		}
		n.FillDisk(false)
		n.FailCommits(2, n.Appends("out/#"), boom)
		n.Publish("in/a", "1")
		n.Settle()
		n.FailDisk(boom)
		if _, err := n.App().Bus().Publish(t.Context(), &event.Event{Subject: "in/a"}); !errors.Is(err, store.ErrFailed) {
			t.Errorf("a disk that failed: %v", err)
		}
		n.Crash()
		n.Publish("in/a", "2")
		n.Settle()
		check(t, "out", n.Published("out/#"), "out/a=1", "out/a=2")
		n.Corrupt(store.Position{Partition: store.Partition{Stream: "out"}})
		r, err := n.App().Streams().NewReader(t.Context(), "out", "", stream.Beginning)
		if err != nil {
			t.Fatal(err)
		}
		var corrupt *store.CorruptError
		if _, _, err := r.Read(t.Context()); !errors.As(err, &corrupt) {
			t.Errorf("a corrupt record: %v", err)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		n := spatetest.New(t, options(func(ctx context.Context, d *consumer.Delivery) error {
			if broken.Load() {
				return errors.New("no paper")
			}
			return forward(ctx, d)
		}, consumer.Config{Retry: task.Backoff{Attempts: 3, Initial: time.Hour}}))
		n.Publish("in/a", "1")
		n.WaitFor("$dead/worker", 0)
		time.Sleep(10 * time.Hour)
		letters := n.DeadLetters("worker")
		if len(letters) != 1 || letters[0].Reason != "no paper" || letters[0].Attempts != 3 || letters[0].Event.Subject != "in/a" {
			t.Fatalf("dead letters %+v", letters)
		}
		broken.Store(false)
		if _, err := n.App().Consumers().RedriveAll(t.Context(), "worker"); err != nil {
			t.Fatal(err)
		}
		n.Settle()
		check(t, "out", n.Published("out/#"), "out/a=1")
	})
}

func TestClock(t *testing.T) {
	clock := &spatetest.Clock{}
	n := spatetest.New(t, spatetest.Options{
		Clock: clock, App: spate.Options{Streams: []stream.Config{{Name: "s", Subjects: []string{"s"}, MaxAge: stream.Duration(time.Hour)}}},
	})
	if e := n.Publish("s", "old"); !e.Time.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("published at %v", e.Time)
	}
	clock.Advance(time.Hour)
	n.Publish("s", "new")
	clock.Set(clock.Now().Add(time.Minute))
	if err := n.App().Streams().Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, "stored", n.Stored("s"), "s=new")
}

func position(name string, offset uint64) store.Position {
	return store.Position{Partition: store.Partition{Stream: name}, Offset: offset}
}

// A handler that always fails, with the default retries, is waited for until its event is a dead letter.
func TestPatienceIsLongerThanRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := spatetest.New(t, options(func(context.Context, *consumer.Delivery) error { return errors.New("no") }, consumer.Config{
			Retry: task.Backoff{Rand: func() float64 { return 1 }},
		}))
		n.Publish("in/1", "one")
		n.Settle()
		if letters := n.DeadLetters("worker"); len(letters) != 1 {
			t.Errorf("dead letters: %v", letters)
		}
	})
}

// The kit listens to everything, and is no responder.
func TestNobodyResponds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := spatetest.New(t)
		prices := bus.NewEndpoint[string, int]("prices/get")
		if _, err := bus.Request(t.Context(), n.App(), prices, "apple"); !errors.Is(err, bus.ErrNoResponder) {
			t.Errorf("got %v", err)
		}
	})
}
