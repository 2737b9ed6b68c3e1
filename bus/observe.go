package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spate-io/spate/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// results are the values of the label result.
const (
	resultOK = iota
	resultSkipped
	resultError
	results
)

// Metrics returns middleware that counts and times what is handled, in the histogram spate_handler_seconds with the labels handler and result (ok, skipped,
// error). Several of one registry share it. An error of the registry is a panic: it is that of the program.
func Metrics(registry prometheus.Registerer) Middleware {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "spate_handler_seconds", Help: "Time that handlers took, one call each; a batch is one.",
		Buckets: prometheus.ExponentialBuckets(10e-6, 4, 11), // 10 µs to 10 s
	}, []string{"handler", "result"})
	if err := registry.Register(seconds); err != nil {
		var already prometheus.AlreadyRegisteredError
		shared, ok := (*prometheus.HistogramVec)(nil), false
		if errors.As(err, &already) {
			shared, ok = already.ExistingCollector.(*prometheus.HistogramVec)
		}
		if !ok {
			panic(fmt.Sprintf("bus: the histogram of handlers cannot be registered: %v", err))
		}
		seconds = shared
	}
	return func(next Handler) Handler {
		var once sync.Once // a handler has one name, which the first event tells
		var observers [results]prometheus.Observer
		return func(ctx context.Context, d *Delivery) error {
			once.Do(func() {
				for i, result := range [results]string{"ok", "skipped", "error"} {
					observers[i] = seconds.WithLabelValues(d.Consumer, result)
				}
			})
			start := time.Now()
			err := next(ctx, d)
			observers[resultOf(err)].Observe(time.Since(start).Seconds())
			return err
		}
	}
}

func resultOf(err error) int {
	switch {
	case err == nil:
		return resultOK
	case failed(err):
		return resultError
	}
	return resultSkipped
}

// Tracing returns middleware that makes a span for each call of a handler: a child of the span in which the event was published; for a batch,
// one that links to those of its events. What the handler publishes is part of its span. The names of the attributes are those of
// OpenTelemetry's semantic conventions.
func Tracing(tracer trace.Tracer) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, d *Delivery) error {
			options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
				attribute.String("messaging.system", "spate"),
				attribute.String("messaging.operation.type", "process"),
				attribute.String("messaging.consumer.group.name", d.Consumer),
				attribute.String("messaging.destination.name", d.Event.Subject),
				attribute.String("messaging.message.id", d.Event.ID.String()),
				attribute.Int("spate.attempt", d.Attempt),
			)}
			if d.Stream != "" {
				options = append(options, trace.WithAttributes(attribute.String("spate.stream", d.Stream),
					attribute.Int("messaging.destination.partition.id", d.Number), attribute.Int64("spate.offset", int64(d.Offset))))
			}
			if batch := Batch(ctx); batch != nil {
				options = append(options, trace.WithLinks(linksTo(batch)...), trace.WithAttributes(attribute.Int("messaging.batch.message_count", len(batch))))
			} else {
				ctx = withTrace(ctx, d.Event)
			}
			ctx, span := tracer.Start(ctx, "process "+d.Consumer, options...)
			defer span.End()
			err := next(ctx, d)
			if failed(err) {
				span.SetStatus(codes.Error, err.Error())
			}
			return err
		}
	}
}

// linksTo returns the spans in which events were published.
func linksTo(batch []*Delivery) []trace.Link {
	var links []trace.Link
	for _, d := range batch {
		if s := trace.SpanContextFromContext(withTrace(context.Background(), d.Event)); s.IsValid() && len(links) < maxLinks {
			links = append(links, trace.Link{SpanContext: s})
		}
	}
	return links
}

// withTrace returns a context in the trace of an event, if it has one.
func withTrace(ctx context.Context, e *event.Event) context.Context {
	parent := e.Header(event.TraceParent)
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{event.TraceParent: parent})
}

// carryTrace has an event carry the trace of the context: that of its span, or that of the event that is being handled.
func carryTrace(ctx context.Context, e *event.Event) {
	parent := ""
	if trace.SpanContextFromContext(ctx).IsValid() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		parent = carrier[event.TraceParent]
	} else if d, ok := Current(ctx); ok {
		parent = d.Event.Header(event.TraceParent)
	}
	if parent != "" {
		e.Headers = append(e.Headers, event.Header{Name: event.TraceParent, Value: parent})
	}
}
