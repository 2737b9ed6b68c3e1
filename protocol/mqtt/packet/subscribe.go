package packet

import (
	"encoding/binary"
	"fmt"
)

// A SubscribePacket is a SUBSCRIBE (§3.8).
type SubscribePacket struct {
	ID         uint16
	Properties *Properties // nil if there are none
	Filters    []Subscription
}

// A Subscription is one filter of a SUBSCRIBE with its options (§3.8.3.1). Versions before 5 have QoS only.
type Subscription struct {
	Filter            string
	QoS               byte // at most
	NoLocal           bool // nothing that the client has published itself
	RetainAsPublished bool // the retain flag is passed on as it was published
	RetainHandling    byte // retained messages are sent: 0 always, 1 if the subscription is new, 2 never
}

// Subscribe decodes a SUBSCRIBE. A strict decoder refuses filters with a wildcard in a wrong place; a lenient one
// returns them, and [ValidFilter] says which they are.
func (f Frame) Subscribe(v Version) (*SubscribePacket, error) {
	r, err := f.open(Subscribe, v)
	if err != nil {
		return nil, err
	}
	p := &SubscribePacket{ID: r.id()}
	if v >= V5 {
		p.Properties = r.properties()
	}
	lenient := f.decoder.Lenient
	for len(r.rest) > 0 {
		s := Subscription{Filter: r.filter(lenient, len(p.Filters))}
		s.setOptions(&r, v, lenient)
		if r.err == nil {
			p.Filters = append(p.Filters, s)
		}
	}
	if len(p.Filters) == 0 {
		r.fail(protocolError(Subscribe, "it has no filter"))
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// filter reads a topic filter, of which there are n already.
func (r *reader) filter(lenient bool, n int) string {
	if n >= MaxFilters {
		r.fail(refused(r.packet, QuotaExceeded, fmt.Sprintf("it has more than %d filters", MaxFilters)))
		return ""
	}
	s := string(r.text("a filter"))
	switch {
	case r.err != nil:
	case s == "":
		r.fail(malformed(r.packet, "a filter is empty"))
	case !lenient && !ValidFilter(s):
		r.fail(refused(r.packet, TopicFilterInvalid, "a filter has a wildcard in a wrong place, or is a share without a name or a filter"))
	}
	return s
}

func (s *Subscription) setOptions(r *reader, v Version, lenient bool) {
	options := r.byte("the options of a filter")
	reserved := byte(0xC0)
	if v < V5 {
		reserved = 0xFC
	}
	s.QoS = options & 3
	if v >= V5 {
		s.NoLocal = options&4 != 0
		s.RetainAsPublished = options&8 != 0
		s.RetainHandling = options >> 4 & 3
	}
	switch {
	case s.QoS == 3:
		r.fail(protocolError(Subscribe, "the QoS of a filter is 3"))
	case s.RetainHandling == 3:
		r.fail(protocolError(Subscribe, "the retain handling of a filter is 3"))
	case lenient:
		s.NoLocal = s.NoLocal && !IsShared(s.Filter)
	case options&reserved != 0:
		r.fail(malformed(Subscribe, "the reserved bits of an option are set"))
	case s.NoLocal && IsShared(s.Filter):
		r.fail(protocolError(Subscribe, "no-local is set on a shared subscription"))
	}
}

// options encodes what setOptions decodes.
func (s *Subscription) options(v Version) byte {
	options := s.QoS & 3
	if v < V5 {
		return options
	}
	if s.NoLocal {
		options |= 4
	}
	if s.RetainAsPublished {
		options |= 8
	}
	return options | s.RetainHandling&3<<4
}

// AppendSubscribe appends a SUBSCRIBE.
func AppendSubscribe(dst []byte, v Version, p *SubscribePacket) []byte {
	size := 0
	for i := range p.Filters {
		size += textSize(p.Filters[i].Filter) + 1
	}
	dst, ok := appendRequest(dst, v, Subscribe, p.ID, p.Properties, size)
	if !ok {
		return dst
	}
	for i := range p.Filters {
		dst = append(appendText(dst, p.Filters[i].Filter), p.Filters[i].options(v))
	}
	return dst
}

// appendRequest appends what SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK have in common: all but the payload.
func appendRequest(dst []byte, v Version, t Type, id uint16, p *Properties, payload int) ([]byte, bool) {
	properties, size := section{}, 2+payload
	if v >= V5 {
		properties = sectionOf(p, masks[t])
		size += properties.total()
	}
	dst, ok := appendHead(dst, t, fixed[t].must, size)
	if !ok {
		return dst, false
	}
	dst = binary.BigEndian.AppendUint16(dst, id)
	if v >= V5 {
		dst = properties.append(dst)
	}
	return dst, true
}

// A SubackPacket is a SUBACK (§3.9) or an UNSUBACK (§3.11), which has no codes in versions before 5.
type SubackPacket struct {
	ID         uint16
	Codes      []Code      // one for each filter of the request, in its order
	Properties *Properties // nil if there are none
}

// Suback decodes a SUBACK.
func (f Frame) Suback(v Version) (*SubackPacket, error) { return f.suback(Suback, v) }

// Unsuback decodes an UNSUBACK.
func (f Frame) Unsuback(v Version) (*SubackPacket, error) { return f.suback(Unsuback, v) }

func (f Frame) suback(t Type, v Version) (*SubackPacket, error) {
	r, err := f.open(t, v)
	if err != nil {
		return nil, err
	}
	p := &SubackPacket{ID: r.id()}
	if v >= V5 {
		p.Properties = r.properties()
	}
	if t == Suback || v >= V5 {
		p.Codes = r.codes(v, f.decoder.Lenient)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// codes reads reason codes to the end, one at least.
func (r *reader) codes(v Version, lenient bool) []Code {
	if r.err == nil && (len(r.rest) == 0 || len(r.rest) > MaxFilters) {
		r.fail(protocolError(r.packet, fmt.Sprintf("it has no reason code, or more than %d", MaxFilters)))
	}
	codes := make([]Code, 0, len(r.rest))
	for len(r.rest) > 0 {
		code := r.code(lenient)
		if v < V5 && code > GrantedQoS2 && code != UnspecifiedError {
			r.fail(protocolError(r.packet, "its return code is not one of version "+v.String()))
		}
		codes = append(codes, code)
	}
	return codes
}

// AppendSuback appends a SUBACK. In versions before 5 there is one failure, 0x80.
func AppendSuback(dst []byte, v Version, id uint16, codes []Code, p *Properties) []byte {
	dst, ok := appendRequest(dst, v, Suback, id, p, len(codes))
	if !ok {
		return dst
	}
	for _, code := range codes {
		if v < V5 && code.Failed() {
			code = UnspecifiedError
		}
		dst = append(dst, byte(code))
	}
	return dst
}

// AppendUnsuback appends an UNSUBACK. In versions before 5 it has no codes.
func AppendUnsuback(dst []byte, v Version, id uint16, codes []Code, p *Properties) []byte {
	if v < V5 {
		codes = nil
	}
	dst, ok := appendRequest(dst, v, Unsuback, id, p, len(codes))
	if !ok {
		return dst
	}
	for _, code := range codes {
		dst = append(dst, byte(code))
	}
	return dst
}
