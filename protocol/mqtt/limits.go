package mqtt

import "time"

// Limits bound what clients can make the broker hold. A zero field is its default.
type Limits struct {
	// PacketSize is the largest packet in bytes that is taken from a client, and granted as Maximum Packet Size. Default 1 MiB. It has to be less than what the
	// engine's Limits.Message allows, since that is collected before it is served.
	PacketSize int
	// ConnectSize is the largest CONNECT in bytes, which is all that somebody who is not known yet can send. Default 64 KiB.
	ConnectSize int
	// KeepAlive is the longest keep-alive that a client gets, and what one gets that asks for none. Default: none, what the client asks for is granted. Danger: a
	// client without a keep-alive whose network is gone stays connected until TCP notices, which may take two hours.
	KeepAlive time.Duration
	// Inflight is how many messages of QoS 1 and 2 are on their way to a client and not acknowledged, at most what the client grants itself. Default 256, at most 7935.
	Inflight int
	// Receive is how many messages of QoS 1 and 2 a client may have sent that are not acknowledged, and is granted as Receive Maximum. Default 1024. One that sends
	// more is disconnected in version 5; one of version 3 is not read for as long.
	Receive int
	// TopicAliases is how many topic aliases a client may set. Default 64; each costs the topic.
	TopicAliases int
	// Sessions is how many sessions there may be that outlive their connections. Default 1 000 000; each costs about 500 bytes of memory and as many on disk. One more is
	// kept only as long as its connection.
	Sessions int
	// Expiry is the longest Session Expiry Interval that is granted. Default 0: for ever. Danger: sessions of clients that never come back hold what they wait for, within
	// QueueAge, for as long.
	Expiry time.Duration
	// Subscriptions is how many subscriptions a session may have. Default 10 000.
	Subscriptions int
	// Queue, QueueBytes and QueueAge bound what waits for a session that is away or slow: messages of QoS 1 and 2, their bytes, and how old they get. Default 100 000
	// messages, 256 MiB and 7 days. What waits is kept once for all sessions, so it costs a session a place in the log, and nothing for each message. For
	// sessions that end with their connection, which hold messages in memory, the bounds are QueueMemory.
	Queue      int
	QueueBytes int64
	QueueAge   time.Duration
	// QueueMemory is how many bytes of messages wait in memory for a connected client whose Receive Maximum is used up, and that has no session in the store. Default 1 MiB.
	QueueMemory int
	// LogBytes bounds what the log of all sessions together holds. Default 8 GiB. Beyond it, the oldest messages are lost to the sessions that still wait for them.
	LogBytes int64
	// Retained is how many retained messages there may be. Default 1 000 000.
	Retained int
	// ConnectRate is how many clients may connect in a second; others wait in turn, within ConnectWait, so that those who are connected do not feel a storm. Default
	// 2000. ConnectQueue is how many may wait. Default 50 000; each holds a goroutine.
	ConnectRate  int
	ConnectQueue int
	ConnectWait  time.Duration
	// AuthTimeout is how long checking credentials may take. Default 10 s.
	AuthTimeout time.Duration
}

// The defaults of [Limits].
const (
	DefaultPacketSize    = 1<<20 - 1
	DefaultConnectSize   = 64 << 10
	DefaultInflight      = 256
	DefaultReceive       = 1024
	DefaultTopicAliases  = 64
	DefaultSessions      = 1_000_000
	DefaultSubscriptions = 10_000
	DefaultQueue         = 100_000
	DefaultQueueBytes    = 256 << 20
	DefaultQueueAge      = 7 * 24 * time.Hour
	DefaultQueueMemory   = 1 << 20
	DefaultLogBytes      = 8 << 30
	DefaultRetained      = 1_000_000
	DefaultConnectRate   = 2000
	DefaultConnectQueue  = 50_000
	DefaultConnectWait   = 30 * time.Second
	DefaultAuthTimeout   = 10 * time.Second
)

// The most of some [Limits]; more is not granted.
const (
	// MaxInflight leaves identifiers for retained messages, which are reserved a page at a time.
	MaxInflight = 65535 - logIDs - 2*pageMessages
	// MaxReceive and MaxTopicAliases are what two bytes can say.
	MaxReceive      = 65535
	MaxTopicAliases = 65535
)

