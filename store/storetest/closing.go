package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/spate-io/spate/store"
)

var closeChecks = []check{
	{"waits for what was submitted", checkCloseWaits},
	{"while others submit", checkCloseWhileSubmitting},
	{"use afterwards", checkUseAfterClose},
	{"again", checkCloseAgain},
}

func checkCloseWaits(f *fixture) {
	const n = 200
	p := part("a", 0)
	var l ledger
	for i := range n {
		f.s.Submit(&store.Batch{Appends: appends(p, fmt.Sprint(i)), Durability: store.Durability(i % 3)}, func(err error) { l.note(fmt.Sprint(i), err) })
	}
	f.close()
	names, errs := l.read()
	same(f, "answers when Close returns", names, numbered("", n))
	f.ok(errors.Join(errs...))
	f.open()
	f.holds(p, names...)
}

// checkCloseWhileSubmitting closes under load: each batch is answered once, and is there if and only if the answer was nil.
func checkCloseWhileSubmitting(f *fixture) {
	const goroutines = 6
	p := part("a", 0)
	var l ledger
	started := make(chan struct{}, goroutines)
	f.together(goroutines+1, func(g int) error {
		if g == goroutines {
			for range goroutines {
				<-started
			}
			return f.s.Close()
		}
		return submitUntilClosed(f.s, p, g*100000, &l, started)
	})
	names, errs := l.read()
	var kept []string
	for i, err := range errs {
		if err == nil {
			kept = append(kept, names[i])
		} else {
			f.fails(err, store.ErrClosed)
		}
	}
	f.open()
	f.holds(p, kept...)
}

func submitUntilClosed(s store.Store, p store.Partition, first int, l *ledger, started chan<- struct{}) error {
	for i := 0; ; i++ {
		var all sync.WaitGroup
		var failed [3]error // by batch, since two answers can come at once while the store is being closed
		for j := range failed {
			name := strconv.Itoa(first + len(failed)*i + j)
			all.Add(1)
			s.Submit(&store.Batch{Appends: appends(p, name)}, func(err error) {
				l.note(name, err)
				failed[j] = err
				all.Done()
			})
		}
		all.Wait()
		if i == 1 {
			started <- struct{}{}
		}
		if err := errors.Join(failed[:]...); err != nil {
			if i < 1 {
				return fmt.Errorf("before the store was closed: %w", err)
			}
			return nil
		}
	}
}

func checkUseAfterClose(f *fixture) {
	f.furnish()
	f.close()
	for name, query := range queries(f.s) {
		if err := query(f.ctx); !errors.Is(err, store.ErrClosed) {
			f.Errorf("%s of a closed store: %v, want %v", name, err, store.ErrClosed)
		}
	}
	for range 3 {
		f.refused(&store.Batch{Appends: appends(part("a", 0), "x")}, store.ErrClosed)
	}
	f.fails(store.Commit(f.ctx, f.s, &store.Batch{}), store.ErrClosed)
	f.s.Limits()
	f.open()
	f.holds(part("a", 0), numbered("a", 6)...)
}

// checkCloseAgain asks only that a second Close ends, and spoils nothing.
func checkCloseAgain(f *fixture) {
	f.furnish()
	before := f.image()
	f.close()
	err := f.s.Close()
	if err != nil && !errors.Is(err, store.ErrClosed) {
		f.Fatalf("closing again: %v", err)
	}
	f.open()
	f.stays(before, "closing twice")
	if slices.Equal(before, nil) {
		f.Fatal("there was nothing to keep")
	}
}
