package storetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var dedupeChecks = []check{
	{"over batches, partitions and reopening", checkDedupe},
	{"in one batch", checkDedupeInBatch},
	{"window", checkDedupeWindow},
	{"of a stream", checkDedupeStream},
	{"only when it is asked for", checkDedupeOff},
	{"only while the record is there", checkDedupeRemoved},
	{"from many goroutines", checkDedupeMany},
	{"a refused batch leaves no trace", checkDedupeRefused},
}

const window = time.Hour

func once(p store.Partition, id byte, text string) store.Append {
	return store.Append{Partition: p, Event: &event.Event{ID: event.ID{0: 1, 15: id}, Subject: "s", Data: []byte(text)}, Dedupe: window}
}

// repeats checks that an append is answered with the record that it repeats.
func (f *fixture) repeats(a store.Append, offset uint64, taken time.Time) {
	f.Helper()
	before := f.image()
	got := f.commit(&store.Batch{Appends: []store.Append{a}}).Appends[0]
	equal(f, "it is a duplicate", got.Duplicate, true)
	equal(f, "offset of what it repeats", got.Offset, offset)
	equal(f, fmt.Sprintf("it was taken at %v, the answer says %v", taken, got.Appended), got.Appended.Equal(taken), true)
	f.stays(before, "a duplicate")
}

func (f *fixture) counts(a store.Append, offset uint64) time.Time {
	f.Helper()
	got := f.commit(&store.Batch{Appends: []store.Append{a}}).Appends[0]
	equal(f, "it is a duplicate", got.Duplicate, false)
	equal(f, "offset", got.Offset, offset)
	return got.Appended
}

func checkDedupe(f *fixture) {
	p, other := part("a", 0), part("a", 1)
	f.add(p, "before")
	taken := f.counts(once(p, 1, "one"), 1)
	f.Clock.Advance(time.Minute)
	f.counts(once(other, 2, "two"), 0)
	f.both(func() {
		f.repeats(once(p, 1, "again"), 1, taken)
		f.repeats(once(other, 1, "again"), 1, taken)
		f.repeats(once(part("a", 7), 1, "again"), 1, taken)
	})
	f.crash()
	f.repeats(once(p, 1, "again"), 1, taken)
	f.holds(p, "before", "one")
	f.holds(other, "two")
	f.counts(once(p, 3, "three"), 2)
}

func checkDedupeInBatch(f *fixture) {
	p, other := part("a", 0), part("a", 1)
	b := f.commit(&store.Batch{Appends: []store.Append{once(p, 1, "one"), once(p, 2, "two"), once(p, 1, "again"), once(other, 2, "again"), once(other, 3, "three")}})
	for i, want := range []store.Append{{Offset: 0}, {Offset: 1}, {Offset: 0, Duplicate: true}, {Offset: 1, Duplicate: true}, {Offset: 0}} {
		equal(f, fmt.Sprintf("duplicate %d", i), b.Appends[i].Duplicate, want.Duplicate)
		equal(f, fmt.Sprintf("offset %d", i), b.Appends[i].Offset, want.Offset)
	}
	f.holds(p, "one", "two")
	f.holds(other, "three")
	// What else the batch has is done, whether or not its records were there.
	f.commit(&store.Batch{Appends: []store.Append{once(p, 1, "again")}, Puts: []store.Put{{Key: "k", Data: []byte("v")}}})
	equal(f, "value", string(f.value("k").Data), "v")
	f.holds(p, "one", "two")
}

// checkDedupeWindow keeps away from the edge of the window by a second.
func checkDedupeWindow(f *fixture) {
	p := part("a", 0)
	taken := f.counts(once(p, 1, "one"), 0)
	f.Clock.Advance(window - time.Second)
	f.repeats(once(p, 1, "again"), 0, taken)
	short := once(p, 1, "short")
	short.Dedupe = window / 2
	taken = f.counts(short, 1)
	f.Clock.Advance(window - time.Second)
	f.repeats(once(p, 1, "again"), 1, taken)
	f.reopen()
	f.repeats(once(p, 1, "again"), 1, taken)
	f.Clock.Advance(2 * time.Second)
	f.counts(once(p, 1, "later"), 2)
	f.Clock.Advance(window + time.Second)
	f.reopen()
	f.counts(once(p, 1, "much later"), 3)
	f.holds(p, "one", "short", "later", "much later")
}