const (
	// maxOffset is beyond every place in the log.
	maxOffset = ^uint64(0)
	// logIDs are the packet identifiers of messages in the log, from 1 on. The others are counted, so that neither stands in the way of the other, and bound what is on its way.
	logIDs = 57344
	// never is the Session Expiry Interval of a session that does not expire (§3.1.2.11.2).
	never = 0xFFFFFFFF
	// replyFlush is how many bytes of replies are collected before they are sent.
	replyFlush = 64 << 10
	// maxAnswers is how many answers of a connection may wait for the disk, of whatever kind. Beyond that the client is not read. Each takes about 100 bytes if it comes alone.
	maxAnswers = 4096
	// publishBatch is how many messages of one read are committed together: beyond that the first ones are handed over while the rest is decoded.
	publishBatch = 512
	// nearPlaces is how far apart messages of the log may be that are read at once, with what lies between.
	nearPlaces = 16
	// pageMessages is how many messages are read from the log, or retained ones from the store, at a time.
	pageMessages = 128
	// keptEntries is how many places of a window are kept for the next messages when it is empty.
	keptEntries = 16
	// marksEvery is how often progress that need not be on disk at once is written, and marksBatch how many sessions one commit takes.
	marksEvery = 200 * time.Millisecond
	marksBatch = 500
	// sweepEvery is how often queues are held to their bounds and the log is trimmed.
	sweepEvery = 2 * time.Second
	// willGrace is the default of Config.WillGrace.
	willGrace = 10 * time.Second
	// aheadGrace is how long a message waits, once its connection has ended, for those before it that are on their way to the disk.
	aheadGrace = 5 * time.Second
	// maxWildcards is how many filters with wildcards one session may have, and maxOverlaps how many pairs of its filters that select the same: each pair costs 16 bytes, and all
	// of them together time whenever the session is read again.
	maxWildcards = 1000
	maxOverlaps  = 20_000
	// maxSessionPage is how many sessions are listed at a time.
	maxSessionPage = 1000
	// readTimeout is how long reading from the store may take.
	readTimeout = 30 * time.Second
	// maxReplaySeen is how many topics are remembered on which something newer came while retained messages are sent.
	maxReplaySeen = 100_000
	// stripes is how many clients can connect at the same moment without waiting for another with their luck.
	stripes = 1024
	// sysEvery is how often the figures below $SYS are published.
	sysEvery = 10 * time.Second
)

// WithDefaults returns the limits with every zero replaced by its default.
func (l Limits) WithDefaults() Limits {
	l.PacketSize = or(l.PacketSize, DefaultPacketSize)
	l.ConnectSize = min(or(l.ConnectSize, DefaultConnectSize), l.PacketSize)
	l.Inflight = min(or(l.Inflight, DefaultInflight), MaxInflight)
	l.Receive = min(or(l.Receive, DefaultReceive), MaxReceive)
	l.TopicAliases = min(or(l.TopicAliases, DefaultTopicAliases), MaxTopicAliases)
	l.Sessions = or(l.Sessions, DefaultSessions)
	if l.Expiry = max(0, l.Expiry); l.Expiry > 0 {
		l.Expiry = max(l.Expiry, time.Second) // the protocol says seconds, and none of them would end every session
	}
	l.Subscriptions = or(l.Subscriptions, DefaultSubscriptions)
	l.Queue = or(l.Queue, DefaultQueue)
	l.QueueBytes = or(l.QueueBytes, DefaultQueueBytes)
	l.QueueAge = or(l.QueueAge, DefaultQueueAge)
	l.QueueMemory = or(l.QueueMemory, DefaultQueueMemory)
	l.LogBytes = or(l.LogBytes, DefaultLogBytes)
	l.Retained = or(l.Retained, DefaultRetained)
	l.ConnectRate = or(l.ConnectRate, DefaultConnectRate)
	l.ConnectQueue = or(l.ConnectQueue, DefaultConnectQueue)
	l.ConnectWait = or(l.ConnectWait, DefaultConnectWait)
	l.AuthTimeout = or(l.AuthTimeout, DefaultAuthTimeout)
	return l
}

// or returns v, or its default if it is not positive.
func or[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
