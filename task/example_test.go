package task_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spate-io/spate/task"
)

// Two things at once, of different types, in one scope that waits for both.
func ExampleSpawn() {
	ctx := context.Background()
	var s task.Scope
	err := s.Run(ctx, "page", func(ctx context.Context) error {
		name := task.Spawn(ctx, &s, "name", func(context.Context) (string, error) { return "Ada", nil })
		age := task.Spawn(ctx, &s, "age", func(context.Context) (int, error) { return 36, nil })
		n, err := name.Await(ctx)
		if err != nil {
			return err
		}
		a, err := age.Await(ctx)
		if err != nil {
			return err
		}
		fmt.Println(n, a)
		return nil
	})
	fmt.Println(err)
	// Output:
	// Ada 36
	// <nil>
}

// The first error cancels the rest, and Run returns it when all have ended.
func ExampleScope_Run() {
	var s task.Scope
	err := s.Run(context.Background(), "both", func(ctx context.Context) error {
		s.Go(ctx, "waits", func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("canceled because of:", context.Cause(ctx))
			return ctx.Err()
		})
		s.Go(ctx, "fails", func(context.Context) error { return errors.New("no route to host") })
		return nil
	})
	fmt.Println(err)
	// Output:
	// canceled because of: no route to host
	// no route to host
}

