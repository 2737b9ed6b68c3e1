package xstream

// Limits bound what a peer can make this package hold. For each field zero means the default.
type Limits struct {
	// Keys is how many keys are kept in memory, with their groups. Default [DefaultKeys]. Those that nobody uses make room.
	Keys int
	// Groups of one key. Default [DefaultGroups].
	Groups int
	// Consumers of one group. Default [DefaultConsumers].
	Consumers int
	// Pending entries of one group, about 150 bytes each in memory. Default [DefaultPending]. A group that has as many gets no more
	// until some are acknowledged.
	Pending int
	// TotalGroups, TotalConsumers and TotalPending are the same for all keys together, also of those that are not in memory. Defaults
	// [DefaultTotalGroups], [DefaultTotalConsumers] and [DefaultTotalPending].
	TotalGroups, TotalConsumers, TotalPending int
	// Blocked is how many clients may wait in XREAD and XREADGROUP, each with a goroutine. Default [DefaultBlocked].
	Blocked int
	// Watched is how many keys all of them together may wait for; a key that two wait for counts twice. Default [DefaultWatched]. Each
	// costs about 100 bytes, and stays in memory.
	Watched int
	// Index is how many blocks of 1024 records of shared partitions are known by subject, in 8 KiB of memory each. Default [DefaultIndex]. What is
	// beyond is read again when it is needed.
	Index int
	// NameLength is the longest name of a group or a consumer in bytes. Default [DefaultNameLength].
	NameLength int
	// KeyLength is the longest key in bytes. Default [DefaultKeyLength]. The names of state in the store have it in them, and are limited.
	KeyLength int
}

// The defaults of [Limits].
const (
	DefaultKeys       = 100_000
	DefaultGroups     = 1000
	DefaultConsumers  = 100_000
	DefaultPending    = 1_000_000
	DefaultBlocked    = 20_000
	DefaultWatched    = 100_000 // five keys for each client that waits; without it, 20 000 clients could wait for 5 million
	DefaultIndex      = 16_384  // 128 MiB: 16 million records
	DefaultNameLength = 1024
	DefaultKeyLength  = 900

	DefaultTotalGroups    = 50_000    // 400 bytes and a name each: 20 MB with short names
	DefaultTotalConsumers = 200_000   // 250 bytes and a name each: 50 MB with short names, and 250 MB with the longest
	DefaultTotalPending   = 2_000_000 // 300 MB
)

// Fixed bounds, which have no reason to be configured.
const (
	// scanRecords and scanBytes bound one read of the store.
	scanRecords = 1024
	scanBytes   = 1 << 20
	// nodeEntries is how many entries a node of Redis holds: MAXLEN ~ removes whole ones.
	nodeEntries = 100
	// trimMost is how many entries MAXLEN ~ and MINID ~ remove at once without LIMIT, as in Redis.
	trimMost = 100 * nodeEntries
	// windowBytes is how many bytes of records are held while a range is read backward.
	windowBytes = 4 << 20
	// checkpoint is after how many entries of a key in a shared partition the place is stored.
	checkpoint = 10_000
	// stateKeyRoom is what the name of a piece of state adds to the key that it belongs to: what it is, the home, two bytes and three numbers.
	stateKeyRoom = 80
	// sweepPage is how many pieces of the state of a removed stream one command deletes in passing: about a millisecond.
	sweepPage = 1000
	// countMost is the largest COUNT of XAUTOCLAIM. Redis takes what it can allocate 16 bytes for each of: 64 GiB for these.
	countMost = 1 << 32
	// claimMost is how many entries one XAUTOCLAIM gives away: each is a change to be stored, and the key is locked meanwhile.
	claimMost = 10_000
)

// WithDefaults returns the limits with the defaults written out.
func (l Limits) WithDefaults() Limits {
	def := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	def(&l.Keys, DefaultKeys)
	def(&l.Groups, DefaultGroups)
	def(&l.Consumers, DefaultConsumers)
	def(&l.Pending, DefaultPending)
	def(&l.TotalGroups, DefaultTotalGroups)
	def(&l.TotalConsumers, DefaultTotalConsumers)
	def(&l.TotalPending, DefaultTotalPending)
	def(&l.Blocked, DefaultBlocked)
	def(&l.Watched, DefaultWatched)
	def(&l.Index, DefaultIndex)
	def(&l.NameLength, DefaultNameLength)
	def(&l.KeyLength, DefaultKeyLength)
	return l
}
