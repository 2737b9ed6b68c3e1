package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel"
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

// A tracer exports spans over OTLP/HTTP, or does nothing.
type tracer struct {
	trace.Tracer // nil without an endpoint
	provider     *sdktrace.TracerProvider
}

// newTracer returns a tracer for the endpoint that the environment names, if it names one.
func newTracer(ctx context.Context) (tracer, error) {
	on := false
	for _, name := range endpointVariables() {
		on = on || os.Getenv(name) != ""
	}
	if !on {
		return tracer{}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return tracer{}, fmt.Errorf("setting up the export of traces: %w", err)
	}
	named, err := resource.Merge(resource.Default(), resource.NewSchemaless(
		attribute.String("service.name", serviceName()), attribute.String("service.version", version())))
	if err != nil {
		return tracer{}, fmt.Errorf("describing this service for traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(named))
	return tracer{Tracer: provider.Tracer("github.com/spate-io/spate"), provider: provider}, nil
}

// report has failures of the export logged, which would otherwise be printed, and
// says at once which endpoint cannot be one.
func (t tracer) report(log *slog.Logger) {
	for _, name := range endpointVariables() {
		text := os.Getenv(name)
		u, err := url.Parse(text)
		if text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			log.Warn("no traces can be exported: the variable is not a URL such as http://127.0.0.1:4318", "variable", name, "value", text)
		}
	}
	if t.provider != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("exporting traces failed", "error", err) }))
	}
}

// flush exports what is left. That somebody else's server is away is no failure of ours.
func (t tracer) flush(log *slog.Logger) {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("exporting the last traces failed", "error", err)
	}
}

func serviceName() string {
	if name := os.Getenv("OTEL_SERVICE_NAME"); name != "" {
		return name
	}
	return "spate"
}
