package task

import (
	"context"
	"errors"
	"fmt"
)

// Race runs all functions at once and returns what the first to finish returned, value or error. The others
// are canceled and waited for before Race returns, so its latency is that of the slowest answer to being
// canceled. A panic in any of them is not lost: it is part of the error even if another one won.
//
// Race panics if there are no functions.
//
// Cost: one Spawn per function.
func Race[T any](ctx context.Context, fns ...Func[T]) (T, error) {
	contenders("race", fns)
	g := Group[T]{Scope: Scope{Policy: CancelOnDone}}
	for i, fn := range fns {
		g.Spawn(ctx, nth("race", i, len(fns)), fn)
	}
	v, _, err := g.Next(context.Background()) // they heed ctx, and must be waited for anyway
	return v, withPanics(err, g.Wait())
}

// Any runs all functions at once and returns the value of the first to succeed. The others are canceled and
// waited for before Any returns. If none succeeds, the error joins all of theirs in the order in which they
// failed. A panic ends the run at once: it is a defect, not a failed attempt.
//
// Any panics if there are no functions.
//
// Cost: one Spawn per function.
func Any[T any](ctx context.Context, fns ...Func[T]) (T, error) {
	contenders("any", fns)
	g := Group[T]{Scope: Scope{Policy: KeepGoing}}
	for i, fn := range fns {
		g.Spawn(ctx, nth("any", i, len(fns)), fn)
	}
	var errs []error
	for v, err := range g.Results(context.Background()) {
		if err == nil {
			g.Cancel(nil)
			return v, withPanics(nil, g.Wait())
		}
		errs = append(errs, err)
		if isPanic(err) {
			break
		}
	}
	g.Cancel(nil)
	var zero T
	return zero, withPanics(errors.Join(errs...), g.Wait())
}

// All runs all functions at once and returns their values in the order of the arguments. The first error
// cancels the others; All waits for them and returns that error, joined with those of others that failed for
// another reason than being canceled. Without functions it returns nothing at once.
//
// Cost: one Spawn per function.
func All[T any](ctx context.Context, fns ...Func[T]) ([]T, error) {
	functions("all", fns)
	var s Scope
	tasks := make([]*Task[T], len(fns))
	for i, fn := range fns {
		tasks[i] = Spawn(ctx, &s, nth("all", i, len(fns)), fn)
	}
	if err := s.Wait(); err != nil {
		return nil, err
	}
	values := make([]T, len(fns))
	for i, t := range tasks {
		values[i] = t.value
	}
	return values, nil
}

// functions panics if one of fns is nil, before any of them runs.
func functions[T any](name string, fns []Func[T]) {
	for i, fn := range fns {
		if fn == nil {
			panic(fmt.Sprintf("task: the function of %q is nil", nth(name, i, len(fns))))
		}
	}
}

// contenders also panics if there are no functions: nobody can win.
func contenders[T any](name string, fns []Func[T]) {
	if len(fns) == 0 {
		panic("task: " + name + " needs at least one function")
	}
	functions(name, fns)
}

func nth(name string, i, of int) string { return fmt.Sprintf("%s %d/%d", name, i+1, of) }

// withPanics adds to err the panics among the errors in all.
func withPanics(err, all error) error {
	list := []error{all}
	if joined, ok := all.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, e := range list {
		if isPanic(e) && !errors.Is(err, e) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func isPanic(err error) bool {
	_, ok := errors.AsType[*PanicError](err)
	return ok
}
