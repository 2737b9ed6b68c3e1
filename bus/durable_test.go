package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// keeping returns a bus whose stream "kept" captures kept/#, and its store.
func keeping(t *testing.T, c stream.Config) (*bus.Bus, *memstore.Store) {
	t.Helper()
	s := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = s.Close() })
	l, err := stream.Open(t.Context(), s, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Subjects, c.Partitions = "kept", []string{"kept/#"}, 1
	if _, err := l.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b := bus.New(bus.Options{Log: l})
	t.Cleanup(b.Wait)
	return b, s
}

// stored returns the data of what the stream holds.
func stored(t *testing.T, s store.Store) []string {
	t.Helper()
	records, err := s.Read(t.Context(), store.Position{Partition: store.Partition{Stream: "kept"}}, store.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range records {
		all = append(all, string(r.Event.Data))
	}
	return all
}

// Promise: what is acknowledged is stored, and delivered live too.
func TestPromiseDurability(t *testing.T) {
	b, s := keeping(t, stream.Config{})
	q, err := b.NewQueue("#", bus.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, subject := range []string{"kept/1", "lost/1"} {
		if n, err := b.Publish(t.Context(), &event.Event{Subject: subject, Data: []byte(subject)}); n.Receivers != 1 || err != nil {
			t.Fatal(n, err)
		}
		if captured, _ := b.Captured([]byte(subject)); captured != strings.HasPrefix(subject, "kept") {
			t.Errorf("Captured(%q)", subject)
		}
		if e, err := q.Next(t.Context()); err != nil || e.Subject != subject || e.ID.IsZero() || e.Time.IsZero() {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if got := stored(t, s); !slices.Equal(got, []string{"kept/1"}) {
		t.Errorf("got %v", got)
	}
}

// What cannot be stored is neither acknowledged nor delivered.
func TestStoreRefuses(t *testing.T) {
	for _, want := range []error{store.ErrFull, store.ErrFailed} {
		b, s := keeping(t, stream.Config{MaxEventBytes: 10})
		q, err := b.NewQueue("#", bus.QueueOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.FailNext(1, want)
		if _, err := b.Publish(t.Context(), &event.Event{Subject: "kept/1"}); !errors.Is(err, want) || !strings.Contains(err.Error(), "kept/1") {
			t.Errorf("got %v", err)
		}
		if _, err := b.Publish(t.Context(), &event.Event{Subject: "kept/1", Data: make([]byte, 11)}); !errors.Is(err, event.ErrTooLong) {
			t.Errorf("got %v", err)
		}
		if _, err := b.Publish(t.Context(), &event.Event{Subject: "kept/+"}); err == nil {
			t.Error("a filter was taken for a subject")
		}
		if q.Len() != 0 || len(stored(t, s)) != 0 {
			t.Error("something was kept or delivered")
		}
		q.Close()
	}
}

// Submit keeps the order of one goroutine, in the store, in what is delivered, and in what is acknowledged.
func TestSubmitOrder(t *testing.T) {
	b, s := keeping(t, stream.Config{})
	q, err := b.NewQueue("kept/#", bus.QueueOptions{Events: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	const n = 500
	var mu sync.Mutex
	var want, acked []string
	var done sync.WaitGroup
	for i := range n {
		text := fmt.Sprint(i)
		want = append(want, text)
		done.Add(1)
		b.Submit([]*event.Event{{Subject: "kept/1", Data: []byte(text)}}, func(_ bus.Receipt, err error) {
			defer done.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			acked = append(acked, text)
		})
	}
	done.Wait()
	var live []string
	for range n {
		e, err := q.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		live = append(live, string(e.Data))
	}
	if got := stored(t, s); !slices.Equal(got, want) || !slices.Equal(acked, want) || !slices.Equal(live, want) {
		t.Errorf("stored %v, acknowledged %v, delivered %v", got, acked, live)
	}
}

// Events that are submitted together are stored in one commit or not at all.
func TestSubmitTogether(t *testing.T) {
	b, s := keeping(t, stream.Config{})
	s.FailNext(1, store.ErrFull)
	three := []*event.Event{{Subject: "kept/1"}, {Subject: "other"}, {Subject: "kept/2"}}
	done := make(chan error, 1)
	b.Submit(three, func(_ bus.Receipt, err error) { done <- err })
	if err := <-done; !errors.Is(err, store.ErrFull) || len(stored(t, s)) != 0 {
		t.Errorf("got %v", err)
	}
	b.Submit(three, func(_ bus.Receipt, err error) { done <- err })
	if err := <-done; err != nil || len(stored(t, s)) != 2 {
		t.Errorf("got %v", err)
	}
}

// An event that a dedupe window knows is acknowledged, and neither stored nor delivered again.
func TestDedupe(t *testing.T) {
	b, s := keeping(t, stream.Config{Dedupe: stream.Duration(time.Hour)})
	q, err := b.NewQueue("kept/#", bus.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var ids event.Generator
	id := ids.New()
	for want := range 3 {
		e := &event.Event{ID: id, Subject: "kept/1", Data: []byte("once")}
		r, err := b.Publish(t.Context(), e)
		first := want == 0
		if err != nil || r.Receivers != map[bool]int{true: 1}[first] || r.Duplicate(e) == first || len(r.Stored) != 1 || r.Stored[0].Duplicate == first || r.Stored[0].Offset != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if got := stored(t, s); len(got) != 1 || q.Len() != 1 {
		t.Errorf("stored %v, delivered %d", got, q.Len())
	}
}

// A subscriber that blocks holds up those who are delivered to, and not the store.
func TestSlowSubscriberDoesNotHoldUpTheStore(t *testing.T) {
	b, s := keeping(t, stream.Config{})
	q, err := b.NewQueue("kept/#", bus.QueueOptions{Events: 1, Overflow: bus.Block, BlockTime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var acked sync.WaitGroup
	acked.Add(10)
	for range 10 {
		b.Submit([]*event.Event{{Subject: "kept/1"}}, func(bus.Receipt, error) { acked.Done() })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Wait(ctx, store.Position{Partition: store.Partition{Stream: "kept"}, Offset: 9}); err != nil {
		t.Errorf("the store: %v", err)
	}
	q.Close()
	acked.Wait()
}

// Only consumers publish dead letters.
func TestReservedSubjects(t *testing.T) {
	b, _ := keeping(t, stream.Config{})
	for _, subject := range []string{"$dead/x", "$redrive/x", "$dead"} {
		if _, err := b.Publish(t.Context(), &event.Event{Subject: subject}); !errors.Is(err, bus.ErrReserved) {
			t.Errorf("%s: got %v", subject, err)
		}
	}
	if _, err := b.Publish(t.Context(), &event.Event{Subject: "$deadline"}); err != nil {
		t.Error(err)
	}
}

// A stream that is removed while others publish to it is gone: what is made under its name is empty.
func TestRemovedWhilePublishing(t *testing.T) {
	b, s := keeping(t, stream.Config{})
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := b.Publish(context.Background(), &event.Event{Subject: "kept/1"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	at := store.Partition{Stream: "kept"}
	captures := stream.Config{Name: "kept", Subjects: []string{"kept/#"}, Partitions: 1}
	other := stream.Config{Name: "kept", Subjects: []string{"other/#"}, Partitions: 1}
	for range 100 {
		for _, c := range []stream.Config{other, captures} {
			if err := b.Streams().Remove(t.Context(), "kept", false); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Streams().Create(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if held, err := s.Bounds(t.Context(), at); c.Subjects[0] == "other/#" && (held.Next != 0 || err != nil) {
				t.Fatalf("it holds %+v, %v", held, err)
			}
		}
		runtime.Gosched()
	}
	close(stop)
	publishers.Wait()
}

// A subscriber learns where an event is, also of several in one commit, and what the publisher commits beside it is there.
func TestSubmitWith(t *testing.T) {
	b, s := keeping(t, stream.Config{})
	var offsets []uint64
	c := b.NewClient(taker(func(m *bus.Message) bool {
		for _, a := range m.Stored() {
			offsets = append(offsets, a.Offset)
		}
		return true
	}))
	defer c.Close()
	if _, err := c.Subscribe("#"); err != nil {
		t.Fatal(err)
	}
	submit := func(batch *store.Batch, subjects ...string) bus.Receipt {
		t.Helper()
		var events []*event.Event
		for _, subject := range subjects {
			events = append(events, &event.Event{Subject: subject})
		}
		done := make(chan bus.Receipt, 1)
		b.SubmitWith(batch, events, func(r bus.Receipt, err error) {
			if err != nil {
				t.Error(err)
			}
			done <- r
		})
		return <-done
	}
	puts := func(key string) *store.Batch {
		return &store.Batch{Puts: []store.Put{{Key: key, Data: []byte("v")}}}
	}
	for i, subjects := range [][]string{{"kept/1", "live/1", "kept/2"}, {"live/2"}, {}} {
		key := fmt.Sprint("key", i)
		if r := submit(puts(key), subjects...); r.Receivers != len(subjects) {
			t.Errorf("%v: %+v", subjects, r)
		}
		if v, err := s.Get(t.Context(), key); err != nil || string(v.Data) != "v" {
			t.Errorf("%v: %q, %v", subjects, v.Data, err)
		}
	}
	if !slices.Equal(offsets, []uint64{0, 1}) {
		t.Errorf("offsets %v", offsets)
	}
}

type taker func(m *bus.Message) bool

func (f taker) Deliver(m *bus.Message) bool { return f(m) }
