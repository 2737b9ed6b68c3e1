package task_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/task"
)

func TestWatchShowsTheLatest(t *testing.T) {
	var w task.Watch[string]
	if v, n := w.Get(); v != "" || n != 0 {
		t.Errorf("the zero Watch holds %q as version %d", v, n)
	}
	w.Set("a")
	w.Set("b")
	if v, n := w.Get(); v != "b" || n != 2 {
		t.Errorf("got %q as version %d", v, n)
	}
	v, seen, err := w.Changed(t.Context(), 0) // at once, and without "a"
	if v != "b" || seen != 2 || err != nil {
		t.Errorf("got %q, %d, %v", v, seen, err)
	}
}

func TestWatchUpdate(t *testing.T) {
	var w task.Watch[int]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				w.Update(func(n int) (int, bool) { return n + 1, true })
			}
		})
	}
	wg.Wait()
	if w.Update(func(int) (int, bool) { return -1, false }) {
		t.Error("an update without a change says that there was one")
	}
	func() {
		defer func() { _ = recover() }()
		w.Update(func(int) (int, bool) { panic("no") })
	}()
	if v, n := w.Get(); v != 4000 || n != 4000 {
		t.Errorf("got %d as version %d", v, n)
	}
	w.Close()
	if w.Set(1) || w.Update(func(int) (int, bool) { t.Error("called"); return 1, true }) {
		t.Error("changed after Close")
	}
}

func TestWatchersSeeTheLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w task.Watch[int]
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				last, seen := 0, uint64(0)
				for {
					v, n, err := w.Changed(t.Context(), seen)
					if err != nil {
						wantIs(t, err, task.ErrClosed)
						break
					}
					if v <= last || n <= seen {
						t.Errorf("%d, version %d came after %d, version %d", v, n, last, seen)
					}
					last, seen = v, n
				}
				if last != 100 || seen != 100 {
					t.Errorf("the last change seen is %d, version %d", last, seen)
				}
			})
		}
		for i := range 100 {
			if i%10 == 0 {
				synctest.Wait() // all of them wait
			}
			w.Set(i + 1)
		}
		w.Close()
		w.Close()
		wg.Wait()
	})
}

func TestWatchChangedEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w task.Watch[int]
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTest)
		defer cancel()
		_, seen, err := w.Changed(ctx, 0)
		wantIs(t, err, context.DeadlineExceeded, errTest)
		w.Set(1)
		_, seen, err = w.Changed(ctx, seen) // also with a change there
		wantIs(t, err, context.DeadlineExceeded)
		if v, seen, err := w.Changed(t.Context(), seen); v != 1 || seen != 1 || err != nil {
			t.Errorf("got %d, %d, %v", v, seen, err)
		}
	})
}

func TestWatchCosts(t *testing.T) {
	var w task.Watch[int]
	if n := testing.AllocsPerRun(100, func() { w.Set(1) }); n > 1 {
		t.Errorf("a change costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { w.Get() }); n != 0 {
		t.Errorf("a look costs %v allocations", n)
	}
}
