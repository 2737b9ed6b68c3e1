package storetest

import (
	"fmt"
	"slices"

	"github.com/spate-io/spate/store"
)

var streamChecks = []check{
	{"offsets", checkOffsets},
	{"bounds", checkBounds},
	{"partitions", checkPartitions},
	{"removes", checkRemoves},
	{"trims", checkTrims},
	{"trims inside of one commit", checkTrimInside},
	{"drops", checkDrops},
	{"nothing there", checkNothingThere},
}

// alike are partitions whose names are easily taken for each other, in the order of Partitions.
var alike = []store.Partition{
	part("*", 0), part(">", 0), part("A", 0), part("a", 0), part("a", 1), part("a", 2), part("a", 10), part("a", 256),
	part("a b", 0), part("a.b", 0), part("a/b", 0), part("a0", 0), part("a1", 0), part("ab", 0), part("ä", 1),
}

func checkOffsets(f *fixture) {
	for round := range 3 {
		var b store.Batch
		for i, p := range alike {
			b.Appends = append(b.Appends, appends(p, fmt.Sprintf("%d/%d", i, round))...)
		}
		f.commit(&b)
		for _, a := range b.Appends {
			equal(f, fmt.Sprintf("offset in %v", a.Partition), a.Offset, uint64(round))
		}
	}
	f.both(func() {
		for i, p := range alike {
			f.holds(p, numbered(fmt.Sprint(i, "/"), 3)...)
		}
	})
	same(f, "offsets after reopening", f.add(alike[3], "x", "y"), []uint64{3, 4})
}

// checkBounds holds Bytes to what can be said of any store: it grows with what is added, shrinks with what is removed, and is 0 for nothing.
func checkBounds(f *fixture) {
	p := part("a", 0)
	equal(f, "bounds of nothing", f.bounds(p), store.Bounds{})
	bytes := uint64(0)
	for i := range uint64(5) {
		f.add(p, "some text")
		b := f.bounds(p)
		if b.Bytes <= bytes {
			f.Fatalf("%d bytes after %d and one more record", b.Bytes, bytes)
		}
		bytes = b.Bytes
		equal(f, "bounds", b, store.Bounds{First: 0, Next: i + 1, Count: i + 1, Bytes: bytes})
	}
	for _, step := range []struct {
		b           store.Batch
		first, left uint64
	}{
		{store.Batch{Removes: []store.Position{at(p, 2)}}, 0, 4},
		{store.Batch{Trims: []store.Position{at(p, 1)}}, 1, 3},
		{store.Batch{Removes: []store.Position{at(p, 1)}}, 3, 2},
		{store.Batch{Removes: []store.Position{at(p, 4)}}, 3, 1},
		{store.Batch{Trims: []store.Position{at(p, 4)}}, 5, 0},
	} {
		f.commit(&step.b)
		b := f.bounds(p)
		if b.Bytes >= bytes || (b.Bytes == 0) != (step.left == 0) {
			f.Fatalf("%d bytes are left of %d, and %d records", b.Bytes, bytes, step.left)
		}
		bytes = b.Bytes
		f.both(func() {
			equal(f, "bounds", f.bounds(p), store.Bounds{First: step.first, Next: 5, Count: step.left, Bytes: bytes})
		})
	}
}

func checkPartitions(f *fixture) {
	shuffled := slices.Clone(alike)
	slices.Reverse(shuffled)
	for _, p := range shuffled {
		f.add(p, "x", "y")
	}
	f.commit(&store.Batch{Trims: []store.Position{at(part("a", 1), 99)}, Removes: []store.Position{at(part("new", 0), 0)}})
	f.refused(&store.Batch{Appends: appends(part("refused", 0), "x"), Requires: []store.Require{{Key: "k", Revision: 1}}}, store.ErrConflict)
	f.both(func() {
		all, err := f.s.Partitions(f.ctx)
		f.ok(err)
		same(f, "partitions, of which one is empty", all, alike)
	})
}

func checkRemoves(f *fixture) {
	p := part("a", 0)
	f.add(p, numbered("", 10)...)
	f.commit(&store.Batch{Removes: []store.Position{at(p, 3), at(p, 0), at(p, 1)}})
	f.commit(&store.Batch{Removes: []store.Position{at(p, 9), at(p, 3), at(p, 700)}})
	f.both(func() {
		f.holds(p, "2", "4", "5", "6", "7", "8")
		same(f, "offsets", offsetsOf(f.read(p, 0, store.ReadOptions{Records: 2})), []uint64{2, 4, 5, 6, 7, 8})
		same(f, "offsets from a gap", offsetsOf(f.read(p, 3, store.ReadOptions{})), []uint64{4, 5, 6, 7, 8})
		equal(f, "records at the gap at the end", len(f.read(p, 9, store.ReadOptions{})), 0)
		equal(f, "first", f.bounds(p).First, 2)
		equal(f, "next", f.bounds(p).Next, 10)
		equal(f, "count", f.bounds(p).Count, 6)
	})
	same(f, "the offset after one that was removed", f.add(p, "new"), []uint64{10})
	f.commit(&store.Batch{Removes: []store.Position{at(p, 2), at(p, 4), at(p, 5), at(p, 6), at(p, 7), at(p, 8), at(p, 10)}})
	f.both(func() { equal(f, "bounds of what is empty", f.bounds(p), store.Bounds{First: 11, Next: 11}) })
	same(f, "the offset after all were removed", f.add(p, "last"), []uint64{11})
	f.holds(p, "last")
}

