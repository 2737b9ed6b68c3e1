package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// heldMemory is what is in use, after a collection.
func heldMemory() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A handler that publishes a gigabyte, in many events or in one, is stopped at what a commit takes, whether or not it heeds the error: nothing of it is kept, its
// event becomes a dead letter that says why, and others go on.
func TestStepTooLarge(t *testing.T) {
	const gigabyte = 1 << 30
	flood := func(each int) consumer.Handler {
		return func(_ context.Context, d *consumer.Delivery) error {
			var err error
			for range gigabyte / each {
				err = errors.Join(err, d.Publish(&event.Event{Subject: "out/flood", Data: make([]byte, each)}))
			}
			return err
		}
	}
	for name, tt := range map[string]struct {
		handler consumer.Handler
		says    string
	}{
		"many": {flood(1 << 20), "publishing on \"out/flood\": the step publishes and keeps more than one commit may hold"},
		"one":  {flood(gigabyte), "has 1073741824 bytes of data, at most 16777216 are allowed"},
		"ignored": {func(ctx context.Context, d *consumer.Delivery) error {
			_ = flood(1<<20)(ctx, d)
			return nil
		}, "the step publishes and keeps more than one commit may hold"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, memstore.New(memstore.Options{}))
			before := heldMemory()
			var most atomic.Uint64
			n.handle(consumer.Config{Retry: task.Backoff{Attempts: 2, Initial: time.Millisecond}}, func(ctx context.Context, d *consumer.Delivery) error {
				if string(d.Event.Data) != "flood" {
					return forward(ctx, d)
				}
				err := tt.handler(ctx, d)
				most.Store(max(most.Load(), heldMemory()))
				return err
			})
			n.publish("k", "before", "flood", "after")
			n.run()
			n.caughtUp("c")
			if got := n.read("out"); !slices.Equal(got["out/k"], []string{"before", "after"}) || got["out/flood"] != nil {
				t.Errorf("got %v, and %d of the flood", got["out/k"], len(got["out/flood"]))
			}
			letters, err := n.set.Dead(t.Context(), "", "", 10)
			if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, tt.says) {
				t.Errorf("%+v, %v", letters, err)
			}
			if took := int64(most.Load()) - int64(before); took > 64<<20 { // a commit takes 32 MiB
				t.Errorf("%d MiB were held", took>>20)
			}
		})
	}
}

// An event that a stream does not take fails what publishes it, and nothing beside.
func TestPublishedTooLargeForItsStream(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	if _, err := n.log.Create(t.Context(), stream.Config{Name: "small", Subjects: []string{"out/small"}, Partitions: 1, MaxEventBytes: 3}); err != nil {
		t.Fatal(err)
	}
	n.handle(consumer.Config{Retry: task.Backoff{Attempts: 2, Initial: time.Millisecond}}, func(ctx context.Context, d *consumer.Delivery) error {
		if string(d.Event.Data) == "large" {
			return d.Publish(&event.Event{Subject: "out/small", Data: d.Event.Data})
		}
		return forward(ctx, d)
	})
	n.publish("k", "before", "large", "after")
	n.run()
	n.caughtUp("c")
	if got := n.read("out"); !slices.Equal(got["out/k"], []string{"before", "after"}) || got["out/small"] != nil {
		t.Errorf("got %v", got)
	}
	letters, err := n.set.Dead(t.Context(), "", "", 10)
	if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, `stream "small" takes at most 3`) {
		t.Errorf("%+v, %v", letters, err)
	}
}

// Many small things are bounded too.
func TestStepOfManyParts(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{}, func(_ context.Context, d *consumer.Delivery) error {
		for i := range 100_000 {
			if err := d.Put(fmt.Sprint(i), nil); err != nil {
				return consumer.Dead(err)
			}
		}
		return nil
	})
	n.publish("k", "x")
	n.run()
	n.caughtUp("c")
	if letters, err := n.set.Dead(t.Context(), "", "", 10); len(letters) != 1 || err != nil {
		t.Errorf("%d dead letters, %v", len(letters), err)
	}
}

// While the disk is full nothing is lost and no handler is called again; it goes on once there is room.
func TestFullDisk(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	var calls atomic.Int64
	gate := make(chan struct{})
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		<-gate
		calls.Add(1)
		return forward(ctx, d)
	})
	n.publish("k", numbers(20)...)
	n.run()
	waitFor(t, "the consumer to begin", func() bool { return n.info("c").Running })
	n.store.SetFull(true)
	close(gate)
	waitFor(t, "a commit to be refused", func() bool { return n.info("c").Counters.Full > 0 })
	n.store.SetFull(false)
	n.caughtUp("c")
	if got := n.read("out")["out/k"]; !slices.Equal(got, numbers(20)) || calls.Load() != 20 {
		t.Errorf("got %v after %d calls", got, calls.Load())
	}
}

