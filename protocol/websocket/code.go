package websocket

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/spate-io/spate/engine"
)

// A Code is the status code of a Close frame (RFC 6455, 7.4, and IANA's registry).
type Code uint16

// The codes that this package sends.
const (
	CodeNormal      Code = 1000
	CodeGoingAway   Code = 1001
	CodeProtocol    Code = 1002
	CodeUnsupported Code = 1003 // a kind of message that the endpoint does not take
	CodeNone        Code = 1005 // there was no code; it is never sent
	CodeInvalid     Code = 1007 // text that is not UTF-8, or data that is not what it says
	CodePolicy      Code = 1008
	CodeTooLarge    Code = 1009
	CodeInternal    Code = 1011
	CodeTryLater    Code = 1013
)

// sendable tells whether a Close frame may carry the code: 1004 to 1006 and 1015 stand for what no frame says, the rest below 3000 is not
// given out yet, and the rest above 4999 is nobody's.
func (c Code) sendable() bool {
	return c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c <= 4999
}

// codeOf is how a reason of the engine is told to the client.
func codeOf(why engine.Reason) Code {
	switch why {
	case engine.ReasonPeer, engine.ReasonQuit:
		return CodeNormal
	case engine.ReasonShutdown, engine.ReasonIdleTimeout, engine.ReasonKeepAlive:
		return CodeGoingAway
	case engine.ReasonTooLarge:
		return CodeTooLarge
	case engine.ReasonPanic, engine.ReasonInternal:
		return CodeInternal
	case engine.ReasonTooMany, engine.ReasonTooManyAddress, engine.ReasonMemory:
		return CodeTryLater
	}
	return CodePolicy
}

// A violation is what a client did that ends its connection.
type violation struct {
	code Code
	why  engine.Reason
	text string
}

// Error says what the client did.
func (v *violation) Error() string { return v.text }

// because is the error that ends the connection.
func (v *violation) because() error { return engine.Because(v.why, v) }

// What clients do wrong. The texts are told to them.
var (
	errReserved          = protocolError("a frame has reserved bits set")
	errOpcode            = protocolError("a frame has a reserved opcode")
	errUnmasked          = protocolError("a client's frame must be masked")
	errFragmentedControl = protocolError("a control frame is fragmented")
	errLongControl       = protocolError("a control frame is longer than 125 bytes")
	errNegativeLength    = protocolError("the highest bit of a length is set")
	errPaddedLength      = protocolError("a length is not in its shortest form")
	errContinuation      = protocolError("a continuation without a message to continue")
	errInterleaved       = protocolError("a message begins before the last one has ended")
	errShortClose        = protocolError("the payload of a Close frame is one byte long")
	errCloseCode         = protocolError("the code of a Close frame must not be sent")

	errCloseText = &violation{CodeInvalid, engine.ReasonProtocol, "the reason of a Close frame is not UTF-8"}
	errNotText   = &violation{CodeInvalid, engine.ReasonProtocol, "a text message is not UTF-8"}
	errInflate   = &violation{CodeInvalid, engine.ReasonProtocol, "a compressed message cannot be decompressed"}

	errKind      = &violation{CodeUnsupported, engine.ReasonProtocol, "this endpoint takes binary messages only"}
	errTooLarge  = &violation{CodeTooLarge, engine.ReasonTooLarge, "a message is too large"}
	errCrowded   = &violation{CodeTryLater, engine.ReasonMemory, "other messages take all memory that there is for compressed ones"}
	errFragments = &violation{CodeTooLarge, engine.ReasonTooLarge, "a message has too many fragments"}
)

func protocolError(text string) *violation {
	return &violation{CodeProtocol, engine.ReasonProtocol, text}
}

// parseClose reads the payload of a Close frame.
func parseClose(payload []byte) (Code, *violation) {
	switch len(payload) {
	case 0:
		return CodeNone, nil
	case 1:
		return 0, errShortClose
	}
	code := Code(binary.BigEndian.Uint16(payload))
	switch {
	case !code.sendable():
		return 0, errCloseCode
	case !utf8.Valid(payload[2:]):
		return 0, errCloseText
	}
	return code, nil
}

// appendClose appends a Close frame. The text is cut to what fits.
func appendClose(to []byte, code Code, text string) []byte {
	if code == CodeNone {
		return appendHead(to, opClose, false, 0)
	}
	for len(text) > maxControl-2 || !utf8.ValidString(text) {
		text = text[:min(len(text)-1, maxControl-2)]
	}
	to = appendHead(to, opClose, false, 2+len(text))
	return append(binary.BigEndian.AppendUint16(to, uint16(code)), text...)
}
