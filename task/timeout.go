package task

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sleep blocks for d, or until ctx ends: then it returns an error that matches ctx.Err(). With d ≤ 0 it only
// looks at ctx.
//
// Cost: one timer, three allocations.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() == nil && d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return ended(ctx, fmt.Sprintf("sleeping for %v", d))
	}
	return nil
}

// Timeout calls fn with a context that ends after d and returns its result. It runs fn on the caller's
// goroutine and never abandons it, so fn must heed its context: what has no context cannot be timed out,
// only waited for no longer (Spawn it, and Await with a context that ends).
//
// If fn fails after d has passed, the error matches ErrTimeout and context.DeadlineExceeded as well as fn's
// own. If fn succeeds nevertheless, its value is returned and the delay is forgotten. A panic in fn passes
// through. With d ≤ 0 fn is called with a context that has ended.
//
// Cost: one context with a timer (about 600 ns), no goroutine.
func Timeout[T any](ctx context.Context, d time.Duration, fn Func[T]) (T, error) {
	limit := &timeoutError{d}
	inner, cancel := context.WithTimeoutCause(ctx, d, limit)
	defer cancel()
	v, err := fn(inner)
	if err != nil && context.Cause(inner) == error(limit) && !errors.Is(err, limit) { //nolint:errorlint // This very timeout, not one within fn.
		err = fmt.Errorf("%w: %w", limit, err)
	}
	return v, err
}

// A timeoutError is the cause that fn sees, and the head of what Timeout returns.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("%v after %v", ErrTimeout, e.after) }

// Timeout marks it for those who ask errors as package net does.
func (e *timeoutError) Timeout() bool { return true }

func (e *timeoutError) Is(target error) bool {
	return target == ErrTimeout || target == context.DeadlineExceeded
}
