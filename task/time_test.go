package task_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/task"
)

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := task.Sleep(t.Context(), time.Hour); err != nil || time.Since(start) != time.Hour {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTest)
		defer cancel()
		wantIs(t, task.Sleep(ctx, time.Hour), context.DeadlineExceeded, errTest)
		wantIs(t, task.Sleep(ctx, -1), context.DeadlineExceeded)
		wantIs(t, task.Sleep(t.Context(), -1), nil)
	})
}

func TestTimeout(t *testing.T) {
	stubborn := func(ctx context.Context) (int, error) {
		return after(3*time.Second, 7, nil)(context.WithoutCancel(ctx))
	}
	own := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errTest }
	for _, tc := range []struct {
		name  string
		d     time.Duration
		fn    task.Func[int]
		value int
		is    []error
		took  time.Duration
	}{
		{"in time", 2 * time.Second, after(time.Second, 7, nil), 7, nil, time.Second},
		{"fails in time", 2 * time.Second, after(time.Second, 0, errTest), 0, []error{errTest}, time.Second},
		{"too late", time.Second, after(2*time.Second, 7, nil), 0, []error{task.ErrTimeout, context.DeadlineExceeded}, time.Second},
		{"too late with another error", time.Second, own, 0, []error{task.ErrTimeout, context.DeadlineExceeded, errTest}, time.Second},
		{"too late but successful", time.Second, stubborn, 7, nil, 3 * time.Second},
		{"no time at all", 0, after(time.Second, 7, nil), 0, []error{task.ErrTimeout}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				v, err := task.Timeout(t.Context(), tc.d, tc.fn)
				wantIs(t, err, tc.is...)
				if v != tc.value || (err != nil) != (tc.is != nil) || time.Since(start) != tc.took {
					t.Errorf("got %d, %v after %v", v, err, time.Since(start))
				}
				te, ok := errors.AsType[interface {
					error
					Timeout() bool
				}](err)
				if errors.Is(err, task.ErrTimeout) && (!ok || !te.Timeout()) {
					t.Errorf("%v is no timeout for those who ask as net does", err)
				}
			})
		})
	}
}

func TestTimeoutOfAnotherIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := task.Timeout(outer, time.Minute, after(time.Hour, 1, nil))
		wantIs(t, err, context.DeadlineExceeded)
		if errors.Is(err, task.ErrTimeout) {
			t.Errorf("the outer deadline became ours: %v", err)
		}
		_, err = task.Timeout(t.Context(), time.Minute, func(ctx context.Context) (int, error) {
			return task.Timeout(ctx, time.Second, after(time.Hour, 1, nil))
		})
		if err == nil || err.Error() != "sleeping for 1h0m0s: timed out after 1s" {
			t.Errorf("got %v", err)
		}
	})
}

// The user takes the tick at 10 s, is busy until 35 s, and then is in time.
func TestIntervalMissedPolicies(t *testing.T) {
	for _, tc := range []struct {
		name    string
		missed  task.Missed
		at      []int // seconds when Tick returned
		due     []int // what it returned
		skipped uint64
	}{
		{"skip", task.Skip, []int{0, 10, 35, 40, 50}, []int{0, 10, 20, 40, 50}, 1},
		{"burst", task.Burst, []int{0, 10, 35, 35, 40, 50}, []int{0, 10, 20, 30, 40, 50}, 0},
		{"delay", task.Delay, []int{0, 10, 35, 45, 55}, []int{0, 10, 20, 45, 55}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				iv := task.Interval{Every: 10 * time.Second, Missed: tc.missed}
				var at, due []int
				for range tc.at {
					tick, err := iv.Tick(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					at, due = append(at, int(time.Since(start).Seconds())), append(due, int(tick.Sub(start).Seconds()))
					if len(at) == 2 {
						_ = task.Sleep(t.Context(), 25*time.Second)
					}
				}
				if !slices.Equal(at, tc.at) || !slices.Equal(due, tc.due) || iv.Skipped() != tc.skipped {
					t.Errorf("ticks at %v, due %v, skipped %d", at, due, iv.Skipped())
				}
			})
		})
	}
}

func TestIntervalDoesNotDriftUnderShortWork(t *testing.T) {
	for _, missed := range []task.Missed{task.Skip, task.Burst, task.Delay} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			iv := task.Interval{Every: time.Second, After: time.Minute, Missed: missed}
			n := 0
			for due := range iv.Ticks(t.Context()) {
				if want := time.Minute + time.Duration(n)*time.Second; due.Sub(start) != want || time.Since(start) != want {
					t.Fatalf("tick %d at %v, due %v", n, time.Since(start), due.Sub(start))
				}
				if n++; n == 100 {
					break
				}
				_ = task.Sleep(t.Context(), 900*time.Millisecond)
			}
		})
	}
}

func TestIntervalEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		iv := task.Interval{Every: time.Second}
		n := 0
		for range iv.Ticks(ctx) {
			n++
		}
		if n != 3 || time.Since(start) != 2500*time.Millisecond {
			t.Errorf("%d ticks in %v", n, time.Since(start))
		}
		_, err := iv.Tick(ctx)
		wantIs(t, err, context.DeadlineExceeded)
		if due, err := iv.Tick(t.Context()); err != nil || due.Sub(start) != 3*time.Second {
			t.Errorf("the tick that was waited for is lost: %v, %v", due.Sub(start), err)
		}
		_ = task.Sleep(t.Context(), time.Hour)
		iv.Reset()
		if due, err := iv.Tick(t.Context()); err != nil || time.Since(due) != 0 || iv.Skipped() != 0 {
			t.Errorf("after Reset: %v late, %v, skipped %d", time.Since(due), err, iv.Skipped())
		}
	})
}

// A user who is slower than the interval still sees that the context has ended.
func TestIntervalBurstEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		iv := task.Interval{Every: time.Millisecond, Missed: task.Burst}
		n := 0
		for range iv.Ticks(ctx) {
			_ = task.Sleep(t.Context(), time.Second)
			n++
		}
		if n != 10 {
			t.Errorf("%d ticks", n)
		}
	})
}

func TestIntervalNeedsAPeriod(t *testing.T) {
	mustPanic(t, "Every", func() { _, _ = new(task.Interval).Tick(t.Context()) })
}

func TestIntervalTickAllocatesNothing(t *testing.T) {
	iv := task.Interval{Every: time.Nanosecond, Missed: task.Delay}
	if n := testing.AllocsPerRun(100, func() { _, _ = iv.Tick(t.Context()) }); n > 0 {
		t.Errorf("%v allocations per tick", n)
	}
}

// half makes the random delay half of its bound.
func half() float64 { return 0.5 }

func TestBackoffDelays(t *testing.T) {
	ms := time.Millisecond
	for _, tc := range []struct {
		name string
		b    task.Backoff
		want []time.Duration
	}{
		{"zero", task.Backoff{}, []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms}},
		{"own", task.Backoff{Initial: 2 * time.Second, Max: 20 * time.Second, Factor: 3}, []time.Duration{1000 * ms, 3000 * ms, 9000 * ms, 10000 * ms}},
		{"constant", task.Backoff{Initial: 2 * time.Second, Factor: 1}, []time.Duration{1000 * ms, 1000 * ms, 1000 * ms}},
		{"shrinking counts as constant", task.Backoff{Initial: 2 * time.Second, Factor: 0.1}, []time.Duration{1000 * ms, 1000 * ms}},
		{"first above max", task.Backoff{Initial: time.Minute}, []time.Duration{5000 * ms, 5000 * ms}},
		{"at most a day", task.Backoff{Initial: 1 << 62, Max: 1<<63 - 1, Factor: 1e300}, []time.Duration{12 * time.Hour, 12 * time.Hour}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.b.Rand = half
			for i, want := range tc.want {
				if got := tc.b.Delay(i + 1); got != want {
					t.Errorf("delay %d is %v, want %v", i+1, got, want)
				}
			}
			if got := tc.b.Delay(1 << 40); got > 12*time.Hour {
				t.Errorf("a late delay is %v", got)
			}
		})
	}
}

func TestBackoffHasFullJitter(t *testing.T) {
	var b task.Backoff
	var sum time.Duration
	low, high := time.Hour, time.Duration(0)
	for range 10000 {
		d := b.Delay(4)
		sum, low, high = sum+d, min(low, d), max(high, d)
	}
	if mean := sum / 10000; mean < 380*time.Millisecond || mean > 420*time.Millisecond {
		t.Errorf("the mean is %v, not about 400ms", mean)
	}
	if low < 0 || low > 10*time.Millisecond || high < 790*time.Millisecond || high >= 800*time.Millisecond {
		t.Errorf("from %v to %v, not from 0 to 800ms", low, high)
	}
}

