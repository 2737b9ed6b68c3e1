package storetest

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var batchChecks = []check{
	{"all kinds in one", checkAllKinds},
	{"refused leaves nothing", checkRefused},
	{"preconditions see what was submitted before", checkChain},
	{"one of many wins", checkRace},
	{"preconditions look before the batch", checkBefore},
	{"drops, then removes and trims, then appends", checkPhases},
	{"empty", checkEmpty},
	{"durabilities", checkDurabilities},
	{"the caller's again after done", checkOwnership},
}

// furnish gives the store something of each kind.
func (f *fixture) furnish() {
	f.Helper()
	f.add(part("a", 0), numbered("a", 6)...)
	f.add(part("b", 1), numbered("b", 3)...)
	f.add(part("c", 0), "c0")
	f.commit(&store.Batch{
		Cursors: []store.MoveCursor{{Cursor: store.Cursor{Consumer: "one", Partition: part("a", 0)}, From: store.NoCursor, To: 2}},
		Puts:    []store.Put{{Key: "k", Data: []byte("v")}, {Key: "old", Data: []byte("v")}},
	})
}

// everything is a batch that changes something of each kind in a furnished store.
func everything() *store.Batch {
	return &store.Batch{
		Appends: append(appends(part("a", 0), "new"), appends(part("d", 3), "new", "newer")...),
		Cursors: []store.MoveCursor{{Cursor: store.Cursor{Consumer: "one", Partition: part("a", 0)}, From: 2, To: 3}},
		Puts:    []store.Put{{Key: "k", Data: []byte("w")}, {Key: "new", Data: []byte("v")}},
		Deletes: []string{"old", "unknown"},
		Removes: []store.Position{at(part("a", 0), 4), at(part("a", 0), 999), at(part("unknown", 0), 0)},
		Trims:   []store.Position{at(part("b", 1), 2), at(part("unknown", 0), 5)},
		Drops:   []string{"c", "unknown"},
	}
}

func checkAllKinds(f *fixture) {
	f.furnish()
	b := f.commit(everything())
	for i, want := range []uint64{6, 0, 1} {
		equal(f, "offset of the answer", b.Appends[i].Offset, want)
		equal(f, "the answer says that it is a duplicate", b.Appends[i].Duplicate, false)
		equal(f, "the time of the answer", b.Appends[i].Appended.Equal(f.Clock.Now()), true)
	}
	f.both(func() {
		f.holds(part("a", 0), "a0", "a1", "a2", "a3", "a5", "new")
		f.holds(part("b", 1), "b2")
		f.holds(part("c", 0))
		f.holds(part("d", 3), "new", "newer")
		equal(f, "cursor", f.cursor(store.Cursor{Consumer: "one", Partition: part("a", 0)}), 3)
		equal(f, "value", string(f.value("k").Data), "w")
		equal(f, "new value", string(f.value("new").Data), "v")
		equal(f, "revision of what was deleted", f.value("old").Revision, 0)
		partitions, err := f.s.Partitions(f.ctx)
		f.ok(err)
		same(f, "partitions", partitions, []store.Partition{part("a", 0), part("b", 1), part("d", 3)})
	})
}

// checkRefused breaks each precondition in turn, in a batch of everything.
func checkRefused(f *fixture) {
	f.furnish()
	one := store.Cursor{Consumer: "one", Partition: part("a", 0)}
	other := store.Cursor{Consumer: "one", Partition: part("a", 1)}
	before, revision := f.image(), f.value("k").Revision
	breaks := []func(b *store.Batch){
		func(b *store.Batch) { b.Requires = []store.Require{{Key: "k", Revision: revision + 1}} },
		func(b *store.Batch) { b.Requires = []store.Require{{Key: "k", Revision: 0}} },
		func(b *store.Batch) { b.Requires = []store.Require{{Key: "unknown", Revision: revision}} },
		func(b *store.Batch) {
			b.Requires = []store.Require{{Key: "k", Revision: revision}, {Key: "unknown", Revision: 1}}
		},
		func(b *store.Batch) { b.Cursors[0].From = 1 },
		func(b *store.Batch) { b.Cursors[0].From = store.NoCursor },
		func(b *store.Batch) { b.Cursors = append(b.Cursors, store.MoveCursor{Cursor: other, From: 0, To: 1}) },
		func(b *store.Batch) { b.Cursors[0] = store.MoveCursor{Cursor: one, From: 3, To: store.NoCursor} },
	}
	for _, spoil := range breaks {
		b := everything()
		spoil(b)
		f.refused(b, store.ErrConflict)
		f.stays(before, "a batch that was refused")
	}
	equal(f, "revision", f.value("k").Revision, revision)
	same(f, "offsets after batches that were refused", f.add(part("a", 0), "next"), []uint64{6})
	f.reopen()
	f.holds(part("d", 3))
}

