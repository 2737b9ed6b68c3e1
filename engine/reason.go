package engine

import (
	"errors"
	"fmt"
)

// A Reason is the code of why a connection ended. It is logged and counted.
type Reason uint8

// The reasons for which connections end.
const (
	ReasonNone             Reason = iota
	ReasonPeer                    // the peer closed its side
	ReasonReset                   // the peer or the network broke the connection
	ReasonQuit                    // the protocol's own good-bye was asked for
	ReasonUpgraded                // it left the HTTP door for another protocol, see Listener.Adopt
	ReasonProtocol                // the peer broke the protocol
	ReasonTooLarge                // a message exceeds Limits.Message
	ReasonHandshake               // the TLS handshake failed
	ReasonHandshakeTimeout        // the TLS handshake took longer than Limits.HandshakeTimeout
	ReasonFirstTimeout            // no request within Limits.FirstTimeout
	ReasonRequestTimeout          // a request that began did not end within Limits.RequestTimeout
	ReasonIdleTimeout             // no request for Limits.IdleTimeout
	ReasonWriteTimeout            // the peer took no byte for Limits.WriteTimeout
	ReasonKeepAlive               // the peer was silent for longer than it said it would be
	ReasonTakenOver               // another connection has taken over its session
	ReasonOverflow                // the peer reads too slowly for what is pushed to it
	ReasonMemory                  // Limits.BufferedTotal is reached
	ReasonTooMany                 // Limits.Connections is reached
	ReasonTooManyAddress          // Limits.PerAddress is reached
	ReasonDenied                  // authentication or access rules refuse the peer
	ReasonKilled                  // an administrator ended it
	ReasonPanic                   // a handler panicked
	ReasonShutdown                // the server shuts down
	ReasonInternal                // the server failed
	reasonCount
)

var reasonCodes = [reasonCount]string{
	ReasonNone:             "none",
	ReasonPeer:             "peer-closed",
	ReasonReset:            "connection-reset",
	ReasonQuit:             "quit",
	ReasonUpgraded:         "upgraded",
	ReasonProtocol:         "protocol-error",
	ReasonTooLarge:         "message-too-large",
	ReasonHandshake:        "tls-handshake-failed",
	ReasonHandshakeTimeout: "tls-handshake-timeout",
	ReasonFirstTimeout:     "first-request-timeout",
	ReasonRequestTimeout:   "request-timeout",
	ReasonIdleTimeout:      "idle-timeout",
	ReasonWriteTimeout:     "write-timeout",
	ReasonKeepAlive:        "keep-alive-timeout",
	ReasonTakenOver:        "session-taken-over",
	ReasonOverflow:         "output-overflow",
	ReasonMemory:           "buffer-memory-exhausted",
	ReasonTooMany:          "too-many-connections",
	ReasonTooManyAddress:   "too-many-connections-from-address",
	ReasonDenied:           "access-denied",
	ReasonKilled:           "killed",
	ReasonPanic:            "handler-panic",
	ReasonShutdown:         "server-shutdown",
	ReasonInternal:         "internal-error",
}

// String returns the code, such as "idle-timeout".
func (r Reason) String() string {
	if r < reasonCount {
		return reasonCodes[r]
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// Reasons returns every reason that a connection can end for, for those who
// want a counter for each.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount-1)
	for r := ReasonPeer; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}

// graceful tells whether what is still queued for the peer is worth
// delivering, and the peer worth waiting for.
func (r Reason) graceful() bool {
	switch r {
	case ReasonReset, ReasonOverflow, ReasonWriteTimeout, ReasonKilled, ReasonHandshakeTimeout, ReasonMemory:
		return false
	}
	return true
}

// routine tells whether the end is ordinary, and so logged at debug level.
func (r Reason) routine() bool {
	switch r {
	case ReasonPeer, ReasonReset, ReasonQuit, ReasonShutdown, ReasonIdleTimeout, ReasonKeepAlive, ReasonTakenOver, ReasonUpgraded:
		return true
	}
	return false
}

// A CloseError says why a connection ended: the code, and the cause if there
// is one.
type CloseError struct {
	Reason Reason
	Err    error
}

func (e *CloseError) Error() string {
	if e.Err == nil {
		return e.Reason.String()
	}
	return e.Reason.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *CloseError) Unwrap() error { return e.Err }

// Because returns an error that closes a connection for reason r when a
// session returns it. The cause may be nil.
func Because(r Reason, cause error) error { return &CloseError{Reason: r, Err: cause} }

// ReasonOf returns the reason that err carries, or otherwise fallback.
func ReasonOf(err error, fallback Reason) Reason {
	if ce, ok := errors.AsType[*CloseError](err); ok {
		return ce.Reason
	}
	return fallback
}

// Errors of writing to a connection.
var (
	// ErrClosed is returned for a connection that is closed or closing.
	ErrClosed = errors.New("the connection is closed")
	// ErrDropped is returned by Push when the overflow policy drops the message.
	ErrDropped = errors.New("the message was dropped: the peer reads too slowly")
)

// Errors of the engine's own life.
var (
	// ErrStopped is returned by methods of an engine that was shut down.
	ErrStopped = errors.New("the engine is stopped")
	// ErrDriver is returned for a driver that this platform does not have.
	ErrDriver = errors.New("no such driver on this platform; use \"net\"")
)
