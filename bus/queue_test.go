package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/event"
)

func newQueue(t testing.TB, b *Bus, filter string, options QueueOptions) *Queue {
	t.Helper()
	q, err := b.NewQueue(filter, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// drain reads what is queued.
func drain(q *Queue) string {
	var all []string
	for q.Len() > 0 {
		e, err := q.Next(context.Background())
		if err != nil {
			break
		}
		all = append(all, string(e.Data))
	}
	return strings.Join(all, " ")
}

func TestQueueGrowsAndShrinks(t *testing.T) {
	b := New(Options{})
	q := newQueue(t, b, "a", QueueOptions{Events: 200})
	if q.events.slots != nil {
		t.Error("an empty queue has memory")
	}
	next, read := 0, 0
	for round := range 50 {
		for range 3 * round % 100 {
			publish(t, b, "a", fmt.Sprint(next))
			next++
		}
		for q.Len() > round%7 {
			e, err := q.Next(t.Context())
			if err != nil || string(e.Data) != fmt.Sprint(read) {
				t.Fatalf("read %s, %v, want %d", e.Data, err, read)
			}
			read++
		}
	}
	drain(q)
	if len(q.events.slots) > keptSlots || q.bytes != 0 || q.Dropped() != 0 {
		t.Errorf("%d slots, %d bytes, %d dropped when empty", len(q.events.slots), q.bytes, q.Dropped())
	}
}

func TestQueueBytes(t *testing.T) {
	b := New(Options{})
	small := (&event.Event{Subject: "a", Data: make([]byte, 100)}).Size()
	for _, policy := range []Overflow{DropNewest, DropOldest, Block, Disconnect} {
		q := newQueue(t, b, "a", QueueOptions{Bytes: 3 * small, Overflow: policy, BlockTime: time.Millisecond})
		for range 3 {
			publish(t, b, "a", strings.Repeat("x", 100))
		}
		if n := publish(t, b, "a", strings.Repeat("x", 1000)); n != 0 || q.Dropped() != 1 || q.Len() != 3 {
			t.Errorf("policy %d and an event that never fits: %d receivers, %d dropped, %d left", policy, n, q.Dropped(), q.Len())
		}
		q.Close()
	}
}

func TestQueueNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		q := newQueue(t, b, "a", QueueOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next = %v", err)
		}
		time.AfterFunc(time.Minute, func() { publish(t, b, "a", "1") })
		time.AfterFunc(2*time.Minute, q.Close)
		n := 0
		for e, err := range q.All(t.Context()) {
			switch {
			case n == 0 && err == nil && string(e.Data) == "1":
			case n == 1 && errors.Is(err, ErrClosed):
			default:
				t.Errorf("event %d: %+v, %v", n, e, err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("%d turns, want an event and an error", n)
		}
	})
}

func TestQueueReadersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		q := newQueue(t, b, "a", QueueOptions{Events: 10, Overflow: Block, BlockTime: time.Hour})
		var mu sync.Mutex
		seen := map[string]int{}
		var readers, writers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for e, err := range q.All(t.Context()) {
					if err != nil {
						return
					}
					mu.Lock()
					seen[string(e.Data)]++
					mu.Unlock()
				}
			})
		}
		for w := range 4 {
			writers.Go(func() {
				for i := range 1000 {
					publish(t, b, "a", fmt.Sprint(w, "-", i))
				}
			})
		}
		writers.Wait()
		q.Close()
		readers.Wait()
		if len(seen) != 4000 || q.Dropped() != 0 {
			t.Errorf("%d events, %d dropped, want 4000 and none", len(seen), q.Dropped())
		}
	})
}

func TestQueueCloseFreesBlockedPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		q := newQueue(t, b, "a", QueueOptions{Events: 1, Overflow: Block, BlockTime: time.Hour})
		publish(t, b, "a", "1")
		begin := time.Now()
		time.AfterFunc(time.Minute, q.Close)
		if n := publish(t, b, "a", "2"); n != 0 || time.Since(begin) != time.Minute {
			t.Errorf("%d receivers after %v", n, time.Since(begin))
		}
		if got := drain(q); got != "1" {
			t.Errorf("left to read: %q", got)
		}
		if _, err := q.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Next = %v", err)
		}
	})
}

func TestNewQueueRefuses(t *testing.T) {
	if _, err := New(Options{}).NewQueue("a/#/b", QueueOptions{}); !errors.Is(err, event.ErrWildcard) {
		t.Errorf("NewQueue = %v", err)
	}
}
