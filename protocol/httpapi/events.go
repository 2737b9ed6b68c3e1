package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

// The media types of CloudEvents.
const (
	mediaStructured = "application/cloudevents+json"
	mediaBatch      = "application/cloudevents-batch+json"
	binaryPrefix    = "Ce-"
)

// publishCloudEvents is POST /v1/events: one event or many, all in one commit.
func (d *Door) publishCloudEvents(c *call) error {
	all, err := d.readCloudEvents(c)
	if err != nil {
		return err
	}
	events := make([]*event.Event, len(all))
	for i, ce := range all {
		e, p := ce.toEvent()
		if p == nil {
			if err := e.Validate(d.opts.Event); err != nil {
				p = problemOf(err)
			} else if err := d.may(c, auth.ActionPublish, e.Subject); err != nil {
				p = problemOf(err)
			}
		}
		if p != nil {
			p.index = i
			return p
		}
		events[i] = e
	}
	receipt := bus.Receipt{}
	if len(events) > 0 {
		if receipt, err = d.submit(c.r.Context(), events); err != nil {
			return err
		}
	}
	told := tell(receipt, events...)
	for i, e := range events {
		if id := all[i].id; id != e.ID.String() {
			told[i].CEID = id
		}
	}
	return c.reply(statusOf(told...), struct {
		Events    []published `json:"events"`
		Receivers int         `json:"receivers"`
	}{told, receipt.Receivers})
}

// readCloudEvents reads the events of a request in the mode that its headers say (CloudEvents 1.0, HTTP binding, 3).
func (d *Door) readCloudEvents(c *call) ([]*cloudEvent, error) {
	t, p := mediaType(c.r)
	if p != nil {
		return nil, p
	}
	binary := len(c.r.Header.Values(binaryPrefix+"Specversion")) > 0
	switch {
	case t == mediaStructured, t == mediaBatch:
	case strings.HasPrefix(t, "application/cloudevents"), !binary:
		return nil, problemf(kindMedia, "the Content-Type must be %s, %s, or that of the data, with the attributes in ce-… headers",
			mediaStructured, mediaBatch).with("Accept-Post", mediaStructured+", "+mediaBatch)
	}
	data, err := d.body(c, d.opts.Limits.Publish)
	if err != nil {
		return nil, err
	}
	switch {
	case t != mediaStructured && t != mediaBatch:
		ce, p := binaryCloudEvent(c.r.Header, data)
		return one(ce, p)
	case !utf8.Valid(data):
		return nil, problemf(kindRequest, "the body is not UTF-8 text")
	case t == mediaBatch:
		return decodeBatch(data, d.opts.Limits.Batch)
	}
	if !json.Valid(data) {
		return nil, problemf(kindRequest, "the body is not JSON, or more than one value: %v", jsonError(data))
	}
	ce, p := decodeCloudEvent(data)
	return one(ce, p)
}

// one is for a problem that must not become an error that is not nil.
func one(ce *cloudEvent, p *problem) ([]*cloudEvent, error) {
	if p != nil {
		return nil, p
	}
	return []*cloudEvent{ce}, nil
}

// decodeBatch reads a list of events. Each has data of its own, so that one that is kept does not keep the others.
func decodeBatch(data []byte, most int) ([]*cloudEvent, error) {
	if !json.Valid(data) {
		return nil, problemf(kindRequest, "the body is not JSON, or more than one value: %v", jsonError(data))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if token, err := dec.Token(); err != nil || token != json.Delim('[') {
		return nil, problemf(kindRequest, "a batch of CloudEvents must be a list")
	}
	var all []*cloudEvent
	for dec.More() {
		if len(all) == most {
			return nil, problemf(kindTooLarge, "the batch has more than %d events: send it in parts", most)
		}
		var text json.RawMessage
		if err := dec.Decode(&text); err != nil {
			return nil, problemf(kindRequest, "the body is not JSON: %v", err)
		}
		ce, p := decodeCloudEvent(text)
		if p != nil {
			p.index = len(all)
			return nil, p
		}
		all = append(all, ce)
	}
	return all, nil
}

// binaryCloudEvent reads an event whose attributes are headers.
func binaryCloudEvent(h http.Header, data []byte) (*cloudEvent, *problem) {
	c := &cloudEvent{data: data, contentType: h.Get("Content-Type")}
	if !usableText(c.contentType) {
		return nil, problemf(kindEvent, "the Content-Type has characters that an attribute must not have")
	}
	for field, values := range h {
		name, ok := strings.CutPrefix(field, binaryPrefix)
		if !ok {
			continue
		}
		name = strings.ToLower(name)
		if len(values) > 1 {
			return nil, problemf(kindEvent, "the attribute %.40q is there twice", name)
		}
		if strings.HasPrefix(name, "data") && reservedNames[name] && name != "dataschema" {
			return nil, problemf(kindEvent, "the header %.40q must not be there: Content-Type and the body are for that", field)
		}
		value, p := headerValue(name, values[0])
		if p == nil {
			p = c.set(name, value)
		}
		if p != nil {
			return nil, p
		}
	}
	return c, c.check()
}

// headerValue decodes the value of a header (CloudEvents 1.0, HTTP binding, 3.1.3.2).
func headerValue(name, text string) (string, *problem) {
	if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		text = unescape(text[1 : len(text)-1])
	}
	value, err := url.PathUnescape(text)
	if err != nil {
		return "", problemf(kindEvent, "the attribute %.40q is not percent-encoded as it must be: %v", name, err)
	}
	return value, nil
}

// unescape takes the backslashes out of a quoted string.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