// Shutting down while the disk is full ends with the grace, and says what was given up. It is handled again.
func TestFullDiskShutdown(t *testing.T) {
	s := memstore.New(memstore.Options{})
	n := newNode(t, s)
	var gate sync.Mutex
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		gate.Lock()
		defer gate.Unlock()
		return forward(ctx, d)
	})
	n.publish("k", "x")
	n.run()
	n.caughtUp("c")
	gate.Lock()
	n.publish("k", "y")
	s.SetFull(true)
	gate.Unlock()
	waitFor(t, "a commit to be refused", func() bool { return n.info("c").Counters.Full > 0 })
	begin := time.Now()
	if err := n.end(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Run returned %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second { // the grace is 1 s
		t.Errorf("Run returned after %v", took)
	}
	again := newNode(t, s.Reopen())
	again.handle(consumer.Config{}, forward)
	again.run()
	again.caughtUp("c")
	if got := again.read("out")["out/k"]; !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("got %v", got)
	}
}

// A step that waits for the disk while a stream is removed appends nothing to that.
func TestFullDiskStreamRemoved(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	begun, gate := make(chan struct{}), make(chan struct{})
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		close(begun)
		<-gate
		return forward(ctx, d)
	})
	n.publish("k", "x")
	n.run()
	<-begun
	n.store.SetFull(true)
	close(gate)
	waitFor(t, "a commit to be refused", func() bool { return n.info("c").Counters.Full > 0 })
	if err := n.log.Remove(t.Context(), "out", false); err != nil {
		t.Fatal(err)
	}
	n.store.SetFull(false)
	n.caughtUp("c")
	parts, err := n.store.Partitions(t.Context())
	if err != nil || slices.ContainsFunc(parts, func(p store.Partition) bool { return p.Stream == "out" }) {
		t.Errorf("a stream that was removed has %v, %v", parts, err)
	}
}

// A consumer whose place was moved by somebody else keeps nothing of what it was doing, and begins again from there.
func TestFence(t *testing.T) {
	s := memstore.New(memstore.Options{})
	n := newNode(t, s)
	var moved atomic.Bool
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		if string(d.Event.Data) == "1" && !moved.Swap(true) {
			id := store.Cursor{Consumer: "c", Partition: d.Partition}
			b := &store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: store.AnyCursor, To: d.Offset + 1}}}
			if err := store.Commit(ctx, s, b); err != nil {
				t.Error(err)
			}
		}
		return forward(ctx, d)
	})
	n.publish("k", "1", "2")
	n.run()
	waitFor(t, "the rest", func() bool { return slices.Equal(n.read("out")["out/k"], []string{"2"}) })
	n.caughtUp("c")
	if got := n.read("out")["out/k"]; !slices.Equal(got, []string{"2"}) {
		t.Errorf("got %v", got)
	}
}

// A store that fails stops the consumers, without harm to what was committed; another one goes on from there.
func TestStoreFails(t *testing.T) {
	s := memstore.New(memstore.Options{})
	n := newNode(t, s)
	var calls atomic.Int64
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		if calls.Add(1) == 3 {
			s.Fail(errors.New("broken"))
		}
		return forward(ctx, d)
	})
	n.publish("k", numbers(10)...)
	n.run()
	waitFor(t, "the failure", func() bool { return n.info("c").Error != "" })
	n.stop()
	again := newNode(t, s.Reopen())
	again.handle(consumer.Config{}, forward)
	again.run()
	again.caughtUp("c")
	if got := again.read("out")["out/k"]; !slices.Equal(got, numbers(10)) {
		t.Errorf("got %v", got)
	}
}

// Stopping waits for handlers that are at work and commits what they did; one that does not return loses its context.
func TestStopWaits(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	started, stopping := make(chan struct{}, 2), make(chan struct{})
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		started <- struct{}{}
		if d.Event.Subject == "in/forever" {
			<-ctx.Done() // the grace is over
			close(stopping)
			return ctx.Err()
		}
		<-stopping
		return forward(ctx, d)
	})
	n.publish("slow", "x", "never begun")
	n.publish("forever", "y")
	n.run()
	<-started
	<-started
	n.stop()
	if got := n.read("out"); !slices.Equal(got["out/slow"], []string{"x"}) || got["out/forever"] != nil {
		t.Errorf("got %v", got)
	}
	if lag := n.info("c").Lag; lag == 0 {
		t.Error("what was not handled is no longer due")
	}
}

