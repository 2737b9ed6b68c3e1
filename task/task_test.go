package task_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/task"
)

func TestAwaitGivesResult(t *testing.T) {
	for _, tc := range []struct {
		name  string
		value int
		err   error
	}{
		{"value", 7, nil},
		{"error", 0, io.EOF},
		{"both", 7, io.ErrUnexpectedEOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := task.Scope{Policy: task.KeepGoing}
			h := task.Spawn(t.Context(), &s, tc.name, func(context.Context) (int, error) { return tc.value, tc.err })
			v, err := h.Await(t.Context())
			if v != tc.value || err != tc.err { //nolint:errorlint // Passed on as it is.
				t.Errorf("got %d, %v", v, err)
			}
			if werr := s.Wait(); werr != tc.err { //nolint:errorlint // As above.
				t.Errorf("Wait gave %v", werr)
			}
			if h.Name() != tc.name {
				t.Errorf("the name is %q", h.Name())
			}
		})
	}
}

func TestAwaitByManyAndTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s task.Scope
		h := task.Spawn(t.Context(), &s, "one", func(ctx context.Context) (*int, error) {
			return new(int), task.Sleep(ctx, time.Hour)
		})
		var wg sync.WaitGroup
		var got [20]*int
		for i := range got {
			wg.Go(func() { got[i], _ = h.Await(t.Context()) })
		}
		wg.Wait()
		again, err := h.Await(t.Context())
		for _, p := range got {
			if p != again || p == nil || err != nil {
				t.Fatalf("got %p and %p, %v: not the same value", p, again, err)
			}
		}
		wantIs(t, s.Wait(), nil)
	})
}

func TestAwaitThatGivesUpLeavesTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s task.Scope
		h := task.Spawn(t.Context(), &s, "slow", func(ctx context.Context) (string, error) {
			return "done", task.Sleep(ctx, time.Minute)
		})
		cause := errors.New("the client went away")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		_, err := h.Await(ctx)
		wantIs(t, err, context.DeadlineExceeded, cause)
		if !strings.Contains(err.Error(), `awaiting task "slow"`) {
			t.Errorf("the error does not say what was awaited: %v", err)
		}
		if v, err := h.Await(t.Context()); v != "done" || err != nil {
			t.Errorf("the task gave %q, %v", v, err)
		}
		if v, err := h.Await(ctx); v != "done" || err != nil {
			t.Errorf("a result that is there was not returned to an ended context: %q, %v", v, err)
		}
		wantIs(t, s.Wait(), nil)
	})
}

func TestCancelOneTask(t *testing.T) {
	cause := errors.New("not needed any more")
	for _, tc := range []struct {
		name  string
		cause error
		end   func(ctx context.Context) error
	}{
		{"answers with ctx.Err", nil, func(ctx context.Context) error { return ctx.Err() }},
		{"answers with the cause", cause, context.Cause},
		{"answers with neither", nil, func(context.Context) error { return errTest }},
		{"answers with both", nil, func(ctx context.Context) error { return errors.Join(ctx.Err(), errTest) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s task.Scope
				other := task.Spawn(t.Context(), &s, "other", func(ctx context.Context) (int, error) {
					return 1, task.Sleep(ctx, time.Second)
				})
				h := task.Spawn(t.Context(), &s, "canceled", func(ctx context.Context) (int, error) {
					<-ctx.Done()
					return 0, tc.end(ctx)
				})
				h.Cancel(tc.cause)
				_, err := h.Await(t.Context())
				_, oerr := other.Await(t.Context())
				werr := s.Wait()
				if genuine := errors.Is(err, errTest); genuine {
					wantIs(t, werr, errTest)
					wantIs(t, oerr, context.Canceled)
				} else if werr != nil || oerr != nil || err == nil {
					t.Errorf("the task gave %v, the other %v, the scope %v", err, oerr, werr)
				}
			})
		})
	}
}

