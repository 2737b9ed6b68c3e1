package httpapi

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"go.opentelemetry.io/otel/propagation"
)

// The headers of POST /v1/publish/{subject}.
const (
	headerID          = "Spate-Id"
	headerIdempotency = "Idempotency-Key"
	headerKey         = "Spate-Key"
	headerTime        = "Spate-Time"
	headerPrefix      = "Spate-Header-"
)

// contentType is the header of an event that says what its data is.
const contentType = "content-type"

// published is what a publisher is told about an event.
type published struct {
	ID      event.ID `json:"id"`
	CEID    string   `json:"ce_id,omitempty"` // the id that the CloudEvent had, if it was another
	Subject string   `json:"subject"`
	Streams []string `json:"streams"` // that capture it
	// Duplicates are the places where streams with a dedupe window hold an event of that ID already, so that they left this one out.
	Duplicates []place `json:"duplicates,omitempty"`
}

// place is where an event is.
type place struct {
	Stream    string `json:"stream"`
	Partition int    `json:"partition"`
	Offset    uint64 `json:"offset"`
}

// publish is POST /v1/publish/{subject...}.
func (d *Door) publish(c *call) error {
	subject := strings.TrimPrefix(c.r.URL.Path, publishPath)
	if err := event.ValidateSubject(subject, d.opts.Event); err != nil {
		return err
	}
	if err := d.may(c, auth.ActionPublish, subject); err != nil {
		return err
	}
	if _, p := mediaType(c.r); p != nil {
		return p
	}
	e := &event.Event{Subject: subject}
	if err := fillFromHeaders(e, c); err != nil {
		return err
	}
	var err error
	if e.Data, err = d.body(c, d.opts.Limits.Publish); err != nil {
		return err
	}
	receipt, err := d.submit(c.r.Context(), []*event.Event{e})
	if err != nil {
		return err
	}
	told := tell(receipt, e)[0]
	return c.reply(statusOf(told), struct {
		published
		Receivers int `json:"receivers"`
	}{told, receipt.Receivers})
}

// statusOf is 200 for what is stored, and 202 for what has gone to whoever listens now and is kept by no stream.
func statusOf(all ...published) int {
	for _, p := range all {
		if len(p.Streams) == 0 {
			return http.StatusAccepted
		}
	}
	return http.StatusOK
}

// tell says what became of each event.
func tell(r bus.Receipt, events ...*event.Event) []published {
	all, rest := make([]published, len(events)), r.Stored
	for i, e := range events {
		p := &all[i]
		*p = published{ID: e.ID, Subject: e.Subject, Streams: []string{}}
		for ; len(rest) > 0 && rest[0].Event == e; rest = rest[1:] { // they are in the order of the events
			a := &rest[0]
			p.Streams = append(p.Streams, a.Stream)
			if a.Duplicate {
				p.Duplicates = append(p.Duplicates, place{a.Stream, a.Number, a.Offset})
			}
		}
	}
	return all
}

// submit publishes events in one commit and waits until they are stored and delivered.
func (d *Door) submit(ctx context.Context, events []*event.Event) (bus.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opts.Limits.PublishTimeout)
	defer cancel()
	type outcome struct {
		receipt bus.Receipt
		err     error
	}
	done := make(chan outcome, 1)
	d.opts.Bus.Submit(events, func(r bus.Receipt, err error) { done <- outcome{r, err} })
	select {
	case o := <-done:
		return o.receipt, o.err
	case <-ctx.Done():
		return bus.Receipt{}, problemf(kindTimeout, "the store did not answer in time: the event may have been published or not; repeat it with the same id or Idempotency-Key into a stream with a dedupe window")
	}
}

// fillFromHeaders sets what the headers of the request say about the event.
func fillFromHeaders(e *event.Event, c *call) error {
	h := c.r.Header
	for name, values := range h {
		if !validText(values) && (name == headerKey || strings.HasPrefix(name, headerPrefix)) {
			return problemf(kindEvent, "the header %s is not UTF-8 text", name)
		}
	}
	e.Key = h.Get(headerKey)
	if text := h.Get(headerTime); text != "" {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return problemf(kindEvent, "%s: %.40q is no time such as 2026-01-02T15:04:05.6Z", headerTime, text)
		}
		e.Time = t
	}
	if err := identify(e, c); err != nil {
		return err
	}
	if t := h.Get("Content-Type"); t != "" {
		e.Headers = append(e.Headers, event.Header{Name: contentType, Value: t})
	}
	for name, values := range h {
		if rest, ok := strings.CutPrefix(name, headerPrefix); ok && rest != "" {
			for _, v := range values {
				e.Headers = append(e.Headers, event.Header{Name: strings.ToLower(rest), Value: textproto.TrimString(v)})
			}
		}
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(c.r.Context(), carrier)
	if parent := carrier[event.TraceParent]; parent != "" && e.Header(event.TraceParent) == "" {
		e.Headers = append(e.Headers, event.Header{Name: event.TraceParent, Value: parent})
	}
	return nil
}

// identify takes the ID that the client gives, or makes one of its Idempotency-Key: the same key of the same user for the same
// subject is the same event.
func identify(e *event.Event, c *call) error {
	text, key := c.r.Header.Get(headerID), c.r.Header.Get(headerIdempotency)
	switch {
	case text != "" && key != "":
		return problemf(kindEvent, "give either %s or %s", headerID, headerIdempotency)
	case text != "":
		id, err := event.ParseID(text)
		if err != nil {
			return problemf(kindEvent, "%s: %v", headerID, err)
		}
		e.ID = id
	case len(key) > maxIdempotency:
		return problemf(kindEvent, "%s is longer than %d bytes", headerIdempotency, maxIdempotency)
	case key != "":
		e.ID = derivedID("idempotency key", c.id.User(), e.Subject, key)
	}
	return nil
}

// derivedID makes an ID from what identifies an event elsewhere: the same parts give the same ID, which a stream with a dedupe window
// takes once. The time in it is 0, since that of arrival would differ.
func derivedID(parts ...string) event.ID {
	sum := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(p), p)
	}
	var id event.ID
	copy(id[6:], sum.Sum(nil))
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id
}

func validText(values []string) bool {
	for _, v := range values {
		if !utf8.ValidString(v) {
			return false
		}
	}
	return true
}
