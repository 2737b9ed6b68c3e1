package task_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/task"
)

// tree prints a snapshot with the parents' names.
func tree(infos []task.Info) string {
	names := map[uint64]string{0: "-"}
	var b strings.Builder
	for _, i := range infos {
		names[i.ID] = i.Name
		fmt.Fprintf(&b, "%s<%s %v %v\n", i.Name, names[i.Parent], i.Age, i.Canceled)
	}
	return b.String()
}

type between struct{}

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reg task.Registry
		ctx := task.WithRegistry(t.Context(), &reg)
		var s task.Scope
		stop := make(chan struct{})
		wait := func(context.Context) error { <-stop; return nil }
		err := s.Run(ctx, "server", func(ctx context.Context) error {
			s.Go(ctx, "http", func(ctx context.Context) error {
				_ = task.Sleep(ctx, time.Second)
				var inner task.Scope
				return inner.Run(context.WithValue(ctx, between{}, 1), "batch", func(ctx context.Context) error {
					inner.Go(ctx, "job", wait)
					inner.Go(task.WithRegistry(ctx, nil), "unlisted", func(ctx context.Context) error {
						inner.Go(task.WithRegistry(ctx, &reg), "grandchild", wait)
						return wait(ctx)
					})
					return nil
				})
			})
			_ = task.Sleep(ctx, 3*time.Second)
			synctest.Wait()
			want := "server<- 3s false\nhttp<server 3s false\nbatch<http 2s false\njob<batch 2s false\ngrandchild<batch 2s false\n"
			if got := tree(reg.Snapshot()); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			s.Cancel(nil)
			synctest.Wait()
			if got := tree(reg.Snapshot()); strings.Count(got, "true") != 5 {
				t.Errorf("canceled, and still there:\n%s", got)
			}
			close(stop)
			return nil
		})
		wantIs(t, err, nil)
		if st := reg.Stats(); st != (task.Stats{Started: 5}) {
			t.Errorf("got %+v", st)
		}
	})
}

func TestRegistryLetsGoBeforeTheResult(t *testing.T) {
	var reg task.Registry
	ctx := task.WithRegistry(t.Context(), &reg)
	for range 2000 {
		var s task.Scope
		h := task.Spawn(ctx, &s, "brief", after(0, 1, nil))
		for ended := false; !ended; { // looks at once, unlike a goroutine that must be woken
			select {
			case <-h.Done():
				ended = true
			default:
				runtime.Gosched()
			}
		}
		if got := reg.Snapshot(); len(got) != 0 {
			t.Fatalf("still listed: %v", got)
		}
		wantIs(t, s.Wait(), nil)
	}
}

func TestRegistryCountsFailures(t *testing.T) {
	var reg task.Registry
	ctx := task.WithRegistry(t.Context(), &reg)
	s := task.Scope{Policy: task.KeepGoing}
	s.Go(ctx, "fine", func(context.Context) error { return nil })
	s.Go(ctx, "fails", func(context.Context) error { return errTest })
	s.Go(ctx, "passes a panic on", func(ctx context.Context) error {
		var inner task.Scope
		return inner.Run(ctx, "panics", func(context.Context) error { panic("boom") })
	})
	if _, ok := errors.AsType[*task.PanicError](s.Wait()); !ok {
		t.Error("the panic is lost")
	}
	if st := reg.Stats(); st != (task.Stats{Started: 4, Failed: 3, Panicked: 1}) {
		t.Errorf("got %+v", st)
	}
}

func TestSnapshotUnderLoad(t *testing.T) {
	var reg task.Registry
	ctx := task.WithRegistry(t.Context(), &reg)
	var s task.Scope
	var g task.Group[int]
	g.Limit = 8
	s.Go(ctx, "admin", func(ctx context.Context) error {
		for {
			last := uint64(0)
			for _, i := range reg.Snapshot() {
				if i.ID <= last || i.Name == "" || i.Age < 0 {
					return fmt.Errorf("after task %d came %+v", last, i)
				}
				last = i.ID
			}
			select {
			case <-ctx.Done():
				return nil
			default:
			}
		}
	})
	for i := range 5000 {
		g.Spawn(ctx, "job", after(0, i, nil))
	}
	wantIs(t, g.Wait(), nil)
	s.Cancel(nil)
	wantIs(t, s.Wait(), nil)
}
