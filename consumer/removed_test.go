package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// What is redriven to a consumer that does not run can be seen, and goes with it. Letters of a consumer that is gone stay where they are seen.
func TestRedrivenAndRemoved(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	n.handle(consumer.Config{}, func(context.Context, *consumer.Delivery) error { return consumer.Dead(errors.New("broken")) })
	n.publish("k", "1", "2", "3")
	n.run()
	n.caughtUp("c")
	if err := n.set.Pause(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if k, err := n.set.Redrive(t.Context(), "0", "1"); k != 2 || err != nil {
		t.Fatal(k, err)
	}
	if all, err := n.set.List(t.Context()); err != nil || len(all) != 1 || all[0].Redriven != 2 || n.info("c").Redriven != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := n.set.Remove(t.Context(), "c", false); !errors.Is(err, consumer.ErrRunning) {
		t.Errorf("removing a consumer whose handler is here: %v", err)
	}
	if err := n.set.Reset(t.Context(), "c", stream.FromOffset(99)); !errors.Is(err, consumer.ErrPlace) {
		t.Errorf("resetting beyond the end: %v", err)
	}
	if info := n.info("c"); info.Redriven != 2 || info.Lag != 0 {
		t.Errorf("what was refused has changed something: %+v", info)
	}
	n.stop()
	other := consumer.NewSet(consumer.Options{Log: n.log}) // a process without the handler
	if err := other.Remove(t.Context(), "c", false); err != nil {
		t.Fatal(err)
	}
	if b, err := n.store.Bounds(t.Context(), store.Partition{Stream: consumer.RedriveStream}); err != nil || b.Count != 0 {
		t.Errorf("what was redriven is still there: %+v, %v", b, err)
	}
	if k, err := other.RedriveAll(t.Context(), ""); k != 0 || !errors.Is(err, consumer.ErrNotFound) {
		t.Errorf("redriving to nobody: %d, %v", k, err)
	}
	if letters, err := other.Dead(t.Context(), "c", "", 10); err != nil || len(letters) != 1 {
		t.Errorf("%v, %v", letters, err)
	}
	if _, err := other.Dead(t.Context(), "nobody", "", 10); !errors.Is(err, consumer.ErrNotFound) {
		t.Errorf("the letters of nobody: %v", err)
	}
	if k, err := other.RedriveAll(t.Context(), "nobody"); k != 0 || !errors.Is(err, consumer.ErrNotFound) {
		t.Errorf("redriving the letters of nobody: %d, %v", k, err)
	}
	if k, err := other.DropAll(t.Context(), ""); k != 1 || err != nil {
		t.Errorf("dropping: %d, %v", k, err)
	}
}

func TestNegativeOptions(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{}))
	for name, c := range map[string]consumer.Config{
		"Concurrency": {Concurrency: -1}, "InFlight": {InFlight: -1}, "InFlightBytes": {InFlightBytes: -1}, "BatchSize": {BatchSize: -1}, "Timeout": {Timeout: -1},
	} {
		c.Name, c.Stream = "c", "in"
		if err := n.set.Handle(c, forward); err == nil || !strings.Contains(err.Error(), name+" must not be negative") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
