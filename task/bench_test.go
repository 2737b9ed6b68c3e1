package task_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/spate-io/spate/task"
)

// go test ./task -run '^$' -bench . -benchmem

func one(context.Context) (int, error) { return 1, nil }

// The floor: a goroutine and a channel by hand, with nothing that a task gives beyond that.
func BenchmarkBareGoroutineAndChannel(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ch := make(chan int, 1)
		go func() { ch <- 1 }()
		<-ch
	}
}

// The same with a cancelable context of its own.
func BenchmarkBareGoroutineWithContext(b *testing.B) {
	b.ReportAllocs()
	parent, stop := context.WithCancel(b.Context())
	defer stop()
	for b.Loop() {
		ctx, cancel := context.WithCancelCause(parent)
		ch := make(chan int, 1)
		go func() { v, _ := one(ctx); ch <- v }()
		<-ch
		cancel(nil)
	}
}

func BenchmarkSpawnAwait(b *testing.B) {
	for _, listed := range []bool{false, true} {
		b.Run(fmt.Sprintf("listed=%v", listed), func(b *testing.B) {
			b.ReportAllocs()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			if listed {
				ctx = task.WithRegistry(ctx, &task.Registry{})
			}
			var s task.Scope
			for b.Loop() {
				if _, err := task.Spawn(ctx, &s, "one", one).Await(ctx); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Wait(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkSpawnAwaitParallel(b *testing.B) {
	b.ReportAllocs()
	ctx := task.WithRegistry(b.Context(), &task.Registry{})
	var s task.Scope
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = task.Spawn(ctx, &s, "one", one).Await(ctx)
		}
	})
	if err := s.Wait(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkScopeRunEmpty(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var s task.Scope
		_ = s.Run(b.Context(), "empty", func(context.Context) error { return nil })
	}
}

func BenchmarkGroupLimited(b *testing.B) {
	b.ReportAllocs()
	var g task.Group[int]
	g.Limit = 8
	for b.Loop() {
		g.Spawn(b.Context(), "one", one)
		if _, _, err := g.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkTry(b *testing.B) {
	for b.Loop() {
		_ = task.Try(func() error { return nil })
	}
}

func BenchmarkTimeout(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = task.Timeout(b.Context(), 1e12, one)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	var reg task.Registry
	ctx := task.WithRegistry(b.Context(), &reg)
	var s task.Scope
	for range 10000 {
		s.Go(ctx, "waits", func(ctx context.Context) error { <-ctx.Done(); return nil })
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(reg.Snapshot()); n != 10000 {
			b.Fatal(n)
		}
	}
	s.Cancel(nil)
	_ = s.Wait()
}

// One send to so many subscribers that all wait for it, until all have it.
func BenchmarkBroadcast(b *testing.B) {
	for _, subscribers := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			b.ReportAllocs()
			var bc task.Broadcast[int]
			var got, ended sync.WaitGroup
			for range subscribers {
				s := bc.Subscribe(0)
				ended.Go(func() {
					for {
						if _, _, err := s.Next(b.Context()); err != nil {
							return
						}
						got.Done()
					}
				})
			}
			for b.Loop() {
				got.Add(subscribers)
				bc.Send(1)
				got.Wait()
			}
			bc.Close()
			ended.Wait()
			if subscribers > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers), "ns/delivery")
			}
		})
	}
}

// Sends in batches of 64 while 1000 subscribers read: what a delivery costs when the reader need not be woken.
func BenchmarkBroadcastBatches(b *testing.B) {
	const subscribers, batch = 1000, 64
	var bc task.Broadcast[int]
	var got, ended sync.WaitGroup
	for range subscribers {
		s := bc.Subscribe(0)
		ended.Go(func() {
			for {
				_, missed, err := s.Next(b.Context())
				if err != nil {
					return
				}
				got.Add(-1 - int(missed))
			}
		})
	}
	for b.Loop() {
		got.Add(subscribers * batch)
		for i := range batch {
			bc.Send(i)
		}
		got.Wait()
	}
	bc.Close()
	ended.Wait()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers*batch), "ns/delivery")
}

func BenchmarkWatchGet(b *testing.B) {
	var w task.Watch[int]
	w.Set(1)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if v, _ := w.Get(); v != 1 {
				b.Fatal(v)
			}
		}
	})
}

func BenchmarkWatchSet(b *testing.B) {
	b.ReportAllocs()
	var w task.Watch[int]
	for b.Loop() {
		w.Set(1)
	}
}
