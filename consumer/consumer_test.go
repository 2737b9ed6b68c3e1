package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// Promise: events of one key are handled in order, and what a handler publishes is in that order too.
func TestPromiseOrder(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{}, forward)
	const keys, each = 20, 100
	var publishing sync.WaitGroup
	for k := range keys {
		publishing.Go(func() { n.publish(fmt.Sprint("k", k), numbers(each)...) })
	}
	n.run()
	publishing.Wait()
	n.caughtUp("c")
	out := n.read("out")
	for k := range keys {
		if got := out[fmt.Sprint("out/k", k)]; !slices.Equal(got, numbers(each)) {
			t.Errorf("key %d: %v", k, got)
		}
	}
	if got := n.info("c").Counters; got.Handled != keys*each || got.Steps == 0 {
		t.Errorf("%+v", got)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.delivered) != keys*each {
		t.Errorf("%d events were delivered live", len(n.delivered))
	}
}

// What the error decides.
func TestErrors(t *testing.T) {
	type outcome struct {
		calls int
		out   bool
		dead  string
	}
	var once atomic.Bool
	tests := map[string]struct {
		handle func(d *consumer.Delivery) error
		want   outcome
	}{
		"nil":        {func(*consumer.Delivery) error { return nil }, outcome{1, true, ""}},
		"skip":       {func(*consumer.Delivery) error { return fmt.Errorf("nothing to do: %w", consumer.Skip) }, outcome{1, false, ""}},
		"dead":       {func(*consumer.Delivery) error { return consumer.Dead(errors.New("no use")) }, outcome{1, false, "no use"}},
		"always":     {func(*consumer.Delivery) error { return errors.New("down") }, outcome{3, false, "down"}},
		"panics":     {func(*consumer.Delivery) error { panic("as told") }, outcome{3, false, "panic: as told"}},
		"third time": {func(d *consumer.Delivery) error { return map[bool]error{true: errors.New("not yet")}[d.Attempt < 3] }, outcome{3, true, ""}},
		"retry after": {func(d *consumer.Delivery) error {
			return map[bool]error{true: consumer.RetryAfter(time.Millisecond)}[d.Attempt < 7]
		}, outcome{7, true, ""}},
		"own context": {func(*consumer.Delivery) error {
			return map[bool]error{true: context.Canceled}[!once.Swap(true)]
		}, outcome{2, true, ""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, memstore.New(memstore.Options{}))
			calls := 0
			n.handle(consumer.Config{Retry: task.Backoff{Attempts: 3, Initial: time.Millisecond}}, func(ctx context.Context, d *consumer.Delivery) error {
				calls++
				if d.Attempt != calls {
					t.Errorf("attempt %d is the call %d", d.Attempt, calls)
				}
				if err := forward(ctx, d); err != nil {
					t.Error(err)
				}
				return tt.handle(d)
			})
			n.publish("k", "x")
			n.run()
			n.caughtUp("c")
			got := outcome{calls: calls, out: len(n.read("out")) > 0}
			letters, err := n.set.Dead(t.Context(), "c", "", 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range letters {
				got.dead = l.Reason
				if l.Attempts != calls || l.Stream != "in" || string(l.Event.Data) != "x" || l.Event.Subject != "in/k" || l.Consumer != "c" {
					t.Errorf("%+v %+v", l, l.Event)
				}
				if strings.Contains(l.Stack, "consumer_test.go") != (name == "panics") {
					t.Errorf("the stack is %q", l.Stack)
				}
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A key that fails holds back its own events and nobody else's.
func TestRetryHoldsItsKey(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	var broken atomic.Bool
	broken.Store(true)
	n.handle(consumer.Config{Retry: task.Backoff{Attempts: -1, Initial: time.Millisecond, Max: time.Millisecond}}, func(ctx context.Context, d *consumer.Delivery) error {
		if d.Event.Subject == "in/bad" && broken.Load() {
			return errors.New("down")
		}
		return forward(ctx, d)
	})
	n.run()
	n.publish("bad", numbers(5)...)
	for k := range 10 {
		n.publish(fmt.Sprint("good", k), numbers(20)...)
	}
	waitFor(t, "the others", func() bool {
		sum := 0
		for _, events := range n.read("out") {
			sum += len(events)
		}
		return sum == 200
	})
	if got := n.read("out")["out/bad"]; got != nil {
		t.Errorf("got %v", got)
	}
	broken.Store(false)
	n.caughtUp("c")
	if got := n.read("out")["out/bad"]; !slices.Equal(got, numbers(5)) {
		t.Errorf("got %v", got)
	}
}

// Promise: after a crash each step has happened wholly or not at all, also where keys are done out of order.
func TestPromiseRecovery(t *testing.T) {
	s := memstore.New(memstore.Options{})
	const keys, each = 8, 40
	first := newNode(t, s)
	for k := range keys {
		first.publish(fmt.Sprint("k", k), numbers(each)...)
	}
	for round := range 5000 {
		n := newNode(t, s)
		var calls atomic.Int64
		crashAfter := int64(1 + round%37)
		crashed := make(chan struct{})
		next := make(chan *memstore.Store, 1)
		n.handle(consumer.Config{Concurrency: 4}, func(ctx context.Context, d *consumer.Delivery) error {
			if calls.Add(1) == crashAfter {
				next <- s.Reopen()
				close(crashed)
			}
			var count int
			data, err := d.Get(ctx, "count")
			if err != nil {
				return err
			}
			if data != nil {
				count, _ = strconv.Atoi(string(data))
			}
			if err := d.Put("count", []byte(strconv.Itoa(count+1))); err != nil {
				return err
			}
			return d.Publish(&event.Event{Subject: "out/" + d.Event.Subject[3:], Data: []byte(fmt.Sprintf("%s:%d", d.Event.Data, count))})
		})
		n.run()
		done := false
		waitFor(t, "a crash or the end", func() bool {
			select {
			case <-crashed:
				return true
			default:
				done = n.info("c").Lag == 0
				return done
			}
		})
		n.stop()
		if done {
			break
		}
		s = <-next
	}
	out := newNode(t, s).read("out")
	for k := range keys {
		var want []string
		for i := range each {
			want = append(want, fmt.Sprintf("%d:%d", i, i))
		}
		if got := out[fmt.Sprint("out/k", k)]; !slices.Equal(got, want) {
			t.Errorf("key %d: %v", k, got)
		}
	}
}

// A batch handler gets the events of a partition in order, and one that always fails loses only the event to blame.
func TestBatch(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	sizes := map[int]int{}
	var mu sync.Mutex
	err := n.set.HandleBatch(consumer.Config{Name: "c", Stream: "in", BatchSize: 10, Retry: task.Backoff{Attempts: 2, Initial: time.Millisecond}},
		func(ctx context.Context, ds []*consumer.Delivery) error {
			mu.Lock()
			sizes[len(ds)]++
			mu.Unlock()
			for _, d := range ds {
				if string(d.Event.Data) == "13" {
					return errors.New("unlucky")
				}
				if err := forward(ctx, d); err != nil {
					return err
				}
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	n.publish("k", numbers(100)...)
	n.run()
	n.caughtUp("c")
	want := slices.Delete(numbers(100), 13, 14)
	if got := n.read("out")["out/k"]; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	letters, err := n.set.Dead(t.Context(), "", "", 10)
	if err != nil || len(letters) != 1 || string(letters[0].Event.Data) != "13" {
		t.Errorf("%v, %v", letters, err)
	}
	if sizes[10] < 8 {
		t.Errorf("the sizes of the batches are %v", sizes)
	}
}

// Dead letters are redriven and dropped.
func TestDeadLetters(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	var mended atomic.Bool
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		if !mended.Load() {
			return consumer.Dead(errors.New("broken"))
		}
		if d.Stream != "in" || d.Event.Subject != "in/k" || d.Event.ID.IsZero() {
			t.Errorf("%+v", d)
		}
		return forward(ctx, d)
	})
	n.publish("k", numbers(10)...)
	n.run()
	n.caughtUp("c")
	letters, err := n.set.Dead(t.Context(), "c", "", 100)
	if err != nil || len(letters) != 10 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	mended.Store(true)
	if k, err := n.set.Redrive(t.Context(), letters[3].ID); k != 1 || err != nil {
		t.Fatal(k, err)
	}
	waitFor(t, "the event", func() bool { return slices.Equal(n.read("out")["out/k"], []string{"3"}) })
	if _, err := n.set.Redrive(t.Context(), letters[3].ID); !errors.Is(err, consumer.ErrNoLetter) {
		t.Errorf("redriving it again returned %v", err)
	}
	if k, err := n.set.Drop(t.Context(), letters[4].ID, letters[5].ID); k != 2 || err != nil {
		t.Fatal(k, err)
	}
	if k, err := n.set.RedriveAll(t.Context(), "c"); k != 7 || err != nil {
		t.Fatal(k, err)
	}
	waitFor(t, "the rest", func() bool { return len(n.read("out")["out/k"]) == 8 })
	waitFor(t, "the stream of redriven to be empty", func() bool {
		b, err := n.store.Bounds(t.Context(), store.Partition{Stream: consumer.RedriveStream})
		return err == nil && b.Count == 0
	})
	if letters, err := n.set.Dead(t.Context(), "", "", 10); len(letters) != 0 || err != nil {
		t.Errorf("%v %v", letters, err)
	}
}

// A dead letter that several redrive, or drop, at the same time is redriven or dropped once.
func TestRedriveTogether(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{}, func(context.Context, *consumer.Delivery) error { return consumer.Dead(errors.New("broken")) })
	n.publish("k", numbers(10)...)
	n.run()
	n.caughtUp("c")
	n.stop()
	letters, err := n.set.Dead(t.Context(), "", "", 10)
	if err != nil || len(letters) != 10 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	var done atomic.Int64
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			do := n.set.Redrive
			if i%2 == 1 {
				do = n.set.Drop
			}
			for _, l := range letters {
				k, err := do(context.Background(), l.ID)
				if err != nil && !errors.Is(err, consumer.ErrNoLetter) {
					t.Error(err)
				}
				done.Add(int64(k))
			}
		})
	}
	callers.Wait()
	b, err := n.store.Bounds(t.Context(), store.Partition{Stream: consumer.RedriveStream})
	if done.Load() != 10 || err != nil || b.Count > 10 {
		t.Errorf("%d were redriven or dropped, and %d wait to be handled (%v)", done.Load(), b.Count, err)
	}
}

// Consumers are paused, resumed, reset and removed.
func TestManage(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{}, forward)
	n.run()
	n.publish("k", "0", "1")
	n.caughtUp("c")
	if err := n.set.Pause(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	n.publish("k", "2")
	if info := n.info("c"); !info.Paused || info.Running || info.Lag != 1 {
		t.Errorf("%+v", info)
	}
	if err := n.set.Resume(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	n.caughtUp("c")
	if err := n.set.Reset(t.Context(), "c", stream.FromOffset(1)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the events to be handled again", func() bool { return slices.Equal(n.read("out")["out/k"], []string{"0", "1", "2", "1", "2"}) })
	if err := n.set.Reset(t.Context(), "c", stream.FromTime(time.Now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all to be handled again", func() bool { return len(n.read("out")["out/k"]) == 8 })
	if err := n.set.Reset(t.Context(), "c", stream.FromTime(time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	n.caughtUp("c")
	if got := n.read("out")["out/k"]; len(got) != 8 {
		t.Errorf("got %v after a reset to the future", got)
	}
	if err := n.set.Remove(t.Context(), "c", true); err != nil {
		t.Fatal(err)
	}
	if _, err := n.set.Info(t.Context(), "c"); !errors.Is(err, consumer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	all, err := n.set.List(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if err := n.set.Pause(t.Context(), "nobody"); !errors.Is(err, consumer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// A handler that does not return, whatever becomes of its context, costs a bounded number of events, and others go on.
func TestStalledHandler(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	gate := make(chan struct{})
	defer close(gate)
	n.handle(consumer.Config{InFlight: 50}, func(ctx context.Context, d *consumer.Delivery) error {
		if d.Event.Subject == "in/stuck" {
			<-gate
		}
		return forward(ctx, d)
	})
	n.run()
	n.publish("stuck", "x")
	n.publish("free", numbers(10)...)
	waitFor(t, "the others", func() bool { return len(n.read("out")["out/free"]) == 10 })
	n.publish("stuck", numbers(500)...)
	waitFor(t, "the reading to stop", func() bool {
		for _, p := range n.info("c").Partitions {
			if p.InFlight > 50 {
				t.Errorf("%d events are in memory", p.InFlight)
			}
			if p.InFlight == 50 {
				return true
			}
		}
		return false
	})
	if lag := n.info("c").Lag; lag < 500 {
		t.Errorf("the lag is %d", lag)
	}
}

// stalled is a node whose handler is called with the first event of three, and blocks whatever becomes of its context, until it is let go.
func stalled(t *testing.T) (n *node, release func()) {
	n = newNode(t, memstore.New(memstore.Options{}))
	begun, gate := make(chan struct{}), make(chan struct{})
	var first sync.Once
	n.handle(consumer.Config{}, func(ctx context.Context, d *consumer.Delivery) error {
		first.Do(func() { close(begun) })
		<-gate
		return forward(ctx, d)
	})
	n.publish("k", numbers(3)...)
	n.run()
	<-begun
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return n, release
}

// soon is a context that ends soon.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A change waits for a handler no longer than its context, and says what goes on. A pause holds nevertheless; a reset and a removal change nothing.
func TestManageStalled(t *testing.T) {
	n, release := stalled(t)
	for name, change := range map[string]func(context.Context) error{
		"pausing: ":             func(ctx context.Context) error { return n.set.Pause(ctx, "c") },
		"nothing was changed: ": func(ctx context.Context) error { return n.set.Reset(ctx, "c", stream.End) },
		"nothing was changed":   func(ctx context.Context) error { return n.set.Remove(ctx, "c", true) },
	} {
		err := change(soon(t))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), name) || !strings.Contains(err.Error(), "handles events of 1 keys in partition ") {
			t.Errorf("%sgot %v", name, err)
		}
	}
	if info := n.info("c"); !info.Paused || info.Lag != 3 {
		t.Errorf("%+v", info)
	}
	paused := make(chan error, 1)
	go func() { paused <- n.set.Pause(t.Context(), "c") }()
	release()
	if err := <-paused; err != nil {
		t.Errorf("the second pause returned %v", err)
	}
	if got := n.read("out")["out/k"]; !slices.Equal(got, []string{"0"}) || n.info("c").Running {
		t.Errorf("the handler goes on while it is paused: %v", got)
	}
	if err := n.set.Resume(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	n.caughtUp("c")
	if got := n.read("out")["out/k"]; !slices.Equal(got, numbers(3)) {
		t.Errorf("got %v", got)
	}
}

// A consumer that is resumed before it has come to rest goes on.
func TestResumeBeforePaused(t *testing.T) {
	n, release := stalled(t)
	if err := n.set.Pause(soon(t), "c"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("pausing: %v", err)
	}
	if err := n.set.Resume(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	release()
	n.caughtUp("c")
	if got := n.read("out")["out/k"]; !slices.Equal(got, numbers(3)) {
		t.Errorf("got %v", got)
	}
}

// Run waits for a handler that does not heed the end of its context, and says which it is; what that did is committed when it returns.
func TestStopStalled(t *testing.T) {
	n, release := stalled(t)
	ended := make(chan error, 1)
	go func() { ended <- n.end() }()
	select {
	case err := <-ended:
		t.Fatalf("Run returned %v while a handler runs", err)
	case <-time.After(1500 * time.Millisecond): // the grace is 1 s
	}
	if busy := n.set.Busy(); len(busy) != 1 || !strings.Contains(busy[0], `the consumer "c" handles events of 1 keys`) {
		t.Errorf("%q", busy)
	}
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := n.read("out")["out/k"]; !slices.Equal(got, []string{"0"}) || len(n.set.Busy()) != 0 {
		t.Errorf("got %v, %q", got, n.set.Busy())
	}
}
