package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/task"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// steps is middleware that notes when it is entered and left.
type steps struct {
	mu    sync.Mutex
	noted []string
}

func (s *steps) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted = append(s.noted, text)
}

func (s *steps) named(name string) bus.Middleware {
	return func(next bus.Handler) bus.Handler {
		return func(ctx context.Context, d *bus.Delivery) error {
			s.note(name)
			err := next(ctx, d)
			if panicked := (*task.PanicError)(nil); errors.As(err, &panicked) {
				s.note("panic in " + name)
			}
			return err
		}
	}
}

// A panic of middleware reaches what is outside of Recovery as an error, with its stack, and the event is tried again like any other.
func TestRecovery(t *testing.T) {
	var s steps
	r := newStored(t, bus.NodeOptions{})
	panics := func(next bus.Handler) bus.Handler {
		return func(ctx context.Context, d *bus.Delivery) error {
			if d.Attempt == 1 {
				panic("first attempt")
			}
			return next(ctx, d)
		}
	}
	err := bus.Handle(r, readings, "one", func(context.Context, reading) error { s.note("handler"); return nil }, bus.HandlerOptions{
		Middleware: []bus.Middleware{s.named("outside"), bus.Recovery(), panics}, Retry: task.Backoff{Attempts: 2, Initial: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	if err := bus.PublishTo(t.Context(), r, readings, reading{"a", 1}); err != nil {
		t.Fatal(err)
	}
	want := []string{"outside", "panic in outside", "outside", "handler"}
	eventually(t, "the second attempt", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Equal(s.noted, want)
	})
	r.stop()
}

func newStored(t *testing.T, o bus.NodeOptions) *rig {
	s := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = s.Close() })
	return newRig(t, s, o)
}

