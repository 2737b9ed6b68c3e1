package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// endpointVariables switch tracing on. The exporter reads them, and the rest of
// the OTEL_… variables, itself.
func endpointVariables() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}
}

// flushTimeout bounds the export of the last spans when the process ends.
const flushTimeout = 5 * time.Second

// newTracer returns a tracer that exports over OTLP/HTTP, or nil when no
// endpoint is set. flush exports what is left.
func newTracer(ctx context.Context) (tracer trace.Tracer, flush func() error, err error) {
	nothing := func() error { return nil }
	on := false
	for _, name := range endpointVariables() {
		on = on || os.Getenv(name) != ""
	}
	if !on {
		return nil, nothing, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nothing, fmt.Errorf("setting up the export of traces: %w", err)
	}
	named, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", serviceName()), attribute.String("service.version", version())))
	if err != nil {
		return nil, nothing, fmt.Errorf("describing this service for traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(named))
	flush = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			return fmt.Errorf("exporting the last traces: %w", err)
		}
		return nil
	}
	return provider.Tracer("github.com/spate-io/spate"), flush, nil
}

func serviceName() string {
	if name := os.Getenv("OTEL_SERVICE_NAME"); name != "" {
		return name
	}
	return "spate"
}
