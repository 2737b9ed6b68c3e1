package packet

import "encoding/binary"

// A reader takes fields off the front of a body. After the first thing that is wrong it returns zero values, so that
// one look at err after the last field is enough.
type reader struct {
	rest   []byte
	err    error
	packet Type
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// take returns the next n bytes, or nil and an error.
func (r *reader) take(n int, field string) []byte {
	if n > len(r.rest) {
		r.fail(malformed(r.packet, "it ends within "+field))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte(field string) byte {
	if b := r.take(1, field); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16(field string) uint16 {
	if b := r.take(2, field); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// id reads a packet identifier, which is never zero [MQTT-2.2.1-3].
func (r *reader) id() uint16 {
	id := r.uint16("the packet identifier")
	if id == 0 && r.err == nil {
		r.fail(protocolError(r.packet, "the packet identifier is 0"))
	}
	return id
}

// binary reads binary data (§1.5.6), which aliases the body.
func (r *reader) binary(field string) []byte {
	return r.take(int(r.uint16(field)), field)
}

// text reads a UTF-8 encoded string (§1.5.4), which aliases the body.
func (r *reader) text(field string) []byte {
	b := r.binary(field)
	if !ValidText(b) {
		r.fail(malformed(r.packet, field+" is not valid UTF-8, or contains U+0000"))
		return nil
	}
	return b
}

// topic reads a topic name (§4.7), which aliases the body. It may be empty.
func (r *reader) topic(field string) []byte {
	b := r.binary(field)
	switch checkTopic(b) {
	case topicBad:
		r.fail(malformed(r.packet, field+" is not valid UTF-8, or contains U+0000"))
	case topicWild:
		r.fail(refused(r.packet, TopicNameInvalid, field+" contains a wildcard"))
	default:
		return b
	}
	return nil
}

// code reads a reason code.
func (r *reader) code(lenient bool) Code {
	c := Code(r.byte("the reason code"))
	if r.err == nil && !c.In(r.packet) && !lenient {
		r.fail(protocolError(r.packet, "its reason code is not one of this packet"))
	}
	return c
}

// section reads the length of the properties, and returns their bytes.
func (r *reader) section() []byte {
	length, size := varint(r.rest)
	if size <= 0 {
		r.fail(malformed(r.packet, "the property length is missing, or is not a variable byte integer in its shortest form"))
		return nil
	}
	r.rest = r.rest[size:]
	return r.take(length, "the properties")
}

// properties reads the properties of the packet, nil if there are none.
func (r *reader) properties() *Properties {
	return r.propertiesIn(r.packet.set())
}

func (r *reader) propertiesIn(in set) *Properties {
	if r.err != nil {
		return nil
	}
	raw := r.section()
	if len(raw) == 0 {
		return nil
	}
	p, err := readProperties(raw, r.packet, in)
	if err != nil {
		r.fail(err)
	}
	return p
}

// end checks that nothing is left and returns the first error.
func (r *reader) end() error {
	if len(r.rest) > 0 {
		r.fail(malformed(r.packet, "there are bytes after its last field"))
	}
	return r.err
}

// varint reads a variable byte integer (§1.5.5). The size is 0 if more bytes are needed, and -1 if there is no such
// integer: more than four bytes, or more than it takes [MQTT-1.5.5-1].
func varint(b []byte) (value, size int) {
	for i := range min(len(b), 4) {
		value |= int(b[i]&0x7F) << (7 * i)
		if b[i] < 0x80 {
			if b[i] == 0 && i > 0 {
				return 0, -1
			}
			return value, i + 1
		}
	}
	if len(b) >= 4 {
		return 0, -1
	}
	return 0, 0
}
