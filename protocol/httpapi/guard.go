package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/task"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// guard is what every request passes before its handler, in the order in which
// it is written here.
func (d *Door) guard(next http.Handler) http.Handler {
	security := securityHeaders()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		c := connOf(r)
		c.begin()
		answer := &recorder{ResponseWriter: w}
		returned := false
		defer func() {
			p := recover()
			if p == nil && !returned {
				p = task.ErrGoexit
			}
			d.finish(p, answer, r, c, start)
		}()
		for name, value := range security {
			w.Header()[name] = value
		}
		if r.ProtoMajor != 1 { // net/http leaves the preface of HTTP/2 to handlers
			c.note(engine.ReasonProtocol, errors.New("HTTP/2 was not agreed on"))
			w.Header().Set("Connection", "close")
			http.Error(answer, "this server speaks HTTP/1.1", http.StatusHTTPVersionNotSupported)
			returned = true
			return
		}
		if d.refuse(answer, r, c) {
			returned = true
			return
		}
		if !isAPI(r.URL.Path) { // whose handlers have limits of their own
			r.Body = http.MaxBytesReader(answer, r.Body, d.opts.Limits.Body)
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, answer.span = d.opts.Tracer.Start(ctx, "HTTP "+r.Method, trace.WithSpanKind(trace.SpanKindServer))
		r = r.WithContext(ctx)
		next.ServeHTTP(answer, r)
		returned = true
	})
}

// finish counts the request, and turns a panic into the end of its connection.
func (d *Door) finish(p any, w *recorder, r *http.Request, c *conn, start time.Time) {
	route := r.Pattern // the mux has set it
	if p != nil && p != http.ErrAbortHandler {
		w.status = http.StatusInternalServerError
		d.panicked(r, c, p)
	}
	d.meter.observe(route, w.code(), time.Since(start))
	if w.span != nil {
		w.span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", w.code()))
		if w.code() >= http.StatusInternalServerError {
			w.span.SetStatus(codes.Error, http.StatusText(w.code()))
		}
		w.span.End()
	}
	d.opts.Logger.LogAttrs(r.Context(), slog.LevelDebug, "request", slog.String("method", r.Method), slog.String("route", route),
		slog.Int("status", w.code()), slog.Duration("took", time.Since(start)), slog.Uint64("conn", c.id))
	if p != nil {
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	}
}

func (d *Door) panicked(r *http.Request, c *conn, p any) {
	c.note(engine.ReasonPanic, fmt.Errorf("panic while serving a request: %v", p))
	d.mu.Lock()
	d.count.Panics++
	d.mu.Unlock()
	d.opts.Logger.Error("a handler panicked; its connection is closed", "doing", "serving "+r.Method+" "+r.Pattern,
		"conn", c.id, "remote", c.remoteString(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

// securityHeaders are what every response carries: nothing is cached, framed,
// sniffed, or read by a page of another origin, and no script runs.
func securityHeaders() http.Header {
	sum := sha256.Sum256([]byte(style))
	return http.Header{
		"Cache-Control":                {"no-store"},
		"Content-Security-Policy":      {"default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
		"Cross-Origin-Opener-Policy":   {"same-origin"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Referrer-Policy":              {"no-referrer"},
		"X-Content-Type-Options":       {"nosniff"},
	}
}

// refuse answers a request that a browser was tricked into, and reports whether it was one.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, c *conn) bool {
	why, api := d.refuses(r, c), isAPI(r.URL.Path)
	var p *problem
	switch {
	case why != "" && !api:
		http.Error(w, why, http.StatusForbidden)
	case why != "":
		p = problemf(kindOrigin, "%s", why)
	case api:
		p = d.crossOrigin(w, r)
	}
	if p != nil {
		p.write(w)
	}
	return why != "" || p != nil
}

// refuses says why a request that a browser was tricked into is not served, or nothing.
func (d *Door) refuses(r *http.Request, c *conn) string {
	if c.lst.local && c.remote.IsValid() && !d.knowsHost(r.Host) {
		return "this server does not answer to the name in the Host header: use 127.0.0.1 or localhost, or add the name to http.hosts in the configuration"
	}
	if err := d.cross.Check(r); err != nil {
		return "a request that changes something may not come from a page of another origin"
	}
	return ""
}

// knowsHost tells whether the Host header is one that a rebound name cannot
// produce: an address, localhost, or a configured name; or none, as of a client
// of HTTP/1.0, which no browser is.
func (d *Door) knowsHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "" || name == "localhost" || slices.ContainsFunc(d.opts.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// A recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	span   trace.Span
}

// WriteHeader remembers the status.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what is wrapped.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
