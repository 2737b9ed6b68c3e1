package engine

import "time"

// Limits bound what peers can make the engine hold. For each field zero means
// the default and a negative number means no limit. All are enforced before
// memory is allocated and before anybody is authenticated.
type Limits struct {
	// Connections is the number of connections at the same time; one more is
	// closed at once. Default 100 000. Danger without it: the process runs out
	// of descriptors, which stops every listener.
	Connections int
	// PerAddress is the number of connections from one IPv4 address or one
	// IPv6 /64 at the same time. Default 0 means unlimited, since a load
	// balancer or a NAT is one address; set it where clients connect directly.
	PerAddress int
	// AcceptRate is the number of connections accepted in a second by one
	// listener, with a burst of as many; further ones wait in the kernel's
	// queue. Default unlimited.
	AcceptRate int
	// Handshakes is the number of TLS handshakes at the same time, from the
	// client's first byte on; each holds a goroutine and about 30 KiB. Further
	// ones wait, within HandshakeTimeout. Default 1 024. Danger: that many
	// clients that send half a handshake keep others out for as long; PerAddress
	// bounds what one address can do.
	Handshakes int
	// Message is the size in bytes of the longest request that is collected
	// before it can be served. Default 1 MiB.
	Message int
	// Buffered is the number of bytes that may wait to be sent to one
	// connection. Default 1 MiB. A reply beyond it makes its handler wait, a
	// push beyond it meets its overflow policy, and a connection with more than
	// half of it waiting is not read.
	Buffered int
	// BufferedTotal is the number of bytes that all connections together may
	// hold, in partial requests and waiting output. Default 512 MiB.
	BufferedTotal int64

	// HandshakeTimeout bounds the TLS handshake. Default 10 s.
	HandshakeTimeout time.Duration
	// FirstTimeout bounds the time from the connection's opening to its first
	// complete request. Default 60 s.
	FirstTimeout time.Duration
	// RequestTimeout bounds the time from a request's first byte to its last.
	// Default 60 s. Danger without it: a client that sends a byte a second
	// holds a buffer for days.
	RequestTimeout time.Duration
	// IdleTimeout is how long a connection may go without a request, once it
	// has taken the answers to all before. Default
	// unlimited; dead peers are found by TCP keep-alive within two minutes.
	IdleTimeout time.Duration
	// WriteTimeout is how long a peer may take no byte at all while some wait
	// for it. Default 30 s.
	WriteTimeout time.Duration
	// LingerTimeout bounds the wait for the peer to read a final message and
	// close. Default 2 s.
	LingerTimeout time.Duration
}

// The defaults of Limits.
const (
	DefaultConnections      = 100_000
	DefaultHandshakes       = 1024
	DefaultMessage          = 1 << 20
	DefaultBuffered         = 1 << 20
	DefaultBufferedTotal    = 512 << 20
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultFirstTimeout     = 60 * time.Second
	DefaultRequestTimeout   = 60 * time.Second
	DefaultWriteTimeout     = 30 * time.Second
	DefaultLingerTimeout    = 2 * time.Second
)

// Fixed bounds, which have no reason to be configured.
const (
	// scratchSize is the read buffer of a task. 16 KiB is what a TLS record
	// holds and what Redis reads at a time; more made no difference in echo.
	scratchSize = 16 << 10
	// turnReads is the number of reads that one turn makes before the
	// connection goes to the back of the queue, so that a flood of one peer
	// delays the others by at most turnReads×scratchSize bytes of work.
	turnReads = 4
	// eventsPerPoll is the number of events that one epoll_wait returns.
	eventsPerPoll = 256
	// turnsPerPoll is the number of turns after which a worker looks at the
	// sockets again, and may come to the flushes, although turns are left.
	turnsPerPoll = 512
	// flushesPerPoll is the same for flushes: replies to one connection do not
	// wait for a fan-out to thousands of others.
	flushesPerPoll = 64
	// manyWorkers is the number of workers from which on a new one lets others run
	// first. Go runs a goroutine that was just started before all others, so when the
	// holder of a mutex is preempted, each worker would block on it and start
	// the next: 2000 of them, with 16 KiB each, in the 10 ms until somebody else may run.
	manyWorkers = 16
	// endsPerPoll is the same for connections whose peers have gone.
	endsPerPoll = 16
	// maxHeld is how many encrypted bytes may wait for room in the socket of
	// an event loop: a record of output, and what TLS says of its own accord.
	maxHeld = 64 << 10
	// lingerBytes is how much a closing connection may still send before it
	// is cut off.
	lingerBytes = 1 << 20
	// closeBurst is how many lines about connections that did not end in an
	// ordinary way may be logged at once, and closeEvery how long until one
	// more: peers decide how often such a line is due, and 10 a second fill 150 MB
	// of log in a day.
	closeBurst = 100
	closeEvery = 100 * time.Millisecond
	// wheelTick is the resolution of deadlines.
	wheelTick = 100 * time.Millisecond
)

// withDefaults returns the limits with every zero replaced by its default and
// every "none" by the largest number.
func (l Limits) withDefaults() Limits {
	l.Connections = pick(l.Connections, DefaultConnections, maxInt)
	l.PerAddress = pick(l.PerAddress, maxInt, maxInt)
	l.AcceptRate = pick(l.AcceptRate, maxInt, maxInt)
	l.Handshakes = pick(l.Handshakes, DefaultHandshakes, maxInt)
	l.Message = pick(l.Message, DefaultMessage, maxInt)
	l.Buffered = pick(l.Buffered, DefaultBuffered, maxInt)
	l.BufferedTotal = pick(l.BufferedTotal, DefaultBufferedTotal, maxInt64)
	l.HandshakeTimeout = pick(l.HandshakeTimeout, DefaultHandshakeTimeout, forever)
	l.FirstTimeout = pick(l.FirstTimeout, DefaultFirstTimeout, forever)
	l.RequestTimeout = pick(l.RequestTimeout, DefaultRequestTimeout, forever)
	l.IdleTimeout = pick(l.IdleTimeout, forever, forever)
	l.WriteTimeout = pick(l.WriteTimeout, DefaultWriteTimeout, forever)
	l.LingerTimeout = pick(l.LingerTimeout, DefaultLingerTimeout, forever)
	return l
}

// silence is how long a peer may leave undone what why stands for.
func (l *Limits) silence(why Reason) time.Duration {
	switch why {
	case ReasonFirstTimeout:
		return l.FirstTimeout
	case ReasonRequestTimeout:
		return l.RequestTimeout
	}
	return l.IdleTimeout
}

const (
	maxInt   = 1<<31 - 1
	maxInt64 = 1<<62 - 1
	// forever is a deadline that never comes.
	forever = 100 * 365 * 24 * time.Hour
)

// pick returns def for zero, none for a negative number and v otherwise.
func pick[T int | int64 | time.Duration](v, def, none T) T {
	switch {
	case v == 0:
		return def
	case v < 0:
		return none
	}
	return v
}
