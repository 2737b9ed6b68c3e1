package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

type reading struct {
	Device  string
	Celsius float64
}

type alert struct{ Device string }

var (
	readings = bus.NewTopic("sensors/+/temperature", bus.Key(func(r reading) string { return r.Device }))
	alerts   = bus.NewTopic[alert]("alerts/+")
)

type node = bus.Node

// rig is a node on a store in memory.
type rig struct {
	*node
	t     testing.TB
	dies  bool // its store crashes: Run may end with an error
	store *memstore.Store
	log   *stream.Log
	stop  func()
}

func newRig(t testing.TB, s *memstore.Store, o bus.NodeOptions) *rig {
	t.Helper()
	l, err := stream.Open(t.Context(), s, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o.Bus = bus.New(bus.Options{Log: l})
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return &rig{node: bus.NewNode(o), t: t, store: s, log: l}
}

func newMemRig(t testing.TB) *rig {
	s := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = s.Close() })
	return newRig(t, s, bus.NodeOptions{})
}

// run runs the node until the test ends, or stop.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !r.dies {
			r.t.Error(err)
		}
		r.Bus().Wait()
	})
	r.t.Cleanup(r.stop)
}

// caughtUp waits until a handler has nothing left to do.
func (r *rig) caughtUp(name string) {
	r.t.Helper()
	eventually(r.t, name+" to catch up", func() bool {
		info, err := r.Consumers().Info(context.Background(), name)
		return err == nil && info.Running && info.Lag == 0
	})
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// stored returns the data of all events of a stream, by subject.
func (r *rig) stored(name string) map[string][]string {
	r.t.Helper()
	reader, err := r.log.NewReader(context.Background(), name, "", stream.Beginning)
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string][]string{}
	for {
		records, _, err := reader.Read(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		for _, rec := range records {
			all[rec.Event.Subject] = append(all[rec.Event.Subject], string(rec.Event.Data))
		}
	}
}

// The program of the design: a topic whose key fills its '+', a handler that publishes to one which takes the key of what is handled.
func TestHandlePublishesWithItsStep(t *testing.T) {
	r := newMemRig(t)
	if _, err := r.log.Create(t.Context(), stream.Config{Name: "alerts", Subjects: []string{"alerts/#"}}); err != nil {
		t.Fatal(err)
	}
	err := bus.Handle(r, readings, "overheat", func(ctx context.Context, v reading) error {
		if v.Celsius > 80 {
			return bus.Publish(ctx, alerts, alert{v.Device})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	live, err := bus.Subscribe(r, alerts)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	r.run()
	for i := range 10 {
		if err := bus.PublishTo(t.Context(), r, readings, reading{fmt.Sprintf("d%d", i), float64(75 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	r.caughtUp("overheat")
	want := map[string][]string{}
	for _, d := range []string{"d6", "d7", "d8", "d9"} {
		want["alerts/"+d] = []string{`{"Device":"` + d + `"}`}
	}
	if got := r.stored("alerts"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	var seen []string
	for range 4 {
		v, err := live.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, v.Device)
	}
	if slices.Sort(seen); strings.Join(seen, " ") != "d6 d7 d8 d9" {
		t.Errorf("live: %v", seen)
	}
}

func TestHandleTellsWhatIsWrong(t *testing.T) {
	r := newMemRig(t)
	none := func(context.Context, reading) error { return nil }
	for _, c := range []stream.Config{{Name: "a", Subjects: []string{"two/#"}}, {Name: "b", Subjects: []string{"two/+"}}} {
		if _, err := r.log.Create(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	two := bus.NewTopic[reading]("two/x")
	for _, c := range []struct {
		name string
		err  error
		want error
		text string
	}{
		{"several streams", bus.Handle(r, two, "h", none), bus.ErrStream, "a, b"},
		{"no such stream", bus.Handle(r, two, "h", none, bus.HandlerOptions{Stream: "c"}), stream.ErrNotFound, "c"},
		{"two options", bus.Handle(r, two, "h", none, bus.HandlerOptions{}, bus.HandlerOptions{}), nil, "2 options"},
		{"no name", bus.Handle(r, two, "", none, bus.HandlerOptions{Stream: "a"}), nil, "name"},
		{"a bad filter", bus.Handle(r, bus.NewTopic[reading]("a/#/b"), "h", none), event.ErrWildcard, "a/#/b"},
		{"an option twice", bus.Handle(r, bus.NewTopic("a", bus.WithCodec(bus.JSON[reading]()), bus.WithCodec(bus.JSON[reading]())), "h", none), bus.ErrTopic, "WithCodec is given twice"},
		{"no store", bus.Handle(bus.NewNode(bus.NodeOptions{Bus: bus.New(bus.Options{})}), two, "h", none), bus.ErrNoStore, "HandleLive"},
	} {
		if c.err == nil || c.want != nil && !errors.Is(c.err, c.want) || !strings.Contains(c.err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "a, b") {
		t.Errorf("Run: %v", err)
	}
}

func TestUndecodableIsADeadLetterAtOnce(t *testing.T) {
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprintf("batch=%v", batch), func(t *testing.T) {
			r := newMemRig(t)
			var mu sync.Mutex
			var got []reading
			keep := func(_ context.Context, v ...reading) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, v...)
				return nil
			}
			var err error
			if batch {
				err = bus.HandleBatch(r, readings, "h", func(ctx context.Context, v []reading) error { return keep(ctx, v...) })
			} else {
				err = bus.Handle(r, readings, "h", func(ctx context.Context, v reading) error { return keep(ctx, v) })
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, data := range []string{`{"Device":"a"}`, `no json`, `{"Device":"b"}`} {
				if _, err := r.Bus().Publish(t.Context(), &event.Event{Subject: "sensors/a/temperature", Data: []byte(data)}); err != nil {
					t.Fatal(err)
				}
			}
			r.run()
			r.caughtUp("h")
			if len(got) != 2 {
				t.Errorf("handled %v", got)
			}
			dead, err := r.Consumers().Dead(t.Context(), "h", "", 10)
			if err != nil || len(dead) != 1 || dead[0].Attempts != 1 || !strings.Contains(dead[0].Reason, "is not what its topic says") {
				t.Errorf("dead letters %+v, %v", dead, err)
			}
		})
	}
}

// hostless is an application that could not be made.
type hostless struct{}

func (hostless) Node() *bus.Node { return nil }

func TestHostWithoutNode(t *testing.T) {
	var h hostless
	ctx := t.Context()
	_, subscribed := bus.Subscribe(h, readings)
	_, publisher := bus.NewPublisher(h, readings)
	_, requested := bus.Request(ctx, h, prices, priceOf{})
	for i, err := range []error{
		bus.Handle(h, readings, "h", func(context.Context, reading) error { return nil }),
		bus.HandleBatch(h, readings, "h", func(context.Context, []reading) error { return nil }),
		bus.HandleLive(h, readings, "h", func(context.Context, reading) error { return nil }),
		bus.Respond(h, prices, func(context.Context, priceOf) (price, error) { return price{}, nil }),
		bus.PublishTo(ctx, h, readings, reading{}), subscribed, publisher, requested,
	} {
		if !errors.Is(err, bus.ErrNoHost) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := bus.Publish(bus.WithNode(ctx, h), readings, reading{}); !errors.Is(err, bus.ErrNoNode) {
		t.Error(err)
	}
}
