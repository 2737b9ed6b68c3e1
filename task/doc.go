// Package task is structured concurrency: functions that run beside the caller, whose results, errors and
// panics travel to whoever awaits them, and of which none is ever left behind. Beside that it has what such
// functions need to keep time and to tell each other things: Timeout, Interval, Retry, Broadcast and Watch.
//
//	var s task.Scope
//	err := s.Run(ctx, "page", func(ctx context.Context) error {
//		user := task.Spawn(ctx, &s, "user", fetchUser)    // runs at once
//		posts := task.Spawn(ctx, &s, "posts", fetchPosts) // beside it
//		u, err := user.Await(ctx)
//		...
//	}) // here both have ended, whatever happened
//
// # Ownership
//
// Every task is started in a [Scope] (a [Group] is one), and a scope's Run or Wait returns only when all its
// tasks have. There is no way to start a task without an owner. A task that ignores its context is waited for,
// not abandoned; a [Registry] shows its name. This package starts one goroutine per task and no others: none
// for a subscriber, a watcher, an interval or a timeout.
//
// What is promised about a task:
//
//   - Its function is called at most once: not at all if the context had ended, or the scope was canceled, before
//     its turn. Its result is then an [ErrNotStarted].
//   - Its context ends when the function returns; what was spawned under that context ends with it.
//   - Its result never changes and may be awaited by any number of goroutines, any number of times.
//     An Await whose context ends gives up the waiting, not the task.
//   - When Await returns the result, the task is no longer listed, and if it failed, the rest of its scope has
//     been canceled as the policy says. When Wait returns, every result is there.
//
// # Errors and panics
//
// A panic in a task is caught and becomes its error, a [*PanicError] with the stack. A runtime.Goexit becomes
// [ErrGoexit]. Errors are passed on as they are, not wrapped, so that == and errors.Is work. Wait returns the
// errors of all tasks in the order in which they happened, except those that only say that the task was
// canceled by its scope or by its own Cancel. It keeps the first 16 and counts the rest.
//
// No failure is lost: what nobody awaits is in what Wait returns, a panic is never taken for the answer to a
// cancellation, and [Race] and [Any] report the panic of a loser even when another contender won.
//
// # Order
//
// Tasks run in any order. A Group gives results in the order in which the tasks finished; a failure comes
// before the cancellations that it caused. Callers blocked by a Limit are served in the order in which they
// came. A Broadcast shows all subscribers the same order; one goroutine's sends keep theirs.
//
// # Blocking
//
// Spawn and Go block only under a Limit that is reached, and then no longer than their context. Everything else that waits
// takes a context, except Scope.Wait and Scope.Run. Where a context has ended and there is something to return
// as well, Await and Group.Next return the result, so that none is lost; Interval.Tick, Subscription.Next and
// Watch.Changed return the context's error, so that a loop over them ends under any load. Send, Set, Get and
// Cancel never wait for anybody who reads.
//
// Errors of a wait that was given up match ctx.Err() and context.Cause(ctx).
//
// # Misuse
//
// Panics, at once and in the caller: starting a task in a scope whose Wait has returned; starting one from
// within a task of the same limited scope; awaiting oneself; a nil function; a negative limit, lag
// or capacity; an Interval without a period; a race of nobody. Not detected: a task that waits for its own
// scope, tasks that await each other, and a scope that nobody waits for: use Run.
//
// # Ownership of values
//
// Values are handed over, not copied deeply: those who await one Task, subscribe to one Broadcast or
// read one Watch share what the value points to, and must not change it.
//
// # Cost
//
// The figures in the comments are from a busy machine with 2 cores. For yours:
//
//	go test ./task -run '^$' -bench . -benchmem
//
// # What is not promised
//
// No fairness between running tasks beyond the Go scheduler's. No delivery to a Broadcast's slow subscriber,
// only the count of what it lost. No intermediate values from a Watch. No preemption: a function that does not look
// at its context cannot be ended.
package task
