// Package spatetest is the kit for tests of what is built on Spate: a node in memory in one line, what was published on it, a clock that is
// set by hand, and the faults of a disk and of a process.
//
//	n := spatetest.New(t, spatetest.Options{
//		App:   spate.Options{Streams: []stream.Config{{Name: "orders", Subjects: []string{"orders/#"}}}},
//		Setup: shop.Handlers, // func(*spate.App) error
//	})
//	n.Publish("orders/17", `{"item":"book"}`)
//	got := spatetest.WaitForValues(n, shop.Invoices, 1)
//
// A node is a whole [spate.App] on a store in memory. It runs until the test ends, and is then drained: handlers finish what they are at, and a
// drain that fails is an error of the test. Nothing is left behind that goleak would find.
//
// # Lives
//
// A node has one life after the other. [Node.Crash] ends one as kill -9 would: what was committed stays, what was not is gone, and what the old
// life still tries to commit is refused. Then a new App is made of the same options on what is left of the store,
// [Options].Setup is called with it, and it runs. [Node.CrashBefore] and [Node.CrashAfter] crash at the very commit that a test is
// afraid of, and [CrashEverywhere] at each commit of a scenario in turn, once before and once after it.
// One thing no kit can do: to stop the goroutine of a handler. It runs on until it returns or its context ends, which is
// when [spate.Options].DrainTimeout is over, and what it does outside of Spate happens.
//
// # What counts as published
//
// [Node.Published] knows an event that streams capture from the commit that stored it, once, even if nobody was told of that commit, and any other
// event from its delivery. Events are in the order in which that happened, over all lives. Those whose subject
// begins with $ are seen only by filters that begin with it.
//
// # Time
//
// In a test under [testing/synctest] everything runs on the fake clock: pauses between attempts, retention and timeouts cost no time, and a test that
// would wait for ever fails at once. That works for all that needs no socket, since the kit and the store use none; an App that
// listens does not work there. Outside of it, a [Clock] sets the time that events, records, retention and dedupe windows go by; pauses and
// timeouts remain in real time.
//
// # Blocking and ownership
//
// Methods of [Node] are for the goroutine of the test, since they end it when something is wrong; [Node.App] and Published are for any. Methods that
// wait do so for at most [Options].Patience. Events that are returned are shared and must not be changed.
package spatetest