func TestRetry(t *testing.T) {
	for _, tc := range []struct {
		name  string
		b     task.Backoff
		fail  int // attempts that fail
		with  error
		calls int
		took  time.Duration
		says  string // the error; empty for success
	}{
		{"at once", task.Backoff{}, 0, nil, 1, 0, ""},
		{"third time lucky", task.Backoff{}, 2, errTest, 3, 150 * time.Millisecond, ""},
		{"ten attempts by default", task.Backoff{}, 99, errTest, 10, 16350 * time.Millisecond, "gave up after 10 attempts in 16.35s: it broke"},
		{"one attempt", task.Backoff{Attempts: 1}, 99, errTest, 1, 0, "gave up after 1 attempt in 0s: it broke"},
		{"no limit", task.Backoff{Attempts: -1, Max: time.Second}, 1000, errTest, 1001, 498750 * time.Millisecond, ""},
		{"elapsed", task.Backoff{Attempts: -1, Elapsed: time.Second}, 99, errTest, 5, 750 * time.Millisecond, "gave up after 5 attempts in 750ms: it broke"},
		{"permanent", task.Backoff{}, 99, task.Permanent(errTest), 1, 0, "it broke"},
		{"told when", task.Backoff{}, 2, task.RetryAfter(errTest, time.Minute), 3, 2 * time.Minute, ""},
		{"told when, too late", task.Backoff{Elapsed: 90 * time.Second}, 2, task.RetryAfter(errTest, time.Minute), 2, time.Minute, "gave up after 2 attempts in 1m0s: it broke"},
		{"told never", task.Backoff{Attempts: 2}, 1, task.RetryAfter(errTest, 1<<62), 2, 24 * time.Hour, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.b.Rand = half
				calls, start := 0, time.Now()
				v, err := task.Retry(t.Context(), tc.b, func(context.Context) (int, error) {
					if calls++; calls <= tc.fail {
						return 0, tc.with
					}
					return 42, nil
				})
				says := ""
				if err != nil {
					says = err.Error()
					wantIs(t, err, errTest)
				}
				if (v == 42) != (tc.says == "") || says != tc.says || calls != tc.calls {
					t.Errorf("got %d, %q after %d calls", v, says, calls)
				}
				if diff := time.Since(start) - tc.took; diff < -time.Millisecond || diff > time.Millisecond {
					t.Errorf("took %v", time.Since(start))
				}
			})
		})
	}
}

func TestRetryPermanentIsUnwrapped(t *testing.T) {
	_, err := task.Retry(t.Context(), task.Backoff{}, func(context.Context) (int, error) { return 0, task.Permanent(errTest) })
	if err != errTest { //nolint:errorlint // As it is.
		t.Errorf("got %#v", err)
	}
	outer := errors.Join(errors.New("while saving"), task.Permanent(errTest))
	_, err = task.Retry(t.Context(), task.Backoff{}, func(context.Context) (int, error) { return 0, outer })
	if err != outer { //nolint:errorlint // As it is.
		t.Errorf("got %#v", err)
	}
	if s := outer.Error() + task.RetryAfter(errTest, 1).Error(); s != "while saving\nit brokeit broke" {
		t.Errorf("the marks show: %q", s)
	}
	if task.Permanent(nil) != nil || task.RetryAfter(nil, 1) != nil {
		t.Error("a marked nil is not nil")
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := task.Retry(ctx, task.Backoff{Initial: time.Hour, Max: time.Hour, Rand: half}, after(0, 0, errTest))
		wantIs(t, err, context.DeadlineExceeded, errTest)
		if time.Since(start) != time.Second {
			t.Errorf("ended after %v", time.Since(start))
		}
		_, err = task.Retry(t.Context(), task.Backoff{Rand: half}, func(context.Context) (int, error) { cancel(); return 0, errTest })
		wantIs(t, err, errTest)
		_, err = task.Retry(ctx, task.Backoff{}, func(context.Context) (int, error) {
			t.Error("called although the context has ended")
			return 0, nil
		})
		wantIs(t, err, context.DeadlineExceeded, task.ErrNotStarted)
	})
}

func TestRetryTellsBeforeEachDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []int
		var delays []time.Duration
		b := task.Backoff{Attempts: 3, Rand: half, OnRetry: func(attempt int, err error, delay time.Duration) {
			wantIs(t, err, errTest)
			attempts, delays = append(attempts, attempt), append(delays, delay)
		}}
		_, _ = task.Retry(t.Context(), b, after(0, 0, errTest))
		if !slices.Equal(attempts, []int{1, 2}) || !slices.Equal(delays, []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}) {
			t.Errorf("told of %v with %v", attempts, delays)
		}
	})
}
