package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// kind is a kind of problem. Programs tell problems apart by it, so what it stands for never changes.
type kind string

// The kinds of problems.
const (
	kindRequest      kind = "invalid-request"
	kindPlace        kind = "invalid-place"
	kindAuth         kind = "not-authenticated"
	kindForbidden    kind = "forbidden"
	kindOrigin       kind = "cross-origin"
	kindNotFound     kind = "not-found"
	kindMethod       kind = "method-not-allowed"
	kindSlow         kind = "request-timeout"
	kindConflict     kind = "conflict"
	kindGone         kind = "resume-token-outlived"
	kindPrecondition kind = "precondition-failed"
	kindTooLarge     kind = "too-large"
	kindMedia        kind = "unsupported-media-type"
	kindEvent        kind = "invalid-event"
	kindConfig       kind = "invalid-configuration"
	kindTries        kind = "too-many-tries"
	kindTooMany      kind = "too-many-from-address"
	kindInternal     kind = "internal"
	kindCorrupt      kind = "corrupt-record"
	kindBusy         kind = "busy"
	kindUnavailable  kind = "unavailable"
	kindTimeout      kind = "timeout"
	kindFull         kind = "disk-full"
)

// problemType is what the kinds stand for, to which the type of a problem leads.
type problemType struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
}

var problemTypes = map[kind]problemType{
	kindRequest:      {"The request cannot be understood", http.StatusBadRequest},
	kindPlace:        {"There is no such place to read from", http.StatusBadRequest},
	kindAuth:         {"Authentication is required", http.StatusUnauthorized},
	kindForbidden:    {"Not permitted", http.StatusForbidden},
	kindOrigin:       {"Pages of this origin may not call this server", http.StatusForbidden},
	kindNotFound:     {"There is no such thing", http.StatusNotFound},
	kindMethod:       {"The method is not allowed here", http.StatusMethodNotAllowed},
	kindSlow:         {"The request did not arrive in time", http.StatusRequestTimeout},
	kindConflict:     {"It conflicts with what is there", http.StatusConflict},
	kindGone:         {"The stream was replaced since the resume token was given out", http.StatusGone},
	kindPrecondition: {"It is not as the request expects it", http.StatusPreconditionFailed},
	kindTooLarge:     {"It is too large", http.StatusRequestEntityTooLarge},
	kindMedia:        {"The media type is not supported here", http.StatusUnsupportedMediaType},
	kindEvent:        {"The event cannot be published", http.StatusUnprocessableEntity},
	kindConfig:       {"The configuration is not usable", http.StatusUnprocessableEntity},
	kindTries:        {"Too many failed logins", http.StatusTooManyRequests},
	kindTooMany:      {"Too many subscriptions from one address", http.StatusTooManyRequests},
	kindInternal:     {"The server failed", http.StatusInternalServerError},
	kindCorrupt:      {"A stored record is corrupt", http.StatusInternalServerError},
	kindBusy:         {"The server is busy", http.StatusServiceUnavailable},
	kindUnavailable:  {"The server takes no work now", http.StatusServiceUnavailable},
	kindTimeout:      {"It took too long", http.StatusGatewayTimeout},
	kindFull:         {"The disk is full", http.StatusInsufficientStorage},
}

// problemPath is where the types of problems are described.
const problemPath = apiPath + "problems/"

// A problem is an error as RFC 9457 writes it.
type problem struct {
	kind    kind
	detail  string
	index   int // of the event of a batch, or -1
	headers [][2]string
}

func (p *problem) Error() string { return p.detail }

// problemf makes a problem whose detail is a sentence.
func problemf(k kind, format string, args ...any) *problem {
	return &problem{kind: k, detail: fmt.Sprintf(format, args...), index: -1}
}

// with adds a header of the response.
func (p *problem) with(name, value string) *problem {
	p.headers = append(p.headers, [2]string{name, value})
	return p
}

