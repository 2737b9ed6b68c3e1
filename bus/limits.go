package bus

import (
	"errors"
	"time"

	"github.com/spate-io/spate/event"
)

// Why a subscription is refused.
var (
	// ErrTooMany means that the client or the bus has as many subscriptions as [Limits] allows.
	ErrTooMany = errors.New("there are too many")
	// ErrTooLong means that a glob has more bytes than [Limits] allows.
	ErrTooLong = errors.New("it is too long")
	// ErrClosed means that the client or the queue was closed.
	ErrClosed = errors.New("it was closed")
)

// Defaults of [Limits].
const (
	// DefaultSubscriptions bounds the bus: about 280 bytes each with a client of its own, so 1.4 GB when full.
	DefaultSubscriptions = 5_000_000
	// DefaultClientSubscriptions bounds one client.
	DefaultClientSubscriptions = 100_000
	// DefaultGlobs bounds the distinct globs of the bus: about 20 ns each for every event published.
	DefaultGlobs = 10_000
	// DefaultClientGlobs bounds the globs of one client.
	DefaultClientGlobs = 1000
	// DefaultGlobLength bounds a glob in bytes.
	DefaultGlobLength = 1024
	// DefaultQueueEvents and DefaultQueueBytes bound a [Queue].
	DefaultQueueEvents = 1024
	// DefaultQueueBytes is twice the largest event with the default limits.
	DefaultQueueBytes = 32 << 20
	// DefaultBlockTime is how long a full [Queue] with the policy [Block] holds up a publisher.
	DefaultBlockTime = time.Second
)

// Limits bounds what clients can make the bus keep and do. The zero value is the defaults.
type Limits struct {
	// Event bounds the events, subjects and filters.
	Event event.Limits
	// Subscriptions of the whole bus. Default [DefaultSubscriptions]. Too low, and one client can lock out the rest;
	// too high, and clients can fill the memory.
	Subscriptions int
	// ClientSubscriptions of one client, globs included. Default [DefaultClientSubscriptions].
	ClientSubscriptions int
	// Globs that differ, of the whole bus. Default [DefaultGlobs]. Each slows down every publish.
	Globs int
	// ClientGlobs of one client. Default [DefaultClientGlobs].
	ClientGlobs int
	// GlobLength in bytes. Default [DefaultGlobLength]. The time to match grows with its product with the length of the subject.
	GlobLength int
}

func (l Limits) withDefaults() Limits {
	l.Subscriptions = orDefault(l.Subscriptions, DefaultSubscriptions)
	l.ClientSubscriptions = orDefault(l.ClientSubscriptions, DefaultClientSubscriptions)
	l.Globs = orDefault(l.Globs, DefaultGlobs)
	l.ClientGlobs = orDefault(l.ClientGlobs, DefaultClientGlobs)
	l.GlobLength = orDefault(l.GlobLength, DefaultGlobLength)
	return l
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
