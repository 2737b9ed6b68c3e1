package httpapi

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spate-io/spate/event"
)

// How CloudEvents and events of Spate are turned into each other; the package comment has the table. What both agree on is an attribute
// and a field, an attribute that Spate has no field for is a header, and a header that cannot be an attribute travels in one
// attribute with all such.
const (
	defaultSource = "/spate"
	defaultType   = "io.spate.event"

	// Headers of events that came as CloudEvents.
	ceID      = "ce-id"         // the id, unless it is the event's
	ceSource  = "ce-source"     // unless it is defaultSource
	ceType    = "ce-type"       // unless it is defaultType
	ceSubject = "ce-subject"    // the subject was given, although it could be made from the type
	ceTime    = "ce-time"       // the time as it was written, unless it is written like that here
	ceSchema  = "ce-dataschema" // the schema
	ceBare    = "ce-bare"       // names of extensions that are integers or booleans
	ceData    = "ce-data"       // the data was base64 that says nothing about its type
	explicit  = "explicit"      // value of ceSubject
	base64ed  = "base64"        // value of ceData

	// Extension attributes.
	extKey        = "partitionkey" // of the CloudEvents extension "Partitioning"
	extRawKey     = "spatekey"     // a key that cannot be an attribute, URL-encoded
	extRawSubject = "spatesubject" // a subject that cannot be an attribute, URL-encoded
	extHeaders    = "spateheaders" // headers that cannot be attributes, as name=value&…, URL-encoded
	extText       = "spatetext"    // data is text, and the event has no content-type
	textPlain     = "text/plain"
)

// subjectOf makes a subject of a type: org.example.order.created is org/example/order/created.
func subjectOf(kind string) string { return strings.ReplaceAll(kind, ".", "/") }

// idOf makes the ID of an event of the id of a CloudEvent, which only together with its source identifies it.
func idOf(source, id string) event.ID {
	if parsed, err := event.ParseID(id); err == nil {
		return parsed
	}
	return derivedID("cloudevent", source, id)
}

func writtenTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// toEvent makes the event that a CloudEvent is.
func (c *cloudEvent) toEvent() (*event.Event, *problem) {
	e := &event.Event{Data: c.data}
	add := func(name, value string, unless bool) {
		if value != "" && !unless {
			e.Headers = append(e.Headers, event.Header{Name: name, Value: value})
		}
	}
	if c.time != "" {
		t, err := time.Parse(time.RFC3339, c.time)
		if err != nil {
			return nil, problemf(kindEvent, "the time %.40q is none of RFC 3339, such as 2026-01-02T15:04:05.6Z", c.time)
		}
		e.Time = t.UTC()
		add(ceTime, c.time, writtenTime(t) == c.time)
	}
	given, p := c.givenSubject()
	if p != nil {
		return nil, p
	}
	if e.Subject = given; given == "" {
		e.Subject = subjectOf(c.kind)
	}
	e.ID = idOf(c.source, c.id)
	add(ceID, c.id, e.ID.String() == c.id)
	add(ceSource, c.source, c.source == defaultSource)
	add(ceType, c.kind, c.kind == defaultType && given != "")
	add(ceSubject, explicit, given != subjectOf(c.kind) || c.kind == defaultType)
	add(ceSchema, c.schema, false)
	inferred := c.text && c.contentType == textPlain && slices.Contains(c.extensions, attr{extText, "true", true})
	add(contentType, c.contentType, inferred)
	add(ceData, base64ed, !c.binary || c.contentType != "")
	return e, c.extensionsTo(e, inferred)
}

// givenSubject returns the subject unless it must be made of the type.
func (c *cloudEvent) givenSubject() (string, *problem) {
	for _, a := range c.extensions {
		if a.name != extRawSubject {
			continue
		}
		subject, err := url.QueryUnescape(a.value)
		if err != nil || c.subject != "" {
			return "", problemf(kindEvent, "the attribute %q is not URL-encoded, or beside a subject", extRawSubject)
		}
		return subject, nil
	}
	return c.subject, nil
}

// extensionsTo gives an event what the extensions say.
func (c *cloudEvent) extensionsTo(e *event.Event, inferred bool) *problem {
	var bare []string
	for _, a := range c.extensions {
		switch {
		case a.name == extKey && a.bare:
			return problemf(kindEvent, "the attribute %q must be a text", extKey)
		case a.name == extKey:
			e.Key = a.value
		case a.name == extRawKey:
			key, err := url.QueryUnescape(a.value)
			if err != nil {
				return problemf(kindEvent, "the attribute %q is not URL-encoded", extRawKey)
			}
			e.Key = key
		case a.name == extHeaders:
			if p := unpackHeaders(e, a.value); p != nil {
				return p
			}
		case a.name == extText && inferred, a.name == extRawSubject:
		default:
			e.Headers = append(e.Headers, event.Header{Name: a.name, Value: a.value})
			if a.bare {
				bare = append(bare, a.name)
			}
		}
	}
	if len(bare) > 0 {
		e.Headers = append(e.Headers, event.Header{Name: ceBare, Value: strings.Join(bare, " ")})
	}
	return nil
}

// packHeaders writes headers as name=value&…, URL-encoded.
func packHeaders(headers []event.Header) string {
	parts := make([]string, len(headers))
	for i, h := range headers {
		parts[i] = url.QueryEscape(h.Name) + "=" + url.QueryEscape(h.Value)
	}
	return strings.Join(parts, "&")
}

