package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// node is what consumers need, on a store in memory.
type node struct {
	t     testing.TB
	store *memstore.Store
	log   *stream.Log
	set   *consumer.Set
	ids   *event.Generator
	stop  func()
	end   func() error // stop, and what Run returned

	mu        sync.Mutex
	delivered []*event.Event
	reserved  int
}

// newNode makes the streams "in" and "out", and a set that is not running yet.
func newNode(t testing.TB, s *memstore.Store, change ...func(*consumer.Options)) *node {
	t.Helper()
	t.Cleanup(func() { _ = s.Close() })
	l, err := stream.Open(t.Context(), s, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in", "out"} {
		if _, err := l.Create(t.Context(), stream.Config{Name: name, Subjects: []string{name + "/#"}, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	n := &node{t: t, store: s, log: l, ids: &event.Generator{}}
	o := consumer.Options{
		Log: l, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Grace: time.Second,
		Prepare: func(e *event.Event) error {
			if e.ID.IsZero() {
				e.ID = n.ids.New()
			}
			if e.Time.IsZero() {
				e.Time = time.Now()
			}
			return e.Validate(event.Limits{})
		},
		Reserve: func(_ context.Context, events, _ int) (func(), error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.reserved += events
			return func() {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.reserved -= events
			}, nil
		},
		Deliver: func(events []*event.Event, _ []store.Append, release func()) {
			defer release()
			n.mu.Lock()
			defer n.mu.Unlock()
			n.delivered = append(n.delivered, events...)
		},
	}
	for _, fn := range change {
		fn(&o)
	}
	n.set = consumer.NewSet(o)
	return n
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// run runs the set until the test ends, or stop.
func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.set.Run(ctx) }()
	n.end = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	n.stop = sync.OnceFunc(func() {
		if err := n.end(); err != nil {
			n.t.Error(err)
		}
	})
	n.t.Cleanup(func() {
		_ = n.end()
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.reserved != 0 {
			n.t.Errorf("room for %d events was not given back", n.reserved)
		}
	})
}

func (n *node) handle(c consumer.Config, h consumer.Handler) {
	n.t.Helper()
	if c.Name == "" {
		c.Name = "c"
	}
	c.Stream = "in"
	if err := n.set.Handle(c, h); err != nil {
		n.t.Fatal(err)
	}
}

// publish stores events in the stream "in", one for each text, by key.
func (n *node) publish(key string, texts ...string) {
	n.t.Helper()
	for _, text := range texts {
		b := &store.Batch{}
		e := &event.Event{ID: n.ids.New(), Subject: "in/" + key, Time: time.Now(), Data: []byte(text)}
		if _, _, err := n.log.Add(b, e); err != nil {
			n.t.Fatal(err)
		}
		if err := store.Commit(context.Background(), n.store, b); err != nil {
			n.t.Fatal(err)
		}
	}
}

// read returns the data of all events of a stream, by subject.
func (n *node) read(name string) map[string][]string {
	n.t.Helper()
	r, err := n.log.NewReader(context.Background(), name, "", stream.Beginning)
	if err != nil {
		n.t.Fatal(err)
	}
	all := map[string][]string{}
	for {
		records, _, err := r.Read(context.Background())
		if err != nil {
			n.t.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		for _, rec := range records {
			all[rec.Event.Subject] = append(all[rec.Event.Subject], string(rec.Event.Data))
		}
	}
}

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// caughtUp waits until the consumer has nothing left to do.
func (n *node) caughtUp(name string) {
	n.t.Helper()
	waitFor(n.t, name+" to catch up", func() bool { return n.info(name).Lag == 0 })
}

func (n *node) info(name string) consumer.Info {
	n.t.Helper()
	info, err := n.set.Info(context.Background(), name)
	if err != nil {
		return consumer.Info{Lag: 1, Error: err.Error()}
	}
	return info
}

// forward publishes what comes, prefixed, to the stream "out".
func forward(_ context.Context, d *consumer.Delivery) error {
	return d.Publish(&event.Event{Subject: "out/" + d.Event.Subject[3:], Data: d.Event.Data})
}

func numbers(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	return all
}
