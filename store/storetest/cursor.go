package storetest

import (
	"maps"

	"github.com/spate-io/spate/store"
)

var cursorChecks = []check{
	{"moves", checkMoves},
	{"AnyCursor", checkAnyCursor},
	{"removal", checkCursorRemoval},
	{"of a consumer", checkCursors},
}

func moving(id store.Cursor, from, to uint64) *store.Batch {
	return &store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: from, To: to}}}
}

// checkMoves holds a cursor against what it was moved to: 0 is a place, and moving back is allowed.
func checkMoves(f *fixture) {
	id := store.Cursor{Consumer: "c", Partition: part("a", 0)}
	equal(f, "a cursor that does not exist", f.cursor(id), store.NoCursor)
	from := store.NoCursor
	for _, to := range []uint64{0, 1, 7, 7, 3, 1 << 40, store.AnyCursor - 1, 0} {
		f.refused(moving(id, from+7, to), store.ErrConflict)
		f.commit(moving(id, from, to))
		equal(f, "cursor", f.cursor(id), to)
		from = to
	}
	f.refused(moving(id, store.NoCursor, 1), store.ErrConflict)
	f.both(func() { equal(f, "cursor", f.cursor(id), 0) })
	equal(f, "the same consumer elsewhere", f.cursor(store.Cursor{Consumer: "c", Partition: part("a", 1)}), store.NoCursor)
}

func checkAnyCursor(f *fixture) {
	id := store.Cursor{Consumer: "c", Partition: part("a", 0)}
	f.commit(moving(id, store.AnyCursor, 5))
	equal(f, "a cursor made", f.cursor(id), 5)
	f.commit(moving(id, store.AnyCursor, 2))
	equal(f, "a cursor moved", f.cursor(id), 2)
	f.commit(moving(id, store.AnyCursor, store.NoCursor))
	equal(f, "a cursor removed", f.cursor(id), store.NoCursor)
	f.commit(moving(id, store.AnyCursor, store.NoCursor))
	f.commit(moving(id, store.NoCursor, store.NoCursor))
	equal(f, "a cursor removed again", f.cursor(id), store.NoCursor)
}

func checkCursorRemoval(f *fixture) {
	id := store.Cursor{Consumer: "c", Partition: part("a", 0)}
	f.commit(moving(id, store.NoCursor, 4))
	f.refused(moving(id, 3, store.NoCursor), store.ErrConflict)
	f.commit(moving(id, 4, store.NoCursor))
	f.both(func() {
		equal(f, "a cursor that was removed", f.cursor(id), store.NoCursor)
		all, err := f.s.Cursors(f.ctx, "")
		f.ok(err)
		equal(f, "cursors", len(all), 0)
	})
	f.refused(moving(id, 4, 5), store.ErrConflict)
	f.commit(moving(id, store.NoCursor, 1))
}

// checkCursors has consumers whose names begin alike.
func checkCursors(f *fixture) {
	all := map[store.Cursor]uint64{}
	var b store.Batch
	for i, consumer := range []string{"a", "ab", "a/b", "b", "ä"} {
		for number, stream := range []string{"s", "st", "s/t"} {
			id := store.Cursor{Consumer: consumer, Partition: part(stream, number)}
			all[id] = uint64(10*i + number)
			b.Cursors = append(b.Cursors, store.MoveCursor{Cursor: id, From: store.NoCursor, To: all[id]})
		}
	}
	f.commit(&b)
	f.both(func() {
		for _, consumer := range []string{"", "a", "ab", "a/b", "b", "ä", "c", "A"} {
			got, err := f.s.Cursors(f.ctx, consumer)
			f.ok(err)
			want := maps.Clone(all)
			maps.DeleteFunc(want, func(id store.Cursor, _ uint64) bool { return consumer != "" && id.Consumer != consumer })
			if !maps.Equal(got, want) {
				f.Fatalf("cursors of %q: %v, want %v", consumer, got, want)
			}
		}
	})
}
