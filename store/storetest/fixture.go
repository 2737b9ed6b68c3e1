package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// A fixture is one open store and what tests do with it. Its methods end the test when the store does not do its part, so they are called from
// the goroutine of the test only.
type fixture struct {
	*testing.T
	Harness
	s   store.Store
	ctx context.Context // ends when patience does
}

func newFixture(t *testing.T, h Harness) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	f := &fixture{T: t, Harness: h, ctx: ctx}
	f.open()
	t.Cleanup(func() {
		if err := f.s.Close(); err != nil {
			t.Errorf("closing the store at the end: %v", err)
		}
	})
	return f
}

func (f *fixture) open() {
	f.Helper()
	s, err := f.Open()
	if err != nil {
		f.Fatalf("opening the store: %v", err)
	}
	f.s = s
	if l := s.Limits(); l.Operations < LeastOperations || l.Bytes < LeastBytes || l.Pending <= 0 || l.Key <= 0 {
		f.Fatalf("the limits %+v are below what is required", l)
	}
}

func (f *fixture) close() {
	f.Helper()
	if err := f.s.Close(); err != nil {
		f.Fatalf("closing the store: %v", err)
	}
}

func (f *fixture) reopen() {
	f.Helper()
	f.close()
	f.open()
}

// crash ends the store without closing it, if the harness can, and opens it again.
func (f *fixture) crash() {
	f.Helper()
	if f.Crash == nil {
		f.Log("the harness cannot crash: the store is closed instead")
		f.reopen()
		return
	}
	f.Crash(f.s)
	f.open()
}

// both runs fn on the store as it is, and once more after it was reopened, when what it says comes from where it is kept.
func (f *fixture) both(fn func()) {
	f.Helper()
	fn()
	f.reopen()
	fn()
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) fails(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("the error is %v, want %v", err, want)
	}
}

func equal[T comparable](f *fixture, what string, got, want T) {
	f.Helper()
	if got != want {
		f.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func same[T comparable](f *fixture, what string, got, want []T) {
	f.Helper()
	if !slices.Equal(got, want) {
		f.Fatalf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// submit hands a batch over and returns where its answer comes.
func (f *fixture) submit(b *store.Batch) <-chan error {
	answer := make(chan error, 2) // room for a second call, which settle reports
	f.s.Submit(b, func(err error) { answer <- err })
	return answer
}

func (f *fixture) answer(c <-chan error) error {
	f.Helper()
	select {
	case err := <-c:
		return err
	case <-f.ctx.Done():
		f.Fatal("a batch was not answered")
		return nil
	}
}

func (f *fixture) commit(b *store.Batch) *store.Batch {
	f.Helper()
	if err := f.answer(f.submit(b)); err != nil {
		f.Fatalf("committing %d operations: %v", b.Operations(), err)
	}
	return b
}

func (f *fixture) refused(b *store.Batch, want error) {
	f.Helper()
	f.fails(f.answer(f.submit(b)), want)
}

// part names a partition.
func part(stream string, number int) store.Partition {
	return store.Partition{Stream: stream, Number: number}
}

func at(p store.Partition, offset uint64) store.Position {
	return store.Position{Partition: p, Offset: offset}
}

func text(s string) *event.Event { return &event.Event{Subject: "subject", Data: []byte(s)} }

func appends(p store.Partition, texts ...string) (all []store.Append) {
	for _, s := range texts {
		all = append(all, store.Append{Partition: p, Event: text(s)})
	}
	return all
}

// numbered returns the texts prefix0, prefix1 and so on.
func numbered(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

// add appends texts to a partition, in batches that any store takes, and returns their offsets.
func (f *fixture) add(p store.Partition, texts ...string) (offsets []uint64) {
	f.Helper()
	for chunk := range slices.Chunk(texts, LeastOperations) {
		for _, a := range f.commit(&store.Batch{Appends: appends(p, chunk...)}).Appends {
			offsets = append(offsets, a.Offset)
		}
	}
	return offsets
}

// read returns all records of a partition from an offset on, read in pages.
func (f *fixture) read(p store.Partition, from uint64, options store.ReadOptions) []store.Record {
	f.Helper()
	all, err := readAll(f.ctx, f.s, p, from, options)
	f.ok(err)
	return all
}

func readAll(ctx context.Context, s store.Store, p store.Partition, from uint64, options store.ReadOptions) (all []store.Record, err error) {
	for {
		page, err := s.Read(ctx, at(p, from), options)
		if err != nil {
			return all, fmt.Errorf("reading %v from %d: %w", p, from, err)
		}
		if len(page) == 0 {
			return all, nil
		}
		for _, r := range page {
			if r.Offset < from {
				return all, fmt.Errorf("reading %v: offset %d after %d", p, r.Offset, from)
			}
			from = r.Offset + 1
		}
		all = append(all, page...)
	}
}

// holds checks what a partition holds.
func (f *fixture) holds(p store.Partition, want ...string) {
	f.Helper()
	same(f, fmt.Sprintf("the texts in %v", p), textsOf(f.read(p, 0, store.ReadOptions{})), want)
}

func textsOf(records []store.Record) (all []string) {
	for _, r := range records {
		all = append(all, string(r.Event.Data))
	}
	return all
}

func offsetsOf(records []store.Record) (all []uint64) {
	for _, r := range records {
		all = append(all, r.Offset)
	}
	return all
}

func (f *fixture) bounds(p store.Partition) store.Bounds {
	f.Helper()
	b, err := f.s.Bounds(f.ctx, p)
	f.ok(err)
	return b
}

func (f *fixture) value(key string) store.Value {
	f.Helper()
	v, err := f.s.Get(f.ctx, key)
	f.ok(err)
	return v
}

func (f *fixture) cursor(id store.Cursor) uint64 {
	f.Helper()
	at, err := f.s.Cursor(f.ctx, id)
	f.ok(err)
	return at
}

func (f *fixture) image() image {
	f.Helper()
	i, err := imageOf(f.ctx, f.s, store.ReadOptions{})
	f.ok(err)
	return i
}

// together runs fn in n goroutines, and reports their errors when all have ended.
func (f *fixture) together(n int, fn func(i int) error) {
	f.Helper()
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = fn(i) })
	}
	all.Wait()
	f.ok(errors.Join(errs...))
}

// quiet watches that nothing comes from c for a moment.
func quiet[T any](f *fixture, what string, c <-chan T) {
	f.Helper()
	select {
	case v := <-c:
		f.Fatalf("%s: %v", what, v)
	case <-time.After(moment):
	}
}
