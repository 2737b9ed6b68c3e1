package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPromiseOrder: what one goroutine publishes reaches each subscription in that order, whatever
// else is published, subscribed and unsubscribed meanwhile.
func TestPromiseOrder(t *testing.T) {
	const publishers, events, subscribers = 4, 3000, 20
	b := New(Options{})
	logs := make([]*orderLog, subscribers)
	for i := range logs {
		logs[i] = &orderLog{next: map[string]int{}}
		filter := []string{"p/+", "#", "p/#"}[i%3]
		subscribe(t, b.NewClient(logs[i]), filter)
	}
	stop := make(chan struct{})
	var others, wg sync.WaitGroup
	others.Go(func() { comeAndGo(b, stop) })
	for p := range publishers {
		wg.Go(func() {
			for i := range events {
				publish(t, b, fmt.Sprint("p/", p), fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	close(stop)
	others.Wait()
	for i, log := range logs {
		if log.wrong != 0 || len(log.next) != publishers {
			t.Errorf("subscriber %d: %d out of order, %d publishers seen", i, log.wrong, len(log.next))
		}
		for subject, n := range log.next {
			if n != events {
				t.Errorf("subscriber %d got %d of %d events of %s", i, n, events, subject)
			}
		}
	}
}

type orderLog struct {
	mu    sync.Mutex
	next  map[string]int
	wrong int
}

func (l *orderLog) Deliver(m *Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	subject := strings.Clone(m.Subject())
	if fmt.Sprint(l.next[subject]) != string(m.Data()) {
		l.wrong++
	}
	l.next[subject]++
	return true
}

func comeAndGo(b *Bus, stop chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		c := b.NewClient(subscriberFunc(func(*Message) bool { return i%2 == 0 }))
		for n := range 50 {
			_, _ = c.Subscribe(fmt.Sprintf("p/%d", (i+n)%10))
			_, _ = c.SubscribeGlob(fmt.Sprintf("p/%d*", n))
		}
		c.Close()
	}
}

// TestPromiseDeliveryLive: at most once per subscription, to those subscribed before and only to those; nothing is kept for
// later, and nobody who subscribes can make a publisher wait.
func TestPromiseDeliveryLive(t *testing.T) {
	b := New(Options{})
	publish(t, b, "a/1", "before anybody subscribed")
	var r recorder
	c := b.NewClient(&r)
	subscribe(t, c, "a/+")
	if got := r.take(); len(got) != 0 {
		t.Errorf("delivered from the past: %q", got)
	}
	if n := publish(t, b, "a/1", "x"); n != 1 || len(r.take()) != 1 {
		t.Errorf("%d receivers, want 1", n)
	}
	c.Unsubscribe("a/+")
	if n := publish(t, b, "a/1", "x"); n != 0 || len(r.take()) != 0 {
		t.Errorf("%d receivers after unsubscribing", n)
	}
	deliverAtMostOnceWhileSubscribing(t, b)
	publishWhileALockIsHeld(t, b)
}

// deliverAtMostOnceWhileSubscribing moves a crowd through every size while steady subscribers count.
func deliverAtMostOnceWhileSubscribing(t *testing.T, b *Bus) {
	const steady, crowd, events = 50, 500, 2000
	counts := make([]atomic.Int64, steady)
	for i := range counts {
		subscribe(t, b.NewClient(subscriberFunc(func(*Message) bool { counts[i].Add(1); return true })), "one/subject")
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			clients := make([]*Client, crowd)
			for i := range clients {
				select {
				case <-done:
					return
				default:
				}
				clients[i] = b.NewClient(subscriberFunc(func(*Message) bool { return false }))
				_, _ = clients[i].Subscribe("one/subject")
			}
			for _, c := range clients {
				c.Close()
			}
		}
	})
	for range events {
		if n := publish(t, b, "one/subject", ""); n != steady {
			t.Errorf("%d receivers, want the %d that stay", n, steady)
		}
	}
	close(done)
	wg.Wait()
	for i := range counts {
		if n := counts[i].Load(); n != events {
			t.Errorf("subscriber %d got %d, want %d", i, n, events)
		}
	}
}

// publishWhileALockIsHeld holds every lock that subscribing takes.
func publishWhileALockIsHeld(t *testing.T, b *Bus) {
	var r recorder
	c := b.NewClient(&r)
	subscribe(t, c, "locked")
	subscribeGlob(t, c, "lock*")
	c.mu.Lock()
	defer c.mu.Unlock()
	b.globs.mu.Lock()
	defer b.globs.mu.Unlock()
	if n := publish(t, b, "locked", ""); n != 2 {
		t.Errorf("%d receivers, want 2", n)
	}
}

// TestPromiseOverflow: a full queue does what its policy says, and every event that is lost is counted, in
// the queue and in the bus.
func TestPromiseOverflow(t *testing.T) {
	tests := []struct {
		name      string
		policy    Overflow
		receivers int // of the last five of ten events, with room for five
		left      string
		dropped   uint64
		took      time.Duration
		end       error
	}{
		{"drop newest", DropNewest, 0, "0 1 2 3 4", 5, 0, nil},
		{"drop oldest", DropOldest, 5, "5 6 7 8 9", 5, 0, nil},
		{"block", Block, 0, "0 1 2 3 4", 5, DefaultBlockTime, nil},
		{"disconnect", Disconnect, 0, "0 1 2 3 4", 1, 0, ErrOverflow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(Options{})
				q := newQueue(t, b, "a", QueueOptions{Events: 5, Overflow: tt.policy})
				begin, receivers := time.Now(), 0
				for i := range 10 {
					if n := publish(t, b, "a", fmt.Sprint(i)); i >= 5 {
						receivers += n
					}
				}
				if took := time.Since(begin); took != tt.took {
					t.Errorf("publishing took %v, want %v", took, tt.took)
				}
				if s := b.Stats(); receivers != tt.receivers || q.Dropped() != tt.dropped || s.Dropped != tt.dropped {
					t.Errorf("%d receivers, %d dropped, bus %+v", receivers, q.Dropped(), s)
				}
				if got := drain(q); got != tt.left {
					t.Errorf("left to read %q, want %q", got, tt.left)
				}
				checkEnd(t, b, q, tt.end)
			})
		})
	}
	t.Run("block until there is room", blockUntilThereIsRoom)
}

// checkEnd reads on from a queue that was drained.
func checkEnd(t *testing.T, b *Bus, q *Queue, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if want == nil {
		want = context.DeadlineExceeded
	}
	if _, err := q.Next(ctx); !errors.Is(err, want) {
		t.Errorf("Next = %v, want %v", err, want)
	}
	if subscribed := b.NumSub("a") == 1; subscribed == errors.Is(want, ErrOverflow) {
		t.Errorf("subscribed: %v", subscribed)
	}
}

func blockUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		q := newQueue(t, b, "a", QueueOptions{Events: 2, Overflow: Block})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 20 {
				time.Sleep(DefaultBlockTime / 2)
				if e, err := q.Next(t.Context()); err != nil || string(e.Data) != fmt.Sprint(i) {
					t.Errorf("event %d: %+v, %v", i, e, err)
				}
			}
		})
		for i := range 20 {
			if n := publish(t, b, "a", fmt.Sprint(i)); n != 1 {
				t.Errorf("event %d was refused", i)
			}
		}
		wg.Wait()
		if q.Dropped() != 0 {
			t.Errorf("%d dropped", q.Dropped())
		}
	})
}
