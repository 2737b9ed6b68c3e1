package httpapi

import "time"

// Limits bound what clients of the HTTP door can make it hold. For each field
// zero means the default. All are enforced before anybody is authenticated.
type Limits struct {
	// Connections is the number of connections at the same time, over all HTTP
	// listeners; one more is closed at once. Default 1024. Danger of many: each
	// costs a goroutine and about 16 KiB, and takes a descriptor from the rest
	// of the server.
	Connections int
	// PerAddress is the number of connections from one IPv4 address or one IPv6
	// /64 at the same time. Default 128. Danger: a proxy in front of the door is one address.
	PerAddress int
	// Header is the size in bytes of a request's line and header. Default 16 KiB.
	Header int
	// Body is the size in bytes of a request's body. Default 1 MiB.
	Body int64
	// HandshakeTimeout bounds the TLS handshake. Default 10 s.
	HandshakeTimeout time.Duration
	// HeaderTimeout bounds the time from a request's first byte, or from the
	// connection's opening, to the end of its header. Default 10 s. Danger of a
	// long one: a client that sends a byte a second holds a connection for as long.
	HeaderTimeout time.Duration
	// RequestTimeout bounds the time to read a request with its body. Default 30 s.
	RequestTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request.
	// Default 60 s: scrapers come every 15 to 60 s and keep theirs.
	IdleTimeout time.Duration
	// WriteTimeout is how long a peer may take for one piece of a response (at
	// most 64 KiB). Default 30 s.
	WriteTimeout time.Duration
}

// The defaults of Limits.
const (
	DefaultConnections      = 1024
	DefaultPerAddress       = 128
	DefaultHeader           = 16 << 10
	DefaultBody             = 1 << 20
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultHeaderTimeout    = 10 * time.Second
	DefaultRequestTimeout   = 30 * time.Second
	DefaultIdleTimeout      = 60 * time.Second
	DefaultWriteTimeout     = 30 * time.Second
)

// Fixed bounds, which have no reason to be configured.
const (
	// maxHeavy bounds the requests for metrics, debug pages and profiles that
	// are answered at once: each walks over every connection or task.
	maxHeavy = 8
	// maxRows is what a debug page shows unless ?limit= asks for more.
	maxRows = 1000
	// writePiece is how much of a response one write deadline covers.
	writePiece = 64 << 10
	// maxBackoff bounds the pause after a failure of accept.
	maxBackoff = time.Second
	// refusalEvery is how often refused connections are logged.
	refusalEvery = time.Second
)

func (l Limits) withDefaults() Limits {
	l.Connections = orDefault(l.Connections, DefaultConnections)
	l.PerAddress = orDefault(l.PerAddress, DefaultPerAddress)
	l.Header = orDefault(l.Header, DefaultHeader)
	l.Body = orDefault(l.Body, DefaultBody)
	l.HandshakeTimeout = orDefault(l.HandshakeTimeout, DefaultHandshakeTimeout)
	l.HeaderTimeout = orDefault(l.HeaderTimeout, DefaultHeaderTimeout)
	l.RequestTimeout = orDefault(l.RequestTimeout, DefaultRequestTimeout)
	l.IdleTimeout = orDefault(l.IdleTimeout, DefaultIdleTimeout)
	l.WriteTimeout = orDefault(l.WriteTimeout, DefaultWriteTimeout)
	return l
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
