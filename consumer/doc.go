// Package consumer has handlers process the events of a stream, so that what a handler does and how far the consumer has come are
// committed together.
//
// A consumer has a name, under which the store keeps its place in every partition of its stream. For each event it calls a
// [Handler]. What the handler publishes and what it keeps as state is held back until it returns nil, and is then committed in one
// batch with the place: a step. After a crash each step has happened wholly or not at all. What a handler does to the world outside is not
// part of it, and may happen again; [Delivery.ID] is the same each time.
//
// # Order
//
// The key decides. Events of one key are handled one after the other, in the order of the stream; those of different keys beside
// each other, [Config].Concurrency of them at a time. A [BatchHandler] gets all events of a partition in order, whatever their key.
//
// # What the error of a handler decides
//
//	nil                 the step is committed
//	Skip                the event is done with; nothing else of the step is kept
//	RetryAfter(d)       again after d, without end
//	Dead(err)           a dead letter, now
//	any other, a panic  again (a runtime.Goexit too, which testing.T.FailNow calls), with growing pauses, and after [Config].Retry.Attempts a dead letter
//
// While an event waits for its next attempt, later events of its key wait with it, and all others go on. How often it was tried is
// not stored: it begins anew after a restart. When a [BatchHandler] has failed as often as that, its events are given to it one by
// one, so that only the one to blame becomes a dead letter.
//
// # Dead letters
//
// A dead letter is the event with the reason, the stack of a panic, the attempts and the place where it came from, in the stream
// [DeadStream]. It is stored in the commit that moves the consumer past it. It can be listed, redriven, which gives it to its consumer
// again, in no order with other events, and dropped.
//
// # Bounds
//
// A partition has at most [Config].InFlight events and InFlightBytes bytes in memory. When a handler does not return, or keys wait for their next
// attempt, the partition is read no further than that, and its lag grows. One step may publish and keep as much as half of what
// the store takes in a batch; beyond that Publish and Put fail, and so does the step.
//
// # Not promised
//
// That a handler is called only once; that it is not called beside itself by two processes which both believe to own a partition (only one of them
// can commit); that dead letters keep the order of their key.
package consumer
