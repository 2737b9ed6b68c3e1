package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/spate-io/spate/event"
)

// A sse writes server-sent events (WHATWG HTML, 9.2). It is for one goroutine. What is written is sent by flush.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
	raw     bool // data as it is, not as CloudEvents
	buf     bytes.Buffer
	scratch []byte // for the text of an event
}

// newSSE answers that a stream of events follows.
func newSSE(w http.ResponseWriter, raw bool) *sse {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // asks nginx not to wait for more
	return &sse{w: w, control: http.NewResponseController(w), raw: raw}
}

// comment writes a line that clients ignore.
func (s *sse) comment(text string) { s.buf.WriteString(": " + text + "\n\n") }

// place sets the resume token without an event.
func (s *sse) place(token string) {
	if token != "" {
		s.buf.WriteString("id: " + token + "\n\n")
	}
}

// retry says how long a client waits before it connects again.
func (s *sse) retry() {
	s.buf.WriteString("retry: " + strconv.FormatInt(reconnectAfter.Milliseconds(), 10) + "\n\n")
}

// notice writes an event about the stream itself.
func (s *sse) notice(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("{}")
	}
	s.buf.WriteString("event: " + name + "\ndata: ")
	s.buf.Write(text)
	s.buf.WriteString("\n\n")
}

// event writes one event. A token is where to go on after it.
func (s *sse) event(e *event.Event, token string) {
	if token != "" {
		s.buf.WriteString("id: " + token + "\n")
	}
	switch {
	case !s.raw:
		s.scratch = appendCloudEvent(s.scratch[:0], e)
		s.lines(s.scratch) // the JSON of somebody else may have several
	case !utf8.Valid(e.Data) || bytes.ContainsAny(e.Data, "\r\x00"):
		s.buf.WriteString("event: base64\n")
		s.line(base64.StdEncoding.AppendEncode(nil, e.Data))
	default:
		s.lines(e.Data)
	}
	s.buf.WriteByte('\n')
}

// lines writes data, of which the client puts the lines together again.
func (s *sse) lines(data []byte) {
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		s.line(line)
	}
}

func (s *sse) line(data []byte) {
	s.buf.WriteString("data: ")
	s.buf.Write(data)
	s.buf.WriteByte('\n')
}

// full tells whether as much waits as is worth a write.
func (s *sse) full() bool { return s.buf.Len() >= writePiece }

// flush sends what waits. It fails when the client is gone or does not read.
func (s *sse) flush() error {
	if s.buf.Len() == 0 {
		return nil
	}
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if s.buf.Cap()+cap(s.scratch) > 4*writePiece {
		s.buf, s.scratch = bytes.Buffer{}, nil // one large event must not be kept for as long as the subscription lasts
	}
	if err != nil {
		return err
	}
	return s.control.Flush()
}
