package packet

import "strconv"

// A Type is the kind of a control packet, the upper half of its first byte (§2.1.2).
type Type byte

// The types of control packets.
const (
	Connect     Type = 1
	Connack     Type = 2
	Publish     Type = 3
	Puback      Type = 4
	Pubrec      Type = 5
	Pubrel      Type = 6
	Pubcomp     Type = 7
	Subscribe   Type = 8
	Suback      Type = 9
	Unsubscribe Type = 10
	Unsuback    Type = 11
	Pingreq     Type = 12
	Pingresp    Type = 13
	Disconnect  Type = 14
	Auth        Type = 15 // since version 5
)

var typeNames = [...]string{
	Connect: "CONNECT", Connack: "CONNACK", Publish: "PUBLISH",
	Puback: "PUBACK", Pubrec: "PUBREC", Pubrel: "PUBREL", Pubcomp: "PUBCOMP",
	Subscribe: "SUBSCRIBE", Suback: "SUBACK", Unsubscribe: "UNSUBSCRIBE", Unsuback: "UNSUBACK",
	Pingreq: "PINGREQ", Pingresp: "PINGRESP", Disconnect: "DISCONNECT", Auth: "AUTH",
}

// String returns the name as the specification writes it, in capitals.
func (t Type) String() string {
	if t == 0 || int(t) >= len(typeNames) {
		return "type " + strconv.Itoa(int(t))
	}
	return typeNames[t]
}

// A set is a set of packet types. Bit 0, which is no type, stands for the will inside a CONNECT.
type set uint16

// isWill is the set of the will alone.
const isWill set = 1

func (t Type) set() set { return 1 << (t & 15) }

// A Version is the protocol level in a CONNECT (§3.1.2.2).
type Version byte

// The versions.
const (
	V31  Version = 3 // of 2010, with the protocol name MQIsdp
	V311 Version = 4
	V5   Version = 5
)

// String returns the version as people write it: "3.1.1".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5.0"
	}
	return "level " + strconv.Itoa(int(v))
}
