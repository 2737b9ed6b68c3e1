// Package storetest is the suite that every [store.Store] passes. [Run] holds a store against each sentence of package store, and [RunModel] drives
// it with random operations beside a model and compares everything that can be read.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Harness { … })
//	}
//
//	func TestModel(t *testing.T) {
//		model := func(clock func() time.Time) store.Store { return memstore.New(memstore.Options{Clock: clock}) }
//		storetest.RunModel(t, func(t *testing.T) storetest.Harness { … }, model, 300)
//	}
//
// # What is assumed
//
// Nothing but the interface, and the [Harness] that opens, crashes and corrupts stores: not that a store is local, that it keeps anything in memory, that
// one process uses it, or that a batch may be of any size: a store must take [LeastOperations] and [LeastBytes] at once, and beyond that
// is asked for its limits. A Read may return fewer records than it was allowed to. Where package store promises nothing, nothing is tested.
//
// # Ownership
//
// A test opens what it needs from its own Harness, has one store open on it at a time, and closes it. Goroutines that a test starts end before it does. The suite waits for
// what happens, and what takes longer than [Patience], or than go test allows, has failed; only that something does not happen is watched for a moment
// of real time.
//
// # Not tested
//
// What only the maker of a store can bring about: the loss of power, a failing fsync, a full disk, a second process. Optional parts of the Harness that
// are missing leave their tests out, and the test's log says so.
package storetest
