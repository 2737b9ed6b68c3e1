package packet

import "encoding/binary"

// An AckPacket is a PUBACK, PUBREC, PUBREL or PUBCOMP (§3.4 to §3.7).
type AckPacket struct {
	Type       Type
	ID         uint16
	Code       Code        // Success in versions before 5
	Properties *Properties // nil if there are none
}

// Ack decodes a PUBACK, PUBREC, PUBREL or PUBCOMP.
func (f Frame) Ack(v Version) (AckPacket, error) {
	if (received|released)&f.Type.set() == 0 {
		return AckPacket{}, protocolError(f.Type, "it is read as an acknowledgement of a message")
	}
	r, err := f.open(f.Type, v)
	if err != nil {
		return AckPacket{}, err
	}
	p := AckPacket{Type: f.Type, ID: r.id()}
	if v >= V5 && len(r.rest) > 0 {
		p.Code = r.code(f.decoder.Lenient)
		if len(r.rest) > 0 {
			p.Properties = r.properties()
		}
	}
	if err := r.end(); err != nil {
		return AckPacket{}, err
	}
	return p, nil
}

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP, whichever t is. It is 4 bytes long if the code is Success and
// there are no properties.
func AppendAck(dst []byte, v Version, t Type, id uint16, code Code, p *Properties) []byte {
	properties := sectionOf(p, masks[t&15])
	size := 2
	if v >= V5 && properties.size > 0 {
		size = 3 + properties.total()
	} else if v >= V5 && code != Success {
		size = 3
	}
	dst, ok := appendHead(dst, t, fixed[t&15].must, size)
	if !ok {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, id)
	if size > 2 {
		dst = append(dst, byte(code))
	}
	if size > 3 {
		dst = properties.append(dst)
	}
	return dst
}
