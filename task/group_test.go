package task_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/task"
)

func after(d time.Duration, v int, err error) task.Func[int] {
	return func(ctx context.Context) (int, error) {
		if serr := task.Sleep(ctx, d); serr != nil {
			return 0, serr
		}
		return v, err
	}
}

func TestGroupGivesResultsAsTheyFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g task.Group[int]
		for _, n := range []int{5, 1, 4, 2, 3} {
			g.Spawn(t.Context(), "n", after(time.Duration(n)*time.Second, n, nil))
		}
		g.Go(t.Context(), "without a result", func(context.Context) error { return nil })
		var got []int
		for v, err := range g.Results(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			got = append(got, v)
		}
		if !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
			t.Errorf("got %v", got)
		}
		g.Spawn(t.Context(), "again", after(0, 6, nil))
		if v, ok, err := g.Next(t.Context()); v != 6 || !ok || err != nil {
			t.Errorf("got %v, %v, %v from a group that was empty", v, ok, err)
		}
		if _, ok, err := g.Next(t.Context()); ok || err != nil {
			t.Errorf("got %v, %v from an empty group", ok, err)
		}
		wantIs(t, g.Wait(), nil)
	})
}

func TestGroupResultsAfterWait(t *testing.T) {
	var g task.Group[int]
	for i := range 10 {
		g.Spawn(t.Context(), "n", after(0, i, nil))
	}
	wantIs(t, g.Wait(), nil)
	sum := 0
	for v := range g.Results(t.Context()) {
		sum += v
	}
	if sum != 45 {
		t.Errorf("the sum is %d", sum)
	}
}

// The failure that cancels the rest comes before the cancellations, every time, and its task is not listed
// any more. The first task to be canceled is awake and answers while hundreds are still to be canceled.
func TestGroupFailureComesFirst(t *testing.T) {
	const others = 500
	var reg task.Registry
	ctx := task.WithRegistry(t.Context(), &reg)
	for range 20 {
		var g task.Group[int]
		fail := make(chan struct{})
		g.Spawn(ctx, "fails", func(context.Context) (int, error) { <-fail; return 0, errTest })
		for range others {
			g.Spawn(ctx, "sleeps", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		}
		g.Spawn(ctx, "is awake", func(ctx context.Context) (int, error) {
			close(fail)
			for ctx.Err() == nil {
				runtime.Gosched()
			}
			return 0, ctx.Err()
		})
		if _, ok, err := g.Next(t.Context()); !ok || err != errTest { //nolint:errorlint // As it is.
			t.Fatalf("the first result is %v", err)
		}
		if slices.ContainsFunc(reg.Snapshot(), func(i task.Info) bool { return i.Name == "fails" }) {
			t.Fatal("a task with a result is still listed")
		}
		rest := 0
		for _, err := range g.Results(t.Context()) {
			wantIs(t, err, context.Canceled)
			rest++
		}
		if err := g.Wait(); err != errTest || rest != others+1 { //nolint:errorlint // As it is.
			t.Fatalf("Wait gave %v after %d more results", err, rest)
		}
	}
}

func TestGroupNextThatGivesUpLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g task.Group[int]
		g.Spawn(t.Context(), "slow", after(time.Minute, 1, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, ok, err := g.Next(ctx)
		wantIs(t, err, context.DeadlineExceeded)
		if ok {
			t.Error("ok without a result")
		}
		yields := 0
		for _, err := range g.Results(ctx) {
			wantIs(t, err, context.DeadlineExceeded)
			yields++
		}
		if yields != 1 {
			t.Errorf("an ended context gave %d results", yields)
		}
		if v, ok, err := g.Next(t.Context()); v != 1 || !ok || err != nil {
			t.Errorf("got %v, %v, %v", v, ok, err)
		}
		wantIs(t, g.Wait(), nil)
	})
}

func TestGroupWithManyTakers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g task.Group[int]
		for i := range 100 {
			g.Spawn(t.Context(), "n", after(time.Duration(i%7)*time.Second, 1, nil))
		}
		var n atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for v := range g.Results(t.Context()) {
					n.Add(int32(v))
				}
			})
		}
		wg.Wait() // all eight see the end
		if n.Load() != 100 {
			t.Errorf("%d results", n.Load())
		}
		wantIs(t, g.Wait(), nil)
	})
}

func TestGroupLeftEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g task.Group[int]
		err := g.Run(t.Context(), "search", func(ctx context.Context) error {
			for i := range 5 {
				g.Spawn(ctx, "n", after(time.Duration(i)*time.Hour, i, nil))
			}
			for v, err := range g.Results(ctx) {
				if v == 1 || err != nil {
					g.Cancel(nil)
					break
				}
			}
			return nil
		})
		wantIs(t, err, nil)
	})
}