func checkDedupeStream(f *fixture) {
	f.counts(once(part("a", 0), 1, "one"), 0)
	f.counts(once(part("ab", 0), 1, "one"), 0)
	f.counts(once(part("b", 0), 1, "one"), 0)
	f.commit(&store.Batch{Drops: []string{"a"}})
	f.counts(once(part("a", 0), 1, "after the drop"), 0)
	f.commit(&store.Batch{Drops: []string{"a"}, Appends: []store.Append{once(part("a", 0), 1, "with the drop")}})
	f.holds(part("a", 0), "with the drop")
}

func checkDedupeOff(f *fixture) {
	p := part("a", 0)
	nameless := store.Append{Partition: p, Event: text("no ID"), Dedupe: window}
	f.counts(nameless, 0)
	f.counts(nameless, 1)
	always := once(p, 1, "always")
	always.Dedupe = 0
	f.counts(always, 2)
	f.counts(always, 3)
	b := f.commit(&store.Batch{Appends: []store.Append{always, always, nameless}})
	equal(f, "offset", b.Appends[2].Offset, 6)
	f.both(func() {
		again := f.commit(&store.Batch{Appends: []store.Append{once(p, 1, "again")}}).Appends[0]
		if !again.Duplicate || again.Offset < 2 || again.Offset > 5 {
			f.Fatalf("duplicate %v of offset %d, and not of one of 2 to 5, which were appended without Dedupe", again.Duplicate, again.Offset)
		}
	})
}

// checkDedupeRemoved removes, trims and drops what would be repeated.
func checkDedupeRemoved(f *fixture) {
	p := part("a", 0)
	f.counts(once(p, 1, "one"), 0)
	f.counts(once(p, 2, "two"), 1)
	f.counts(once(p, 3, "three"), 2)
	f.commit(&store.Batch{Removes: []store.Position{at(p, 1)}})
	f.counts(once(p, 2, "again"), 3)
	f.commit(&store.Batch{Trims: []store.Position{at(p, 2)}})
	f.reopen()
	f.counts(once(p, 1, "again"), 4)
	f.repeats(once(p, 3, "again"), 2, f.Clock.Now())
	b := f.commit(&store.Batch{Trims: []store.Position{at(p, 3)}, Appends: []store.Append{once(p, 3, "with the trim")}})
	equal(f, "it repeats what the same batch has trimmed", b.Appends[0].Duplicate, false)
	f.holds(p, "again", "again", "with the trim")
}

func checkDedupeMany(f *fixture) {
	const goroutines, ids = 6, 40
	offsets := make([][ids]store.Append, goroutines)
	f.together(goroutines, func(g int) error {
		var all sync.WaitGroup
		errs := make(chan error, ids)
		for i := range ids {
			b := &store.Batch{Appends: []store.Append{once(part("a", g%2), byte(i), fmt.Sprint(i))}}
			all.Add(1)
			f.s.Submit(b, func(err error) {
				offsets[g][i] = b.Appends[0]
				errs <- err
				all.Done()
			})
		}
		all.Wait()
		for range ids {
			if err := <-errs; err != nil {
				return err
			}
		}
		return nil
	})
	for i := range ids {
		taken := 0
		for g := range goroutines {
			if !offsets[g][i].Duplicate {
				taken++
			}
			equal(f, "offset answered to everybody", offsets[g][i].Offset, offsets[0][i].Offset)
		}
		equal(f, "times that an event was taken", taken, 1)
	}
	equal(f, "records", f.bounds(part("a", 0)).Count+f.bounds(part("a", 1)).Count, ids)
}

func checkDedupeRefused(f *fixture) {
	p := part("a", 0)
	f.refused(&store.Batch{Appends: []store.Append{once(p, 1, "one")}, Requires: []store.Require{{Key: "k", Revision: 1}}}, store.ErrConflict)
	f.counts(once(p, 1, "one"), 0)
}