// checkChain submits moves on top of each other without waiting.
func checkChain(f *fixture) {
	id := store.Cursor{Consumer: "c", Partition: part("a", 0)}
	var answers []<-chan error
	from := store.NoCursor
	for to := range uint64(50) {
		answers = append(answers, f.submit(&store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: from, To: to}}}))
		answers = append(answers, f.submit(&store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: from, To: 1000}}, Puts: []store.Put{{Key: "lost"}}}))
		from = to
	}
	for i, c := range answers {
		if err := f.answer(c); (err == nil) != (i%2 == 0) || err != nil && !errors.Is(err, store.ErrConflict) {
			f.Fatalf("batch %d: %v", i, err)
		}
	}
	equal(f, "cursor", f.cursor(id), 49)
	equal(f, "revision of what conflicting batches wrote", f.value("lost").Revision, 0)
}

// checkRace has many goroutines count in one value, each on top of what it has read.
func checkRace(f *fixture) {
	const goroutines, times = 8, 10
	f.together(goroutines, func(int) error {
		for done := 0; done < times; {
			v, err := f.s.Get(f.ctx, "n")
			if err != nil {
				return err
			}
			n, _ := strconv.Atoi(string(v.Data))
			err = store.Commit(f.ctx, f.s, &store.Batch{
				Requires: []store.Require{{Key: "n", Revision: v.Revision}},
				Puts:     []store.Put{{Key: "n", Data: []byte(strconv.Itoa(n + 1))}},
				Appends:  appends(part("n", 0), strconv.Itoa(n+1)),
			})
			switch {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				return err
			}
		}
		return nil
	})
	equal(f, "value", string(f.value("n").Data), fmt.Sprint(goroutines*times))
	for i, s := range textsOf(f.read(part("n", 0), 0, store.ReadOptions{})) {
		equal(f, "the record beside the count", s, strconv.Itoa(i+1))
	}
}

func checkBefore(f *fixture) {
	id := store.Cursor{Consumer: "c", Partition: part("a", 0)}
	f.commit(&store.Batch{
		Requires: []store.Require{{Key: "k", Revision: 0}},
		Puts:     []store.Put{{Key: "k", Data: []byte("v")}},
		Cursors:  []store.MoveCursor{{Cursor: id, From: store.NoCursor, To: 0}},
	})
	f.commit(&store.Batch{Requires: []store.Require{{Key: "k", Revision: f.value("k").Revision}}, Deletes: []string{"k"}})
	equal(f, "revision", f.value("k").Revision, 0)
}

func checkPhases(f *fixture) {
	p, q := part("a", 0), part("b", 0)
	f.add(p, "a0", "a1")
	f.add(q, "b0", "b1")
	b := f.commit(&store.Batch{
		Appends: append(appends(p, "a2", "a3"), appends(q, "new")...),
		Removes: []store.Position{at(p, 2)},
		Trims:   []store.Position{at(p, 3)},
		Drops:   []string{"b"},
	})
	equal(f, "offset after a drop in the same batch", b.Appends[2].Offset, 0)
	f.both(func() {
		f.holds(p, "a2", "a3")
		f.holds(q, "new")
	})
}

func checkEmpty(f *fixture) {
	f.furnish()
	before := f.image()
	f.commit(&store.Batch{})
	f.stays(before, "an empty batch")
}

func checkDurabilities(f *fixture) {
	p := part("a", 0)
	var answers []<-chan error
	for i := range 30 {
		durability := []store.Durability{store.None, store.Interval, store.Fsync, store.Interval}[i%4]
		answers = append(answers, f.submit(&store.Batch{Durability: durability, Appends: appends(p, fmt.Sprint(i)), Puts: []store.Put{{Key: "k", Data: []byte{byte(i)}}}}))
	}
	for _, c := range answers {
		f.ok(f.answer(c))
	}
	f.both(func() {
		f.holds(p, numbered("", 30)...)
		same(f, "value", f.value("k").Data, []byte{29})
	})
}

// checkOwnership changes everything that was submitted as soon as it was answered.
func checkOwnership(f *fixture) {
	data, name := []byte("data"), []byte("value")
	e := &event.Event{Subject: "s", Key: "k", Headers: []event.Header{{Name: "n", Value: "v"}}, Data: data}
	want := describe(e.Clone())
	b := f.commit(&store.Batch{
		Appends: []store.Append{{Partition: part("a", 0), Event: e}, {Partition: part("b", 0), Event: e}},
		Puts:    []store.Put{{Key: "k", Data: name}},
		Cursors: []store.MoveCursor{{Cursor: store.Cursor{Consumer: "c", Partition: part("a", 0)}, From: store.NoCursor, To: 1}},
	})
	clear(data)
	clear(name)
	e.Headers[0] = event.Header{Name: "other", Value: "other"}
	e.Subject, e.Key = "other", "other"
	clear(b.Puts)
	clear(b.Appends)
	clear(b.Cursors)
	f.both(func() {
		for _, stream := range []string{"a", "b"} {
			records := f.read(part(stream, 0), 0, store.ReadOptions{})
			equal(f, "records", len(records), 1)
			equal(f, "event", describe(records[0].Event), want)
		}
		equal(f, "value", string(f.value("k").Data), "value")
	})
}
