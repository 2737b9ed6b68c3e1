package task

// Everything in this package that could grow without anybody asking for it has its bound here.
const (
	// DefaultCapacity is the number of messages that a Broadcast with no Capacity keeps for its slow
	// subscribers. 256 pointers are 2 KiB for all subscribers together.
	DefaultCapacity = 256

	// MaxCapacity bounds Broadcast.Capacity, because the ring is allocated at once: 8 MiB of pointers.
	MaxCapacity = 1 << 20

	// maxErrors is how many errors a Scope keeps for Wait. A scope that lives as long as the server and
	// keeps going would otherwise hold one error for each request that ever failed. Later ones are counted.
	maxErrors = 16

	// registryShards spreads a Registry over this many locks, so that a Snapshot of 100 000 tasks holds
	// back a spawn for a sixteenth of its time.
	registryShards = 16

	// maxPanicText is how many bytes of what panic was called with a PanicError prints: a handler may panic with all that it was given.
	maxPanicText = 3 << 10

	// maxBackoff caps every delay between two attempts, so that no multiplication can overflow: a day.
	maxBackoff = 24 * 60 * 60 * 1e9
)
