package resp

import (
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp/xstream"
)

// Limits bound what a peer can make this package read, keep or write. For each field zero means the default. What
// is not here is bounded elsewhere: a whole request by engine.Limits.Message, what waits for a peer by
// engine.Limits.Buffered, subscriptions, patterns and subjects by bus.Limits.
type Limits struct {
	// Args is the largest number of arguments of a request. Default [DefaultArgs]. Each costs 24 bytes while the request runs.
	Args int
	// Bulk is the largest argument in bytes. Default: as much as fits into engine.Limits.Message, which it cannot exceed.
	Bulk int
	// NameLength is the longest name of a client, a library or its version in bytes. Default [DefaultNameLength]. Kept for each connection.
	NameLength int
	// Streams bounds what the streams at keys, and those who wait for them, hold.
	Streams StreamLimits
}

// StreamLimits bound what the streams at keys hold.
type StreamLimits = xstream.Limits

// The defaults of [Limits].
const (
	DefaultArgs       = 1 << 20 // what Redis allowed before version 7
	DefaultNameLength = 256
)

// Fixed bounds, which have no reason to be configured.
const (
	// replyFlush is the size at which answers are sent before the rest of a pipeline is served.
	replyFlush = 64 << 10
	// replyKept is the largest buffer for answers, and argsKept the largest list of arguments, that goes back to the pool:
	// a pool would keep the memory of one burst.
	replyKept = 2 * replyFlush
	argsKept  = 256
	// longReply is the largest reply that is a list of connections or of subjects, and longReplies what all such replies
	// that are on the way may hold together: with 90 000 subjects of 950 bytes, twenty clients had 4.7 GB made for them.
	// Those that fit into replyFlush are not counted.
	longReply   = 8 << 20
	longReplies = 64 << 20
	// streamReply is the largest reply of entries of a stream, and readMost where a reply ends that may leave some for the next time. Such replies
	// count for longReplies too.
	streamReply = 32 << 20
	readMost    = 8 << 20
	// holesMost is how many requests of a pipeline wait for the disk together.
	holesMost = 1024
	// bulkFrame is what a bulk string adds to its bytes, at most.
	bulkFrame = len("$2147483647\r\n\r\n")
	// MaxRequest is the largest request in bytes, whatever engine.Limits.Message says: places in a request are 32-bit numbers.
	MaxRequest = 1 << 30
	// heldMost is how much may be published to a connection while the confirmation of its subscription is on the way: as much as may wait
	// for it by default, since on a busy machine that may take milliseconds. The frames are shared by all who are subscribed.
	heldMost = engine.DefaultBuffered
	// readKeys is how many keys one XREAD or XREADGROUP may name: each is loaded, watched, and looked at whenever its partition grows.
	readKeys = 256
	// shownArgs is how many bytes of a request the error about an unknown command repeats, as in Redis.
	shownArgs = 128
	// databases is what SELECT accepts, as in Redis. They mean nothing here, and nothing for publishing in Redis.
	databases = 16
)

func (l Limits) withDefaults() Limits {
	if l.Args <= 0 {
		l.Args = DefaultArgs
	}
	if l.NameLength <= 0 {
		l.NameLength = DefaultNameLength
	}
	return l
}
