package pebblestore

import "time"

// What a peer or a program can make grow, and where it ends.
const (
	// maxOperations of one batch: a step of a consumer has a thousand, a redrive of dead letters some more.
	maxOperations = 1 << 14

	// maxBatch is how many bytes one batch may have. Twice the largest event, so that it can be captured by two streams.
	maxBatch = 34 << 20

	// DefaultPending is how many bytes may wait to be committed before Submit waits. At 80 MB/s that is a quarter of a second.
	DefaultPending = 16 << 20

	// requestOverhead is what a batch takes in the queue beside its bytes, also an empty one.
	requestOverhead = 64

	// maxKey is the longest key of state, and the longest name of a stream or a consumer.
	maxKey = 4096

	// maxPartition is the largest number of a partition.
	maxPartition = 1<<16 - 1

	// groupBytes and groupRequests bound what one merged commit takes, so that it stays below half a memtable, where Pebble
	// would treat it as a table of its own.
	groupBytes    = 2 << 20
	groupRequests = 8192

	// yieldsPerGroup is how often others may run before the next group is taken. Whoever was just answered, and is about to ask again, then shares its fsync. It costs
	// nothing when nobody else can run. With none, 50 connections shared one by 18 and an XADD took 30 µs of CPU; with 4 it takes 25.
	yieldsPerGroup = 4

	// blockRecords and blockBytes bound a block, which is what is read, checked and rewritten as one.
	blockRecords = 256
	blockBytes   = 64 << 10

	// DefaultTailBytes is the memory for recent records of all partitions.
	DefaultTailBytes = 24 << 20

	// blockOverhead is what a block takes in memory beside its bytes.
	blockOverhead = 128

	// DefaultCacheBytes is the memory for blocks of sstables.
	DefaultCacheBytes = 8 << 20

	// memTableBytes and memTables bound what was committed and is not yet in an sstable. It is read again when the store opens, so it
	// also bounds the time that takes.
	memTableBytes = 16 << 20
	memTables     = 3

	// l0Files is how many flushed tables lie above each other before they are compacted, which rewrites what they overlap: all of the
	// next level, since every flush has some of every partition. With 4, storing took 3.1 µs of CPU an event, with 12 it takes 2.5.
	l0Files = 12

	// zeroAhead is how many zeros are written at the end of a log at a time, once no more than zeroMargin are left, unless more than zeroMost was
	// written since the last fdatasync. With 256 KiB one in twenty fdatasyncs is slow, with 4 MiB they take 14 ms.
	zeroAhead  = 1 << 20
	zeroMargin = 64 << 10
	zeroMost   = 256 << 10

	// DefaultDedupeEntries bounds the event IDs in memory, of all streams together; each takes about 100 bytes.
	DefaultDedupeEntries = 1 << 18

	// maxReadRecords bounds one Read, whatever it asks for.
	maxReadRecords = 1 << 16

	// trimSlack is how many trimmed records wait until their space is given back, since each time leaves a tombstone behind.
	trimSlack = 1024

	// syncEvery is how long batches with [store.Interval] may wait for an fsync.
	syncEvery = time.Second

	// noneTicks is how many times as long those with [store.None] may wait, which are in the memory of the process until then.
	noneTicks = 10

	// usageEvery is how often the free space of the disk is looked at.
	usageEvery = 100 * time.Millisecond

	// DefaultReserve is the room on the disk below which batches are refused; at most a twentieth of the disk.
	DefaultReserve = 256 << 20

	// leastReserve is what flushing and compacting takes at most of what was acknowledged: what is less is no reserve.
	leastReserve = 64 << 20

	// ballastBytes is the room that is given up when the disk is full in spite of the reserve; at most a quarter of that.
	ballastBytes = 64 << 20

	// closeWithin bounds closing Pebble after it has failed, when it may never finish.
	closeWithin = 2 * time.Second

	// warnEvery is how often background errors are logged, since Pebble tries again at once.
	warnEvery = time.Minute

	// descriptorWait is how long a new file waits for a descriptor, which is looked for every descriptorPause, before the store fails.
	descriptorWait  = time.Minute
	descriptorPause = 10 * time.Millisecond

	// fencedDelay slows down what Pebble tries again in the background after the store has failed.
	fencedDelay = 100 * time.Millisecond
)
