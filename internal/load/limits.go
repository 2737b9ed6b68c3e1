package load

// The bounds of a run, and of what a server can make the generator hold.
const (
	// MaxConns is the largest number of connections.
	MaxConns = 1 << 20
	// MaxPipeline is the largest number of requests under way on a connection.
	MaxPipeline = 1 << 16
	// MaxRate is the largest number of requests per second.
	MaxRate = 1 << 30
	// MaxReply is the longest reply that is collected.
	MaxReply = 64 << 20
	// dialers is the number of connections that are opened at the same time:
	// few enough for the usual backlog of 128.
	dialers = 64
	// readSize is how much is read at a time.
	readSize = 64 << 10
)
