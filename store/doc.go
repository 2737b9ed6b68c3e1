// Package store keeps streams, cursors and state behind one Commit.
//
// A [Store] holds three kinds of things: streams, which are partitioned logs of events; cursors, which say how far a
// consumer has read a partition; and state, which is values under keys. A [Batch] changes any of them, in any number,
// and is committed wholly or not at all. Everything above this package (consumers, sessions, device shadows) is built
// from that one operation, so that it survives a crash at any instant.
//
// The package holds the interface and its words. store/pebblestore is the embedded store, store/memstore the one for
// tests, and store/storetest the suite that each must pass. Nothing here assumes that a store is local, that one process
// uses it, or that a batch may be of any size: ask [Store.Limits].
//
// # Durability
//
// The function given to [Store.Submit] is called with nil once the batch is on disk, and survives the loss of power. A
// batch may ask for less with [Batch.Durability], and then says what it may lose. After a write or an fsync
// has failed nothing is acknowledged any more: every later batch fails with [ErrFailed], [Store.Health] says why, and the
// store must be opened again, since nobody knows what the disk holds. A full disk is no such failure: batches fail with
// [ErrFull] until there is room, but for those that make some ([Batch.MakesRoom]), and reading goes on.
//
// # Order
//
// Batches take effect one after the other, those of one goroutine in the order in which it submitted them. Their done functions
// are called in the same order. Records of a partition have increasing offsets; gaps are where records
// were deleted.
//
// # Reading
//
// A record can be read once its batch is as durable as it asked to be, not before: nobody sees an event that a loss of power could
// take back. State and cursors may be read a moment earlier, by whoever is about to commit on top of them; what is
// committed on top becomes durable with or after it. Recent records come from memory and older ones from disk, with no gap
// and no repeat between them.
//
// # Blocking and ownership
//
// Submit waits only while more than [Limits].Pending bytes wait to be committed. The done function is called from the goroutine
// that commits, so it must not block, and must not call Submit. Once the store is closed and all that was submitted before is answered, Submit calls done itself, so
// do not call Submit with a lock that done takes. A batch and all that it points to belongs to the
// store until done is called; afterwards it is the caller's again, and the store has its own copy. What Read, Get and Scan return is shared with others and
// must not be changed. Times come back as the same instant in UTC.
//
// # Not promised
//
// Batches of several goroutines are in no particular order. A batch whose context ended while it was being committed may
// have been committed. Time stamps of records come from the clock of the store, corrected so that they never fall within a partition.
package store
