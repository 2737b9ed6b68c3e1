package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/store"
)

var reopenChecks = []check{
	{"keeps everything", checkReopen},
	{"crash", checkCrash},
	{"crash under load", checkCrashUnderLoad},
}

func checkReopen(f *fixture) {
	for round := range 4 {
		f.furnishMore(round)
		before := f.image()
		f.reopen()
		f.stays(before, "reopening")
	}
}

func checkCrash(f *fixture) {
	for round := range 4 {
		f.furnishMore(round)
		before := f.image()
		f.crash()
		f.stays(before, "a crash")
	}
}

// furnishMore adds to and takes from what the rounds before have left.
func (f *fixture) furnishMore(round int) {
	f.Helper()
	p := part("a", round%2)
	f.Clock.Advance(time.Minute)
	f.add(p, numbered(fmt.Sprint(round, "/"), 20)...)
	next := f.bounds(p).Next
	f.commit(&store.Batch{
		Cursors: []store.MoveCursor{{Cursor: store.Cursor{Consumer: "c", Partition: p}, From: store.AnyCursor, To: next}},
		Puts:    []store.Put{{Key: "last", Data: []byte(fmt.Sprint(round))}, {Key: fmt.Sprint("round", round)}},
		Deletes: []string{fmt.Sprint("round", round-2)},
		Trims:   []store.Position{at(p, next-15)},
		Removes: []store.Position{at(p, next-3), at(p, next-1)},
		Drops:   []string{fmt.Sprint("dropped", round-1)},
		Appends: appends(part(fmt.Sprint("dropped", round), 0), "x"),
	})
}

// checkCrashUnderLoad crashes while writers write: what was answered is there, what is there is whole, and a batch is in both partitions or in none.
func checkCrashUnderLoad(f *fixture) {
	if f.Crash == nil {
		f.Log("the harness cannot crash: not tested")
		return
	}
	const writers, atLeast = 4, 20
	var answered [writers]atomic.Int64
	enough := make(chan struct{}, writers)
	f.together(writers+1, func(g int) error {
		if g == writers {
			for range writers {
				<-enough
			}
			f.Crash(f.s)
			return nil
		}
		for i := int64(0); ; i++ {
			s := fmt.Sprint(i)
			b := &store.Batch{Appends: append(appends(part("a", g), s), appends(part("b", g), s)...), Puts: []store.Put{{Key: fmt.Sprint(g), Data: []byte(s)}}}
			if err := store.Commit(f.ctx, f.s, b); err != nil {
				if i < atLeast {
					enough <- struct{}{} // so that the test ends
					return fmt.Errorf("before the crash: %w", err)
				}
				return nil
			}
			answered[g].Store(i + 1)
			if i+1 == atLeast {
				enough <- struct{}{}
			}
		}
	})
	f.open()
	for g := range writers {
		a, b := textsOf(f.read(part("a", g), 0, store.ReadOptions{})), textsOf(f.read(part("b", g), 0, store.ReadOptions{}))
		same(f, "what one batch put in two partitions", a, b)
		same(f, "what was written", a, numbered("", len(a)))
		if int64(len(a)) < answered[g].Load() {
			f.Fatalf("%d batches were answered, %d are there", answered[g].Load(), len(a))
		}
		equal(f, "the value in the last batch", string(f.value(fmt.Sprint(g)).Data), a[len(a)-1])
	}
}