// MarshalJSON implements json.Marshaler.
func (p *problem) MarshalJSON() ([]byte, error) {
	form := struct {
		Type string `json:"type"`
		problemType
		Detail string `json:"detail"`
		Index  *int   `json:"index,omitempty"`
	}{Type: problemPath + string(p.kind), problemType: problemTypes[p.kind], Detail: p.detail}
	if p.index >= 0 {
		form.Index = &p.index
	}
	return json.Marshal(form)
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	for _, header := range p.headers {
		h.Add(header[0], header[1])
	}
	switch p.kind {
	case kindAuth:
		h.Add("WWW-Authenticate", `Basic realm="spate", charset="UTF-8"`)
		h.Add("WWW-Authenticate", `Bearer realm="spate"`)
	case kindTries:
		h.Set("Retry-After", "60")
	case kindBusy, kindUnavailable, kindFull, kindTooMany:
		h.Set("Retry-After", "5")
	}
	h.Set("Content-Type", "application/problem+json")
	text, err := json.Marshal(p)
	if err != nil {
		text = []byte("{}")
	}
	w.WriteHeader(problemTypes[p.kind].Status)
	_, _ = w.Write(append(text, '\n')) // fails only when the client is gone
}

// sentinels maps errors to kinds. The first that fits counts.
var sentinels = []struct {
	err  error
	kind kind
}{
	{auth.ErrTooManyTries, kindTries},
	{auth.ErrBusy, kindBusy},
	{auth.ErrUnavailable, kindUnavailable},
	{auth.ErrClosed, kindUnavailable},
	{auth.ErrNotAuthenticated, kindAuth},
	{auth.ErrDenied, kindAuth},
	{auth.ErrExpired, kindAuth},
	{auth.ErrWithdrawn, kindAuth},
	{auth.ErrForbidden, kindForbidden},
	{store.ErrFull, kindFull},
	{store.ErrFailed, kindUnavailable},
	{store.ErrClosed, kindUnavailable},
	{store.ErrTooLarge, kindTooLarge},
	{store.ErrConflict, kindConflict},
	{stream.ErrNotFound, kindNotFound},
	{stream.ErrNoPartition, kindNotFound},
	{consumer.ErrNotFound, kindNotFound},
	{consumer.ErrNoLetter, kindNotFound},
	{consumer.ErrExists, kindConflict},
	{consumer.ErrRunning, kindConflict},
	{consumer.ErrOwn, kindConflict},
	{consumer.ErrPlace, kindPlace},
	{stream.ErrExists, kindConflict},
	{stream.ErrRead, kindConflict},
	{stream.ErrConfig, kindConfig},
	{device.ErrNotFound, kindNotFound},
	{device.ErrNoCommand, kindNotFound},
	{device.ErrID, kindRequest},
	{device.ErrLabel, kindRequest},
	{device.ErrMethod, kindRequest},
	{device.ErrExpiry, kindRequest},
	{device.ErrDocument, kindRequest},
	{device.ErrVersion, kindPrecondition},
	{device.ErrTooLarge, kindTooLarge},
	{device.ErrPayload, kindTooLarge},
	{device.ErrOnline, kindConflict},
	{device.ErrTooMany, kindConflict},
	{device.ErrQueue, kindBusy},
	{device.ErrBusy, kindBusy},
	{event.ErrTooLong, kindTooLarge},
	{event.ErrEmpty, kindEvent},
	{event.ErrTooDeep, kindEvent},
	{event.ErrNotText, kindEvent},
	{event.ErrWildcard, kindEvent},
	{bus.ErrReserved, kindEvent},
	{bus.ErrTooMany, kindBusy},
	{bus.ErrClosed, kindUnavailable},
	{context.DeadlineExceeded, kindTimeout},
	{context.Canceled, kindUnavailable},
}

// problemOf says what an error means to the client. What is not known is the server's own, and its text stays here.
func problemOf(err error) *problem {
	var p *problem
	var large *http.MaxBytesError
	var corrupt *store.CorruptError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return problemf(kindTooLarge, "the body is larger than %d bytes", large.Limit)
	case errors.As(err, &corrupt):
		return problemf(kindCorrupt, "%v; read on with corrupt=skip", err)
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return problemf(s.kind, "%v", err)
		}
	}
	return problemf(kindInternal, "the server could not do it; its log says why")
}

// describeProblem answers what a type of problem leads to.
func (d *Door) describeProblem(c *call) error {
	code := kind(c.r.PathValue("kind"))
	t, known := problemTypes[code]
	if !known {
		return problemf(kindNotFound, "there is no kind of problem %.40q", string(code))
	}
	return c.reply(http.StatusOK, struct {
		Type string `json:"type"`
		problemType
	}{problemPath + string(code), t})
}
