package bus_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/stream"
)

// Live handlers and responders outlive a runtime.Goexit, as t.Fatal calls it: the event has failed, and the next is handled.
func TestGoexitOfLiveHandlers(t *testing.T) {
	r := newLive(t, bus.NodeOptions{})
	seen := make(chan string, 10)
	err := errors.Join(
		bus.HandleLive(r, readings, "watch", func(_ context.Context, v reading) error {
			seen <- v.Device
			if v.Device != "last" {
				runtime.Goexit()
			}
			return nil
		}),
		bus.Respond(r, prices, func(_ context.Context, q priceOf) (price, error) {
			if q.Item == "exit" {
				runtime.Goexit()
			}
			return price{1}, nil
		}, bus.LiveOptions{Concurrency: 1}))
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	for _, d := range []string{"a", "b", "last"} {
		if err := bus.PublishTo(t.Context(), r, readings, reading{d, 1}); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != d {
			t.Errorf("got %q, want %q", got, d)
		}
	}
	for _, item := range []string{"exit", "apple", "exit", "apple"} {
		got, err := bus.Request(t.Context(), r, prices, priceOf{item})
		var told *bus.RemoteError
		if item == "exit" && (!errors.As(err, &told) || told.Code != bus.CodeInternal) || item == "apple" && (err != nil || got.Cents != 1) {
			t.Errorf("%s: %v, %v", item, got, err)
		}
	}
	r.stop() // which finds nothing that failed
}

// exiting is a subscriber that ends the goroutine that delivers.
type exiting struct{}

func (exiting) Deliver(*bus.Message) bool {
	runtime.Goexit()
	return true
}

// A subscriber that calls runtime.Goexit loses its subscription, and nobody waits for ever for what is stored.
func TestGoexitOfSubscriber(t *testing.T) {
	b, s := keeping(t, stream.Config{})
	c := b.NewClient(exiting{})
	defer c.Close()
	if _, err := c.Subscribe("kept/#"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1", "2"} {
		if _, err := b.Publish(t.Context(), &event.Event{Subject: "kept/a", Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	b.Wait()
	if got := stored(t, s); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("got %v", got)
	}
	if stats := b.Stats(); stats.Panics != 1 || stats.Subscriptions != 0 {
		t.Errorf("%+v", stats)
	}
}
