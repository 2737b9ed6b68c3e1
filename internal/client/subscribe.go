package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Subscription is what to receive and who receives it.
type Subscription struct {
	// Filter selects subjects. Default, on a stream only: all.
	Filter string
	// Stream is what to read; without one, the stream that captures the filter, if there is a From, and else what is published from now on.
	Stream string
	// From is where to begin in the stream: beginning, end, an offset, a time, or -1h. Default: end.
	From string
	// Corrupt is "skip" to go on after records that cannot be read.
	Corrupt string
	// Event is called for each event, a CloudEvent in JSON, in order. An error ends the subscription.
	Event func(json.RawMessage) error
	// Note is called with sentences about the subscription itself. It may be nil.
	Note func(string)
}

// ErrEnough ends a subscription without an error, when Event returns it.
var ErrEnough = errors.New("enough was received")

// Subscribe receives until the context ends, which is no error, Event returns an error, or the server says that it is no use to go on. A
// server that cannot be reached at first is an error; one that was reached before is waited for.
func (c *Client) Subscribe(ctx context.Context, s Subscription) error {
	if s.Note == nil {
		s.Note = func(string) {}
	}
	f := &following{client: c, Subscription: s}
	for failures := 0; ; {
		before := f.events
		err := f.connect(ctx)
		if f.events > before || f.fresh {
			failures = 0
		}
		failures++
		var p *Problem
		switch {
		case errors.Is(err, ErrEnough), ctx.Err() != nil:
			return nil
		case f.failed != nil:
			return f.failed
		case !f.begun, errors.As(err, &p) && p.permanent():
			return err
		}
		wait := pauseFor(failures)
		f.lost(err, wait)
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// pauseFor returns how long to wait before the n-th attempt: twice as long each time, and up to a half less, so that clients do not come all at once.
func pauseFor(n int) time.Duration {
	wait := maxPause
	if n < 8 {
		wait = min(firstPause<<(n-1), maxPause)
	}
	return wait - rand.N(wait/2) //nolint:gosec // a pause is no secret
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// following is a subscription under way.
type following struct {
	client *Client
	Subscription
	begun  bool   // the server has said yes once
	fresh  bool   // this connection was said yes to
	last   string // where to go on
	events uint64
	failed error // of Event
}

// lost tells that the connection ended.
func (f *following) lost(err error, wait time.Duration) {
	what := "events in between are lost"
	if f.Stream != "" || f.From != "" {
		what = "nothing is lost"
	}
	f.Note(fmt.Sprintf("the connection ended: %v; connecting again in %v; %s", err, wait.Round(10*time.Millisecond), what))
}

// connect receives until the connection ends, and says why it did.
func (f *following) connect(ctx context.Context) error {
	f.fresh = false
	q := url.Values{}
	for name, value := range map[string]string{"filter": f.Filter, "stream": f.Stream, "from": f.From, "corrupt": f.Corrupt} {
		if value != "" {
			q.Set(name, value)
		}
	}
	r := Request{Method: http.MethodGet, Path: []string{"subscribe"}, Query: q, Header: http.Header{"Accept": {"text/event-stream"}}}
	if f.last != "" {
		r.Header.Set("Last-Event-Id", f.last)
		q.Del("from")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answer, err := f.client.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	f.begun, f.fresh = true, true
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the server has said nothing for %v", silence)) })
	defer quiet.Stop()
	err = f.read(answer.Body, func() { quiet.Reset(silence) })
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// read reads server-sent events (WHATWG HTML, 9.2) until the connection ends.
func (f *following) read(body io.Reader, alive func()) error {
	lines := bufio.NewReaderSize(body, 64<<10)
	m := message{}
	for {
		line, err := readLine(lines)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the server closed it")
			}
			return err
		}
		alive()
		if len(line) > 0 {
			m.field(line)
			continue
		}
		if err := f.take(&m); err != nil {
			return err
		}
		m = message{}
	}
}

// readLine returns a line without its end. It may be kept.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("the server sent a line of more than %d bytes", maxLine)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), err
	}
}

// message is one server-sent event.
type message struct {
	id    string
	hasID bool
	name  string
	data  []byte
	lines int
}

func (m *message) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		m.id, m.hasID = string(value), true
	case "event":
		m.name = string(value)
	case "data":
		if m.lines++; m.lines > 1 {
			m.data = append(m.data, '\n')
		}
		m.data = append(m.data, value...)
	}
}

// take handles a message that has come in full, and then remembers where to go on.
func (f *following) take(m *message) error {
	switch {
	case m.lines == 0:
	case m.name == "":
		f.events++
		if err := f.Event(m.data); err != nil {
			f.failed = err
			return err
		}
	default:
		if err := f.notice(m); err != nil {
			return err
		}
	}
	if m.hasID {
		f.last = m.id
	}
	return nil
}

// notice handles an event about the subscription itself.
func (f *following) notice(m *message) error {
	var n struct {
		Problem
		Dropped   uint64 `json:"dropped"`
		Partition int    `json:"partition"`
		From      uint64 `json:"from"`
		To        uint64 `json:"to"`
	}
	if err := json.Unmarshal(m.data, &n); err != nil {
		return fmt.Errorf("the server sent a %q that is not JSON: %w", m.name, err)
	}
	switch m.name {
	case "error":
		return &n.Problem
	case "dropped":
		f.Note(fmt.Sprintf("%d events were dropped, because they came faster than they were taken", n.Dropped))
	case "gap":
		f.Note(fmt.Sprintf("offsets %d to %d of partition %d were removed before they were read", n.From, n.To-1, n.Partition))
	case "corrupt":
		f.Note(fmt.Sprintf("offsets %d to %d of partition %d cannot be read", n.From, n.To-1, n.Partition))
	}
	return nil
}

// SubjectOf returns the subject and the data of a CloudEvent as a node writes it.
func SubjectOf(text json.RawMessage) (subject string, data []byte, err error) {
	var e struct {
		Type         string          `json:"type"`
		Subject      string          `json:"subject"`
		SpateSubject string          `json:"spatesubject"`
		ContentType  string          `json:"datacontenttype"`
		Data         json.RawMessage `json:"data"`
		Base64       []byte          `json:"data_base64"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return "", nil, fmt.Errorf("the server sent an event that is not JSON: %w", err)
	}
	subject = e.Subject
	if subject == "" && e.SpateSubject != "" {
		subject, err = url.QueryUnescape(e.SpateSubject)
	} else if subject == "" {
		subject = strings.ReplaceAll(e.Type, ".", "/")
	}
	media, _, _ := strings.Cut(e.ContentType, ";")
	isJSON := media == "" || strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
	data = e.Base64
	if e.Data != nil {
		data = e.Data
		if s := ""; !isJSON && json.Unmarshal(e.Data, &s) == nil {
			data = []byte(s)
		}
	}
	return subject, data, err
}