// Not more keys than Concurrency are handled at a time.
func TestConcurrency(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	var now, most atomic.Int64
	n.handle(consumer.Config{Concurrency: 3}, func(ctx context.Context, d *consumer.Delivery) error {
		if at := now.Add(1); at > most.Load() {
			most.Store(at)
		}
		defer now.Add(-1)
		<-time.After(time.Millisecond)
		return nil
	})
	for k := range 30 {
		n.publish(fmt.Sprint("k", k), "x", "y")
	}
	n.run()
	n.caughtUp("c")
	if m := most.Load(); m < 2 || m > 3 {
		t.Errorf("%d at a time", m)
	}
}

// A handler that takes longer than its time is told, and tried again.
func TestTimeout(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{Timeout: time.Millisecond, Retry: task.Backoff{Initial: time.Millisecond}}, func(ctx context.Context, d *consumer.Delivery) error {
		if d.Attempt < 3 {
			<-ctx.Done()
			return ctx.Err()
		}
		return forward(ctx, d)
	})
	n.publish("k", "x")
	n.run()
	n.caughtUp("c")
	if got := n.read("out")["out/k"]; !slices.Equal(got, []string{"x"}) {
		t.Errorf("got %v", got)
	}
}

// Records that cannot be read are left out, said and counted once, wherever they are: also when nothing follows them.
func TestCorruptRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		corrupt []uint64
		want    []string
	}{
		"first":  {[]uint64{0}, []string{"1", "2", "3", "4"}},
		"middle": {[]uint64{2}, []string{"0", "1", "3", "4"}},
		"last":   {[]uint64{4}, []string{"0", "1", "2", "3"}},
		"ends":   {[]uint64{0, 3, 4}, []string{"1", "2"}},
		"all":    {[]uint64{0, 1, 2, 3, 4}, nil},
	} {
		for _, inFlight := range []int{1, 2, 1024} {
			t.Run(fmt.Sprintf("%s by %d", name, inFlight), func(t *testing.T) {
				n := newNode(t, memstore.New(memstore.Options{}))
				n.publish("k", numbers(5)...)
				for _, offset := range tt.corrupt {
					for p := range 2 {
						n.store.Corrupt(store.Position{Partition: store.Partition{Stream: "in", Number: p}, Offset: offset})
					}
				}
				n.handle(consumer.Config{InFlight: inFlight}, forward)
				n.run()
				n.caughtUp("c")
				n.publish("k", "after")
				n.caughtUp("c")
				if got, want := n.read("out")["out/k"], append(tt.want, "after"); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				if c := n.info("c").Counters; c.Corrupt != uint64(len(tt.corrupt)) || c.Missed != 0 {
					t.Errorf("%+v", c)
				}
			})
		}
	}
}

// What is wrong with a consumer is said when it is added.
func TestConfigErrors(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	for _, c := range []consumer.Config{{}, {Name: "c", Stream: "nosuch"}, {Name: "c", Stream: "in", Filter: "a/#/b"}, {Name: "a+b/+", Stream: "in"}} {
		if err := n.set.Handle(c, forward); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	n.handle(consumer.Config{}, forward)
	if err := n.set.Handle(consumer.Config{Name: "c", Stream: "in"}, forward); !errors.Is(err, consumer.ErrExists) {
		t.Errorf("got %v", err)
	}
}

// Consumers that cannot begin, because the disk is full, begin once they can.
func TestBeginOnAFullDisk(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{}, forward)
	n.publish("k", "x")
	n.store.FailNext(2, store.ErrFull)
	n.run()
	n.caughtUp("c")
}

// A stream that is removed and made again begins at 0, and so do its consumers, whether they run or not.
func TestStreamIsMadeAgain(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{}, forward)
	n.run()
	n.publish("k", numbers(5)...)
	n.caughtUp("c")
	old, err := n.log.Get("in")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.log.Remove(t.Context(), "in", false); !errors.Is(err, stream.ErrRead) || !strings.Contains(err.Error(), `"c"`) {
		t.Fatalf("removing a stream that is read returned %v", err)
	}
	if err := n.log.Remove(t.Context(), "in", true); err != nil {
		t.Fatal(err)
	}
	if info := n.info("c"); info.Running || !strings.Contains(info.Error, "was removed") {
		t.Errorf("the status says %+v", info)
	}
	if _, err := n.log.Create(t.Context(), old.Config()); err != nil {
		t.Fatal(err)
	}
	n.publish("k", "a", "b")
	waitFor(t, "the new events", func() bool {
		return slices.Equal(n.read("out")["out/k"], append(numbers(5), "a", "b"))
	})
	if err := n.log.Remove(t.Context(), consumer.DeadStream, false); !errors.Is(err, stream.ErrConfig) {
		t.Errorf("removing the dead letters returned %v", err)
	}
}
