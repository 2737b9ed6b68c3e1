package bus_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

type Reading struct {
	Device  string
	Celsius float64
}

type Alert struct{ Device string }

var (
	Readings = bus.NewTopic("sensors/+/temperature", bus.Key(func(r Reading) string { return r.Device }))
	Alerts   = bus.NewTopic[Alert]("alerts/+")
	Warnings = bus.NewState[int]("warnings")
)

// A handler keeps how often it has warned of a device, and warns: both are committed with its place in the stream, or nothing is.
func ExampleHandle() {
	store := memstore.New(memstore.Options{})
	defer store.Close()
	log, err := stream.Open(context.Background(), store, stream.Options{})
	if err != nil {
		panic(err)
	}
	node := bus.NewNode(bus.NodeOptions{Bus: bus.New(bus.Options{Log: log})}) // a program has a spate.App
	warned, err := bus.Subscribe(node, Alerts)
	if err != nil {
		panic(err)
	}
	defer warned.Close()

	err = bus.Handle(node, Readings, "overheat", func(ctx context.Context, r Reading) error {
		if r.Celsius <= 80 {
			return nil
		}
		n, err := Warnings.Get(ctx)
		if err != nil || n == 2 {
			return err
		}
		if err := Warnings.Set(ctx, n+1); err != nil {
			return err
		}
		return bus.Publish(ctx, Alerts, Alert{Device: r.Device})
	})
	if err != nil {
		panic(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- node.Run(ctx) }()
	for _, celsius := range []float64{79, 81, 82, 83} {
		if err := bus.PublishTo(ctx, node, Readings, Reading{"boiler", celsius}); err != nil {
			panic(err)
		}
	}
	for range 2 {
		a, e, err := warned.NextEvent(ctx)
		fmt.Println(a, e.Subject, err)
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// {boiler} alerts/boiler <nil>
	// {boiler} alerts/boiler <nil>
	// <nil>
}

func ExampleRequest() {
	node := bus.NewNode(bus.NodeOptions{Bus: bus.New(bus.Options{})})
	lengths := bus.NewEndpoint[string, int]("texts/length")
	err := bus.Respond(node, lengths, func(_ context.Context, text string) (int, error) {
		if text == "" {
			return 0, &bus.RemoteError{Code: "empty", Message: "there is no text"}
		}
		return len(text), nil
	})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- node.Run(ctx) }()

	fmt.Println(bus.Request(ctx, node, lengths, "hello"))
	_, err = bus.Request(ctx, node, lengths, "")
	var told *bus.RemoteError
	fmt.Println(errors.As(err, &told), told)
	_, err = bus.Request(ctx, node, bus.NewEndpoint[string, int]("texts/words"), "hello")
	fmt.Println(errors.Is(err, bus.ErrNoResponder))
	stop()
	fmt.Println(<-done)
	// Output:
	// 5 <nil>
	// true the responder says empty: there is no text
	// true
	// <nil>
}
