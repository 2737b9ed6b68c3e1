package task_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/task"
)

// read takes messages until it would block or the broadcast ends.
func read(t *testing.T, s *task.Subscription[int]) (got []int, missed []uint64) {
	t.Helper()
	for s.Lag() > 0 {
		v, m, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, missed = append(got, v), append(missed, m)
	}
	return got, missed
}

func TestBroadcastLag(t *testing.T) {
	for _, tc := range []struct {
		name     string
		capacity int
		lag      int
		sent     int
		got      []int
		missed   uint64
	}{
		{"nothing", 4, 0, 0, nil, 0},
		{"within", 4, 0, 3, []int{0, 1, 2}, 0},
		{"exactly", 4, 0, 4, []int{0, 1, 2, 3}, 0},
		{"one too many", 4, 0, 5, []int{1, 2, 3, 4}, 1},
		{"many too many", 4, 0, 1000, []int{996, 997, 998, 999}, 996},
		{"own lag, within", 8, 2, 2, []int{0, 1}, 0},
		{"own lag, beyond", 8, 2, 5, []int{3, 4}, 3},
		{"only the latest", 8, 1, 5, []int{4}, 4},
		{"more than there is", 3, 100, 5, []int{2, 3, 4}, 2},
		{"one slot", 1, 0, 5, []int{4}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := task.Broadcast[int]{Capacity: tc.capacity}
			s := b.Subscribe(tc.lag)
			for i := range tc.sent {
				b.Send(i)
			}
			if s.Lag() != uint64(tc.sent) {
				t.Errorf("the lag is %d", s.Lag())
			}
			got, missed := read(t, s)
			if !slices.Equal(got, tc.got) || s.Missed() != tc.missed {
				t.Errorf("got %v, missed %d", got, s.Missed())
			}
			if tc.sent > 0 && missed[0] != tc.missed {
				t.Errorf("the first message told of %d missed", missed[0])
			}
			b.Send(7)
			if got, missed := read(t, s); !slices.Equal(got, []int{7}) || missed[0] != 0 {
				t.Errorf("then got %v, missed %v", got, missed)
			}
		})
	}
}

func TestBroadcastDefaultCapacity(t *testing.T) {
	var b task.Broadcast[int]
	b.Send(-1) // for nobody
	s := b.Subscribe(0)
	for i := range task.DefaultCapacity + 1 {
		b.Send(i)
	}
	if v, missed, err := s.Next(t.Context()); v != 1 || missed != 1 || err != nil {
		t.Errorf("got %d, %d, %v", v, missed, err)
	}
}

func TestBroadcastWakesAllAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b task.Broadcast[int]
		var wg sync.WaitGroup
		var sum atomic.Int64
		for range 50 {
			s := b.Subscribe(0)
			wg.Go(func() {
				for {
					v, _, err := s.Next(t.Context())
					if err != nil {
						wantIs(t, err, task.ErrClosed)
						return
					}
					sum.Add(int64(v))
				}
			})
		}
		for i := range 10 {
			synctest.Wait() // all of them wait
			b.Send(i)
		}
		b.Send(10) // some may still be reading
		b.Close()
		b.Close()
		wg.Wait()
		if sum.Load() != 50*55 {
			t.Errorf("the sum is %d", sum.Load())
		}
		if b.Send(11) {
			t.Error("sent after Close")
		}
	})
}

func TestBroadcastCloseAfterReading(t *testing.T) {
	var b task.Broadcast[int]
	early := b.Subscribe(0)
	b.Send(1)
	b.Close()
	if v, _, err := early.Next(t.Context()); v != 1 || err != nil {
		t.Errorf("what was sent before Close is lost: %d, %v", v, err)
	}
	for range 2 {
		_, _, err := early.Next(t.Context())
		wantIs(t, err, task.ErrClosed)
	}
	_, _, err := b.Subscribe(0).Next(t.Context())
	wantIs(t, err, task.ErrClosed)
}

func TestBroadcastNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b task.Broadcast[int]
		s := b.Subscribe(0)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTest)
		defer cancel()
		_, _, err := s.Next(ctx)
		wantIs(t, err, context.DeadlineExceeded, errTest)
		b.Send(1)
		_, _, err = s.Next(ctx) // also with a message there
		wantIs(t, err, context.DeadlineExceeded)
		if v, _, err := s.Next(t.Context()); v != 1 || err != nil {
			t.Errorf("got %d, %v", v, err)
		}
	})
}

func TestBroadcastMisusePanics(t *testing.T) {
	mustPanic(t, "-1", func() { (&task.Broadcast[int]{Capacity: -1}).Send(1) })
	mustPanic(t, "1048577", func() { (&task.Broadcast[int]{Capacity: task.MaxCapacity + 1}).Subscribe(0) })
	mustPanic(t, "-1", func() { new(task.Broadcast[int]).Subscribe(-1) })
	b := task.Broadcast[int]{Capacity: -1}
	mustPanic(t, "-1", func() { b.Send(1) })
	mustPanic(t, "-1", func() { b.Send(1) }) // and does not deadlock
}

// Under any interleaving: in order, nothing twice, and received plus missed is what was sent.
func TestBroadcastAccountsForEveryMessage(t *testing.T) {
	const sent = 20000
	b := task.Broadcast[int]{Capacity: 16}
	var wg sync.WaitGroup
	for lag := range 8 {
		s := b.Subscribe(2 * lag)
		wg.Go(func() {
			expect := 0
			for {
				v, missed, err := s.Next(t.Context())
				if err != nil {
					break
				}
				if v != expect+int(missed) {
					t.Errorf("got %d after %d with %d missed", v, expect-1, missed)
					return
				}
				expect = v + 1
				_ = s.Missed()
			}
			if expect != sent || s.Lag() != 0 {
				t.Errorf("the last message was %d, the lag %d", expect-1, s.Lag())
			}
		})
	}
	for i := range sent {
		b.Send(i)
		if i%64 == 0 {
			runtime.Gosched()
		}
	}
	b.Close()
	wg.Wait()
}

// A message that comes between looking for it and waiting for it wakes the subscriber all the same. The sender
// is awake and answers at once, so that many of them do; one that got lost would be waited for for ever.
func TestBroadcastLosesNoWakeup(t *testing.T) {
	const rounds = 50000
	var b task.Broadcast[int]
	var w task.Watch[int]
	var taken atomic.Int64
	s := b.Subscribe(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range rounds {
			for taken.Load() < int64(i) {
				runtime.Gosched()
			}
			if i%2 == 0 {
				b.Send(i)
			} else {
				w.Set(i)
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := uint64(0)
	for i := range rounds {
		var err error
		if i%2 == 0 {
			_, _, err = s.Next(ctx)
		} else {
			_, seen, err = w.Changed(ctx, seen)
		}
		if err != nil {
			t.Errorf("in round %d: %v", i, err)
			taken.Store(rounds)
			break
		}
		taken.Add(1)
	}
	wg.Wait()
}

func TestBroadcastCosts(t *testing.T) {
	var b task.Broadcast[int]
	s := b.Subscribe(0)
	if n := testing.AllocsPerRun(100, func() { b.Send(1) }); n != 1 {
		t.Errorf("a send costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = s.Next(t.Context()) }); n != 0 {
		t.Errorf("a message costs its subscriber %v allocations", n)
	}
	before := runtime.NumGoroutine()
	subs := make([]*task.Subscription[int], 1000)
	for i := range subs {
		subs[i] = b.Subscribe(0)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("a thousand subscribers cost %d goroutines", n-before)
	}
	runtime.KeepAlive(subs)
}
