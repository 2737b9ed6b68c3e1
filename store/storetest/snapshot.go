package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/spate-io/spate/store"
)

var snapshotChecks = []check{
	{"holds everything", checkSnapshot},
	{"of nothing", checkSnapshotEmpty},
	{"while others write", checkSnapshotWhileWriting},
	{"a writer that fails", checkSnapshotFails},
	{"damaged", checkSnapshotDamaged},
}

func (f *fixture) snapshot() *bytes.Buffer {
	f.Helper()
	var out bytes.Buffer
	f.ok(f.s.Snapshot(f.ctx, &out, store.SnapshotOptions{}))
	return &out
}

// restore makes a second store, and has fn use it as the store of the test.
func (f *fixture) restore(from *bytes.Buffer, fn func()) {
	f.Helper()
	restored, err := f.Restore(from)
	f.ok(err)
	own := f.s
	defer func() { f.s = own }()
	f.s = restored
	fn()
	f.close()
}

func checkSnapshot(f *fixture) {
	for round := range 3 {
		f.furnishMore(round)
	}
	taken := f.counts(once(part("a", 5), 1, "once"), 0)
	f.commit(&store.Batch{Puts: []store.Put{{Key: "k"}}})
	revision := f.value("k").Revision
	before := f.image()
	snapshot := f.snapshot()
	f.stays(before, "a snapshot")
	f.furnishMore(3)
	f.restore(snapshot, func() {
		f.stays(before, "a restore")
		next := f.bounds(part("a", 0)).Next
		same(f, "offsets after a restore", f.add(part("a", 0), "new"), []uint64{next})
		f.repeats(once(part("a", 5), 1, "again"), 0, taken)
		equal(f, "revision", f.value("k").Revision, revision)
		f.commit(&store.Batch{Requires: []store.Require{{Key: "k", Revision: revision}}, Puts: []store.Put{{Key: "k"}}})
		if again := f.value("k").Revision; again <= revision {
			f.Fatalf("the revision is %d after %d", again, revision)
		}
	})
	equal(f, "revision in the store of which it was taken", f.value("k").Revision, revision)
}

func checkSnapshotEmpty(f *fixture) {
	f.restore(f.snapshot(), func() {
		equal(f, "lines of the image", len(f.image()), 0)
		same(f, "offsets", f.add(part("a", 0), "x"), []uint64{0})
	})
}

// checkSnapshotWhileWriting has writers that put each batch in two partitions and a value.
func checkSnapshotWhileWriting(f *fixture) {
	const writers, batches, snapshots = 3, 60, 4
	var taken [snapshots]bytes.Buffer
	var writing sync.WaitGroup
	stop := make(chan struct{})
	errs := make([]error, writers)
	for g := range writers {
		writing.Go(func() {
			for i := 0; errs[g] == nil; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s := fmt.Sprint(i)
				errs[g] = store.Commit(f.ctx, f.s, &store.Batch{Appends: append(appends(part("a", g), s), appends(part("b", g), s)...), Puts: []store.Put{{Key: fmt.Sprint(g), Data: []byte(s)}}})
			}
		})
	}
	err := f.takeSnapshots(taken[:], batches)
	close(stop)
	writing.Wait()
	f.ok(errors.Join(append(errs, err)...))
	least := 0
	for i := range taken {
		f.restore(&taken[i], func() {
			for g := range writers {
				f.consistent(g)
			}
			n := int(f.bounds(part("a", 0)).Next)
			if n < least {
				f.Fatalf("a later snapshot holds %d batches, an earlier one %d", n, least)
			}
			least = n + batches/snapshots // written before the next was begun
		})
	}
}

// takeSnapshots takes each after some more batches.
func (f *fixture) takeSnapshots(taken []bytes.Buffer, batches int) error {
	for i := range taken {
		next, err := f.s.Bounds(f.ctx, part("a", 0))
		if err != nil {
			return err
		}
		if err := f.s.Wait(f.ctx, at(part("a", 0), next.Next+uint64(batches/len(taken)))); err != nil {
			return err
		}
		if err := f.s.Snapshot(f.ctx, &taken[i], store.SnapshotOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// consistent checks that a writer's batches are there from the first to some last one, each of them whole.
func (f *fixture) consistent(writer int) {
	f.Helper()
	a, b := textsOf(f.read(part("a", writer), 0, store.ReadOptions{})), textsOf(f.read(part("b", writer), 0, store.ReadOptions{}))
	same(f, "what one batch put in two partitions", a, b)
	same(f, "what was written", a, numbered("", len(a)))
	want := ""
	if len(a) > 0 {
		want = strconv.Itoa(len(a) - 1)
	}
	equal(f, "the value in the last batch", string(f.value(fmt.Sprint(writer)).Data), want)
}

var errWriter = errors.New("no more room for the snapshot")

// A narrowWriter fails after some bytes.
type narrowWriter struct{ left int }

// Write implements io.Writer.
func (w *narrowWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errWriter
	}
	return len(p), nil
}

func checkSnapshotFails(f *fixture) {
	f.furnish()
	before := f.image()
	for _, room := range []int{0, 10, 100} {
		f.fails(f.s.Snapshot(f.ctx, &narrowWriter{left: room}, store.SnapshotOptions{}), errWriter)
	}
	f.stays(before, "a snapshot that failed")
	f.add(part("a", 0), "x")
}

// checkSnapshotDamaged restores what is cut short, or something else altogether.
func checkSnapshotDamaged(f *fixture) {
	f.furnish()
	whole := f.snapshot().Bytes()
	damaged := [][]byte{nil, []byte("something else altogether"), whole[:1], whole[:len(whole)/2], whole[:len(whole)-1]}
	for _, data := range damaged {
		s, err := f.Restore(bytes.NewReader(data))
		if err == nil {
			f.Errorf("%d bytes of a snapshot of %d were restored without an error", len(data), len(whole))
			f.ok(s.Close())
		}
	}
}
