package websocket

// Limits bound what a client can make the carrier hold or do. For each field
// zero means the default. All are enforced before memory is allocated.
type Limits struct {
	// Header is the size in bytes of the request that asks for a WebSocket.
	// Default 8 KiB.
	Header int
	// Message is the size in bytes of the largest frame, and of the largest
	// message where messages are collected, compressed or not. Default 1 MiB,
	// and never more than Limits.Message of the engine. Danger: a client may
	// make the server hold that much before it is known.
	Message int
	// Fragments is the number of frames of one message. Default 65 536, as many
	// as carry 4 MiB in pieces of 64 bytes. Danger: empty frames cost the
	// sender six bytes each.
	Fragments int
	// Inflated is the size in bytes of the decompressed messages of all
	// connections together that are being handled. Default 64 MiB. A connection
	// that would need more is closed.
	Inflated int
}

// The defaults of Limits.
const (
	DefaultHeader    = 8 << 10
	DefaultMessage   = 1 << 20
	DefaultFragments = 65_536
	DefaultInflated  = 64 << 20
)

// Fixed bounds, which have no reason to be configured.
const (
	// maxControl is the largest payload of a control frame (RFC 6455, 5.5).
	maxControl = 125
	// maxHead is the largest header of a frame that a server sends.
	maxHead = 10
	// storedHead is the size of the header of a block of deflate that is stored.
	storedHead = 5
	// maxOffers bounds the subprotocols and extensions that a client offers.
	maxOffers = 32
	// firstChunk is what is allocated for a message that is compressed or
	// decompressed.
	firstChunk = 4 << 10
	// maxKept is the largest buffer that is kept for the next message.
	maxKept = 64 << 10
	// minDeflate is the smallest message that is worth compressing.
	minDeflate = 256
)

func (l Limits) withDefaults() Limits {
	l.Header = orDefault(l.Header, DefaultHeader)
	l.Message = orDefault(l.Message, DefaultMessage)
	l.Fragments = orDefault(l.Fragments, DefaultFragments)
	l.Inflated = orDefault(l.Inflated, DefaultInflated)
	return l
}

func orDefault(v, def int) int {
	if v <= 0 {
		return def
	}
	return v
}
