package resp

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// traces tells whether a tracer does anything.
func traces(t trace.Tracer) bool {
	switch t.(type) {
	case nil, noop.Tracer, *noop.Tracer:
		return false
	}
	return true
}

// traced runs the command within a span. The names of the attributes are those of OpenTelemetry's semantic conventions.
func (r *Request) traced() (err error) {
	ctx, span := r.proto.tracer.Start(connContext{r.conn}, r.cmd.full, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("rpc.system", "resp"),
		attribute.String("rpc.method", r.cmd.full),
		attribute.String("client.address", r.conn.RemoteString()),
		attribute.Int64("spate.connection", int64(r.conn.ID())),
		attribute.Int("spate.request.args", len(r.args)),
	))
	defer span.End()
	if err = r.call(ctx); err != nil && !errors.Is(err, errQuit) {
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}
