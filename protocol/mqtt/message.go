package mqtt

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// How a PUBLISH and an event are turned into each other. Content type, response topic, correlation data and expiry are the headers of that name that every door
// knows; user properties are headers of their own name, or behind "user/" if that means something else.
const (
	// headerMQTT is what only MQTT knows of a message that is stored: its QoS, "r" if it was to be retained, and after a dot a tag of its publisher.
	headerMQTT = "mqtt"
	// headerFormat is the payload format indicator: "utf-8" says that the payload is text.
	headerFormat = "payload-format"
	formatText   = "utf-8"
)

// A meta is what only MQTT knows of a message.
type meta struct {
	qos    byte
	retain bool
	tag    string // of the publisher
}

func (m meta) String() string {
	text := strconv.Itoa(int(m.qos))
	if m.retain {
		text += "r"
	}
	if m.tag != "" {
		text += "." + m.tag
	}
	return text
}

// metaOf returns what is known of an event; those of other doors have QoS 1.
func metaOf(e *event.Event) meta {
	text := e.Header(headerMQTT)
	if text == "" || text[0] < '0' || text[0] > '2' {
		return meta{qos: 1}
	}
	m := meta{qos: text[0] - '0'}
	text, m.tag, _ = strings.Cut(text, ".")
	m.retain = strings.HasSuffix(text, "r")
	return m
}

// tag makes of a client identifier what tells its messages from those of others (FNV-1a, salted). It is compared, and hides the identifier from who only glances.
func (b *Broker) tag(id string) string {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, c := range b.salt {
		h = (h ^ uint64(c)) * prime
	}
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * prime
	}
	return strconv.FormatUint(h, 36)
}

// newEvent makes the event that a PUBLISH is. It copies all of it.
func newEvent(topic, payload []byte, m meta, p *packet.Properties, now time.Time) *event.Event {
	e := &event.Event{Subject: string(topic), Data: append([]byte(nil), payload...), Headers: []event.Header{{Name: headerMQTT, Value: m.String()}}}
	if p != nil {
		e.Headers = appendHeaders(e.Headers, p, now)
	}
	return e
}

func appendHeaders(h []event.Header, p *packet.Properties, now time.Time) []event.Header {
	add := func(id packet.PropertyID, name, value string) {
		if p.Has(id) {
			h = append(h, event.Header{Name: name, Value: value})
		}
	}
	add(packet.ContentType, event.ContentType, p.ContentType)
	add(packet.ResponseTopic, event.ReplyTo, p.ResponseTopic)
	add(packet.CorrelationData, event.CorrelationData, string(p.CorrelationData))
	if p.PayloadFormat == 1 {
		add(packet.PayloadFormat, headerFormat, formatText)
	}
	if p.Has(packet.MessageExpiry) {
		at := now.Add(time.Duration(p.MessageExpiry) * time.Second)
		h = append(h, event.Header{Name: event.Expires, Value: strconv.FormatInt(at.UnixMilli(), 10)})
	}
	for _, u := range p.User {
		h = append(h, event.Header{Name: escaped(u.Name), Value: u.Value})
	}
	return h
}

// userPrefix is put before the name of a user property that would otherwise be taken for something else [MQTT-3.3.2-17].
const userPrefix = "user/"

func escaped(name string) string {
	switch name {
	case event.ContentType, event.ReplyTo, event.CorrelationData, event.Expires, headerMQTT, headerFormat:
		return userPrefix + name
	}
	if strings.HasPrefix(name, userPrefix) {
		return userPrefix + name
	}
	return name
}

// properties are those of an event that are the same for all who receive it, or nil. What cannot be text in MQTT is left out.
func properties(e *event.Event) *packet.Properties {
	var p *packet.Properties
	for _, h := range e.Headers {
		if h.Name == headerMQTT || h.Name == event.Expires {
			continue
		}
		if p == nil {
			p = &packet.Properties{}
		}
		takeHeader(p, h)
	}
	return p
}

// takeHeader makes a property of a header. The first one of a name that MQTT has a property for is that property, any other a user property.
func takeHeader(p *packet.Properties, h event.Header) {
	switch {
	case h.Name == event.ContentType && !p.Has(packet.ContentType) && packet.ValidText(h.Value):
		p.ContentType = h.Value
		p.Set(packet.ContentType)
	case h.Name == event.ReplyTo && !p.Has(packet.ResponseTopic) && packet.ValidTopic(h.Value):
		p.ResponseTopic = h.Value
		p.Set(packet.ResponseTopic)
	case h.Name == event.CorrelationData && !p.Has(packet.CorrelationData):
		p.CorrelationData = []byte(h.Value)
		p.Set(packet.CorrelationData)
	case h.Name == headerFormat && h.Value == formatText:
		p.PayloadFormat = 1
		p.Set(packet.PayloadFormat)
	case packet.ValidText(h.Name) && packet.ValidText(h.Value):
		p.User = append(p.User, packet.UserProperty{Name: strings.TrimPrefix(h.Name, userPrefix), Value: h.Value})
	}
}

// expiry returns the whole seconds that are left of an event, 0 if it does not expire, and whether it has expired.
func expiry(e *event.Event, now time.Time) (left uint32, expired bool) {
	text := e.Header(event.Expires)
	if text == "" {
		return 0, false
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, false
	}
	rest := time.UnixMilli(ms).Sub(now)
	if rest <= 0 {
		return 0, true
	}
	return uint32(min((rest+time.Second-1)/time.Second, never)), false
}

// failure is how it is told that a message could not be stored or delivered.
func failure(err error) packet.Code {
	if errors.Is(err, store.ErrFull) || errors.Is(err, event.ErrTooLong) { // no acknowledgement has Packet too large
		return packet.QuotaExceeded
	}
	return packet.ImplementationSpecificError
}
