package packet

import (
	"encoding/binary"
	"fmt"
)

// A scanner reads properties one by one and checks each by its row of the table. It allocates nothing.
type scanner struct {
	raw    []byte
	at     int
	packet Type
	in     set // the packet, or the will inside it
	err    error

	seen  uint64
	users int
	ids   int

	// The property that next has found.
	id     PropertyID
	number uint32
	value  span // of a text, binary data, or the value of a pair
	name   span // of a pair
}

// A span is a part of the raw properties.
type span struct{ from, to int }

// next reads the next property. It returns false after the last one, and when something is wrong.
func (s *scanner) next() bool {
	if s.at >= len(s.raw) || s.err != nil {
		return false
	}
	id := s.raw[s.at] // every identifier that exists fits in one byte of the variable byte integer
	if int(id) >= len(table) || table[id].in&s.in == 0 {
		s.refuse(MalformedPacket, "it has a property that does not belong to it")
		return false
	}
	s.at++
	s.id = PropertyID(id)
	if s.seen&(1<<id) != 0 && table[id].many&s.in == 0 {
		s.refuse(ProtocolError, "the "+s.id.String()+" is there twice")
		return false
	}
	s.seen |= 1 << id
	switch table[id].kind {
	case kindText, kindTopic, kindBinary:
		s.value = s.field()
	case kindPair:
		s.pair()
	case kindVar:
		s.ids++
		s.integer()
	default:
		s.integer()
	}
	return s.err == nil
}

func (s *scanner) refuse(code Code, reason string) {
	s.err = refused(s.packet, code, reason)
}

// integer reads a number of any size.
func (s *scanner) integer() {
	rest := s.raw[s.at:]
	size := 0
	switch kind := table[s.id].kind; {
	case kind == kindByte && len(rest) >= 1:
		s.number, size = uint32(rest[0]), 1
	case kind == kindShort && len(rest) >= 2:
		s.number, size = uint32(binary.BigEndian.Uint16(rest)), 2
	case kind == kindLong && len(rest) >= 4:
		s.number, size = binary.BigEndian.Uint32(rest), 4
	case kind == kindVar:
		var value int
		if value, size = varint(rest); size > 0 {
			s.number = uint32(value)
		}
	}
	switch {
	case size <= 0:
		s.refuse(MalformedPacket, "the "+s.id.String()+" is cut off, or not in its shortest form")
	case s.number < table[s.id].min || s.number > table[s.id].max:
		s.refuse(max(table[s.id].code, ProtocolError), fmt.Sprintf("the %s has the value %d, which does not exist", s.id, s.number))
	case s.ids > MaxSubscriptionIDs:
		s.refuse(QuotaExceeded, fmt.Sprintf("it has more than %d subscription identifiers", MaxSubscriptionIDs))
	}
	s.at += max(size, 0)
}

// field reads a text or binary data.
func (s *scanner) field() span {
	rest := s.raw[s.at:]
	if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
		s.refuse(MalformedPacket, "the "+s.id.String()+" is cut off")
		return span{}
	}
	from := s.at + 2
	s.at = from + int(binary.BigEndian.Uint16(rest))
	b := s.raw[from:s.at]
	if table[s.id].kind != kindBinary && !ValidText(b) {
		s.refuse(MalformedPacket, "the "+s.id.String()+" is not valid UTF-8, or contains U+0000")
	} else if table[s.id].kind == kindTopic && !ValidTopic(b) {
		s.refuse(ProtocolError, "the "+s.id.String()+" is no topic name: it is empty, or contains a wildcard")
	}
	return span{from, s.at}
}

func (s *scanner) pair() {
	if s.users++; s.users > MaxUserProperties {
		s.refuse(QuotaExceeded, fmt.Sprintf("it has more than %d user properties", MaxUserProperties))
		return
	}
	if s.name = s.field(); s.err == nil {
		s.value = s.field()
	}
}

// readProperties copies the properties of a packet out of its body.
func readProperties(raw []byte, packet Type, in set) (*Properties, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	text := string(raw) // all texts are parts of one copy
	p := new(Properties)
	s := scanner{raw: raw, packet: packet, in: in}
	for s.next() {
		switch field := p.field(s.id).(type) {
		case *byte:
			*field = byte(s.number)
		case *uint16:
			*field = uint16(s.number)
		case *uint32:
			*field = s.number
		case *string:
			*field = text[s.value.from:s.value.to]
		case *[]byte:
			*field = append(make([]byte, 0, s.value.to-s.value.from), raw[s.value.from:s.value.to]...)
		case *[]uint32:
			*field = append(*field, s.number)
		case *[]UserProperty:
			if *field == nil {
				*field = make([]UserProperty, 0, 4) // most have a few
			}
			*field = append(*field, UserProperty{text[s.name.from:s.name.to], text[s.value.from:s.value.to]})
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	p.present = s.seen &^ repeatable
	if p.Has(AuthData) && !p.Has(AuthMethod) {
		return nil, protocolError(packet, "it has authentication data, but no authentication method")
	}
	return p, nil
}
