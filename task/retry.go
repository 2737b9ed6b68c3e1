package task

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Backoff says how often and when to try again. Before retry n (from 1) it waits a random time between
// 0 and the smaller of Max and Initial·Factorⁿ⁻¹: exponential backoff with full jitter, so that a thousand
// clients that failed together do not come back together. The zero Backoff tries 10 times, over 16 s on average.
// A Backoff is not changed by its use: share one as you like.
type Backoff struct {
	// Initial bounds the first delay. The default is 100 ms.
	Initial time.Duration
	// Max bounds every delay. The default is 10 s; more than a day counts as a day.
	Max time.Duration
	// Factor is what the bound is multiplied by each time. The default is 2; below 1 counts as 1.
	Factor float64
	// Attempts is how often to try in all. The default is 10; a negative number is no limit. Danger: with no
	// limit here and none in Elapsed, only the context or a Permanent error ends a hopeless retry.
	Attempts int
	// Elapsed is the time after which no further attempt is begun: if the next delay would end later, Retry gives up
	// without waiting. The default, 0, is no limit. It does not interrupt an attempt: see Timeout.
	Elapsed time.Duration
	// OnRetry, if not nil, is called before each delay with the number of the attempt that failed (from 1), its
	// error and the delay: the place to log and to count.
	OnRetry func(attempt int, err error, delay time.Duration)
	// Rand returns numbers in [0, 1). The default is math/rand/v2.Float64; tests set their own.
	Rand func() float64
}

// Delay returns how long to wait before retry n (from 1), drawn anew at each call. It is for those who keep
// time by other means than blocking in Retry.
func (b Backoff) Delay(n int) time.Duration {
	bound, factor, top := float64(orDefault(b.Initial, 100*time.Millisecond)), b.Factor, float64(orDefault(b.Max, 10*time.Second))
	if factor == 0 {
		factor = 2
	}
	top = min(top, maxBackoff)
	for ; n > 1 && bound < top && factor > 1; n-- {
		bound *= factor
	}
	random := b.Rand
	if random == nil {
		random = rand.Float64
	}
	return time.Duration(min(bound, top) * random())
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Retry calls fn until it succeeds and returns its value. It stops trying when fn's error is Permanent, when
// Attempts or Elapsed is used up, or when ctx has ended; the error then says after how many attempts and
// how long, and matches the last error of fn (and ctx.Err(), if that was the reason). An error made by RetryAfter
// sets the delay itself. fn runs on the caller's goroutine; a panic in it passes through and is not retried.
//
// Cost: nothing beyond fn if that succeeds; otherwise a timer per delay.
func Retry[T any](ctx context.Context, b Backoff, fn Func[T]) (T, error) {
	start := time.Now()
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil && attempt == 1 {
			var zero T
			return zero, notStarted("retry", reason(ctx))
		}
		v, err := fn(ctx)
		if err == nil {
			return v, nil
		}
		if err := b.pause(ctx, attempt, start, err); err != nil {
			return v, err
		}
	}
}

// pause waits until the attempt after the one that failed with err, or says why there is none.
func (b Backoff) pause(ctx context.Context, attempt int, start time.Time, err error) error {
	if p, ok := errors.AsType[*permanentError](err); ok {
		if err == error(p) { //nolint:errorlint // Unwrapped only where nothing is lost.
			return p.err
		}
		return err
	}
	if ctx.Err() != nil {
		return stopped(ctx, attempt, start, err)
	}
	if attempt == b.attempts() {
		return gaveUp(attempt, start, err)
	}
	delay := b.Delay(attempt)
	if after, ok := errors.AsType[*retryAfterError](err); ok {
		delay = min(after.delay, maxBackoff)
	}
	if b.Elapsed > 0 && time.Since(start)+delay > b.Elapsed {
		return gaveUp(attempt, start, err)
	}
	if b.OnRetry != nil {
		b.OnRetry(attempt, err, delay)
	}
	if Sleep(ctx, delay) != nil {
		return stopped(ctx, attempt, start, err)
	}
	return nil
}

func (b Backoff) attempts() int {
	if b.Attempts == 0 {
		return 10
	}
	return b.Attempts
}

func gaveUp(attempts int, start time.Time, err error) error {
	return fmt.Errorf("gave up after %s: %w", tally(attempts, start), err)
}

func stopped(ctx context.Context, attempts int, start time.Time, err error) error {
	return fmt.Errorf("stopped trying after %s: %w; the last error was: %w", tally(attempts, start), reason(ctx), err)
}

func tally(attempts int, start time.Time) string {
	s := "s"
	if attempts == 1 {
		s = ""
	}
	return fmt.Sprintf("%d attempt%s in %v", attempts, s, time.Since(start).Round(time.Millisecond))
}

// Permanent marks err so that Retry returns it at once, without the mark. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter marks err so that Retry waits for d instead of what the Backoff says, at most a day: for a peer that
// said when to come back. Attempts and Elapsed still hold. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

type retryAfterError struct {
	err   error
	delay time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }
