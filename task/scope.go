package task

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// A Policy says what the end of one task does to the others of its scope.
type Policy int

// The policies of a Scope.
const (
	// CancelOnError cancels the other tasks when one fails. It is the default.
	CancelOnError Policy = iota
	// CancelOnDone cancels the other tasks when one returns, with an error or without: the actors of a
	// program, none of which makes sense without the others.
	CancelOnDone
	// KeepGoing lets the others run. Wait still returns the errors (the first 16, and how many more).
	KeepGoing
)

// A Scope owns tasks: none of them outlives it. The zero Scope is ready. It must not be copied, and it serves
// once: after Wait has returned, starting another task panics.
//
// Run is the way to use it that cannot leak. With Go, Spawn and Wait by hand, the caller owes a Wait on every
// path, panics included.
//
// Cost: the Scope itself allocates nothing; see Spawn for a task. All methods may be called from any goroutine.
type Scope struct {
	// Limit is how many tasks may run at a time. The default, 0, is no limit: then a loop over what a peer
	// sent starts as many goroutines as the peer likes. With a limit, starting a task blocks until there is
	// room, first come first served. Set it before the first task; a negative one panics.
	Limit int
	// Policy says what one task's end does to the others. The default is CancelOnError.
	Policy Policy

	mu      sync.Mutex
	head    *node // live tasks, newest first
	pending int   // live tasks, bodies of Run, and callers that wait for a slot
	slots   slots
	cause   error // not nil once canceled
	errs    []error
	dropped int           // errors beyond maxErrors
	idle    chan struct{} // made by the first Wait that has to wait, closed when pending falls to 0
	closed  bool
}

// Run calls fn on the caller's goroutine as a task called name, waits for every task of the scope, and returns
// what Wait returns. The context that fn gets ends when the scope is canceled; start the tasks under it.
//
// If fn fails or panics, the scope is canceled whatever its policy, and that error is part of the result. If
// fn calls runtime.Goexit (a test's FailNow), the scope is canceled and waited for on the way out. If ctx has
// ended already, fn is not called and the result matches ErrNotStarted.
//
// Cost: 4 allocations and about 0.6 µs.
func (s *Scope) Run(ctx context.Context, name string, fn func(ctx context.Context) error) (err error) {
	if fn == nil {
		panic(fmt.Sprintf("task: the function of %q is nil", name))
	}
	n := &node{inline: true}
	if err := s.admit(ctx, n, name, true); err != nil {
		return cmp.Or(s.Wait(), err)
	}
	panicked := false
	defer func() { // deferred, so that a Goexit waits too
		err = s.Wait()
		n.remove(err, panicked)
		n.cancel(nil)
	}()
	panicked = s.body(n, fn)
	return nil
}

// body runs fn and reports whether it panicked.
func (s *Scope) body(n *node, fn func(ctx context.Context) error) (panicked bool) {
	err := ErrGoexit // stays if fn ends the goroutine
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			if !s.known(err) {
				s.failLocked(err)
			}
			s.cancelLocked(err)
		}
		s.arrive()
	}()
	panicked, err = try(n.name, func() error { return fn(n) })
	return panicked
}

// known reports whether err is, or wraps, what a task of the scope has failed with: the body awaited it.
func (s *Scope) known(err error) bool {
	return slices.ContainsFunc(s.errs, func(e error) bool { return errors.Is(err, e) })
}

// Go starts fn as a task called name and reports whether it was started. It is not if ctx has ended or the
// scope is canceled, now or while waiting for room under Limit; Wait then returns an error that matches
// ErrNotStarted, unless it was the scope that was canceled. A resource meant for fn still belongs to the
// caller when Go reports false.
//
// Go panics after Wait has returned, and when a task of a limited scope calls it on that same scope: the task
// holds a slot while it waits for one, and enough of them wait for each other forever. Use TryGo there.
//
// Cost: see Spawn.
func (s *Scope) Go(ctx context.Context, name string, fn func(ctx context.Context) error) bool {
	t := &Task[struct{}]{}
	return t.start(ctx, s, name, true, noResult(fn))
}

// TryGo is Go that reports false instead of waiting when Limit is reached. That refusal is no error of the
// scope. A task may call it on its own limited scope, and do the work itself when there is no room.
func (s *Scope) TryGo(ctx context.Context, name string, fn func(ctx context.Context) error) bool {
	t := &Task[struct{}]{}
	return t.start(ctx, s, name, false, noResult(fn))
}

func noResult(fn func(context.Context) error) Func[struct{}] {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) }
}

