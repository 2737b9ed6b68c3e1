package fleet

import "time"

const (
	// MaxDevices bounds a fleet: each device is a connection, two goroutines and some buffers.
	MaxDevices = 5000
	// MinEvery is the least time between two readings of a device.
	MinEvery = time.Millisecond
	// buffer is how many commands wait for a device, more than the window of package device by default.
	buffer = 32
	// keptCommands is how many commands a device remembers, to know one that comes twice.
	keptCommands = 64
	// sessionExpiry is how long the server keeps the session of a device that is away, in seconds.
	sessionExpiry = 3600
	// keepAlive is how often a silent device pings.
	keepAlive = 30 * time.Second
	// dialTimeout bounds a try to connect, and redial is the pause between two of them.
	dialTimeout = 10 * time.Second
	redial      = time.Second
	// publishTimeout bounds the wait for an acknowledgement.
	publishTimeout = 30 * time.Second
)