func unpackHeaders(e *event.Event, text string) *problem {
	for part := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(part, "=")
		n, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return problemf(kindEvent, "the attribute %q is not name=value&name=value, URL-encoded", extHeaders)
		}
		if len(e.Headers) >= maxAttributes {
			return problemf(kindEvent, "the attribute %q has more than %d headers", extHeaders, maxAttributes)
		}
		e.Headers = append(e.Headers, event.Header{Name: n, Value: value})
	}
	return nil
}

// appendCloudEvent appends an event as a CloudEvent in the JSON format.
func appendCloudEvent(to []byte, e *event.Event) []byte { return fromEvent(e).appendJSON(to) }

// fromEvent makes the CloudEvent that an event is.
func fromEvent(e *event.Event) *cloudEvent {
	h := sorted{event: e}
	h.sort()
	c := &cloudEvent{
		id: cmp.Or(h.used(ceID), e.ID.String()), source: cmp.Or(h.used(ceSource), defaultSource), kind: cmp.Or(h.used(ceType), defaultType),
		subject: e.Subject, time: h.used(ceTime), contentType: h.used(contentType), schema: h.used(ceSchema), data: e.Data,
	}
	if c.time == "" {
		c.time = writtenTime(e.Time)
	}
	switch {
	case h.used(ceType) != "" && subjectOf(c.kind) == e.Subject && h.used(ceSubject) == "":
		c.subject = ""
	case !usableText(e.Subject):
		c.subject = ""
		c.extensions = append(c.extensions, attr{name: extRawSubject, value: url.QueryEscape(e.Subject)})
	}
	c.binary = h.used(ceData) != ""
	if c.contentType == "" && !c.binary && len(e.Data) > 0 && utf8.Valid(e.Data) && !plainJSON(e.Data) {
		c.contentType = textPlain
		c.extensions = append(c.extensions, attr{extText, "true", true})
	}
	switch {
	case e.Key == "":
	case usableText(e.Key):
		c.extensions = append(c.extensions, attr{name: extKey, value: e.Key})
	default:
		c.extensions = append(c.extensions, attr{name: extRawKey, value: url.QueryEscape(e.Key)})
	}
	h.extensions(c)
	return c
}

// contextHeaders are the headers that become context attributes. Whether one does may depend on those before it.
var contextHeaders = [...]string{ceSource, ceType, ceSubject, ceTime, ceID, ceSchema, contentType, ceData}

// sorted is the headers of an event by what becomes of them.
type sorted struct {
	event  *event.Event
	values [len(contextHeaders)]string // of those that become context attributes
}

// used returns the value of a header that becomes a context attribute, or "".
func (s *sorted) used(name string) string {
	for i, known := range contextHeaders {
		if known == name {
			return s.values[i]
		}
	}
	return ""
}

// once returns the value of a header that is there, and not twice.
func (s *sorted) once(name string) (value string, ok bool) {
	for i := range s.event.Headers {
		if h := &s.event.Headers[i]; h.Name == name {
			if ok {
				return "", false
			}
			value, ok = h.Value, true
		}
	}
	return value, ok
}

// sort finds the headers that say something about the CloudEvent, and that would be made again of what they become.
func (s *sorted) sort() {
	if len(s.event.Headers) == 0 {
		return
	}
	for i, name := range contextHeaders {
		if v, ok := s.once(name); ok && v != "" && usableText(v) && s.usable(name, v) {
			s.values[i] = v
		}
	}
}

func (s *sorted) usable(name, v string) bool {
	e := s.event
	switch name {
	case ceSource:
		return v != defaultSource
	case ceType:
		marker, _ := s.once(ceSubject)
		return v != defaultType || subjectOf(v) == e.Subject && marker != explicit
	case ceSubject:
		kind := s.used(ceType)
		return v == explicit && kind != "" && kind != defaultType && subjectOf(kind) == e.Subject
	case ceTime:
		t, err := time.Parse(time.RFC3339, v)
		return err == nil && t.Equal(e.Time) && v != writtenTime(t)
	case ceData:
		typed := slices.ContainsFunc(e.Headers, func(h event.Header) bool { return h.Name == contentType })
		return v == base64ed && !typed && len(e.Data) > 0 && utf8.Valid(e.Data)
	case ceID:
		return v != e.ID.String() && idOf(cmp.Or(s.used(ceSource), defaultSource), v) == e.ID
	}
	return true
}

// extensions adds the other headers, and those that cannot be attributes in one.
func (s *sorted) extensions(c *cloudEvent) {
	bare, typed := s.bare()
	var rest []event.Header
	for _, h := range s.event.Headers {
		switch {
		case s.used(h.Name) != "", typed && h.Name == ceBare:
		case s.extension(h.Name):
			c.extensions = append(c.extensions, attr{h.Name, h.Value, slices.Contains(bare, h.Name)})
		default:
			rest = append(rest, h)
		}
	}
	if len(rest) > 0 {
		c.extensions = append(c.extensions, attr{name: extHeaders, value: packHeaders(rest)})
	}
}

// extension tells whether a header becomes an attribute of its name.
func (s *sorted) extension(name string) bool {
	switch name {
	case extKey, extRawKey, extRawSubject, extHeaders, extText:
		return false
	}
	if !extensionName(name) {
		return false
	}
	v, once := s.once(name)
	return once && usableText(v)
}

// bare returns the extensions that are written without quotes, and whether the header that says so says nothing else.
func (s *sorted) bare() (names []string, ok bool) {
	v, there := s.once(ceBare)
	if !there {
		return nil, false
	}
	listed := strings.Split(v, " ")
	for _, h := range s.event.Headers {
		if slices.Contains(listed, h.Name) && s.extension(h.Name) && bareValue(h.Value) {
			names = append(names, h.Name)
		}
	}
	if !slices.Equal(listed, names) {
		return nil, false
	}
	return names, true
}
