package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/internal/client"
)

// Bounds of what is sent together.
const (
	maxBatch      = 500     // events
	maxBatchBytes = 1 << 20 // of data, unless one event has more
	maxLineBytes  = 8 << 20 // of a line: two of them, in base64, are what a node takes at once by default
)

// A lineEvent is a CloudEvent in JSON.
type lineEvent struct {
	Version string `json:"specversion"`
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type"`
	Subject string `json:"spatesubject"`
	Key     string `json:"spatekey,omitempty"`
	Headers string `json:"spateheaders,omitempty"`
	Media   string `json:"datacontenttype,omitempty"`
	Text    bool   `json:"spatetext,omitempty"` // the event gets no content-type

	Data   *string `json:"data,omitempty"`
	Base64 []byte  `json:"data_base64,omitempty"`
}

// with returns the event with data: as text if it can be, since base64 says that it is none.
func (e lineEvent) with(line []byte) lineEvent {
	if e.Media != "" || !utf8.Valid(line) {
		e.Base64 = line
		return e
	}
	text := string(line)
	e.Media, e.Text, e.Data = "text/plain", true, &text
	return e
}

// template is what all lines have in common.
func (f *pubFlags) template(subject string) lineEvent {
	e := lineEvent{Version: "1.0", Source: "/spate", Type: "io.spate.event", Subject: url.QueryEscape(subject), Key: url.QueryEscape(f.key)}
	var headers []string
	for _, text := range f.headers {
		name, value, _ := strings.Cut(text, "=")
		if name = strings.ToLower(name); name == "content-type" {
			e.Media = value
			continue
		}
		headers = append(headers, url.QueryEscape(name)+"="+url.QueryEscape(value))
	}
	e.Headers = strings.Join(headers, "&")
	return e
}

// lineTotals is what was published.
type lineTotals struct {
	Events    int `json:"events"`
	Receivers int `json:"receivers"`
}

// publish publishes lines in order, all that there are at a time.
func (t *lineTotals) publish(ctx context.Context, c *client.Client, like lineEvent, in io.Reader, status *progress) error {
	lines := &lineReader{from: bufio.NewReaderSize(in, maxBatchBytes)}
	var ids event.Generator
	for {
		batch, err := lines.batch()
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			return nil
		}
		events := make([]lineEvent, len(batch))
		for i, line := range batch {
			events[i] = like.with(line)
			events[i].ID = ids.New().String()
		}
		body, err := json.Marshal(events)
		if err != nil {
			return err
		}
		var answer lineTotals
		r := client.Request{
			Method: http.MethodPost, Path: []string{"events"}, Body: body, Header: http.Header{"Content-Type": {"application/cloudevents-batch+json"}},
		}
		if err := c.Do(ctx, r, &struct {
			Receivers *int `json:"receivers"`
		}{&answer.Receivers}); err != nil {
			return err
		}
		t.Events += len(batch)
		t.Receivers += answer.Receivers
		status.show(func() string { return plural(t.Events, "event", "events") + " published" })
	}
}

// lineReader reads lines.
type lineReader struct {
	from *bufio.Reader
	n    int // lines read
}

// batch returns the next line, waiting for it, and those after it that have come already; none at the end.
func (l *lineReader) batch() (lines [][]byte, err error) {
	for total := 0; len(lines) < maxBatch && total < maxBatchBytes; {
		line, err := l.line()
		if err != nil {
			return nil, err
		}
		if line == nil {
			break
		}
		lines = append(lines, line)
		total += len(line)
		waiting, err := l.from.Peek(l.from.Buffered())
		if err != nil || bytes.IndexByte(waiting, '\n') < 0 {
			break
		}
	}
	return lines, nil
}

// line returns a line without its end, or nil if there is none.
func (l *lineReader) line() ([]byte, error) {
	line := []byte{}
	for {
		part, err := l.from.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLineBytes:
			return nil, fmt.Errorf("line %d has more than %d bytes: publish it without --lines", l.n+1, maxLineBytes)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil, nil
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		l.n++
		return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
	}
}
