package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/stream"
)

func TestState(t *testing.T) {
	r := newMemRig(t)
	text := bus.NewState("text", bus.WithCodec(bus.Raw()))
	var got []string
	err := bus.Handle(r, orders, "h", func(ctx context.Context, o order) error {
		v, found, err := text.Lookup(ctx)
		got = append(got, fmt.Sprintf("%d:%s,%v,%v", o.Number, v, found, err))
		switch o.Number {
		case 1:
			return text.Set(ctx, nil) // is a value
		case 2:
			return text.Set(ctx, []byte("two"))
		case 3:
			return errors.Join(text.Set(ctx, []byte("three")), text.Delete(ctx))
		case 5:
			return errors.Join(text.Set(ctx, []byte("five")), bus.Skip)
		}
		return nil
	}, bus.HandlerOptions{Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if err := bus.PublishTo(t.Context(), r, orders, order{"a", i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	r.caughtUp("h")
	r.stop()
	want := "[1:,false,<nil> 2:,true,<nil> 3:two,true,<nil> 4:,false,<nil> 5:,false,<nil> 6:,false,<nil>]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

func TestStateTellsWhatIsWrong(t *testing.T) {
	for _, s := range []*bus.State[int]{bus.NewState[int](""), bus.NewState[int]("a\x00b"), bus.NewState("a", bus.Key(func(int) string { return "" }))} {
		if _, err := s.Get(t.Context()); !errors.Is(err, bus.ErrTopic) {
			t.Error(err)
		}
	}
	if err := counts.Set(t.Context(), 1); !errors.Is(err, bus.ErrNoStep) {
		t.Error(err)
	}
}

// In a batch each event has the state of its key, and sees what those before it have set.
func TestStateInABatch(t *testing.T) {
	r := newMemRig(t)
	if _, err := r.log.Create(t.Context(), stream.Config{Name: "orders", Subjects: []string{"orders/+"}, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.log.Create(t.Context(), stream.Config{Name: "totals", Subjects: []string{"totals/+"}}); err != nil {
		t.Fatal(err)
	}
	const customers, each = 20, 40
	p, err := bus.NewPublisher(r, orders)
	if err != nil {
		t.Fatal(err)
	}
	for n := range each {
		for k := range customers {
			if err := p.Publish(t.Context(), order{fmt.Sprint("c", k), n + 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	largest := 0
	err = bus.HandleBatch(r, orders, "count", func(ctx context.Context, all []order) error {
		if _, err := counts.Get(ctx); !errors.Is(err, bus.ErrManyKeys) {
			t.Errorf("the state of a batch: %v", err)
		}
		if _, err := alerts.Event(ctx, alert{}); !errors.Is(err, bus.ErrSubject) {
			t.Errorf("the key of a batch: %v", err)
		}
		for i, o := range all {
			if d, _ := bus.Current(bus.At(ctx, i)); d.Event.Subject != "orders/"+o.Customer {
				t.Errorf("event %d is on %q, and of %q", i, d.Event.Subject, o.Customer)
			}
			if e, err := alerts.Event(bus.At(ctx, i), alert{}); err != nil || e.Subject != "alerts/"+o.Customer {
				t.Errorf("event %d warns on %v: %v", i, e, err)
			}
		}
		if err := countBatch(ctx, all); err != nil {
			return err
		}
		largest = max(largest, len(all))
		return nil
	}, bus.HandlerOptions{BatchSize: 1000}) // more than memstore takes in a commit: batches get smaller
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	r.caughtUp("count")
	r.stop()
	if largest < 20 || largest > 200 {
		t.Errorf("the largest batch had %d events", largest)
	}
	checkTotals(t, r.stored("totals"), customers, each)
}

// Which stream a handler reads: the one it has, the one with its filter, the one that covers it.
func TestWhichStream(t *testing.T) {
	r := newMemRig(t)
	none := func(context.Context, order) error { return nil }
	handlers := 0
	reads := func(topic *bus.Topic[order], want string, options ...bus.HandlerOptions) {
		t.Helper()
		handlers++
		name := fmt.Sprint("h", handlers)
		if err := bus.Handle(r, topic, name, none, options...); err != nil {
			t.Fatal(err)
		}
		if info, err := r.Consumers().Info(t.Context(), name); err != nil || info.Stream != want {
			t.Errorf("%s reads %q, want %q: %v", topic.Filter(), info.Stream, want, err)
		}
	}
	create := func(name string, subjects ...string) {
		t.Helper()
		if _, err := r.log.Create(t.Context(), stream.Config{Name: name, Subjects: subjects}); err != nil {
			t.Fatal(err)
		}
	}
	deep := bus.NewTopic[order]("shop/+/orders/#")
	reads(deep, "shop.any.orders.all")
	reads(deep, "shop.any.orders.all") // which is there now
	create("all", "#")
	if err := r.log.Reserve(t.Context(), stream.Config{Name: "$own", Subjects: []string{"$own/#"}}); err != nil {
		t.Fatal(err)
	}
	reads(bus.NewTopic[order]("$own/+"), "$own")
	reads(deep, "shop.any.orders.all")
	reads(bus.NewTopic[order]("other"), "all")
	reads(deep, "all", bus.HandlerOptions{Stream: "all"})
	// A handler stays with its stream when others come that capture the same.
	r.run()
	eventually(t, "h5 to be known", func() bool { info, err := r.Consumers().Info(t.Context(), "h5"); return err == nil && info.Running })
	r.stop()
	create("more", "other/#")
	again := &rig{node: bus.NewNode(bus.NodeOptions{Bus: r.Bus()}), t: t}
	if err := bus.Handle(again, bus.NewTopic[order]("other"), "h5", none); err != nil {
		t.Error(err)
	}
	if err := bus.Handle(again, bus.NewTopic[order]("other"), "new", none); !errors.Is(err, bus.ErrStream) {
		t.Error(err)
	}
}
