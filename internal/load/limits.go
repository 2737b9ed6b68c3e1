package load

import (
	"math"
	"time"
)

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
	// mqttWarmConns is the number of connections that come and go before a server's memory is read, so that what it
	// sets up once is not divided by connections.
	mqttWarmConns = 100
	// mqttLasting is how long the server keeps the sessions that outlive their connections, if they cannot be ended: longer than the keep-alive, which is the
	// greatest there is.
	mqttLasting = (math.MaxUint16 + 300) * time.Second
	// retryAfter is how long a connection that was refused, or broken off, in a storm waits before it tries again.
	retryAfter = 100 * time.Millisecond
	// writeOffAfter is how long nothing of a publisher moves until what is under way from it at QoS 0 is given up, and
	// how long a run with MQTT waits at its end while nothing arrives.
	writeOffAfter = 3 * time.Second
	// dialers is the number of connections that are opened at the same time:
	// few enough for the usual backlog of 128.
	dialers = 64
	// readSize is how much is read at a time.
	readSize = 64 << 10
)
