package task_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/task"
)

func TestPolicies(t *testing.T) {
	fails := func(context.Context) error { return errTest }
	returns := func(context.Context) error { return nil }
	for _, tc := range []struct {
		name     string
		policy   task.Policy
		first    func(context.Context) error
		canceled bool
		err      error
	}{
		{"cancel on error, fails", task.CancelOnError, fails, true, errTest},
		{"cancel on error, returns", task.CancelOnError, returns, false, nil},
		{"cancel on done, fails", task.CancelOnDone, fails, true, errTest},
		{"cancel on done, returns", task.CancelOnDone, returns, true, nil},
		{"keep going, fails", task.KeepGoing, fails, false, errTest},
		{"keep going, returns", task.KeepGoing, returns, false, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := task.Scope{Policy: tc.policy}
				start := time.Now()
				err := s.Run(t.Context(), "body", func(ctx context.Context) error {
					for range 3 {
						s.Go(ctx, "other", func(ctx context.Context) error { return task.Sleep(ctx, time.Minute) })
					}
					s.Go(ctx, "first", func(ctx context.Context) error {
						_ = task.Sleep(ctx, time.Second)
						return tc.first(ctx)
					})
					return nil
				})
				if canceled := time.Since(start) == time.Second; canceled != tc.canceled || err != tc.err { //nolint:errorlint // As it is.
					t.Errorf("ended after %v with %v", time.Since(start), err)
				}
			})
		})
	}
}

func TestCauseIsTheFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s task.Scope
		h := task.Spawn(t.Context(), &s, "watches", func(ctx context.Context) (error, error) {
			<-ctx.Done()
			return context.Cause(ctx), context.Cause(ctx)
		})
		s.Go(t.Context(), "fails", func(context.Context) error { return errTest })
		err := s.Wait()
		if cause, _ := h.Await(t.Context()); cause != errTest || err != errTest { //nolint:errorlint // As it is.
			t.Errorf("the cause is %v, Wait gives %v", cause, err)
		}
	})
}

func TestErrorsAreJoinedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := task.Scope{Policy: task.KeepGoing}
		for i := range 20 {
			s.Go(t.Context(), "fails", func(ctx context.Context) error {
				_ = task.Sleep(ctx, time.Duration(20-i)*time.Second)
				return fmt.Errorf("number %d", i)
			})
		}
		lines := strings.Split(s.Wait().Error(), "\n")
		if len(lines) != 17 || lines[0] != "number 19" || lines[15] != "number 4" || lines[16] != "and 4 more errors" {
			t.Errorf("got %q", lines)
		}
	})
}

func TestOuterCancellationIsReportedOnce(t *testing.T) {
	for _, policy := range []task.Policy{task.CancelOnError, task.KeepGoing} {
		ctx, cancel := context.WithCancel(t.Context())
		s := task.Scope{Policy: policy}
		for range 5 {
			s.Go(ctx, "waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}
		cancel()
		if err := s.Wait(); err != context.Canceled { //nolint:errorlint // Once, and as it is.
			t.Errorf("got %v", err)
		}
	}
}

func TestRealErrorsSurviveCancellation(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(ctx context.Context) error
		lost bool
	}{
		{"plain", func(ctx context.Context) error { return ctx.Err() }, true},
		{"wrapped", func(ctx context.Context) error { return fmt.Errorf("reading: %w", ctx.Err()) }, true},
		{"cause", context.Cause, true},
		{"sleep", func(ctx context.Context) error { return task.Sleep(ctx, 1) }, true},
		{"joined with a real one", func(ctx context.Context) error { return errors.Join(ctx.Err(), errTest) }, false},
		{"wrapping one joined with a real one", func(ctx context.Context) error {
			return fmt.Errorf("closing: %w", errors.Join(errTest, ctx.Err()))
		}, false},
		{"another", func(context.Context) error { return errTest }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s task.Scope
				s.Go(t.Context(), "ends", func(ctx context.Context) error { <-ctx.Done(); return tc.end(ctx) })
				synctest.Wait()
				s.Cancel(errors.New("enough"))
				if err := s.Wait(); (err == nil) != tc.lost {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestRunWaitsWhateverTheBodyDoes(t *testing.T) {
	for _, tc := range []struct {
		name string
		body func(ctx context.Context) error
		want error
	}{
		{"returns", func(context.Context) error { return nil }, nil},
		{"fails", func(context.Context) error { return errTest }, errTest},
		{"panics", func(context.Context) error { panic(errTest) }, errTest},
	} {
		for _, policy := range []task.Policy{task.CancelOnError, task.CancelOnDone, task.KeepGoing} {
			t.Run(fmt.Sprint(tc.name, policy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := task.Scope{Policy: policy}
					var ended atomic.Int32
					start := time.Now()
					err := s.Run(t.Context(), "body", func(ctx context.Context) error {
						for range 3 {
							s.Go(ctx, "works", func(ctx context.Context) error {
								defer ended.Add(1)
								return task.Sleep(ctx, time.Minute)
							})
						}
						synctest.Wait()
						return tc.body(ctx)
					})
					if !errors.Is(err, tc.want) || ended.Load() != 3 {
						t.Errorf("got %v with %d tasks ended", err, ended.Load())
					}
					if canceled := time.Since(start) == 0; canceled != (tc.want != nil) {
						t.Errorf("ended after %v", time.Since(start))
					}
				})
			})
		}
	}
}

func TestRunWaitsOnGoexit(t *testing.T) {
	var s task.Scope
	var ended, after bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { after = ended }()
		_ = s.Run(t.Context(), "body", func(ctx context.Context) error {
			s.Go(ctx, "works", func(ctx context.Context) error {
				<-ctx.Done()
				ended = true
				return nil
			})
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	if !after {
		t.Error("Goexit left the scope before its task had ended")
	}
	wantIs(t, s.Wait(), task.ErrGoexit)
}

func TestBodyThatReturnsAnAwaitedErrorDoesNotRepeatIt(t *testing.T) {
	for _, policy := range []task.Policy{task.CancelOnError, task.KeepGoing} {
		s := task.Scope{Policy: policy}
		err := s.Run(t.Context(), "body", func(ctx context.Context) error {
			h := task.Spawn(ctx, &s, "fails", func(context.Context) (int, error) { return 0, errTest })
			_, err := h.Await(t.Context())
			return fmt.Errorf("wrapped: %w", err)
		})
		if err != errTest { //nolint:errorlint // As it is.
			t.Errorf("got %v", err)
		}
	}
}

func TestBodyContextLivesUntilTheTasksHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s task.Scope
		err := s.Run(t.Context(), "body", func(ctx context.Context) error {
			s.Go(ctx, "outlives the body", func(own context.Context) error {
				return errors.Join(task.Sleep(own, time.Minute), ctx.Err())
			})
			return nil
		})
		wantIs(t, err, nil)
	})
}

func TestCancelReachesTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s task.Scope
		err := s.Run(t.Context(), "body", func(ctx context.Context) error {
			s.Go(ctx, "fails", func(context.Context) error { return errTest })
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if err != errTest { //nolint:errorlint // As it is.
			t.Errorf("got %v", err)
		}
	})
}

func TestWaitByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := task.Scope{Policy: task.KeepGoing}
		s.Go(t.Context(), "spawns more", func(ctx context.Context) error {
			_ = task.Sleep(ctx, time.Second)
			s.Go(t.Context(), "more", func(ctx context.Context) error {
				_ = task.Sleep(ctx, time.Second)
				return errTest
			})
			return nil
		})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { wantIs(t, s.Wait(), errTest) })
		}
		wg.Wait()
		wantIs(t, s.Wait(), errTest)
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := task.Scope{Limit: 3}
		var now, most atomic.Int32
		start := time.Now()
		for range 10 {
			s.Go(t.Context(), "works", func(ctx context.Context) error {
				n := now.Add(1)
				defer now.Add(-1)
				most.Store(max(most.Load(), n))
				return task.Sleep(ctx, time.Second)
			})
		}
		wantIs(t, s.Wait(), nil)
		if most.Load() != 3 || time.Since(start) != 4*time.Second {
			t.Errorf("%d ran at a time, %v in all", most.Load(), time.Since(start))
		}
	})
}

func TestLimitServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := task.Scope{Limit: 1}
		var mu sync.Mutex
		var order []int
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				_ = task.Sleep(t.Context(), time.Duration(i)) // the i-th to come
				s.Go(t.Context(), "works", func(ctx context.Context) error {
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
					return task.Sleep(ctx, time.Second)
				})
			})
		}
		callers.Wait()
		wantIs(t, s.Wait(), nil)
		if !slices.IsSorted(order) || len(order) != 20 {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestWaitingForASlotEnds(t *testing.T) {
	for _, how := range []string{"context", "scope"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := task.Scope{Limit: 1, Policy: task.KeepGoing}
				release := make(chan struct{})
				s.Go(t.Context(), "holds the slot", func(context.Context) error { <-release; return nil })
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if how == "scope" {
					ctx = t.Context()
					time.AfterFunc(time.Second, func() { s.Cancel(errTest) })
				}
				if s.Go(ctx, "waits", func(context.Context) error { t.Error("called"); return nil }) {
					t.Error("Go says that it started")
				}
				close(release)
				err := s.Wait()
				if how == "scope" && err != nil {
					t.Errorf("Wait gave %v", err)
				}
				if how == "context" {
					wantIs(t, err, task.ErrNotStarted, context.DeadlineExceeded)
				}
			})
		})
	}
}

