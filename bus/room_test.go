package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// bounded runs a node on the streams "in" and "out" with a handler of what comes "in", in a bubble.
func bounded(t *testing.T, l bus.Limits, h consumer.Handler) *rig {
	s := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = s.Close() })
	log, err := stream.Open(t.Context(), s, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in", "out"} {
		if _, err := log.Create(t.Context(), stream.Config{Name: name, Subjects: []string{name + "/#"}, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	r := &rig{node: bus.NewNode(bus.NodeOptions{Bus: bus.New(bus.Options{Log: log, Limits: l})}), t: t, store: s, log: log}
	if err := r.Consumers().Handle(consumer.Config{Name: "c", Stream: "in", InFlight: 25}, h); err != nil {
		t.Fatal(err)
	}
	r.run()
	return r
}

// blocking is a queue of one event.
func (r *rig) blocking(filter string, d time.Duration) *bus.Queue {
	q, err := r.Bus().NewQueue(filter, bus.QueueOptions{Events: 1, Overflow: bus.Block, BlockTime: d})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(q.Close)
	return q
}

func (r *rig) sameData(want []string, have map[string][]string, subject string) {
	if !slices.Equal(have[subject], want) {
		r.t.Errorf("%s: %v", subject, have[subject])
	}
}

// TestPromiseDeliveryBounded: a reader that blocks those who publish holds back who publishes and the steps of handlers once so much waits for it;
// nothing is lost, from the streams or by the reader, and when it reads, all go on.
func TestPromiseDeliveryBounded(t *testing.T) {
	const most, publishers, each = 50, 20, 30
	synctest.Test(t, func(t *testing.T) {
		r := bounded(t, bus.Limits{DeliveryEvents: most, DeliveryBytes: 1 << 20}, func(_ context.Context, d *consumer.Delivery) error {
			return d.Publish(&event.Event{Subject: "out/" + d.Event.Subject[3:], Data: d.Event.Data})
		})
		b, q := r.Bus(), r.blocking("#", 1000*time.Hour)
		var wg sync.WaitGroup
		var acked atomic.Int64
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					b.Submit([]*event.Event{{Subject: fmt.Sprint("in/", p), Data: []byte(fmt.Sprint(i))}}, func(_ bus.Receipt, err error) {
						if err != nil {
							t.Error(err)
						}
						acked.Add(1)
					})
				}
			})
		}
		synctest.Wait()
		if events, bytes := b.Undelivered(); events > most || events < most/2 || bytes > 1<<20 || acked.Load() > 1 {
			t.Errorf("%d events, %d bytes wait, %d acknowledged", events, bytes, acked.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Publish(ctx, &event.Event{Subject: "in/late"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("publishing returned %v", err)
		}
		if _, err := b.PublishLive(&event.Event{Subject: "$live"}); err != nil { // '#' has no '$'
			t.Error(err)
		}
		got := map[string][]string{}
		for range 2 * publishers * each {
			e, err := q.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[e.Subject] = append(got[e.Subject], string(e.Data))
			if events, _ := b.Undelivered(); events > most {
				t.Fatalf("%d events wait", events)
			}
		}
		wg.Wait()
		r.stop()
		want := make([]string, each)
		for i := range want {
			want[i] = fmt.Sprint(i)
		}
		stored := map[string]map[string][]string{"in/": r.stored("in"), "out/": r.stored("out")}
		for p := range publishers {
			for _, name := range []string{"in/", "out/"} {
				subject := fmt.Sprint(name, p)
				r.sameData(want, got, subject)
				r.sameData(want, stored[name], subject)
			}
		}
		if events, bytes := b.Undelivered(); events != 0 || bytes != 0 || q.Dropped() != 0 || acked.Load() != publishers*each {
			t.Errorf("%d events, %d bytes still wait, %d dropped, %d acknowledged", events, bytes, q.Dropped(), acked.Load())
		}
	})
}

// A reader that has stopped reading holds everybody up once, not once for each event.
func TestStoppedReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Options{})
		q, err := b.NewQueue("a", bus.QueueOptions{Events: 1, Overflow: bus.Block})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		for round := range 2 {
			begin := time.Now()
			for range 10 {
				if _, err := b.PublishLive(&event.Event{Subject: "a"}); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begin); took != bus.DefaultBlockTime {
				t.Errorf("round %d took %v", round, took)
			}
			if _, err := q.Next(t.Context()); err != nil { // it reads again
				t.Fatal(err)
			}
		}
		if q.Dropped() != 18 {
			t.Errorf("%d dropped", q.Dropped())
		}
	})
}

// A live handler that blocks who publishes, and waits for what a handler's step publishes, does not end in a deadlock: it is waited for no longer than its
// BlockTime.
func TestBlockedByItsOwnStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bounded(t, bus.Limits{DeliveryEvents: 2}, func(_ context.Context, d *consumer.Delivery) error {
			return d.Publish(&event.Event{Subject: "done"})
		})
		b := r.Bus()
		done, err := b.NewQueue("done", bus.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer done.Close()
		q := r.blocking("in/#", bus.DefaultBlockTime)
		for range 10 {
			b.Submit([]*event.Event{{Subject: "in/x"}}, func(bus.Receipt, error) {})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 10 { // q is read only after what its reader waits for
			if _, err := done.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if q.Dropped() != 9 {
			t.Errorf("%d dropped", q.Dropped())
		}
		r.stop()
	})
}
