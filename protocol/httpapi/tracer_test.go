package httpapi_test

import (
	"context"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// spans is a tracer that remembers the parent of the last span.
type spans struct {
	embedded.Tracer
	parent trace.SpanContext
}

func (s *spans) Start(ctx context.Context, name string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	s.parent = trace.SpanContextFromContext(ctx)
	return noop.NewTracerProvider().Tracer("").Start(ctx, name)
}
