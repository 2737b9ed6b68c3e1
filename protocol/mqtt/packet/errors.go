package packet

import "fmt"

// An Error is what is wrong with a packet. After it the stream of bytes makes no sense any more, or the peer does not
// keep to the protocol: the connection is to be closed, in version 5 with a DISCONNECT (or a CONNACK, before there was
// one) that carries the code (§4.13).
type Error struct {
	Code   Code
	Reason string // which packet, and what is wrong with it; nothing of its contents
}

// Error returns the reason and the name of the code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s, 0x%02X)", e.Reason, e.Code, byte(e.Code)) }

func malformed(t Type, reason string) error { return refused(t, MalformedPacket, reason) }

func protocolError(t Type, reason string) error { return refused(t, ProtocolError, reason) }

func refused(t Type, code Code, reason string) error {
	return &Error{Code: code, Reason: t.String() + ": " + reason}
}
