// Package pebblestore is the embedded [store.Store]: one directory, one process, on Pebble, a log-structured merge tree with a write-ahead log.
//
// # How a batch travels
//
// Submit puts it into a bounded queue. One goroutine takes all that waits, checks the preconditions of one batch after the other against
// what those before it leave, gives out offsets, writes the whole group to Pebble at once, waits for the fsync, shows the records to readers, wakes who waits,
// and calls the done functions in order. Meanwhile the next batches come together, so one fsync serves all that came in while the one before it ran.
//
// # Order and visibility
//
// Batches take effect in the order of Submit. The end of a partition that readers see moves only after the fsync (or, for batches that ask for
// less, after the write), by whole groups, so no reader sees a part of a batch in one partition and misses the other part in another for longer than two calls of Read take.
// Cursors and state are seen as soon as Pebble has them.
//
// # Reading
//
// The most recent blocks of all partitions are kept in memory, as they were written, up to [Options].TailBytes; the oldest go first. They
// are on disk as well, so where a Read begins decides alone where it reads, and nothing is lost or repeated at the seam. The strings and
// the data of the events that Read returns lie in the block that they came from: whoever keeps one small event keeps up to 64 KiB, and
// clones it if that matters.
//
// # Failure
//
// After a write or an fsync that failed, of any file, no write reaches the disk any more, also none of Pebble's background work. Everything that waits is
// answered with [store.ErrFailed], reading goes on, and Close lets go of the lock. Opening again finds all that was
// acknowledged. When the free space falls below [Options].Reserve, batches that append or put are refused with [store.ErrFull], but not those that make room (see [store.Batch.MakesRoom]): trims,
// removals, drops and cursors are taken, with a little state beside them.
//
// Damage that a checksum of ours or of Pebble shows is a [store.CorruptError], where it concerns records. A damaged cursor or value of state is
// an error of what reads it, and damage in the description of streams is an error of Open.
//
// # Not promised
//
// A write that the loss of power has torn looks like damage to the end of a file. Each group therefore begins with a mark of what was durable before it, which an
// idle store and Close add as well (see durableMark): damage to that is an error of Open, of the logs and of the manifest. What was
// committed in the last second before the process was killed, and what shares the last block of 32 KiB with damage to the log, is not
// marked yet; where that is damaged, or a log is deleted, the batches from there on are gone, whole. After a failure inside Pebble
// its memory may stay until the process ends. Space of trimmed records is given back some time. [store.Interval] loses the last second also when the process is killed, and
// [store.None] the last ten.
//
// # What is on the disk
//
// The files are Pebble's; a log ends with zeros, up to a megabyte of them (see logTail). Integers in keys are big endian, so that they sort.
//
//	v                               version of all this: 4 bytes, 1
//	t name                          stream: its number (4 bytes), which is never used twice
//	n                               streams ever made (8 bytes)
//	p number(4) partition(2)        First, Next, Count, Bytes, End, Total, Last (8 bytes each; see meta)
//	r number(4) partition(2) offset(8)  block: the records from that offset on that one group appended, at most 256 records or about 64 KiB
//	c length(2) consumer stream partition(2)  cursor: 8 bytes
//	s key                           state: revision (8 bytes), value
//	q                               last revision given out (8 bytes)
//
// A block is a head and the bodies of its records. The head: version (1 byte, 1), number of records (uvarint), bytes that the partition ever held before it
// (uvarint), time of the first append (8 bytes, nanoseconds since 1970), for each record the gap before its offset and its length (uvarints), and a
// CRC-32C (4 bytes, little endian) of the head. A body: CRC-32C of the rest (4 bytes), flags (1 byte: no time, wide time, headers), nanoseconds since the first append (uvarint),
// event ID (16 bytes), time of the event (nanoseconds in 8 bytes, or seconds in 8 and nanoseconds in 4, or nothing), subject and key (uvarint length and text),
// headers (number, names and values), data (the rest). Both checksums begin from the number, the partition and the offset, so that a record in the wrong place is noticed.
//
// What Snapshot writes is "SPATEBAK", a version (4 bytes, 1), chunks of entries, and a trailer. A chunk: length (4 bytes), CRC-32C (4 bytes), and
// keys and values, each a uvarint length and bytes, in no order. A key l has for its value a place that was left out since it could not be read: stream, partition,
// offset, number of records, reason. The trailer: a length of 0, the number of entries and of their bytes (8 bytes each), the
// CRC-32C of the heads of all chunks, and a CRC-32C of the trailer.
package pebblestore