// The node's middleware is outside of the handler's, in the order of the lists, around every kind of handler; a panic reaches it as an error.
func TestMiddlewareOrder(t *testing.T) {
	var s steps
	r := newStored(t, bus.NodeOptions{Middleware: []bus.Middleware{s.named("1"), s.named("2")}})
	own := []bus.Middleware{s.named("3"), s.named("4")}
	handle := func(v reading) error {
		if v.Celsius < 0 {
			panic("cold")
		}
		s.note("handler")
		return nil
	}
	for _, err := range []error{
		bus.Handle(r, readings, "one", func(_ context.Context, v reading) error { return handle(v) }, bus.HandlerOptions{Middleware: own, Retry: task.Backoff{Attempts: 1}}),
		bus.HandleLive(r, bus.NewTopic[reading]("live"), "live", func(_ context.Context, v reading) error { return handle(v) }, bus.LiveOptions{Middleware: own}),
		bus.Respond(r, bus.NewEndpoint[reading, int]("ask"), func(_ context.Context, v reading) (int, error) { return 0, handle(v) }, bus.LiveOptions{Middleware: own}),
		bus.HandleBatch(r, bus.NewTopic[reading]("batch"), "batch", func(_ context.Context, v []reading) error { return handle(v[0]) }, bus.HandlerOptions{Middleware: own, Retry: task.Backoff{Attempts: 1}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	want := "1 2 3 4 handler 1 2 3 4 panic in 4 panic in 3 panic in 2 panic in 1"
	for _, subject := range []string{"sensors/a/temperature", "live", "ask", "batch"} {
		s.noted = nil
		for _, data := range []string{`{"Celsius":1}`, `{"Celsius":-1}`} {
			if _, err := r.Bus().Publish(t.Context(), &event.Event{Subject: subject, Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
			until := map[string]int{`{"Celsius":1}`: 5, `{"Celsius":-1}`: 13}[data]
			eventually(t, subject, func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.noted) >= until
			})
		}
		if got := strings.Join(s.noted, " "); got != want {
			t.Errorf("%s: %s", subject, got)
		}
	}
}

func TestLogging(t *testing.T) {
	var log bytes.Buffer
	h := bus.Logging(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, err := range []error{nil, bus.Skip, errors.New("no luck")} {
		d := &bus.Delivery{Consumer: "c"}
		d.Event, d.Stream = &event.Event{Subject: "a/b"}, "s"
		if got := h(func(context.Context, *bus.Delivery) error { return err })(t.Context(), d); !errors.Is(got, err) {
			t.Error(got)
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 {
		t.Fatal(log.String())
	}
	for i, want := range []string{"level=DEBUG msg=handled handler=c subject=a/b", `error="skip this event"`, "level=WARN"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %q lacks %q", lines[i], want)
		}
	}
	if !strings.Contains(lines[2], `error="no luck"`) || !strings.Contains(lines[2], "stream=s") {
		t.Error(lines[2])
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 { // the second shares the histogram of the first
		m := bus.Metrics(registry)
		for _, name := range []string{"a", "b"} {
			calls := 0
			h := m(func(context.Context, *bus.Delivery) error {
				calls++
				return []error{nil, errors.New("no luck"), bus.Skip, nil}[calls-1]
			})
			for range 4 {
				_ = h(t.Context(), &bus.Delivery{Consumer: name})
			}
		}
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "spate_handler_seconds" {
		t.Fatal(families, err)
	}
	var got []string
	for _, m := range families[0].Metric {
		got = append(got, fmt.Sprint(m.Label[0].GetValue(), " ", m.Label[1].GetValue(), " ", m.Histogram.GetSampleCount()))
	}
	slices.Sort(got)
	if want := "a error 2,a ok 4,a skipped 2,b error 2,b ok 4,b skipped 2"; strings.Join(got, ",") != want {
		t.Error(got)
	}
}

// A trace goes from who publishes through the handler to what that publishes, and further through one without middleware.
func TestTracing(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tracer := sdk.NewTracerProvider(sdk.WithSyncer(spans)).Tracer("test")
	r := newStored(t, bus.NodeOptions{})
	last, err := bus.Subscribe(r, bus.NewTopic[alert]("last"))
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	traced := []bus.Middleware{bus.Tracing(tracer)}
	middle := bus.NewTopic[alert]("middle")
	for _, err := range []error{
		bus.Handle(r, readings, "first", func(ctx context.Context, v reading) error {
			return bus.Publish(ctx, middle, v.alert())
		}, bus.HandlerOptions{Middleware: traced}),
		bus.Handle(r, middle, "second", func(ctx context.Context, v alert) error { return bus.Publish(ctx, bus.NewTopic[alert]("last"), v) }),
		bus.HandleBatch(r, middle, "batch", func(context.Context, []alert) error { return bus.Dead(errors.New("no luck")) }, bus.HandlerOptions{Middleware: traced}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	ctx, root := tracer.Start(t.Context(), "root")
	if err := bus.PublishTo(ctx, r, readings, reading{"a", 1}); err != nil {
		t.Fatal(err)
	}
	root.End()
	_, e, err := last.NextEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trace := root.SpanContext().TraceID().String()
	if !strings.Contains(e.Header(event.TraceParent), trace) {
		t.Errorf("the last event is of the trace %q, want %s", e.Header(event.TraceParent), trace)
	}
	r.caughtUp("batch")
	r.stop()
	for _, s := range spans.GetSpans() {
		switch s.Name {
		case "process first":
			if s.Parent.SpanID() != root.SpanContext().SpanID() || s.Status.Code == codes.Error {
				t.Errorf("the first span: %+v", s)
			}
		case "process batch":
			if len(s.Links) != 1 || s.Links[0].SpanContext.TraceID().String() != trace || s.Status.Code != codes.Error {
				t.Errorf("the span of the batch: %+v", s)
			}
		}
	}
	if n := len(spans.GetSpans()); n != 3 {
		t.Errorf("%d spans", n)
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := bus.RateLimit(10, 5)(func(context.Context, *bus.Delivery) error { return nil })
		start := time.Now()
		for range 25 {
			if err := h(t.Context(), &bus.Delivery{}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start).Round(time.Millisecond); took != 2*time.Second {
			t.Errorf("25 events took %v, want 2 s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := h(ctx, &bus.Delivery{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	defer func() {
		if recover() == nil {
			t.Error("a limit of nothing is taken")
		}
	}()
	bus.RateLimit(0, 1)
}
