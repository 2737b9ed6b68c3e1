package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store/memstore"
)

// A decode error does not end a subscription; closing does, after what was queued.
func TestReader(t *testing.T) {
	r := newLive(t, bus.NodeOptions{})
	in, err := bus.Subscribe(r, readings)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{`{"Device":"a"}`, `no json`, `{"Device":"b"}`} {
		if _, err := r.Bus().PublishLive(&event.Event{Subject: "sensors/x/temperature", Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	in.Close()
	var got []string
	for v, err := range in.All(t.Context()) {
		var wrong *bus.DecodeError
		switch {
		case err == nil:
			got = append(got, v.Device)
		case errors.As(err, &wrong):
			got = append(got, string(wrong.Event.Data))
		default:
			got = append(got, fmt.Sprint(errors.Is(err, bus.ErrClosed)))
		}
	}
	if fmt.Sprint(got) != "[a no json b true]" {
		t.Error(got)
	}
	if _, err := bus.Subscribe(r, readings, bus.QueueOptions{}, bus.QueueOptions{}); err == nil {
		t.Error("two options are taken")
	}
}

// Promise: a subscription that overflows does what its policy says, and counts.
func TestPromiseReaderOverflow(t *testing.T) {
	for policy, want := range map[bus.Overflow]string{bus.DropNewest: "[1 2] 2 <nil>", bus.DropOldest: "[3 4] 2 <nil>", bus.Disconnect: "[1 2] 1 the reader fell behind and was disconnected"} {
		r := newLive(t, bus.NodeOptions{})
		numbers := bus.NewTopic[int]("n")
		in, err := bus.Subscribe(r, numbers, bus.QueueOptions{Events: 2, Overflow: policy})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if err := bus.PublishTo(t.Context(), r, numbers, i+1); err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		for range 2 {
			v, err := in.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = in.Next(ended)
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		if have := fmt.Sprint(got, in.Dropped(), err); have != want {
			t.Errorf("policy %d: %s, want %s", policy, have, want)
		}
		in.Close()
	}
}

// A live handler keeps order, outlives errors and panics, publishes at once, and finishes its queue when the node ends.
func TestHandleLive(t *testing.T) {
	var log bytes.Buffer
	r := newLive(t, bus.NodeOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	seen := make(chan string, 10)
	again, err := bus.Subscribe(r, alerts)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	err = bus.HandleLive(r, readings, "watch", func(ctx context.Context, v reading) error {
		d, ok := bus.Current(ctx)
		if !ok || d.Consumer != "watch" || d.Stream != "" {
			t.Errorf("the delivery is %+v", d)
		}
		if err := counts.Set(ctx, 1); !errors.Is(err, bus.ErrNoStep) {
			t.Errorf("state of a live event: %v", err)
		}
		switch seen <- v.Device; v.Device {
		case "b":
			return errors.New("no b")
		case "c":
			panic("no c")
		}
		return bus.Publish(ctx, alerts, v.alert())
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"a", "b", "c", "d"} {
		if err := bus.PublishTo(t.Context(), r, readings, reading{d, 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Bus().PublishLive(&event.Event{Subject: "sensors/a/temperature", Data: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	if live := r.Live(); fmt.Sprint(live) != "[{watch sensors/+/temperature 5 0 0}]" {
		t.Error(live)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what is queued is handled nevertheless
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	close(seen)
	var order []string
	for d := range seen {
		order = append(order, d)
	}
	if strings.Join(order, "") != "abcd" {
		t.Error(order)
	}
	for _, want := range []string{"a", "d"} {
		if v, err := again.Next(t.Context()); err != nil || v.Device != want {
			t.Error(v, err)
		}
	}
	for _, want := range []string{"no b", "no c", "is not what its topic says"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if err := bus.HandleLive(r, readings, "late", func(context.Context, reading) error { return nil }); !errors.Is(err, bus.ErrRan) {
		t.Errorf("after the end: %v", err)
	}
	if err := r.Run(ctx); !errors.Is(err, bus.ErrRan) {
		t.Errorf("a second run: %v", err)
	}
}

func (r reading) alert() alert { return alert{r.Device} }

func TestHandlersAddedWhileTheNodeRuns(t *testing.T) {
	r := newMemRig(t)
	r.run()
	var both sync.WaitGroup
	both.Add(2)
	if err := bus.HandleLive(r, readings, "live", func(context.Context, reading) error { both.Done(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := bus.Handle(r, readings, "kept", func(context.Context, reading) error { both.Done(); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := bus.PublishTo(t.Context(), r, readings, reading{"a", 1}); err != nil {
		t.Fatal(err)
	}
	both.Wait()
	if s := r.log.List(); len(s) == 0 || s[len(s)-1].Config().Name != "sensors.any.temperature" {
		t.Errorf("the stream that was made: %+v", s)
	}
}

// Promise: a publisher keeps the order of whoever publishes, and no more than its window on the way.
func TestPromisePublisherWindowAndOrder(t *testing.T) {
	s := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = s.Close() })
	r := newRig(t, s, bus.NodeOptions{})
	if err := bus.Handle(r, orders, "none", func(context.Context, order) error { return nil }); err != nil {
		t.Fatal(err)
	}
	// The delivery of the first event waits, and with it all that are published after it.
	block, err := r.Bus().NewQueue("orders/+", bus.QueueOptions{Events: 1, Overflow: bus.Block, BlockTime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p, err := bus.NewPublisher(r, orders, bus.PublisherOptions{Window: 8})
	if err != nil {
		t.Fatal(err)
	}
	const all = 200
	published := make(chan int, all)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range all {
			if err := p.Publish(context.Background(), order{"c", i}); err != nil {
				t.Error(err)
			}
			published <- i
		}
	})
	for i := range 8 {
		if n := <-published; n != i {
			t.Fatal(n)
		}
	}
	full, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Flush(full); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flushed what cannot be: %v", err)
	}
	if n := len(published); n > 1 { // the one that left the queue for the blocked delivery
		t.Errorf("%d beyond the window", n)
	}
	block.Close()
	publishing.Wait()
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := r.stored("orders.any")["orders/c"]
	if len(got) != all {
		t.Fatalf("%d stored", len(got))
	}
	for i, data := range got {
		if data != fmt.Sprintf(`{"Customer":"c","Number":%d}`, i) {
			t.Fatalf("%d is %s", i, data)
		}
	}
	s.FailNext(20, errors.New("no luck"))
	for i := range 21 {
		if err := p.Publish(t.Context(), order{"c", i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context()); err == nil || strings.Count(err.Error(), "no luck") != 16 || !strings.Contains(err.Error(), "and 4 events more") {
		t.Errorf("what failed: %v", err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Errorf("an error is told twice: %v", err)
	}
	if err := p.Publish(t.Context(), order{"c/d", 1}); !errors.Is(err, bus.ErrSubject) {
		t.Errorf("a value without a subject: %v", err)
	}
}
