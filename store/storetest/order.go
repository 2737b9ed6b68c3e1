package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spate-io/spate/store"
)

var orderChecks = []check{
	{"of one goroutine", checkOrderOfOne},
	{"of many goroutines", checkOrderOfMany},
	{"readable when done", checkReadableWhenDone},
	{"not readable before it is durable", checkNotReadableBefore},
}

// A ledger notes in which order batches are answered. Its notes are called from the store's goroutines.
type ledger struct {
	mu    sync.Mutex
	names []string
	errs  []error
}

func (l *ledger) note(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names, l.errs = append(l.names, name), append(l.errs, err)
}

func (l *ledger) read() ([]string, []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.names), slices.Clone(l.errs)
}

// checkOrderOfOne mixes batches that are committed with some that are refused, for each reason.
func checkOrderOfOne(f *fixture) {
	const n = 300
	var l ledger
	var all sync.WaitGroup
	var kept []string
	p := part("a", 0)
	tooLarge := &store.Batch{Deletes: make([]string, f.s.Limits().Operations+1)}
	for i := range n {
		name := fmt.Sprint(i)
		b := &store.Batch{Appends: appends(p, name), Durability: store.Durability(i % 3)}
		switch i % 10 {
		case 3:
			b.Requires = []store.Require{{Key: "unknown", Revision: 1}}
		case 7:
			b = tooLarge
		default:
			kept = append(kept, name)
		}
		all.Add(1)
		f.s.Submit(b, func(err error) {
			l.note(name, err)
			all.Done() // panics when it is called twice
		})
	}
	all.Wait()
	names, errs := l.read()
	same(f, "order of the answers", names, numbered("", n))
	for i, err := range errs {
		f.fails(err, map[int]error{3: store.ErrConflict, 7: store.ErrTooLarge}[i%10])
	}
	f.holds(p, kept...)
	equal(f, "end", f.bounds(p).Next, uint64(len(kept)))
}

func checkOrderOfMany(f *fixture) {
	const goroutines, each = 8, 60
	var l ledger
	p := part("a", 0)
	f.together(goroutines, func(g int) error {
		var all sync.WaitGroup
		for i := range each {
			name := fmt.Sprintf("%d/%d", g, i)
			all.Add(1)
			f.s.Submit(&store.Batch{Appends: appends(p, name), Puts: []store.Put{{Key: "k", Data: []byte(name)}}}, func(err error) {
				l.note(name, err)
				all.Done()
			})
		}
		all.Wait()
		return nil
	})
	names, errs := l.read()
	f.ok(errors.Join(errs...))
	f.holds(p, names...)
	equal(f, "the last value", string(f.value("k").Data), names[len(names)-1])
	for g := range goroutines {
		prefix := fmt.Sprintf("%d/", g)
		own := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, prefix) })
		same(f, "order of one of many goroutines", own, numbered(prefix, each))
	}
}

func checkReadableWhenDone(f *fixture) {
	f.together(4, func(g int) error {
		p := part("a", g)
		for i := range uint64(20) {
			b := &store.Batch{Appends: appends(p, "x"), Puts: []store.Put{{Key: fmt.Sprint(g), Data: []byte{byte(i)}}}}
			if err := store.Commit(f.ctx, f.s, b); err != nil {
				return err
			}
			page, err := f.s.Read(f.ctx, at(p, i), store.ReadOptions{})
			if err != nil || len(page) != 1 || page[0].Offset != i {
				return fmt.Errorf("reading what was just committed at %d: %v, %w", i, offsetsOf(page), err)
			}
			v, err := f.s.Get(f.ctx, fmt.Sprint(g))
			if err != nil || len(v.Data) != 1 || v.Data[0] != byte(i) {
				return fmt.Errorf("getting what was just put: %v, %w", v, err)
			}
		}
		return nil
	})
}

func checkNotReadableBefore(f *fixture) {
	if f.Stall == nil {
		f.Log("the harness cannot stall: not tested")
		return
	}
	p := part("a", 0)
	f.add(p, "before")
	release := f.Stall(f.s)
	defer release()
	answer := f.submit(&store.Batch{Appends: appends(p, "after")})
	waited := make(chan error, 1)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() { waited <- f.s.Wait(f.ctx, at(p, 1)) })
	quiet(f, "a batch was answered while the store was held up", answer)
	quiet(f, "Wait returned for a record that is not durable", waited)
	f.holds(p, "before")
	equal(f, "end", f.bounds(p).Next, 1)
	release()
	f.ok(f.answer(answer))
	f.ok(f.answer(waited))
	f.holds(p, "before", "after")
}
