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
	// Blocked is how many clients may wait in XREAD and XREADGROUP, each with a goroutine. Default [DefaultBlocked].
	Blocked int
	// NameLength is the longest name of a group or a consumer in bytes. Default [DefaultNameLength].
	NameLength int
	// KeyLength is the longest key in bytes. Default [DefaultKeyLength]. The names of state in the store begin with it.
	KeyLength int
}

// The defaults of [Limits].
const (
	DefaultKeys       = 100_000
	DefaultGroups     = 1000
	DefaultConsumers  = 100_000
	DefaultPending    = 1_000_000
	DefaultBlocked    = 20_000
	DefaultNameLength = 1024
	DefaultKeyLength  = 900
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
	// checkpoint is after how many records of a shared partition the place is stored.
	checkpoint = 10_000
	// stateKeyRoom is what the name of a piece of state adds to the key that it belongs to.
	stateKeyRoom = 64
)

func (l Limits) withDefaults() Limits {
	def := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	def(&l.Keys, DefaultKeys)
	def(&l.Groups, DefaultGroups)
	def(&l.Consumers, DefaultConsumers)
	def(&l.Pending, DefaultPending)
	def(&l.Blocked, DefaultBlocked)
	def(&l.NameLength, DefaultNameLength)
	def(&l.KeyLength, DefaultKeyLength)
	return l
}
