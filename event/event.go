package event

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TraceParent is the name of the header that carries a trace across (W3C Trace Context).
const TraceParent = "traceparent"

// Event is something that happened, or that somebody asks for. It is passed by pointer; the
// publisher fills it in, and from then on nobody changes it.
type Event struct {
	// ID identifies the event and sorts by the time of publishing.
	ID ID
	// Subject says what the event is about and decides who receives it.
	Subject string
	// Key is the unit of order: events of one key reach one subscriber in publish order. An empty key
	// asks for no order.
	Key string
	// Time is when it happened, which may be long before it was published.
	Time time.Time
	// Headers are facts about the event that handlers may look at without decoding Data.
	Headers []Header
	// Data is the payload, which Spate does not interpret.
	Data []byte
}

// Names of headers that several doors know.
const (
	// ContentType says what Data is, as a media type (RFC 6838).
	ContentType = "content-type"
	// ReplyTo is the subject on which the publisher waits for an answer.
	ReplyTo = "reply-to"
	// CorrelationData is what an answer carries back to whoever asked, any bytes.
	CorrelationData = "correlation-data"
	// Expires is when the event is of no use any more, in Unix milliseconds.
	Expires = "expires"
)

// Header is one named fact. Names are lower case by convention and compared as they are.
type Header struct {
	Name, Value string
}

// Header returns the value of the first header with that name, or "".
func (e *Event) Header(name string) string {
	for i := range e.Headers {
		if e.Headers[i].Name == name {
			return e.Headers[i].Value
		}
	}
	return ""
}

// Size returns about how many bytes of memory the event keeps alive, for queues that are bounded in bytes.
func (e *Event) Size() int {
	const fixed, perHeader = 128, 32
	n := fixed + len(e.Subject) + len(e.Key) + len(e.Data)
	for i := range e.Headers {
		n += perHeader + len(e.Headers[i].Name) + len(e.Headers[i].Value)
	}
	return n
}

// Clone returns a copy that shares no memory with e.
func (e *Event) Clone() *Event {
	c := *e
	c.Subject = strings.Clone(e.Subject)
	c.Key = strings.Clone(e.Key)
	c.Data = slices.Clone(e.Data)
	c.Headers = slices.Clone(e.Headers)
	for i, h := range c.Headers {
		c.Headers[i] = Header{Name: strings.Clone(h.Name), Value: strings.Clone(h.Value)}
	}
	return &c
}

// Validate reports why the event cannot be published, or nil.
func (e *Event) Validate(limits Limits) error {
	if err := ValidateSubject(e.Subject, limits); err != nil {
		return err
	}
	if n, most := len(e.Data), limits.Data(); n > most {
		return e.tooMuch("bytes of data", n, most)
	}
	if n, most := len(e.Key), orDefault(limits.KeyLength, DefaultKeyLength); n > most {
		return e.tooMuch("bytes of key", n, most)
	}
	if n, most := len(e.Headers), orDefault(limits.Headers, DefaultHeaders); n > most {
		return e.tooMuch("headers", n, most)
	}
	n := 0
	for i := range e.Headers {
		n += len(e.Headers[i].Name) + len(e.Headers[i].Value)
	}
	if most := orDefault(limits.HeaderBytes, DefaultHeaderBytes); n > most {
		return e.tooMuch("bytes of headers", n, most)
	}
	return nil
}

func (e *Event) tooMuch(what string, have, most int) error {
	return fmt.Errorf("event on subject %q has %d %s, at most %d are allowed: %w", e.Subject, have, what, most, ErrTooLong)
}
