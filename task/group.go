package task

import (
	"context"
	"iter"
	"sync"
)

// A Group is a Scope whose tasks all give a T, and which hands out their results in the order in which they
// finish. The zero Group is ready; set Limit and Policy before the first task. It must not be copied.
//
// A result waits in memory until it is taken, beyond Limit, which counts running tasks only. Who spawns
// without end takes without end.
//
// Cost: nothing beyond the Scope; a result waits in its own Task. All methods may be called from any goroutine.
type Group[T any] struct {
	Scope

	rmu         sync.Mutex
	first, last *Task[T] // finished, not taken
	owed        int      // spawned, not taken
	changed     signal
}

// Spawn starts fn as a task of the group: see the function Spawn. The result goes to the group, and to
// whoever awaits the Task. A task that could not be started counts as finished with an ErrNotStarted.
func (g *Group[T]) Spawn(ctx context.Context, name string, fn Func[T]) *Task[T] {
	t := &Task[T]{done: make(chan struct{}), group: g}
	t.start(ctx, &g.Scope, name, true, fn)
	return t
}

// Next blocks until a task finishes and returns its result, with ok true: v and err are what the task
// returned. When every spawned task's result has been taken, ok is false and err is nil; more may be spawned
// then. When ctx ends before there is a result, ok is false and err matches ctx.Err(). Each result is
// returned once, to one caller.
func (g *Group[T]) Next(ctx context.Context) (v T, ok bool, err error) {
	for {
		t, changed := g.take()
		if t != nil {
			return t.value, true, t.err
		}
		if changed == nil {
			return v, false, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, false, ended(ctx, "awaiting the next result of a group")
		}
	}
}

// Results yields the results as Next returns them, until all are taken. If ctx ends before, the last pair is
// a zero T and an error that matches ctx.Err(). Leaving the loop early leaves the other tasks running: they
// belong to the group, whose Run or Wait waits for them.
func (g *Group[T]) Results(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, ok, err := g.Next(ctx)
			if !ok && err == nil {
				return
			}
			if !yield(v, err) || !ok {
				return
			}
		}
	}
}

// take returns the oldest result, or what to wait for; neither if nothing is owed. Who waits is woken by each
// delivery: what is owed and not there yet is still to be delivered.
func (g *Group[T]) take() (*Task[T], <-chan struct{}) {
	g.rmu.Lock()
	defer g.rmu.Unlock()
	if g.owed == 0 {
		return nil, nil
	}
	t := g.first
	if t == nil {
		return nil, g.changed.wait()
	}
	g.first, t.after = t.after, nil
	if g.first == nil {
		g.last = nil
	}
	g.owed--
	return t, nil
}

// owe counts a task whose result will be delivered.
func (g *Group[T]) owe() {
	g.rmu.Lock()
	defer g.rmu.Unlock()
	g.owed++
}

func (g *Group[T]) deliver(t *Task[T]) {
	g.rmu.Lock()
	if g.last != nil {
		g.last.after = t
	} else {
		g.first = t
	}
	g.last = t
	g.changed.wake(&g.rmu)
}
