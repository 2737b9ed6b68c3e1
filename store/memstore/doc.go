// Package memstore is the store for tests: everything [store.Store] promises, in memory, simple enough to be believed, so that it is also what
// other stores are compared with.
//
// # Durability
//
// Nothing is written to disk, and every [store.Durability] is treated alike. What stands for the disk is the memory that [Store.Reopen] carries
// into the next store: exactly what was committed, as after a crash. [Store.Snapshot] and [Restore] carry it further.
//
// # Order and blocking
//
// One goroutine, owned by the store and waited for by [Store.Close], commits the batches one after the other in the order in which Submit
// queued them, and calls their done functions, holding no lock of the store. So done may take any lock of its own, and may read the store; it must
// neither wait for another batch nor submit one. Submit calls done itself in one case only: the store was closed, and all
// that was submitted before has been answered.
//
// # Ownership
//
// Events and values are copied when they are committed. What is read is shared between readers, and never changes.
//
// # Faults
//
// [Options] has hooks around each commit, from which a test may call Reopen to crash at that instant. [Store.FailNext], [Store.Fail],
// [Store.SetFull] and [Store.Corrupt] make the faults of a disk. Nothing fails unless it is asked to.
package memstore
