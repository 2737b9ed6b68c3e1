package packet

import "fmt"

// A Decoder says how packets are read. The zero value is strict and reads what either side sends. The fields hold for
// every [Frame] that it splits off.
type Decoder struct {
	// Server is set by servers: what only a server sends is refused. These are the packets CONNACK, SUBACK, UNSUBACK
	// and PINGRESP, and the subscription identifier in a PUBLISH [MQTT-3.3.4-6].
	Server bool

	// Lenient lets pass what clients in the field get wrong and does no harm:
	//   - reserved flags of a fixed header [MQTT-2.1.3-1], and DUP with QoS 0 [MQTT-3.3.1-2]: ignored;
	//   - in CONNECT the reserved flag [MQTT-3.1.2-3], will QoS and will retain without a will [MQTT-3.1.2-11] and
	//     [MQTT-3.1.2-13]: ignored; a password without a user name in 3.1.1 [MQTT-3.1.2-22 of 3.1.1]; client
	//     identifiers longer than 23 in 3.1; the bit with which mosquitto marks bridges ([ConnectPacket.Bridge]);
	//   - in SUBSCRIBE the reserved bits of the options [MQTT-3.8.3-5], and no-local on a shared subscription
	//     [MQTT-3.8.3-4]: ignored; filters whose wildcards are in a wrong place, which the server can then refuse one
	//     by one in its SUBACK;
	//   - reason codes that do not belong to their packet.
	Lenient bool
}

// A Frame is a packet whose type, flags and length are known, and whose body has arrived.
type Frame struct {
	Type  Type
	Flags byte   // the lower half of the first byte
	Body  []byte // all after the fixed header; aliases what was split

	decoder Decoder
}

// Split is [Decoder.Split] of a strict decoder.
func Split(in []byte, limit int) (f Frame, n int, err error) { return Decoder{}.Split(in, limit) }

// Split looks at the head of in. If a whole packet is there, it is returned with its length n, which is at least 2. If
// more is needed, n is 0 and err is nil. If the bytes are not the beginning of a packet, or the packet is longer than
// limit in all, err is an [*Error]. A limit of 0 or less stands for [MaxPacketSize].
func (d Decoder) Split(in []byte, limit int) (f Frame, n int, err error) {
	if len(in) == 0 {
		return Frame{}, 0, nil
	}
	f = Frame{Type: Type(in[0] >> 4), Flags: in[0] & 15, decoder: d}
	if err := f.checkHeader(); err != nil {
		return Frame{}, 0, err
	}
	if len(in) == 1 {
		return Frame{}, 0, nil
	}
	length, head := int(in[1]), 2
	if length >= 0x80 {
		var size int
		length, size = varint(in[1:])
		if size == 0 {
			return Frame{}, 0, nil
		}
		if size < 0 {
			return Frame{}, 0, malformed(f.Type, "the remaining length is not a variable byte integer in its shortest form")
		}
		head = 1 + size
	}
	n = head + length
	if limit > 0 && n > limit {
		return Frame{}, 0, refused(f.Type, PacketTooLarge, fmt.Sprintf("a packet of %d bytes, where at most %d are accepted", n, limit))
	}
	if length > 0 && (f.Type == Pingreq || f.Type == Pingresp) {
		return Frame{}, 0, malformed(f.Type, "it has a body")
	}
	if len(in) < n {
		return Frame{}, 0, nil
	}
	f.Body = in[head:n:n]
	return f, n, nil
}

// fixed is the table of §2.1.3: the flags that a fixed header must have, and those that are not looked at here. PUBLISH
// has flags of its own; DUP is allowed where version 3.1 has it, until the version is known.
var fixed = [16]struct{ must, free byte }{
	Publish: {free: 15},
	Pubrel:  {must: 2, free: 8}, Subscribe: {must: 2, free: 8}, Unsubscribe: {must: 2, free: 8},
}

// checkHeader checks the first byte.
func (f *Frame) checkHeader() error {
	switch {
	case f.Type == 0:
		return malformed(f.Type, "there is no such packet")
	case f.Type == Publish && f.Flags&6 == 6:
		return malformed(f.Type, "QoS 3 does not exist")
	case f.decoder.Server && serverOnly&f.Type.set() != 0:
		return protocolError(f.Type, "only a server sends it")
	case f.decoder.Lenient:
		return nil
	case f.Type == Publish && f.Flags&6 == 0 && f.Flags&8 != 0:
		return malformed(f.Type, "DUP is set, but QoS is 0")
	case f.Flags&^fixed[f.Type].free != fixed[f.Type].must:
		return malformed(f.Type, "the reserved flags of its first byte are wrong")
	}
	return nil
}

const serverOnly = set(1)<<Connack | 1<<Suback | 1<<Unsuback | 1<<Pingresp

// open begins to read the body of a packet of type t.
func (f *Frame) open(t Type, v Version) (reader, error) {
	switch {
	case f.Type != t:
		return reader{}, protocolError(f.Type, "it is read as a "+t.String())
	case f.Flags != fixed[t].must && fixed[t].free == 8 && v != V31 && !f.decoder.Lenient:
		return reader{}, malformed(t, "the reserved flags of its first byte are wrong")
	}
	return reader{rest: f.Body, packet: t}, nil
}
