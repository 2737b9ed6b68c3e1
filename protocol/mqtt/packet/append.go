package packet

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// clip cuts what is longer than its length can say; a text is cut between two characters.
func clip(s string) string {
	if len(s) <= maxField {
		return s
	}
	cut := maxField
	for cut > maxField-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

func clipBytes(b []byte) []byte { return b[:min(len(b), maxField)] }

func appendText(dst []byte, s string) []byte {
	s = clip(s)
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

func appendBinary(dst, b []byte) []byte {
	b = clipBytes(b)
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...)
}

func textSize(s string) int { return 2 + len(clip(s)) }

func binarySize(b []byte) int { return 2 + len(clipBytes(b)) }

// appendVarint appends a variable byte integer, which is at most MaxRemainingLength.
func appendVarint(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

// appendHead appends the fixed header, or returns false if no length can say how long the packet is.
func appendHead(dst []byte, t Type, flags byte, remaining int) ([]byte, bool) {
	if remaining > MaxRemainingLength {
		return dst, false
	}
	return appendVarint(append(dst, byte(t)<<4|flags), remaining), true
}

// masks are, by type of packet, the properties that belong to it; at 0 are those of the will.
var masks = propertyMasks()

func propertyMasks() (masks [16]uint64) {
	for id := range table {
		for t := range masks {
			if table[id].in&(1<<t) != 0 {
				masks[t] |= 1 << id
			}
		}
	}
	return masks
}

// A section is the properties of one packet, about to be written: those of p that belong to it.
type section struct {
	p    *Properties
	mask uint64
	size int // without the length
}

// sectionOf counts the bytes that the properties of p take which are in the mask.
func sectionOf(p *Properties, mask uint64) section {
	if p == nil {
		return section{}
	}
	s := section{p: p, mask: p.mask() & mask}
	for m := s.mask; m != 0; m &= m - 1 {
		switch field := p.field(PropertyID(bits.TrailingZeros64(m))).(type) {
		case *byte:
			s.size += 2
		case *uint16:
			s.size += 3
		case *uint32:
			s.size += 5
		case *string:
			s.size += 1 + textSize(*field)
		case *[]byte:
			s.size += 1 + binarySize(*field)
		case *[]uint32:
			s.size += idsSize(*field)
		case *[]UserProperty:
			for i := range *field {
				s.size += 1 + textSize((*field)[i].Name) + textSize((*field)[i].Value)
			}
		}
	}
	return s
}

// total is the size with the length.
func (s section) total() int { return varintSize(s.size) + s.size }

// append appends the length and the properties.
func (s section) append(dst []byte) []byte { return s.appendRows(appendVarint(dst, s.size)) }

// appendRows appends the properties without the length, in the order of their identifiers.
func (s section) appendRows(dst []byte) []byte {
	for m := s.mask; m != 0; m &= m - 1 {
		id := bits.TrailingZeros64(m)
		switch field := s.p.field(PropertyID(id)).(type) {
		case *byte:
			dst = append(dst, byte(id), *field)
		case *uint16:
			dst = binary.BigEndian.AppendUint16(append(dst, byte(id)), *field)
		case *uint32:
			dst = binary.BigEndian.AppendUint32(append(dst, byte(id)), *field)
		case *string:
			dst = appendText(append(dst, byte(id)), *field)
		case *[]byte:
			dst = appendBinary(append(dst, byte(id)), *field)
		case *[]uint32:
			dst = appendIDs(dst, *field)
		case *[]UserProperty:
			for i := range *field {
				dst = appendText(append(dst, byte(id)), (*field)[i].Name)
				dst = appendText(dst, (*field)[i].Value)
			}
		}
	}
	return dst
}

func clipID(id uint32) int { return int(min(id, MaxRemainingLength)) }

func idsSize(ids []uint32) (size int) {
	for _, id := range ids {
		size += 1 + varintSize(clipID(id))
	}
	return size
}

func appendIDs(dst []byte, ids []uint32) []byte {
	for _, id := range ids {
		dst = appendVarint(append(dst, byte(SubscriptionIDs)), clipID(id))
	}
	return dst
}