// Cancel ends the contexts of all tasks with cause (nil means context.Canceled) and lets no further one start.
// It does not wait. Canceling is no error of the scope: tasks that answer with context.Canceled, or with the
// cause, leave no trace in what Wait returns. Only the first Cancel has an effect.
//
// Cost: proportional to the live tasks, with the scope locked.
func (s *Scope) Cancel(cause error) {
	if cause == nil {
		cause = context.Canceled
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelLocked(cause)
}

func (s *Scope) cancelLocked(cause error) {
	if s.cause != nil {
		return
	}
	s.cause = cause
	for n := s.head; n != nil; n = n.inScope.next {
		n.cancel(cause)
	}
	s.slots.refuseAll()
}

// Wait blocks until every task has ended, closes the scope, and returns the errors of its tasks: nil, the only
// one as it is, or several joined in the order in which they happened. The answers of tasks to having been
// canceled, by the scope or by their own Cancel, are left out. Any number of goroutines may wait.
//
// Wait has no context on purpose: to stop early, Cancel first. A task that ignores its context is waited for;
// a Registry shows which one it is. A task must not wait for its own scope: that never ends.
func (s *Scope) Wait() error {
	s.mu.Lock()
	if s.pending > 0 {
		if s.idle == nil {
			s.idle = make(chan struct{})
		}
		idle := s.idle
		s.mu.Unlock()
		<-idle
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	s.closed = true
	return s.errLocked()
}

func (s *Scope) errLocked() error {
	switch {
	case len(s.errs) == 0:
		return nil
	case len(s.errs) == 1 && s.dropped == 0:
		return s.errs[0]
	case s.dropped == 0:
		return errors.Join(s.errs...)
	}
	return errors.Join(append(slices.Clip(s.errs), fmt.Errorf("and %d more errors", s.dropped))...)
}

// admit makes n a live task called name, waiting for a slot if it must and may. It returns why n may not
// start: errFull if it would have had to wait, an ErrNotStarted otherwise.
func (s *Scope) admit(ctx context.Context, n *node, name string, wait bool) error {
	if wait && s.Limit > 0 && !n.inline && holdsSlot(ctx, s) {
		panic(fmt.Sprintf("task: %q is to be started by a task of the same limited scope, "+
			"which could wait for itself: use TryGo or another Scope", name))
	}
	n.prepare(ctx, s, name)
	if err := s.enter(ctx, n, wait); err != nil {
		n.cancel(err)
		return err
	}
	n.add()
	return nil
}

func (s *Scope) enter(ctx context.Context, n *node, wait bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		n.cancel(nil)
		panic(fmt.Sprintf("task: %q is to be started in a Scope whose Wait has returned", n.name))
	}
	if s.Limit < 0 {
		n.cancel(nil)
		panic(fmt.Sprintf("task: the Limit of a Scope is %d: it must be 0 (none) or more", s.Limit))
	}
	s.pending++
	err := s.refused(ctx, n)
	if err == nil && !n.inline {
		err = s.acquireSlot(ctx, n, wait)
	}
	if err != nil {
		s.arrive()
		return err
	}
	n.inScope.next = s.head
	if s.head != nil {
		s.head.inScope.prev = n
	}
	s.head = n
	return nil
}

// refused returns why n may not start. Unless the scope's own end is the reason, that is a failure.
func (s *Scope) refused(ctx context.Context, n *node) error {
	if s.cause != nil {
		return notStarted(n.name, s.cause)
	}
	if ctx.Err() == nil {
		return nil
	}
	err := notStarted(n.name, reason(ctx))
	s.failLocked(err)
	if s.Policy != KeepGoing {
		s.cancelLocked(err)
	}
	return err
}

// acquireSlot takes a slot for n, with s.mu held on entry and on return.
func (s *Scope) acquireSlot(ctx context.Context, n *node, wait bool) error {
	if s.slots.tryTake(s.Limit) {
		return nil
	}
	if !wait {
		return errFull
	}
	w := s.slots.enqueue()
	s.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
	}
	s.mu.Lock()
	granted := s.slots.dequeue(w)
	err := s.refused(ctx, n)
	if err != nil && granted {
		s.slots.put()
	}
	return err
}

// leave ends the membership of n, which held a slot. It comes last, because Wait returns after it.
func (s *Scope) leave(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if prev := n.inScope.prev; prev != nil {
		prev.inScope.next = n.inScope.next
	} else {
		s.head = n.inScope.next
	}
	if next := n.inScope.next; next != nil {
		next.inScope.prev = n.inScope.prev
	}
	n.inScope = links{}
	s.slots.put()
	s.arrive()
}

// arrive counts one pending task less, and lets Wait go with the last one.
func (s *Scope) arrive() {
	s.pending--
	if s.pending == 0 && s.idle != nil {
		s.closed = true
		close(s.idle)
		s.idle = nil
	}
}

// done applies the policy to a task that ended with err.
func (s *Scope) done(n *node, err error) {
	if err == nil && s.Policy != CancelOnDone {
		return
	}
	if err != nil && n.canceled.Load() && echoes(err, context.Cause(n)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.cancelLocked(errSiblingDone)
	case s.Policy == KeepGoing:
		s.failLocked(err)
	default:
		s.failLocked(err)
		s.cancelLocked(err)
	}
}

// failLocked keeps err for Wait, unless it only repeats that the scope was canceled. That the outer context
// was canceled is kept once.
func (s *Scope) failLocked(err error) {
	if s.cause != nil && echoes(err, s.cause) {
		return
	}
	if len(s.errs) > 0 && echoes(err, context.Canceled) && s.canceledBefore() {
		return
	}
	if len(s.errs) == maxErrors {
		s.dropped++
		return
	}
	s.errs = append(s.errs, err)
}

func (s *Scope) canceledBefore() bool {
	return slices.ContainsFunc(s.errs, func(e error) bool { return echoes(e, context.Canceled) })
}
