package bus_test

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

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

type priceOf struct{ Item string }

type price struct{ Cents int }

var prices = bus.NewEndpoint[priceOf, price]("prices/get")

// newLive returns a node without a store, and a function that runs it until the test ends or it is called again.
func newLive(t testing.TB, o bus.NodeOptions) *rig {
	o.Bus = bus.New(bus.Options{})
	return &rig{node: bus.NewNode(o), t: t}
}

func TestRequest(t *testing.T) {
	r := newLive(t, bus.NodeOptions{})
	var seen atomic.Int32
	err := bus.Respond(r, prices, func(ctx context.Context, q priceOf) (price, error) {
		seen.Add(1)
		switch q.Item {
		case "apple":
			return price{120}, nil
		case "pear":
			return price{}, fmt.Errorf("looking: %w", &bus.RemoteError{Code: "sold_out", Message: "no pears today"})
		case "fig":
			panic("figs")
		}
		return price{}, errors.New("secret: the password is 123")
	})
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	for _, c := range []struct {
		item string
		want price
		code string
	}{{"apple", price{120}, ""}, {"pear", price{}, "sold_out"}, {"fig", price{}, bus.CodeInternal}, {"kiwi", price{}, bus.CodeInternal}} {
		got, err := bus.Request(t.Context(), r, prices, priceOf{c.item})
		var told *bus.RemoteError
		if errors.As(err, &told) != (c.code != "") || got != c.want || told != nil && told.Code != c.code {
			t.Errorf("%s: %v, %v", c.item, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the requester is told %v", c.item, err)
		}
	}
	other := bus.NewEndpoint[string, price]("prices/get")
	var told *bus.RemoteError
	if _, err := bus.Request(t.Context(), r, other, "no object"); !errors.As(err, &told) || told.Code != bus.CodeBadRequest {
		t.Errorf("a bad request: %v", err)
	}
	if seen.Load() != 4 {
		t.Errorf("the responder saw %d requests, want 4", seen.Load())
	}
	wrong := bus.NewEndpoint[priceOf, string]("prices/get")
	var decode *bus.DecodeError
	if _, err := bus.Request(t.Context(), r, wrong, priceOf{"apple"}); !errors.As(err, &decode) {
		t.Errorf("a reply of another type: %v", err)
	}
}

func TestRequestWithoutResponder(t *testing.T) {
	r := newLive(t, bus.NodeOptions{})
	if _, err := bus.Request(t.Context(), r, prices, priceOf{}); !errors.Is(err, bus.ErrNoResponder) {
		t.Errorf("nobody: %v", err)
	}
	for name, o := range map[string]bus.QueueOptions{"takes it": {}, "is full": {Bytes: 1}} { // who only listens is no responder
		q, err := r.Bus().NewQueue("#", o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bus.Request(t.Context(), r, prices, priceOf{}); !errors.Is(err, bus.ErrNoResponder) {
			t.Errorf("nobody but somebody who listens and %s: %v", name, err)
		}
		q.Close()
	}
	if err := bus.Respond(r, prices, func(context.Context, priceOf) (price, error) { return price{1}, nil }); err != nil {
		t.Fatal(err)
	}
	r.run()
	if _, err := bus.Request(t.Context(), r, prices, priceOf{}); err != nil {
		t.Errorf("somebody: %v", err)
	}
	r.stop()
	if _, err := bus.Request(t.Context(), r, prices, priceOf{}); err == nil {
		t.Error("a node that has ended still requests")
	}
}

func TestPromiseRequestTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLive(t, bus.NodeOptions{})
		if err := bus.Respond(r, prices, func(ctx context.Context, _ priceOf) (price, error) {
			<-ctx.Done()
			return price{}, ctx.Err()
		}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		start := time.Now()
		_, err := bus.Request(context.Background(), r, prices, priceOf{})
		if took := time.Since(start); !errors.Is(err, bus.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || took != bus.DefaultRequestTimeout {
			t.Errorf("after %v: %v", took, err)
		}
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := bus.Request(short, r, prices, priceOf{}); !errors.Is(err, bus.ErrTimeout) || time.Since(start) != time.Second {
			t.Errorf("with a deadline: %v", err)
		}
		canceled, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		if _, err := bus.Request(canceled, r, prices, priceOf{}); !errors.Is(err, context.Canceled) || errors.Is(err, bus.ErrTimeout) {
			t.Errorf("canceled: %v", err)
		}
		stop()
		if err := <-done; err != nil { // after the grace, the handlers' context ends
			t.Error(err)
		}
	})
}

// A responder that is full says so at once, and one whose requesters have given up does not work for them.
func TestResponderThatIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLive(t, bus.NodeOptions{})
		release, handled := make(chan struct{}), 0
		if err := bus.Respond(r, prices, func(context.Context, priceOf) (price, error) {
			<-release
			handled++
			return price{}, nil
		}, bus.LiveOptions{Concurrency: 1, Queue: bus.QueueOptions{Events: 1}}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		var asking sync.WaitGroup
		for range 2 { // one is handled, one waits in the queue
			asking.Go(func() {
				if _, err := bus.Request(ctx, r, prices, priceOf{}); !errors.Is(err, bus.ErrTimeout) {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		var told *bus.RemoteError
		if _, err := bus.Request(ctx, r, prices, priceOf{}); !errors.As(err, &told) || told.Code != bus.CodeBusy {
			t.Errorf("the third: %v", err)
		}
		asking.Wait()
		<-time.After(time.Second) // past the deadline of those who waited
		close(release)
		synctest.Wait()
		if handled != 1 {
			t.Errorf("%d were handled, want 1", handled)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Replies go to whoever asked, and a requester cannot have the node publish elsewhere.
func TestPromiseRepliesArePrivate(t *testing.T) {
	r := newLive(t, bus.NodeOptions{})
	var mu sync.Mutex
	var subjects []string
	spy := r.Bus().NewClient(spyFunc(func(m *bus.Message) bool {
		mu.Lock()
		defer mu.Unlock()
		subjects = append(subjects, strings.Clone(m.Subject()))
		return true
	}))
	defer spy.Close()
	for _, f := range []string{"#", "+/#", "+/+/+", "orders/#"} {
		if _, err := spy.Subscribe(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := spy.SubscribeGlob("*"); err != nil {
		t.Fatal(err)
	}
	if err := bus.Respond(r, prices, func(context.Context, priceOf) (price, error) { return price{7}, nil }); err != nil {
		t.Fatal(err)
	}
	r.run()
	if got, err := bus.Request(t.Context(), r, prices, priceOf{}); err != nil || got.Cents != 7 {
		t.Fatal(got, err)
	}
	forged := &event.Event{Subject: "prices/get", Data: []byte("{}"), Headers: []event.Header{{Name: "reply-to", Value: "orders/new"}}}
	if _, err := r.Bus().PublishLive(forged); err != nil {
		t.Fatal(err)
	}
	r.stop()
	for _, s := range subjects {
		if s != "prices/get" {
			t.Errorf("a spy saw %q", s)
		}
	}
}

type spyFunc func(*bus.Message) bool

func (f spyFunc) Deliver(m *bus.Message) bool { return f(m) }

// What several responders say: the first counts.
func TestSeveralResponders(t *testing.T) {
	r := newLive(t, bus.NodeOptions{})
	var seen atomic.Int32
	for i := range 3 {
		if err := bus.Respond(r, prices, func(context.Context, priceOf) (price, error) {
			seen.Add(1)
			return price{i + 1}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	if got, err := bus.Request(t.Context(), r, prices, priceOf{}); err != nil || got.Cents < 1 {
		t.Error(got, err)
	}
	r.stop()
	if seen.Load() != 3 {
		t.Errorf("%d of 3 saw the request", seen.Load())
	}
}