func TestGroupCountsTheNotStarted(t *testing.T) {
	var g task.Group[int]
	g.Cancel(nil)
	for range 3 {
		g.Spawn(t.Context(), "late", after(0, 1, nil))
	}
	n := 0
	for _, err := range g.Results(t.Context()) {
		wantIs(t, err, task.ErrNotStarted)
		n++
	}
	if n != 3 {
		t.Errorf("%d results", n)
	}
	wantIs(t, g.Wait(), nil)
}

func TestRace(t *testing.T) {
	boom := func(ctx context.Context) (int, error) { <-ctx.Done(); panic("boom") }
	for _, tc := range []struct {
		name  string
		fns   []task.Func[int]
		value int
		err   error
		panic bool
		took  time.Duration
	}{
		{"the fastest wins", []task.Func[int]{after(3*time.Second, 3, nil), after(time.Second, 1, nil), after(2*time.Second, 2, nil)}, 1, nil, false, time.Second},
		{"an error wins too", []task.Func[int]{after(3*time.Second, 3, nil), after(time.Second, 0, errTest)}, 0, errTest, false, time.Second},
		{"alone", []task.Func[int]{after(0, 1, nil)}, 1, nil, false, 0},
		{"a loser that lingers is waited for", []task.Func[int]{after(time.Second, 1, nil), func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return after(time.Minute, 0, nil)(context.WithoutCancel(ctx))
		}}, 1, nil, false, 61 * time.Second},
		{"a loser that panics is heard", []task.Func[int]{after(time.Second, 1, nil), boom}, 1, nil, true, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				v, err := task.Race(t.Context(), tc.fns...)
				_, panicked := errors.AsType[*task.PanicError](err)
				if v != tc.value || panicked != tc.panic || !panicked && err != tc.err || time.Since(start) != tc.took { //nolint:errorlint // As it is.
					t.Errorf("got %d, %v after %v", v, err, time.Since(start))
				}
			})
		})
	}
}

// The winner is the first to finish also when losers answer to their cancellation at once.
func TestRaceWinnerIsNotOvertaken(t *testing.T) {
	loser := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
	for range 300 {
		v, err := task.Race(t.Context(), loser, loser, func(context.Context) (int, error) { return 1, nil }, loser)
		if v != 1 || err != nil {
			t.Fatalf("got %d, %v", v, err)
		}
	}
}

func TestAny(t *testing.T) {
	other := errors.New("another")
	for _, tc := range []struct {
		name  string
		fns   []task.Func[int]
		value int
		err   []error
		panic bool
		took  time.Duration
	}{
		{"the first success", []task.Func[int]{after(time.Second, 0, errTest), after(3*time.Second, 3, nil), after(2*time.Second, 2, nil)}, 2, nil, false, 2 * time.Second},
		{"no success", []task.Func[int]{after(2*time.Second, 0, errTest), after(time.Second, 0, other)}, 0, []error{errTest, other}, false, 2 * time.Second},
		{"a panic ends it", []task.Func[int]{after(time.Hour, 1, nil), func(context.Context) (int, error) { panic("boom") }}, 0, nil, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				v, err := task.Any(t.Context(), tc.fns...)
				wantIs(t, err, tc.err...)
				_, panicked := errors.AsType[*task.PanicError](err)
				if v != tc.value || panicked != tc.panic || (err != nil) != (tc.err != nil || tc.panic) || time.Since(start) != tc.took {
					t.Errorf("got %d, %v after %v", v, err, time.Since(start))
				}
			})
		})
	}
}

func TestAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got, err := task.All(t.Context(), after(3*time.Second, 3, nil), after(time.Second, 1, nil), after(2*time.Second, 2, nil))
		if err != nil || !slices.Equal(got, []int{3, 1, 2}) || time.Since(start) != 3*time.Second {
			t.Errorf("got %v, %v after %v", got, err, time.Since(start))
		}
		start = time.Now()
		got, err = task.All(t.Context(), after(3*time.Second, 3, nil), after(time.Second, 0, errTest))
		if err != errTest || got != nil || time.Since(start) != time.Second { //nolint:errorlint // As it is.
			t.Errorf("got %v, %v after %v", got, err, time.Since(start))
		}
		if got, err := task.All[int](t.Context()); len(got) != 0 || err != nil {
			t.Errorf("got %v, %v of nothing", got, err)
		}
	})
}

func TestMisuseOfRacesPanics(t *testing.T) {
	mustPanic(t, "at least one", func() { _, _ = task.Race[int](t.Context()) })
	mustPanic(t, "at least one", func() { _, _ = task.Any[int](t.Context()) })
	mustPanic(t, `"race 2/2" is nil`, func() { _, _ = task.Race(t.Context(), after(0, 1, nil), nil) })
	mustPanic(t, `"all 1/1" is nil`, func() { _, _ = task.All[int](t.Context(), nil) })
}
