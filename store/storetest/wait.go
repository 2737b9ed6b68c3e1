package storetest

import (
	"context"
	"slices"
	"sync"

	"github.com/spate-io/spate/store"
)

var waitChecks = []check{
	{"there already", checkWaitThere},
	{"wakes", checkWaitWakes},
	{"wakes all", checkWaitMany},
	{"of several partitions", checkWaitSeveral},
	{"not by what is deleted or before", checkWaitNot},
	{"context ends", checkWaitContext},
	{"store closes", checkWaitClose},
}

// wait waits beside the test. The goroutine ends with the test's context.
func (f *fixture) wait(ctx context.Context, places ...store.Position) <-chan error {
	returned := make(chan error, 1)
	var waiting sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	s, own := f.s, slices.Clone(places) // the test may change both
	waiting.Go(func() { returned <- s.Wait(ctx, own...) })
	f.Cleanup(func() {
		cancel()
		waiting.Wait()
	})
	return returned
}

func checkWaitThere(f *fixture) {
	p := part("a", 0)
	f.add(p, numbered("", 10)...)
	f.commit(&store.Batch{Trims: []store.Position{at(p, 3)}, Removes: []store.Position{at(p, 5)}})
	f.both(func() {
		for offset := range uint64(10) {
			f.ok(f.s.Wait(f.ctx, at(p, offset)))
			f.ok(f.s.Wait(f.ctx, at(part("b", 0), 0), at(p, offset), at(p, 99)))
		}
	})
}

func checkWaitWakes(f *fixture) {
	p := part("a", 0)
	for i := range uint64(20) {
		returned := f.wait(f.ctx, at(p, i))
		if i%5 == 0 {
			quiet(f, "Wait returned before there was a record", returned)
		}
		f.add(p, "x")
		f.ok(f.answer(returned))
	}
	f.reopen()
	returned := f.wait(f.ctx, at(p, 20))
	f.add(p, "x")
	f.ok(f.answer(returned))
}

func checkWaitMany(f *fixture) {
	p := part("a", 0)
	var all []<-chan error
	for i := range uint64(100) {
		all = append(all, f.wait(f.ctx, at(p, i%10)))
	}
	f.add(p, numbered("", 10)...)
	for _, returned := range all {
		f.ok(f.answer(returned))
	}
}

func checkWaitSeveral(f *fixture) {
	places := []store.Position{at(part("a", 0), 0), at(part("a", 1), 0), at(part("b", 0), 0)}
	for i := range places {
		returned := f.wait(f.ctx, places...)
		quiet(f, "Wait returned before there was a record", returned)
		f.add(places[i].Partition, "x")
		f.ok(f.answer(returned))
		f.ok(f.s.Wait(f.ctx, places...))
		places[i].Offset++
	}
}

func checkWaitNot(f *fixture) {
	p := part("a", 0)
	f.add(p, numbered("", 5)...)
	f.commit(&store.Batch{Trims: []store.Position{at(p, 3)}, Removes: []store.Position{at(p, 4)}})
	behind, ahead := f.wait(f.ctx, at(p, 4)), f.wait(f.ctx, at(p, 7))
	quiet(f, "Wait returned for a record that was removed", behind)
	f.add(p, "5")
	f.ok(f.answer(behind))
	f.add(p, "6")
	f.add(part("a", 1), numbered("", 20)...)
	f.add(part("b", 0), numbered("", 20)...)
	quiet(f, "Wait returned for records before its position", ahead)
	f.add(p, "7")
	f.ok(f.answer(ahead))

	f.commit(&store.Batch{Drops: []string{"a"}})
	dropped := f.wait(f.ctx, at(p, 0))
	quiet(f, "Wait returned for records that were dropped", dropped)
	f.add(p, "again")
	f.ok(f.answer(dropped))
}

func checkWaitContext(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	one, none := f.wait(ctx, at(part("a", 0), 0)), f.wait(ctx)
	quiet(f, "Wait returned without a record", one)
	quiet(f, "Wait returned without a position", none)
	cancel()
	f.fails(f.answer(one), context.Canceled)
	f.fails(f.answer(none), context.Canceled)
}

func checkWaitClose(f *fixture) {
	var all []<-chan error
	for i := range uint64(10) {
		all = append(all, f.wait(f.ctx, at(part("a", 0), i)))
	}
	quiet(f, "Wait returned without a record", all[0])
	f.close()
	for _, returned := range all {
		f.fails(f.answer(returned), store.ErrClosed)
	}
	f.open()
}