// Actors of a program: when one of them ends, for whatever reason, all do.
func ExamplePolicy() {
	s := task.Scope{Policy: task.CancelOnDone}
	err := s.Run(context.Background(), "program", func(ctx context.Context) error {
		s.Go(ctx, "server", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		s.Go(ctx, "console", func(context.Context) error { return nil }) // the user said quit
		return nil
	})
	fmt.Println(err)
	// Output: <nil>
}

// Results in the order in which they are ready, at most two tasks at a time.
func ExampleGroup() {
	var g task.Group[string]
	g.Limit = 2
	err := g.Run(context.Background(), "greetings", func(ctx context.Context) error {
		for i, word := range []string{"slow", "quick"} {
			g.Spawn(ctx, word, func(ctx context.Context) (string, error) {
				return word, task.Sleep(ctx, time.Duration(1-i)*50*time.Millisecond)
			})
		}
		for word, err := range g.Results(ctx) {
			fmt.Println(word, err)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// quick <nil>
	// slow <nil>
	// <nil>
}

// A panic ends its task alone and comes to whoever awaits it, with its stack.
func ExamplePanicError() {
	var s task.Scope
	h := task.Spawn(context.Background(), &s, "parse", func(context.Context) (byte, error) {
		words := strings.Fields(" ")
		return words[0][0], nil
	})
	_, err := h.Await(context.Background())
	fmt.Println(err)
	if p, ok := errors.AsType[*task.PanicError](err); ok {
		fmt.Println("has a stack:", len(p.Stack) > 0)
	}
	_ = s.Wait()
	// Output:
	// task "parse" panicked: runtime error: index out of range [0] with length 0
	// has a stack: true
}

// The caller's own goroutine, guarded.
func ExampleTry() {
	err := task.Try(func() error { panic("out of cheese") })
	fmt.Println(err)
	// Output: panic: out of cheese
}

// Giving up the waiting does not give up the task: its scope still owns it.
func ExampleTask_Await() {
	var s task.Scope
	h := task.Spawn(context.Background(), &s, "report", func(ctx context.Context) (string, error) {
		return "42 pages", task.Sleep(ctx, 50*time.Millisecond)
	})
	impatient, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := h.Await(impatient)
	fmt.Println(err)
	fmt.Println(h.Await(context.Background()))
	fmt.Println(s.Wait())
	// Output:
	// awaiting task "report": context deadline exceeded
	// 42 pages <nil>
	// <nil>
}

// The first to finish wins; the others have ended when Race returns.
func ExampleRace() {
	mirror := func(name string, d time.Duration) task.Func[string] {
		return func(ctx context.Context) (string, error) { return name, task.Sleep(ctx, d) }
	}
	fmt.Println(task.Race(context.Background(), mirror("far", time.Hour), mirror("near", time.Millisecond)))
	// Output: near <nil>
}

// The first to succeed wins.
func ExampleAny() {
	fmt.Println(task.Any(context.Background(),
		func(context.Context) (string, error) { return "", errors.New("IPv6 is not routed") },
		func(ctx context.Context) (string, error) { return "IPv4", task.Sleep(ctx, time.Millisecond) },
	))
	// Output: IPv4 <nil>
}

// All values in the order of the arguments, or the first error.
func ExampleAll() {
	square := func(n int) task.Func[int] { return func(context.Context) (int, error) { return n * n, nil } }
	fmt.Println(task.All(context.Background(), square(2), square(3), square(4)))
	// Output: [4 9 16] <nil>
}

func ExampleTimeout() {
	_, err := task.Timeout(context.Background(), time.Millisecond, func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, task.ErrTimeout), errors.Is(err, context.DeadlineExceeded))
	// Output:
	// timed out after 1ms: context deadline exceeded
	// true true
}

func ExampleSleep() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	fmt.Println(task.Sleep(ctx, time.Hour))
	// Output: sleeping for 1h0m0s: context canceled
}

func ExampleInterval() {
	beat := task.Interval{Every: time.Millisecond}
	n := 0
	for range beat.Ticks(context.Background()) {
		n++
		fmt.Println("beat", n)
		if n == 3 {
			break
		}
	}
	// Output:
	// beat 1
	// beat 2
	// beat 3
}

func ExampleRetry() {
	attempts := 0
	v, err := task.Retry(context.Background(), task.Backoff{Initial: time.Millisecond}, func(context.Context) (string, error) {
		if attempts++; attempts < 3 {
			return "", errors.New("connection refused")
		}
		return "connected", nil
	})
	fmt.Println(v, err, attempts)

	_, err = task.Retry(context.Background(), task.Backoff{}, func(context.Context) (string, error) {
		return "", task.Permanent(errors.New("wrong password"))
	})
	fmt.Println(err)
	// Output:
	// connected <nil> 3
	// wrong password
}

// A subscriber that falls behind is told how much it lost, and goes on.
func ExampleBroadcast() {
	b := task.Broadcast[string]{Capacity: 2}
	quick, slow := b.Subscribe(0), b.Subscribe(1)
	b.Send("one")
	b.Send("two")
	b.Close()
	for _, s := range []*task.Subscription[string]{quick, slow} {
		for {
			v, missed, err := s.Next(context.Background())
			if err != nil {
				fmt.Println(err)
				break
			}
			fmt.Println(v, "missed", missed)
		}
	}
	// Output:
	// one missed 0
	// two missed 0
	// closed by its sender
	// two missed 1
	// closed by its sender
}

// Whoever looks sees the latest value; whoever waits sees that it changed.
func ExampleWatch() {
	var level task.Watch[string]
	level.Set("info")
	v, seen := level.Get()
	fmt.Println(v)

	var s task.Scope
	s.Go(context.Background(), "reload", func(context.Context) error {
		level.Set("debug")
		return nil
	})
	v, _, err := level.Changed(context.Background(), seen)
	fmt.Println(v, err)
	_ = s.Wait()
	// Output:
	// info
	// debug <nil>
}

// What runs below a context with a registry can be seen.
func ExampleRegistry() {
	var reg task.Registry
	ctx := task.WithRegistry(context.Background(), &reg)
	var s task.Scope
	_ = s.Run(ctx, "server", func(ctx context.Context) error {
		ready := make(chan struct{})
		s.Go(ctx, "listener", func(ctx context.Context) error {
			close(ready)
			<-ctx.Done()
			return nil
		})
		<-ready
		for _, t := range reg.Snapshot() {
			fmt.Println(t.ID, t.Parent, t.Name)
		}
		s.Cancel(nil)
		return nil
	})
	fmt.Println("live:", reg.Stats().Live)
	// Output:
	// 1 0 server
	// 2 1 listener
	// live: 0
}
