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
	// Publish is the size in bytes of the body of a request that publishes.
	// Default 16 MiB, which is also the largest event by default.
	Publish int64
	// Buffered is the size in bytes of the bodies of all requests together that
	// are being read or answered, of the pages of streams that are read back, and
	// of large events on their way to subscribers; whoever would exceed it is told
	// to come again. Default 256 MiB. Danger: an event larger than a third of it
	// cannot be subscribed to.
	Buffered int64
	// Batch is the number of CloudEvents in one request. They are stored in one
	// commit, which takes what the store can commit at once. Default 1000.
	Batch int
	// PublishTimeout is how long a publisher waits for the store. Default 30 s.
	PublishTimeout time.Duration
	// Subscribers is the number of subscriptions at the same time. Default 512,
	// half of Connections. Danger of more than Connections less what others
	// need: subscriptions keep publishers and scrapers out.
	Subscribers int
	// SubscribersPerAddress is the same for one IPv4 address or IPv6 /64.
	// Default 64. Danger: a proxy in front of the door is one address.
	SubscribersPerAddress int
	// QueueEvents and QueueBytes bound what waits for one live subscriber;
	// events that wait for several are there once. Default 1024 events and 4 MiB.
	// Danger: an event larger than QueueBytes never reaches a live subscriber.
	QueueEvents, QueueBytes int
	// Heartbeat is how often a subscription that has nothing to say says so, and
	// whether its right is still there is looked at. Default 15 s: proxies give
	// up after 30 to 60 s of silence.
	Heartbeat time.Duration
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

	DefaultPublish               = 16 << 20
	DefaultBuffered              = 256 << 20
	DefaultBatch                 = 1000
	DefaultPublishTimeout        = 30 * time.Second
	DefaultSubscribers           = 512
	DefaultSubscribersPerAddress = 64
	DefaultQueueEvents           = 1024
	DefaultQueueBytes            = 4 << 20
	DefaultHeartbeat             = 15 * time.Second
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
	// maxDepth bounds the nesting of JSON that the API is sent.
	maxDepth = 64
	// maxIdempotency bounds an Idempotency-Key in bytes.
	maxIdempotency = 255
	// readRecords and readBytes bound what a subscriber of a stream holds.
	readRecords = 256
	readBytes   = 256 << 10
	// pageRows is the length of a list unless ?limit= says otherwise, and
	// pageBytes the size in bytes of the events in one.
	pageRows  = 100
	pageBytes = 1 << 20
	// textCost is how many times its size an event takes while it is sent: the
	// record, and its text, for which base64 and escapes take a third and more.
	textCost = 3
	// maxAttributes bounds the attributes of a CloudEvent: more headers than an event may have.
	maxAttributes = 256
	// maxFlights is how many events of one WebSocket may be on their way to the store.
	maxFlights = 64
	// maxMessageID bounds the id of a message of a WebSocket in bytes.
	maxMessageID = 64
	// firstMessage bounds a message of a WebSocket whose sender has yet to log in.
	firstMessage = 16 << 10
	// firstBody is what is allocated for a body of unknown length.
	firstBody = 512
	// maxCommandWait is how long a request waits for the answer of a device.
	maxCommandWait = time.Minute
	// reconnectAfter is how long a client of server-sent events waits before it connects again.
	reconnectAfter = 2 * time.Second
	// leftOutAfter is how long a closing that had no line in the log waits to be counted in one.
	leftOutAfter = time.Second
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
	l.Publish = orDefault(l.Publish, DefaultPublish)
	l.Buffered = orDefault(l.Buffered, DefaultBuffered)
	l.Batch = orDefault(l.Batch, DefaultBatch)
	l.PublishTimeout = orDefault(l.PublishTimeout, DefaultPublishTimeout)
	l.Subscribers = orDefault(l.Subscribers, DefaultSubscribers)
	l.SubscribersPerAddress = orDefault(l.SubscribersPerAddress, DefaultSubscribersPerAddress)
	l.QueueEvents = orDefault(l.QueueEvents, DefaultQueueEvents)
	l.QueueBytes = orDefault(l.QueueBytes, DefaultQueueBytes)
	l.Heartbeat = orDefault(l.Heartbeat, DefaultHeartbeat)
	return l
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
