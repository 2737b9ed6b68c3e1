package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/task"
)

// A handler that calls runtime.Goexit, as t.Fatal does, has failed as one that panics: it is called again, its event becomes a dead letter with
// the stack, the other events of its key and of others are handled, and no worker is lost.
func TestGoexit(t *testing.T) {
	for _, batch := range []bool{false, true} {
		n := newNode(t, memstore.New(memstore.Options{}))
		var calls atomic.Int64
		one := func(ctx context.Context, d *consumer.Delivery) error {
			if strings.HasPrefix(string(d.Event.Data), "exit") {
				calls.Add(1)
				runtime.Goexit()
			}
			return forward(ctx, d)
		}
		c := consumer.Config{Name: "c", Stream: "in", Concurrency: 2, BatchSize: 4, Retry: task.Backoff{Attempts: 3, Initial: time.Millisecond}}
		var err error
		if batch {
			err = n.set.HandleBatch(c, func(ctx context.Context, all []*consumer.Delivery) (err error) {
				for _, d := range all {
					err = errors.Join(err, one(ctx, d))
				}
				return err
			})
		} else {
			err = n.set.Handle(c, one)
		}
		if err != nil {
			t.Fatal(err)
		}
		n.publish("a", "1", "exit 1", "2", "exit 2", "3")
		n.publish("b", "exit 3", "1", "2")
		n.publish("c", "1", "2")
		n.run()
		n.caughtUp("c")
		got := n.read("out")
		for subject, want := range map[string][]string{"out/a": {"1", "2", "3"}, "out/b": {"1", "2"}, "out/c": {"1", "2"}} {
			if !slices.Equal(got[subject], want) {
				t.Errorf("batch %t, %s: %v, want %v", batch, subject, got[subject], want)
			}
		}
		letters, err := n.set.Dead(t.Context(), "", "", 10)
		if err != nil || len(letters) != 3 || calls.Load() < 9 {
			t.Fatalf("batch %t: %d dead letters after %d calls, %v", batch, len(letters), calls.Load(), err)
		}
		for _, l := range letters {
			if l.Attempts != 3 || !strings.Contains(l.Reason, "runtime.Goexit") || !strings.Contains(l.Stack, "goexit_test.go") {
				t.Errorf("batch %t: %+v", batch, l)
			}
		}
		n.stop() // which waits for the workers
	}
}

// The last worker of a consumer may end that way while it stops.
func TestGoexitWhileStopping(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	begun := make(chan struct{}, 100)
	n.handle(consumer.Config{Concurrency: 1}, func(ctx context.Context, d *consumer.Delivery) error {
		begun <- struct{}{}
		<-ctx.Done()
		runtime.Goexit()
		return nil
	})
	n.publish("a", "1", "2")
	n.run()
	<-begun
	n.stop()
	if letters, err := n.set.Dead(t.Context(), "", "", 10); len(letters) != 0 || err != nil {
		t.Errorf("%v, %v", letters, err)
	}
}