// A waiter whose context ends in the moment in which it is given the slot must pass the slot on: here the
// holder of the slot ends that context and returns before the waiter can react to either.
func TestSlotIsNotLostToAnEndedWaiter(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			s := task.Scope{Limit: 1, Policy: task.KeepGoing}
			ctx, cancel := context.WithCancel(t.Context())
			release := make(chan struct{})
			s.Go(t.Context(), "holds the slot", func(context.Context) error { <-release; cancel(); return nil })
			var wg sync.WaitGroup
			wg.Go(func() { s.Go(ctx, "ended", func(context.Context) error { return nil }) })
			synctest.Wait()
			wg.Go(func() { s.Go(t.Context(), "patient", func(context.Context) error { return nil }) })
			synctest.Wait()
			close(release)
			wg.Wait() // or synctest reports a deadlock
			_ = s.Wait()
		})
	}
}

// Whoever has awaited a failure finds the rest of the scope canceled.
func TestAwaitedFailureHasCanceledTheScope(t *testing.T) {
	for range 100 {
		var s task.Scope
		fail := make(chan struct{})
		h := task.Spawn(t.Context(), &s, "fails", func(context.Context) (int, error) { <-fail; return 0, errTest })
		var others [100]*task.Task[error]
		for i := range others {
			others[i] = task.Spawn(t.Context(), &s, "other", func(ctx context.Context) (error, error) {
				<-h.Done()
				return ctx.Err(), nil
			})
		}
		close(fail)
		for _, o := range others {
			if cerr, err := o.Await(t.Context()); cerr == nil || err != nil {
				t.Fatalf("after the result was there, another task had a context with %v", cerr)
			}
		}
		wantIs(t, s.Wait(), errTest)
	}
}

func TestTryGo(t *testing.T) {
	s := task.Scope{Limit: 1}
	release := make(chan struct{})
	nothing := func(context.Context) error { return nil }
	if !s.TryGo(t.Context(), "first", func(ctx context.Context) error {
		if s.TryGo(ctx, "own scope", nothing) {
			t.Error("started beyond the limit")
		}
		mustPanic(t, "same limited scope", func() { s.Go(ctx, "own scope", nothing) })
		var inner task.Scope
		_ = inner.Run(ctx, "inner", func(ctx context.Context) error {
			mustPanic(t, "same limited scope", func() { s.Go(ctx, "from an inner scope", nothing) })
			return nil
		})
		<-release
		return nil
	}) {
		t.Error("not started although there was room")
	}
	if s.TryGo(t.Context(), "second", nothing) {
		t.Error("started beyond the limit")
	}
	close(release)
	if err := s.Wait(); err != nil {
		t.Errorf("a refusal counts as an error: %v", err)
	}
}

func TestMisuseOfScopesPanics(t *testing.T) {
	s := task.Scope{Limit: -1}
	mustPanic(t, "-1", func() { s.Go(t.Context(), "any", func(context.Context) error { return nil }) })
	wantIs(t, s.Wait(), nil) // the panic left nothing behind
}

func TestScopeUnderLoad(t *testing.T) {
	reg := &task.Registry{}
	ctx := task.WithRegistry(t.Context(), reg)
	for _, limit := range []int{0, 4} {
		var g task.Group[int]
		g.Limit, g.Policy = limit, task.KeepGoing
		sum, n := 0, 0
		err := g.Run(ctx, "load", func(ctx context.Context) error {
			var producers task.Scope
			for p := range 4 {
				producers.Go(ctx, "producer", func(context.Context) error {
					for i := range 500 {
						h := g.Spawn(ctx, "job", func(context.Context) (int, error) { return 1, nil })
						if i%97 == p {
							h.Cancel(nil)
						}
					}
					return nil
				})
			}
			if err := producers.Wait(); err != nil {
				return err
			}
			for v, err := range g.Results(ctx) {
				sum, n = sum+v, n+1
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || sum != 2000 || n != 2000 {
			t.Errorf("limit %d: %d results with the sum %d, %v", limit, n, sum, err)
		}
	}
	if st := reg.Stats(); st.Live != 0 || st.Started != 4010 || len(reg.Snapshot()) != 0 {
		t.Errorf("the registry has %+v", st)
	}
}