func checkTrims(f *fixture) {
	p, other := part("a", 0), part("a", 1)
	f.add(p, numbered("", 10)...)
	f.add(other, "other")
	for _, step := range []struct {
		before uint64
		first  int
	}{{0, 0}, {3, 3}, {3, 3}, {1, 3}, {4, 4}} {
		f.commit(&store.Batch{Trims: []store.Position{at(p, step.before)}})
		f.both(func() { f.holds(p, numbered("", 10)[step.first:]...) })
	}
	f.commit(&store.Batch{Trims: []store.Position{at(p, 6), at(p, 5)}, Removes: []store.Position{at(p, 7)}})
	f.holds(p, "6", "8", "9")
	for _, beyond := range []uint64{10, 11, 1 << 50, store.AnyCursor - 1} {
		f.commit(&store.Batch{Trims: []store.Position{at(p, beyond)}})
		next := f.bounds(p).Next
		f.both(func() {
			f.holds(p)
			equal(f, "bounds", f.bounds(p), store.Bounds{First: next, Next: next})
		})
		same(f, "the offset after a trim beyond the end", f.add(p, "new"), []uint64{next})
		f.holds(p, "new")
	}
	f.holds(other, "other")
}

// checkTrimInside trims in the middle of what was committed, and may be kept, in one piece.
func checkTrimInside(f *fixture) {
	p := part("a", 0)
	n := min(200, f.s.Limits().Operations)
	texts := numbered("", n)
	f.commit(&store.Batch{Appends: appends(p, texts...)})
	for _, before := range []int{1, 17, n/2 + 1, n - 1} {
		f.commit(&store.Batch{Trims: []store.Position{at(p, uint64(before))}})
		f.commit(&store.Batch{Removes: []store.Position{at(p, uint64(before))}})
		f.both(func() {
			f.holds(p, texts[before+1:]...)
			same(f, "texts", textsOf(f.read(p, 0, store.ReadOptions{Records: 3})), texts[before+1:])
		})
	}
	f.add(p, "next")
	f.holds(p, "next")
}

func checkDrops(f *fixture) {
	for _, p := range alike {
		f.add(p, "x", "y")
	}
	id := store.Cursor{Consumer: "c", Partition: part("a", 10)}
	f.commit(&store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: store.NoCursor, To: 1}}, Puts: []store.Put{{Key: "a", Data: []byte("v")}}})
	f.commit(&store.Batch{Trims: []store.Position{at(part("a", 2), 5)}})
	f.commit(&store.Batch{Drops: []string{"a", "unknown"}})
	left := slices.DeleteFunc(slices.Clone(alike), func(p store.Partition) bool { return p.Stream == "a" })
	f.both(func() {
		all, err := f.s.Partitions(f.ctx)
		f.ok(err)
		same(f, "partitions", all, left)
		for _, p := range alike {
			if p.Stream == "a" {
				f.holds(p)
				equal(f, "bounds", f.bounds(p), store.Bounds{})
				continue
			}
			f.holds(p, "x", "y")
		}
		equal(f, "cursor", f.cursor(id), 1)
		equal(f, "value", string(f.value("a").Data), "v")
	})
	for _, number := range []int{0, 2, 10} {
		same(f, "offsets after a drop", f.add(part("a", number), "new", "newer"), []uint64{0, 1})
	}
	f.commit(&store.Batch{Drops: []string{"a"}, Appends: appends(part("a", 0), "again")})
	f.both(func() {
		f.holds(part("a", 0), "again")
		f.holds(part("a", 10))
	})
}

func checkNothingThere(f *fixture) {
	p := part("unknown", 3)
	f.both(func() {
		f.holds(p)
		equal(f, "bounds", f.bounds(p), store.Bounds{})
		equal(f, "records", len(f.read(p, 5, store.ReadOptions{})), 0)
		found, err := f.s.Find(f.ctx, p, f.Clock.Now())
		f.ok(err)
		equal(f, "place found", found, 0)
		all, err := f.s.Partitions(f.ctx)
		f.ok(err)
		equal(f, "partitions", len(all), 0)
		f.commit(&store.Batch{Drops: []string{"unknown"}, Trims: []store.Position{at(p, 3)}, Removes: []store.Position{at(p, 0)}, Deletes: []string{"unknown"}})
		equal(f, "lines of the image", len(f.image()), 0)
		f.ok(f.s.Health())
	})
}