func TestTaskContextEndsWithTheFunction(t *testing.T) {
	var s task.Scope
	h := task.Spawn(t.Context(), &s, "brief", func(ctx context.Context) (context.Context, error) { return ctx, ctx.Err() })
	ctx, err := h.Await(t.Context())
	if err != nil || ctx.Err() == nil {
		t.Errorf("the context gave %v within and %v after the function", err, ctx.Err())
	}
	if s := ctx.(interface{ String() string }).String(); s != `task "brief"` {
		t.Errorf("the context prints as %s", s)
	}
	wantIs(t, s.Wait(), nil)
}

func TestChildIsCanceledWithItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outer task.Scope
		var child *task.Task[int]
		parent := task.Spawn(t.Context(), &outer, "parent", func(ctx context.Context) (int, error) {
			child = task.Spawn(ctx, &outer, "child", func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 5, nil
			})
			return 0, nil
		})
		if _, err := parent.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v, err := child.Await(t.Context()); v != 5 || err != nil {
			t.Errorf("the child gave %d, %v", v, err)
		}
		wantIs(t, outer.Wait(), nil)
	})
}

func TestValuesPassThroughTasks(t *testing.T) {
	type key struct{}
	var s task.Scope
	h := task.Spawn(context.WithValue(t.Context(), key{}, 3), &s, "reads", func(ctx context.Context) (any, error) {
		return ctx.Value(key{}), nil
	})
	if v, _ := h.Await(t.Context()); v != 3 {
		t.Errorf("the task sees %v", v)
	}
	wantIs(t, s.Wait(), nil)
}

func TestNotStarted(t *testing.T) {
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	run := func(context.Context) (int, error) {
		t.Error("the function was called")
		return 0, nil
	}
	t.Run("context ended", func(t *testing.T) {
		var s task.Scope
		h := task.Spawn(ended, &s, "late", run)
		_, err := h.Await(t.Context())
		wantIs(t, err, task.ErrNotStarted, context.Canceled, errTest)
		wantIs(t, s.Wait(), task.ErrNotStarted, errTest)
	})
	t.Run("scope canceled", func(t *testing.T) {
		var s task.Scope
		s.Cancel(errTest)
		h := task.Spawn(t.Context(), &s, "late", run)
		_, err := h.Await(t.Context())
		wantIs(t, err, task.ErrNotStarted, errTest)
		if s.Go(t.Context(), "later", func(context.Context) error { t.Error("called"); return nil }) {
			t.Error("Go says that it started in a canceled scope")
		}
		if err := s.Wait(); err != nil {
			t.Errorf("Wait gave %v for what the scope's end refused", err)
		}
	})
	t.Run("body", func(t *testing.T) {
		var s task.Scope
		err := s.Run(ended, "late", func(context.Context) error { t.Error("called"); return nil })
		wantIs(t, err, task.ErrNotStarted, errTest)
		var c task.Scope
		c.Cancel(errTest)
		err = c.Run(t.Context(), "late", func(context.Context) error { t.Error("called"); return nil })
		wantIs(t, err, task.ErrNotStarted, errTest)
	})
}

func TestPanicsBecomeErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		with any
		is   error
		says string
	}{
		{"string", "boom", nil, `task "string" panicked: boom`},
		{"error", io.EOF, io.EOF, `task "error" panicked: EOF`},
		{"cancellation", context.Canceled, context.Canceled, "context canceled"},
		{"nil", nil, nil, "panic called with nil argument"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s task.Scope
			h := task.Spawn(t.Context(), &s, tc.name, func(context.Context) (int, error) { panic(tc.with) })
			_, err := h.Await(t.Context())
			pe, ok := errors.AsType[*task.PanicError](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if pe.Task != tc.name || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("the error says %v", err)
			}
			if !strings.Contains(string(pe.Stack), "TestPanicsBecomeErrors") {
				t.Errorf("the stack does not lead here:\n%s", pe.Stack)
			}
			if !strings.Contains(pe.LogValue().String(), "TestPanicsBecomeErrors") {
				t.Error("the log would not show the stack")
			}
			if tc.is != nil {
				wantIs(t, err, tc.is)
			}
			wantIs(t, s.Wait(), err)
		})
	}
}

func TestPanicDuringCancellationIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s task.Scope
		s.Go(t.Context(), "panics", func(ctx context.Context) error {
			<-ctx.Done()
			panic(ctx.Err())
		})
		synctest.Wait()
		s.Cancel(nil)
		err := s.Wait()
		if _, ok := errors.AsType[*task.PanicError](err); !ok {
			t.Errorf("got %v", err)
		}
	})
}

func TestGoexitBecomesError(t *testing.T) {
	var s task.Scope
	h := task.Spawn(t.Context(), &s, "exits", func(context.Context) (int, error) {
		runtime.Goexit()
		return 1, nil
	})
	_, err := h.Await(t.Context())
	wantIs(t, err, task.ErrGoexit)
	wantIs(t, s.Wait(), task.ErrGoexit)
}

func TestTry(t *testing.T) {
	if err := task.Try(func() error { return io.EOF }); err != io.EOF { //nolint:errorlint // Passed on as it is.
		t.Errorf("got %v", err)
	}
	err := task.Try(func() error { panic("boom") })
	if err == nil || err.Error() != "panic: boom" {
		t.Errorf("got %v", err)
	}
}

func TestMisuseOfTasksPanics(t *testing.T) {
	var s task.Scope
	mustPanic(t, "nil", func() { task.Spawn[int](t.Context(), &s, "nothing", nil) })
	mustPanic(t, "nil", func() { s.Go(t.Context(), "nothing", nil) })
	mustPanic(t, "nil", func() { _ = s.Run(t.Context(), "nothing", nil) })
	mustPanic(t, "not made by Spawn", func() { _, _ = new(task.Task[int]).Await(t.Context()) })
	mustPanic(t, "not made by Spawn", func() { new(task.Task[int]).Done() })
	mustPanic(t, "not made by Spawn", func() { new(task.Task[int]).Cancel(nil) })

	var self atomic.Pointer[task.Task[int]]
	ready := make(chan struct{})
	self.Store(task.Spawn(t.Context(), &s, "narcissus", func(ctx context.Context) (int, error) {
		<-ready
		mustPanic(t, "awaits itself", func() { _, _ = self.Load().Await(ctx) })
		var inner task.Scope
		return 0, inner.Run(ctx, "inner", func(ctx context.Context) error {
			mustPanic(t, "awaits itself", func() { _, _ = self.Load().Await(ctx) })
			return nil
		})
	}))
	close(ready)
	wantIs(t, s.Wait(), nil)
	mustPanic(t, "Wait has returned", func() { s.Go(t.Context(), "late", func(context.Context) error { return nil }) })
	mustPanic(t, "Wait has returned", func() { _ = s.Run(t.Context(), "late", func(context.Context) error { return nil }) })
}

// Finally tells of whatever ends a function: also of a runtime.Goexit, which goes on after that.
func TestFinally(t *testing.T) {
	failed := errors.New("failed")
	for name, tt := range map[string]struct {
		fn       func() error
		is       error
		panicked bool
		returns  bool
	}{
		"nil":    {func() error { return nil }, nil, false, true},
		"error":  {func() error { return failed }, failed, false, true},
		"panic":  {func() error { panic(failed) }, failed, true, true},
		"goexit": {func() error { runtime.Goexit(); return nil }, task.ErrGoexit, true, false},
	} {
		var told []error
		returned := false
		var wg sync.WaitGroup
		wg.Go(func() {
			task.Finally(tt.fn, func(err error) { told = append(told, err) })
			returned = true
		})
		wg.Wait()
		var p *task.PanicError
		if len(told) != 1 || !errors.Is(told[0], tt.is) || errors.As(told[0], &p) != tt.panicked || returned != tt.returns {
			t.Errorf("%s: told %v, returned %t", name, told, returned)
		}
		if p != nil && !strings.Contains(string(p.Stack), "task_test.go") {
			t.Errorf("%s: the stack is %s", name, p.Stack)
		}
	}
}
