package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// TestIntervalIsSynced loses what was written with Interval when the power goes at once, and keeps it when it goes after the timer.
func TestIntervalIsSynced(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, Options{FS: fs})
	defer mustClose(t, s)
	b := textBatch(testPartition, "0")
	b.Durability = store.Interval
	before := s.Stats().Fsyncs
	mustCommit(t, s, b)
	eventually(t, func() bool { return s.Stats().Fsyncs > before })
	again := mustOpen(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	defer mustClose(t, again)
	if got := texts(t, again, testPartition, 0, store.ReadOptions{}); len(got) != 1 {
		t.Errorf("after an fsync of the timer: %q", got)
	}
}

// TestIntervalUnderLoad has always more to commit, and still an fsync once in a while.
func TestIntervalUnderLoad(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	before := s.Stats().Fsyncs
	for deadline := time.Now().Add(10 * time.Second); s.Stats().Fsyncs == before; {
		if time.Now().After(deadline) {
			t.Fatal("no fsync in ten seconds")
		}
		b := textBatch(testPartition, "0")
		b.Durability = store.Interval
		s.Submit(b, func(error) {})
	}
}

// TestCloseSyncs closes right after batches that asked for less than an fsync.
func TestCloseSyncs(t *testing.T) {
	for _, d := range []store.Durability{store.Interval, store.None} {
		fs := vfs.NewCrashableMem()
		s := mustOpen(t, Options{FS: fs})
		b := textBatch(testPartition, "0")
		b.Durability = d
		mustCommit(t, s, b)
		mustClose(t, s)
		again := mustOpen(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
		if got := texts(t, again, testPartition, 0, store.ReadOptions{}); len(got) != 1 {
			t.Errorf("durability %d: %q", d, got)
		}
		mustClose(t, again)
	}
}

// TestDedupeIsBounded appends more event IDs than are remembered: the recent ones are found, and memory stays bounded, also when the window is read back.
func TestDedupeIsBounded(t *testing.T) {
	const entries, n = 100, 1000
	fs := vfs.NewMem()
	s := mustOpen(t, Options{FS: fs, DedupeEntries: entries})
	repeat := func(i int, stream string) bool {
		t.Helper()
		e := &event.Event{ID: event.ID{1, byte(i >> 8), byte(i)}, Subject: "s"}
		b := &store.Batch{Appends: []store.Append{{Partition: store.Partition{Stream: stream, Number: i % 3}, Event: e, Dedupe: time.Hour}}}
		mustCommit(t, s, b)
		return b.Appends[0].Duplicate
	}
	for i := range n {
		if repeat(i, fmt.Sprint(i%2)) {
			t.Fatalf("event %d is taken for a duplicate", i)
		}
	}
	for range 2 {
		if got := s.builder.dedupe.entries; got > entries {
			t.Errorf("%d event IDs are remembered, at most %d may be", got, entries)
		}
		for i := n - 20; i < n; i++ {
			if !repeat(i, fmt.Sprint(i%2)) {
				t.Errorf("the repetition of event %d was taken", i)
			}
		}
		mustClose(t, s)
		s = mustOpen(t, Options{FS: fs, DedupeEntries: entries})
	}
	mustClose(t, s)
}

// TestTailIsBounded writes much more than the tail may have.
func TestTailIsBounded(t *testing.T) {
	const limit = 100_000
	s := mustOpen(t, Options{FS: vfs.NewMem(), TailBytes: limit})
	defer mustClose(t, s)
	for i := range 300 {
		b := textBatch(store.Partition{Stream: "s", Number: i % 5}, known(i), known(i))
		if i%7 == 0 {
			b.Removes = []store.Position{{Partition: testPartition, Offset: uint64(i / 5)}}
		}
		if i%11 == 0 {
			b.Trims = []store.Position{{Partition: testPartition, Offset: uint64(i / 10)}}
		}
		if i == 200 {
			b.Drops = []string{"s"}
		}
		mustCommit(t, s, b)
		if got := s.Stats().TailBytes; got > limit {
			t.Fatalf("the tail has %d bytes, at most %d are allowed", got, limit)
		}
	}
	sum := 0
	for _, p := range s.visible {
		for _, bl := range p.tail {
			sum += bl.size()
		}
	}
	listed := 0
	for bl := s.tail.oldest; bl != nil; bl = bl.newer {
		listed += bl.size()
	}
	if got := s.Stats().TailBytes; got != sum || listed != sum {
		t.Errorf("the tail says that it has %d bytes, and has %d of partitions and %d in its list", got, sum, listed)
	}
}

// TestTrimGivesSpaceBack trims most of a partition, and finds the blocks gone.
func TestTrimGivesSpaceBack(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	const n = 5000
	for i := 0; i < n; i += 10 {
		mustCommit(t, s, textBatch(testPartition, make([]string, 10)...))
	}
	for at := uint64(1); at < n-10; at += 3 {
		mustCommit(t, s, &store.Batch{Trims: []store.Position{{Partition: testPartition, Offset: at}}, Durability: store.None})
	}
	blocks := 0
	err := s.each([]byte{kindRecords}, func(key, value []byte) error {
		blocks++
		return nil
	})
	if most := trimSlack/10 + 3; err != nil || blocks > most {
		t.Errorf("%d blocks are left of 500, at most %d may be: %v", blocks, most, err)
	}
	bounds, err := s.Bounds(t.Context(), testPartition)
	if err != nil || bounds.Count != n-bounds.First {
		t.Errorf("bounds %+v: %v", bounds, err)
	}
}

// TestCloseWhileUsed closes a store that many use. Everybody is answered.
func TestCloseWhileUsed(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	mustCommit(t, s, textBatch(testPartition, "0"))
	ctx := patient(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for store.Commit(ctx, s, textBatch(testPartition, "x")) == nil {
				if _, err := s.Read(ctx, store.Position{Partition: testPartition}, store.ReadOptions{}); err != nil && !errors.Is(err, store.ErrClosed) {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			if err := s.Wait(ctx, store.Position{Partition: testPartition, Offset: 1 << 40}); !errors.Is(err, store.ErrClosed) {
				t.Errorf("Wait: %v", err)
			}
		})
	}
	if err := s.Wait(ctx, store.Position{Partition: testPartition, Offset: 20}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	all.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if ctx.Err() != nil {
		t.Error("it took too long")
	}
}

// TestPebbleStopsWithTheStore makes Pebble log something fatal: the process lives, and the store has failed.
func TestPebbleStopsWithTheStore(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	mustCommit(t, s, textBatch(testPartition, "0"))
	pebbleLogger{s}.Fatalf("pebble: %s", "cannot go on")
	if err := store.Commit(context.Background(), s, &store.Batch{}); !errors.Is(err, store.ErrFailed) {
		t.Errorf("a commit: %v", err)
	}
	if got := texts(t, s, testPartition, 0, store.ReadOptions{}); len(got) != 1 {
		t.Errorf("reading after a failure: %q", got)
	}
	if err := s.Close(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Close: %v", err)
	}
}

// TestDue has a batch wait that asked for less than an fsync, and looks at which ticks of a second it gets one.
func TestDue(t *testing.T) {
	for _, tt := range []struct {
		interval, none bool
		want           int
	}{{false, false, 0}, {true, false, 20}, {false, true, 2}, {true, true, 20}} {
		b, got := builder{interval: tt.interval, none: tt.none}, 0
		for range 20 {
			if b.due() {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("interval %t, none %t: %d of 20 ticks, want %d", tt.interval, tt.none, got, tt.want)
		}
	}
}
