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
	// ErrTooVague means that a glob takes too long to match: it has more than 64 parts between stars, or those of them that
	// contain '?' or a set have more than 64 characters in all, which is as many as can be looked for in one pass over the subject.
	ErrTooVague = errors.New("it has more than 64 parts between stars, or those with '?' or '[' have more than 64 characters in all")
	// ErrClosed means that the client or the queue was closed.
	ErrClosed = errors.New("it was closed")
)

// Defaults of [Limits].
const (
	// DefaultSubscriptions bounds the bus: about 280 bytes each with a client of its own, so 1.4 GB when full.
	DefaultSubscriptions = 5_000_000
	// DefaultClientSubscriptions bounds one client.
	DefaultClientSubscriptions = 100_000
	// DefaultGlobs bounds the distinct globs of the bus. Each costs about 20 ns for every event published, and at worst, being
	// made for it, 2.5 µs for a subject of 1024 bytes: 0.25 s for an event when the bus is full of such.
	// It is a thousand times what one client may have, so that few clients cannot keep the rest from having any.
	DefaultGlobs = 100_000
	// DefaultClientGlobs bounds the globs of one client.
	DefaultClientGlobs = 100
	// DefaultGlobLength bounds a glob in bytes.
	DefaultGlobLength = 1024
	// DefaultQueueEvents and DefaultQueueBytes bound a [Queue].
	DefaultQueueEvents = 1024
	// DefaultQueueBytes is twice the largest event with the default limits.
	DefaultQueueBytes = 32 << 20
	// DefaultDeliveryEvents and DefaultDeliveryBytes bound what is being stored or was stored and waits for its live delivery.
	DefaultDeliveryEvents = 65_536
	// DefaultDeliveryBytes is four times what the embedded store lets wait for the disk, so it fills only behind slow readers.
	DefaultDeliveryBytes = 64 << 20
	// DefaultBlockTime is how long a full [Queue] with the policy [Block] holds up a publisher.
	DefaultBlockTime = time.Second
	// DefaultWindow is how many events of a [Publisher] are on their way at a time: as many as a disk takes in a few milliseconds.
	DefaultWindow = 4096
	// DefaultRequestTimeout is how long a [Request] waits whose context has no deadline.
	DefaultRequestTimeout = 5 * time.Second
	// DefaultResponders is how many requests a responder handles at a time.
	DefaultResponders = 16
)

const (
	maxErrors     = 16      // errors of a [Publisher] that are kept one by one
	maxRequests   = 100_000 // requests of a node that wait, about 500 bytes each
	maxLinks      = 128     // links of a span to the events of a batch, as many as OpenTelemetry keeps
	maxReplyError = 4 << 10 // bytes of a code and of a message, beside the limit on headers
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
	// Globs that differ, of the whole bus. Default [DefaultGlobs]. Each slows down every publish. Too low beside
	// ClientGlobs, and a few clients can keep the rest from subscribing to patterns.
	Globs int
	// ClientGlobs of one client. Default [DefaultClientGlobs].
	ClientGlobs int
	// GlobLength in bytes. Default [DefaultGlobLength]. The time to match grows with its
	// sum with the length of the subject.
	GlobLength int
	// DeliveryEvents and DeliveryBytes bound the events that are being stored or wait for their live delivery, by which readers with the policy [Block] can
	// hold them up. Who stores an event waits while there are more. Default [DefaultDeliveryEvents] and [DefaultDeliveryBytes]. Too low, and commits
	// cannot be shared by many; too high, and slow readers cost memory.
	DeliveryEvents, DeliveryBytes int
}

// maxVague is what [ErrTooVague] is about: a word has as many bits.
const maxVague = 64

func (l Limits) withDefaults() Limits {
	l.Subscriptions = orDefault(l.Subscriptions, DefaultSubscriptions)
	l.ClientSubscriptions = orDefault(l.ClientSubscriptions, DefaultClientSubscriptions)
	l.Globs = orDefault(l.Globs, DefaultGlobs)
	l.ClientGlobs = orDefault(l.ClientGlobs, DefaultClientGlobs)
	l.GlobLength = orDefault(l.GlobLength, DefaultGlobLength)
	l.DeliveryEvents = orDefault(l.DeliveryEvents, DefaultDeliveryEvents)
	l.DeliveryBytes = orDefault(l.DeliveryBytes, DefaultDeliveryBytes)
	return l
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
