package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

type order struct {
	Customer string
	Number   int
}

type total struct {
	Customer string
	Orders   int // of this customer so far
	Last     int // its number
}

var (
	orders = bus.NewTopic("orders/+", bus.Key(func(o order) string { return o.Customer }))
	totals = bus.NewTopic("totals/+", bus.Key(func(v total) string { return v.Customer }))
	counts = bus.NewState[int]("counts")
)

// count is a handler that keeps state and publishes, and fails at the first attempt now and then.
func count(ctx context.Context, o order) error {
	n, err := counts.Get(ctx)
	if err != nil {
		return err
	}
	if err := counts.Set(ctx, n+1); err != nil {
		return err
	}
	if err := bus.Publish(ctx, totals, total{o.Customer, n + 1, o.Number}); err != nil {
		return err
	}
	if d, _ := bus.Current(ctx); d.Attempt == 1 && o.Number%7 == 0 {
		return errors.New("not at the first attempt")
	}
	return nil
}

// countBatch is the same for batches.
func countBatch(ctx context.Context, all []order) error {
	for i, o := range all {
		if err := count(bus.At(ctx, i), o); err != nil {
			return err
		}
	}
	return nil
}

// A crash is before or after one commit of a store, chosen by its number.
type crash struct {
	left  atomic.Int64
	after bool
	store atomic.Pointer[memstore.Store]
	next  chan *memstore.Store
}

func (c *crash) now(after bool) {
	if after == c.after && c.left.Add(-1) == 0 {
		c.next <- c.store.Load().Reopen()
	}
}

// Promise: what a step of a typed handler publishes and keeps happens once, wherever it crashes, and in the order of the key.
func TestPromiseTypedHandlersAreExactlyOnce(t *testing.T) {
	for _, batch := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("batch=%v,crash after commit=%v", batch, after), func(t *testing.T) { exactlyOnce(t, batch, after) })
		}
	}
}

func exactlyOnce(t *testing.T, batch, after bool) {
	const customers, each, crashes = 10, 50, 20
	c := &crash{after: after, next: make(chan *memstore.Store, 1)}
	s := memstore.New(memstore.Options{
		BeforeCommit: func(*store.Batch) error { c.now(false); return nil },
		AfterCommit:  func(*store.Batch) { c.now(true) },
	})
	c.store.Store(s)
	r := newRig(t, s, bus.NodeOptions{})
	for _, name := range []string{"orders", "totals"} {
		if _, err := r.log.Create(t.Context(), stream.Config{Name: name, Subjects: []string{name + "/+"}, Partitions: 3}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range each {
		for k := range customers {
			if err := bus.PublishTo(t.Context(), r, orders, order{fmt.Sprint("c", k), n + 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	happened := 0
	for round := range crashes + 1 {
		r = newRig(t, s, bus.NodeOptions{Logger: slog.New(slog.DiscardHandler)})
		r.dies = true
		if round < crashes {
			c.left.Store(int64(1 + 3*round))
		}
		o := bus.HandlerOptions{InFlight: 16, Concurrency: 4, Retry: task.Backoff{Initial: 1, Max: 1}, BatchSize: 5}
		add := func() error { return bus.Handle(r, orders, "count", count, o) }
		if batch {
			add = func() error { return bus.HandleBatch(r, orders, "count", countBatch, o) }
		}
		if err := add(); err != nil {
			t.Fatal(err)
		}
		r.run()
		over := false
		eventually(t, "a crash or the end", func() bool {
			select {
			case next := <-c.next:
				happened++
				s = next
				c.store.Store(s)
				return true
			default:
			}
			info, err := r.Consumers().Info(context.Background(), "count")
			over = err == nil && info.Running && info.Lag == 0
			return over
		})
		r.stop()
		if over {
			break
		}
	}
	t.Cleanup(func() { _ = s.Close() })
	if happened < 5 {
		t.Errorf("only %d crashes happened", happened)
	}
	checkTotals(t, newRig(t, s, bus.NodeOptions{}).stored("totals"), customers, each)
}

func checkTotals(t *testing.T, got map[string][]string, customers, each int) {
	t.Helper()
	for k := range customers {
		var want []string
		for n := range each {
			want = append(want, fmt.Sprintf(`{"Customer":"c%d","Orders":%d,"Last":%d}`, k, n+1, n+1))
		}
		if have := got[fmt.Sprintf("totals/c%d", k)]; !slices.Equal(have, want) {
			t.Errorf("customer %d: %d totals: %v", k, len(have), have)
		}
	}
}
