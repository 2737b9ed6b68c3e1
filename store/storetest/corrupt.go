package storetest

import (
	"bytes"
	"errors"
	"io"

	"github.com/spate-io/spate/store"
)

var corruptChecks = []check{
	{"reading ends before it", checkCorrupt},
	{"reading goes on when told to", checkCorruptPassed},
	{"a snapshot leaves it out when told to", checkCorruptSnapshot},
}

// spoil makes a partition of 10 records, of which the one at offset 5 is corrupt. It returns false if the harness cannot.
func (f *fixture) spoil() (store.Partition, bool) {
	f.Helper()
	if f.Corrupt == nil {
		f.Log("the harness cannot corrupt records: not tested")
		return store.Partition{}, false
	}
	p := part("a", 3)
	for _, s := range numbered("", 10) {
		f.add(p, s) // in commits of their own, since a store may keep one commit in one piece
	}
	f.s = f.Corrupt(f.s, at(p, 5))
	return p, true
}

func checkCorrupt(f *fixture) {
	p, ok := f.spoil()
	if !ok {
		return
	}
	got, err := readAll(f.ctx, f.s, p, 0, store.ReadOptions{})
	f.says(err, p)
	same(f, "texts before the corrupt one", textsOf(got), numbered("", 5))
	_, err = f.s.Read(f.ctx, at(p, 5), store.ReadOptions{})
	f.says(err, p)
	same(f, "texts after the corrupt one", textsOf(f.read(p, 6, store.ReadOptions{})), numbered("", 10)[6:])
	same(f, "the offset of the next", f.add(p, "10"), []uint64{10})
	f.commit(&store.Batch{Removes: []store.Position{at(p, 5)}})
	equal(f, "texts left", len(f.read(p, 6, store.ReadOptions{})), 5)
}

// says checks that an error names the corrupt record.
func (f *fixture) says(err error, p store.Partition) {
	f.Helper()
	var corrupt *store.CorruptError
	if !errors.As(err, &corrupt) {
		f.Fatalf("reading a corrupt record: %v", err)
	}
	equal(f, "position of the corrupt record", corrupt.Position, at(p, 5))
	if corrupt.Err == nil || corrupt.Error() == "" {
		f.Fatalf("the error does not say why: %+v", corrupt)
	}
}

func checkCorruptPassed(f *fixture) {
	p, ok := f.spoil()
	if !ok {
		return
	}
	told := 0
	options := store.ReadOptions{OnCorrupt: func(err *store.CorruptError) {
		told++
		f.says(err, p)
	}}
	want := append(numbered("", 5), numbered("", 10)[6:]...)
	same(f, "texts beside the corrupt one", textsOf(f.read(p, 0, options)), want)
	equal(f, "times told", told, 1)
	page, err := f.s.Read(f.ctx, at(p, 5), options)
	f.ok(err)
	equal(f, "the first after the corrupt one", page[0].Offset, 6)
	equal(f, "times told", told, 2)
}

// checkCorruptSnapshot restores what could be read: in it nothing is corrupt, and the offsets are those that they were.
func checkCorruptSnapshot(f *fixture) {
	p, ok := f.spoil()
	if !ok {
		return
	}
	f.furnish()
	f.says(f.s.Snapshot(f.ctx, io.Discard, store.SnapshotOptions{}), p)
	var out bytes.Buffer
	told, next := 0, f.bounds(p).Next
	f.ok(f.s.Snapshot(f.ctx, &out, store.SnapshotOptions{OnCorrupt: func(err *store.CorruptError) {
		told++
		f.says(err, p)
	}}))
	equal(f, "times told", told, 1)
	others := f.read(part("b", 0), 0, store.ReadOptions{})
	f.restore(&out, func() {
		_, err := store.Verify(f.ctx, f.s, func(err *store.CorruptError) { f.Errorf("after a restore: %v", err) }, nil)
		f.ok(err)
		got := f.read(p, 0, store.ReadOptions{})
		same(f, "texts beside the corrupt one", textsOf(got)[:9], append(numbered("", 5), numbered("", 10)[6:]...))
		equal(f, "the offset after the corrupt one", got[5].Offset, 6)
		b := f.bounds(p)
		equal(f, "records", b.Count, uint64(len(got)))
		equal(f, "the end", b.Next, next)
		same(f, "texts of another stream", textsOf(f.read(part("b", 0), 0, store.ReadOptions{})), textsOf(others))
		same(f, "the offset of the next", f.add(p, "next"), []uint64{next})
		f.commit(&store.Batch{Trims: []store.Position{at(p, 7)}})
		equal(f, "records after a trim", f.bounds(p).Count, uint64(len(got)+1-6))
	})
}
