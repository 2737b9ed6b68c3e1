package storetest

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var readChecks = []check{
	{"from any offset", checkReadFrom},
	{"at most Records", checkReadRecords},
	{"at most Bytes", checkReadBytes},
	{"a record larger than Bytes", checkReadLarge},
	{"context ended", checkContext},
}

func checkReadFrom(f *fixture) {
	p := part("a", 0)
	texts := numbered("", 70)
	f.add(p, texts...)
	f.both(func() {
		for from := range len(texts) {
			same(f, fmt.Sprint("texts from ", from), textsOf(f.read(p, uint64(from), store.ReadOptions{Records: 40})), texts[from:])
		}
		for _, end := range []uint64{70, 71, 1 << 40, store.AnyCursor - 1} {
			equal(f, "records from the end on", len(f.read(p, end, store.ReadOptions{})), 0)
		}
	})
	f.commit(&store.Batch{Trims: []store.Position{at(p, 33)}})
	f.both(func() {
		for _, from := range []uint64{0, 1, 32, 33} {
			same(f, "texts from before the first", textsOf(f.read(p, from, store.ReadOptions{})), texts[33:])
		}
	})
}

func checkReadRecords(f *fixture) {
	p := part("a", 0)
	texts := numbered("", store.DefaultReadRecords+100)
	f.add(p, texts...)
	f.both(func() {
		for _, most := range []int{0, 1, 2, 7, 100, 5000} {
			page, err := f.s.Read(f.ctx, at(p, 5), store.ReadOptions{Records: most})
			f.ok(err)
			if most == 0 {
				most = store.DefaultReadRecords
			}
			if len(page) == 0 || len(page) > most {
				f.Fatalf("%d records, at most %d are wanted, and one at least", len(page), most)
			}
			same(f, "texts", textsOf(page), texts[5:5+len(page)])
			same(f, "all texts", textsOf(f.read(p, 900, store.ReadOptions{Records: most})), texts[900:])
		}
	})
}

// checkReadBytes has records of 4 KiB, so that the fields beside the data do not matter.
func checkReadBytes(f *fixture) {
	const size, n = 4 << 10, 40
	p := part("a", 0)
	for range n / 4 {
		e := &event.Event{Subject: "s", Data: make([]byte, size)}
		f.commit(&store.Batch{Appends: []store.Append{{Partition: p, Event: e}, {Partition: p, Event: e}, {Partition: p, Event: e}, {Partition: p, Event: e}}})
	}
	f.both(func() {
		for _, most := range []int{1, size - 1, 2 * size, 5*size + 17, 100 * size} {
			for from := uint64(0); from < n; {
				page, err := f.s.Read(f.ctx, at(p, from), store.ReadOptions{Bytes: most})
				f.ok(err)
				if len(page) == 0 || len(page) > 1 && len(page)*size > most {
					f.Fatalf("%d records of %d bytes, at most %d bytes are wanted, and one record at least", len(page), size, most)
				}
				equal(f, "offset", page[0].Offset, from)
				from += uint64(len(page))
			}
		}
	})
}

func checkReadLarge(f *fixture) {
	p := part("a", 0)
	large := make([]byte, LeastBytes/2)
	f.add(p, "small")
	f.commit(&store.Batch{Appends: []store.Append{{Partition: p, Event: &event.Event{Subject: "s", Data: large}}}})
	f.add(p, "small")
	f.both(func() {
		page, err := f.s.Read(f.ctx, at(p, 1), store.ReadOptions{Bytes: 100})
		f.ok(err)
		equal(f, "records", len(page), 1)
		equal(f, "bytes", len(page[0].Event.Data), len(large))
		page, err = f.s.Read(f.ctx, at(p, 0), store.ReadOptions{Bytes: 1000})
		f.ok(err)
		equal(f, "records before a large one", len(page), 1)
		equal(f, "all", len(f.read(p, 0, store.ReadOptions{Bytes: 1})), 3)
	})
}

// queries are the methods that take a context.
func queries(s store.Store) map[string]func(ctx context.Context) error {
	p := part("a", 0)
	return map[string]func(ctx context.Context) error{
		"Read":       func(ctx context.Context) error { _, err := s.Read(ctx, at(p, 0), store.ReadOptions{}); return err },
		"Bounds":     func(ctx context.Context) error { _, err := s.Bounds(ctx, p); return err },
		"Find":       func(ctx context.Context) error { _, err := s.Find(ctx, p, time.Unix(0, 0)); return err },
		"Wait":       func(ctx context.Context) error { return s.Wait(ctx, at(p, 1000)) },
		"Partitions": func(ctx context.Context) error { _, err := s.Partitions(ctx); return err },
		"Cursor": func(ctx context.Context) error {
			_, err := s.Cursor(ctx, store.Cursor{Consumer: "c", Partition: p})
			return err
		},
		"Cursors":  func(ctx context.Context) error { _, err := s.Cursors(ctx, ""); return err },
		"Get":      func(ctx context.Context) error { _, err := s.Get(ctx, "k"); return err },
		"Scan":     func(ctx context.Context) error { _, err := s.Scan(ctx, "", "", 1); return err },
		"Snapshot": func(ctx context.Context) error { return s.Snapshot(ctx, io.Discard, store.SnapshotOptions{}) },
	}
}

func checkContext(f *fixture) {
	f.furnish()
	ended, cancel := context.WithCancel(f.ctx)
	cancel()
	for name, query := range queries(f.s) {
		if err := query(ended); err == nil {
			f.Errorf("%s with a context that has ended succeeds", name)
		} else {
			f.fails(err, context.Canceled)
		}
	}
	f.fails(store.Commit(ended, f.s, &store.Batch{Appends: appends(part("a", 0), "x")}), context.Canceled)
	f.holds(part("a", 0), numbered("a", 6)...)
}
