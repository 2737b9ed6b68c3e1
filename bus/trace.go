package bus

import (
	"context"

	"github.com/spate-io/spate/event"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// carryTrace has an event carry the trace of the context: that of its span, or that of the event that is being handled.
func carryTrace(ctx context.Context, e *event.Event) {
	parent := ""
	if trace.SpanContextFromContext(ctx).IsValid() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		parent = carrier[event.TraceParent]
	} else {
		parent = carriedTrace(ctx)
	}
	if parent != "" {
		e.Headers = append(e.Headers, event.Header{Name: event.TraceParent, Value: parent})
	}
}
