package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

var testPartition = store.Partition{Stream: "s", Number: 1}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open("data", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// patient returns a context that ends before the test binary is killed.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// textBatch appends texts to a partition.
func textBatch(p store.Partition, texts ...string) *store.Batch {
	b := &store.Batch{}
	for _, text := range texts {
		b.Appends = append(b.Appends, store.Append{Partition: p, Event: &event.Event{Subject: "s", Data: []byte(text)}})
	}
	return b
}

func mustCommit(t testing.TB, s *Store, b *store.Batch) {
	t.Helper()
	if err := store.Commit(patient(t), s, b); err != nil {
		t.Fatal(err)
	}
}

// texts reads a partition from an offset on.
func texts(t testing.TB, s *Store, p store.Partition, from uint64, o store.ReadOptions) (all []string) {
	t.Helper()
	for {
		records, err := s.Read(context.Background(), store.Position{Partition: p, Offset: from}, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		for _, r := range records {
			all = append(all, string(r.Event.Data))
			from = r.Offset + 1
		}
	}
}

// TestPowerCut takes the power away at random moments, and lets a random part of what was not synced be there nevertheless. What was acknowledged, and what a reader
// has seen, is there; every batch is there wholly or not at all.
func TestPowerCut(t *testing.T) {
	d := newDisk(t, Options{TailBytes: 20_000})
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	const writers = 4
	var acknowledged, seen [writers]atomic.Int64
	for round := range rounds {
		s, err := d.open()
		if err != nil {
			t.Fatal(err)
		}
		for g := range writers {
			checkWriter(t, s, round, g, acknowledged[g].Load(), seen[g].Load())
		}
		var all sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		for g := range writers {
			from := int64(len(texts(t, s, store.Partition{Stream: "a", Number: g}, 0, store.ReadOptions{})))
			acknowledged[g].Store(from)
			all.Go(func() { writeUntilFailure(t, s, g, from, &acknowledged[g]) })
			all.Go(func() { watch(ctx, s, g, &seen[g]) })
		}
		target := acknowledged[0].Load() + rand.Int64N(200)
		for acknowledged[0].Load() < target {
			_ = s.Wait(ctx, store.Position{Partition: store.Partition{Stream: "a", Number: 0}, Offset: uint64(acknowledged[0].Load())})
		}
		d.cut(s, rand.IntN(101))
		stop()
		all.Wait()
	}
}

// cut is crash with some luck.
func (d *disk) cut(s *Store, percent int) {
	d.stall.Lock()
	d.dead.Store(true)
	d.fs = d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(rand.Uint64(), 0))})
	d.stall.Unlock()
	_ = store.Commit(d.t.Context(), s, &store.Batch{}) // fails
	_ = s.Close()
	d.dead = new(atomic.Bool)
}

func writeUntilFailure(t *testing.T, s *Store, g int, from int64, acknowledged *atomic.Int64) {
	for i := from; ; i++ {
		text := fmt.Sprint(i)
		b := textBatch(store.Partition{Stream: "a", Number: g}, text)
		b.Appends = append(b.Appends, textBatch(store.Partition{Stream: "b", Number: g}, text).Appends...)
		b.Puts = []store.Put{{Key: fmt.Sprint(g), Data: []byte(text)}}
		err := store.Commit(context.Background(), s, b)
		if err != nil {
			if !errors.Is(err, store.ErrFailed) && !errors.Is(err, store.ErrClosed) {
				t.Errorf("writer %d: %v", g, err)
			}
			return
		}
		acknowledged.Store(i + 1)
	}
}

// watch notes how far a reader gets.
func watch(ctx context.Context, s *Store, g int, seen *atomic.Int64) {
	at := store.Position{Partition: store.Partition{Stream: "a", Number: g}, Offset: uint64(seen.Load())}
	for {
		if err := s.Wait(ctx, at); err != nil {
			return
		}
		records, err := s.Read(ctx, at, store.ReadOptions{})
		if err != nil {
			return
		}
		at.Offset += uint64(len(records))
		seen.Store(int64(at.Offset))
	}
}

func checkWriter(t *testing.T, s *Store, round, g int, acknowledged, seen int64) {
	t.Helper()
	a := texts(t, s, store.Partition{Stream: "a", Number: g}, 0, store.ReadOptions{})
	b := texts(t, s, store.Partition{Stream: "b", Number: g}, 0, store.ReadOptions{})
	if strings.Join(a, " ") != strings.Join(b, " ") {
		t.Fatalf("round %d: partition %d has %d records in one stream and %d in the other", round, g, len(a), len(b))
	}
	if n := int64(len(a)); n < acknowledged || n < seen {
		t.Fatalf("round %d: partition %d has %d records, %d were acknowledged and %d seen", round, g, n, acknowledged, seen)
	}
	for i, text := range a {
		if text != fmt.Sprint(i) {
			t.Fatalf("round %d: partition %d has %q at %d", round, g, text, i)
		}
	}
	value, err := s.Get(t.Context(), fmt.Sprint(g))
	if err != nil || len(a) > 0 && string(value.Data) != a[len(a)-1] {
		t.Fatalf("round %d: the value beside the last record %d is %q, %v", round, len(a), value.Data, err)
	}
}

var errInjected = errors.New("injected")

// faultFS fails some operations on some files once it is armed.
func faultFS(fs vfs.FS, armed *atomic.Bool, pattern string, fault error, kinds ...errorfs.OpKind) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !armed.Load() {
			return nil
		}
		if ok, _ := filepath.Match(pattern, filepath.Base(op.Path)); !ok {
			return nil
		}
		for _, kind := range kinds {
			if op.Kind == kind {
				return fault
			}
		}
		return nil
	}))
}

// TestDescriptorsRunOut has no descriptor left for a new log, and for a new table, for a moment: commits wait for it, and the store does not fail.
func TestDescriptorsRunOut(t *testing.T) {
	for _, pattern := range []string{"*.log", "*.sst"} {
		refused := new(atomic.Int32)
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if ok, _ := filepath.Match(pattern, filepath.Base(op.Path)); ok && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite) && refused.Load() < 5 {
				refused.Add(1)
				return syscall.EMFILE
			}
			return nil
		}))
		s := mustOpen(t, Options{FS: fs})
		mustCommit(t, s, textBatch(testPartition, "0"))
		if err := s.db.Flush(); err != nil { // which makes a table and a log
			t.Errorf("%s: flushing: %v", pattern, err)
		}
		mustCommit(t, s, textBatch(testPartition, "1"))
		if got := texts(t, s, testPartition, 0, store.ReadOptions{}); len(got) != 2 || refused.Load() != 5 || s.Health() != nil {
			t.Errorf("%s: got %v after %d refusals, health %v", pattern, got, refused.Load(), s.Health())
		}
		mustClose(t, s)
	}
}

// TestFailingDisk lets writes and fsyncs fail, of the log, of tables and of the manifest.
func TestFailingDisk(t *testing.T) {
	tests := []struct {
		name, pattern string
		kinds         []errorfs.OpKind
	}{
		{"fsync of the log", "*.log", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}},
		{"write to the log", "*.log", []errorfs.OpKind{errorfs.OpFileWrite}},
		{"new log", "*.log", []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}},
		{"write of a table", "*.sst", []errorfs.OpKind{errorfs.OpFileWrite}},
		{"fsync of a table", "*.sst", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}},
		{"new table", "*.sst", []errorfs.OpKind{errorfs.OpCreate}},
		{"write to the manifest", "MANIFEST-*", []errorfs.OpKind{errorfs.OpFileWrite}},
		{"fsync of the manifest", "MANIFEST-*", []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs, armed, told, log := vfs.NewCrashableMem(), new(atomic.Bool), make(chan error, 2), new(blockingLog)
			s := mustOpen(t, Options{
				FS: faultFS(fs, armed, tt.pattern, errInjected, tt.kinds...), OnFail: func(err error) { told <- err }, Logger: slog.New(log), MemTableBytes: 1 << 20,
			})
			mustCommit(t, s, textBatch(testPartition, "0"))
			armed.Store(true)
			n := commitUntilFailure(t, s)
			if err := s.Health(); !errors.Is(err, store.ErrFailed) || !errors.Is(err, errInjected) {
				t.Errorf("Health: %v", err)
			}
			if err := <-told; !errors.Is(err, store.ErrFailed) {
				t.Errorf("OnFail was told %v", err)
			}
			if got := len(texts(t, s, testPartition, 0, store.ReadOptions{})); got != n {
				t.Errorf("%d records can be read after the failure, %d were acknowledged", got, n)
			}
			if err := store.Commit(patient(t), s, &store.Batch{Puts: []store.Put{{Key: "late"}}}); !errors.Is(err, store.ErrFailed) {
				t.Errorf("a batch after the failure: %v", err)
			}
			if err := s.Close(); !errors.Is(err, store.ErrFailed) {
				t.Errorf("Close: %v", err)
			}
			if n := log.failures.Load(); n != 1 {
				t.Errorf("the log says %d times that the store has failed", n)
			}
			armed.Store(false)
			s = mustOpen(t, Options{FS: fs})
			defer mustClose(t, s)
			if got := len(texts(t, s, testPartition, 0, store.ReadOptions{})); got < n {
				t.Errorf("%d records are there after the failure, %d were acknowledged", got, n)
			}
			mustCommit(t, s, textBatch(testPartition, "after"))
		})
	}
}

// A blockingLog counts the lines that say that the store has failed, and writes them when it is told to.
type blockingLog struct {
	failures atomic.Int32
	begun    chan struct{} // nil to write at once
	write    chan struct{}
}

func (l *blockingLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *blockingLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "the store has failed") {
		l.failures.Add(1)
		if l.begun != nil {
			close(l.begun)
			<-l.write
		}
	}
	return nil
}

func (l *blockingLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *blockingLog) WithGroup(string) slog.Handler      { return l }

// TestFailureBeforeItsLogLine commits while the line that says that a table could not be written still waits for whoever reads the log.
func TestFailureBeforeItsLogLine(t *testing.T) {
	fs, armed := vfs.NewCrashableMem(), new(atomic.Bool)
	log := &blockingLog{begun: make(chan struct{}), write: make(chan struct{})}
	s := mustOpen(t, Options{FS: faultFS(fs, armed, "*.sst", errInjected, errorfs.OpFileWrite), Logger: slog.New(log)})
	mustCommit(t, s, textBatch(testPartition, "0"))
	armed.Store(true)
	if _, err := s.db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	<-log.begun
	for range 5 {
		if err := store.Commit(patient(t), s, textBatch(testPartition, "lost")); !errors.Is(err, store.ErrFailed) {
			t.Errorf("a commit after the failure: %v", err)
		}
	}
	close(log.write)
	if err := s.Close(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Close: %v", err)
	}
}

// TestNoPreallocation has a file system that cannot set room aside, for the log or for the ballast.
func TestNoPreallocation(t *testing.T) {
	for _, suffix := range []string{".log", "BALLAST"} {
		fs := &fullFS{FS: errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFilePreallocate && strings.HasSuffix(op.Path, suffix) {
				return syscall.EOPNOTSUPP
			}
			return nil
		}))}
		fs.free.Store(50 << 30)
		s, err := Open(t.TempDir(), Options{FS: fs, Reserve: 4 << 20})
		if err != nil {
			t.Fatalf("%s: %v", suffix, err)
		}
		mustCommit(t, s, textBatch(testPartition, "a"))
		if err := s.Health(); err != nil {
			t.Errorf("%s: %v", suffix, err)
		}
		if info, err := fs.Stat(s.ballast.name); err != nil || suffix == "BALLAST" && info.Size() != 1<<20 {
			t.Errorf("%s: the ballast is %v, %v", suffix, info, err)
		}
		mustClose(t, s)
	}
}

// commitUntilFailure returns how many records were acknowledged, with the one that was there.
func commitUntilFailure(t *testing.T, s *Store) int {
	t.Helper()
	large := strings.Repeat("x", 128<<10) // so that memtables are flushed soon, if they are small
	for n := 1; n < 3200; n++ {
		err := store.Commit(patient(t), s, textBatch(testPartition, large))
		if err == nil {
			continue
		}
		if !errors.Is(err, store.ErrFailed) || !errors.Is(err, errInjected) {
			t.Fatalf("a commit on a failing disk: %v", err)
		}
		return n
	}
	t.Fatal("nothing has failed")
	return 0
}

// A fullFS says how full the disk is.
type fullFS struct {
	vfs.FS
	free atomic.Uint64
}

func (f *fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	free := f.free.Load()
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: 100 << 30, UsedBytes: 100<<30 - free}, nil
}

// TestDiskFull refuses batches while there is no room, takes what makes room, and goes on.
func TestDiskFull(t *testing.T) {
	fs := &fullFS{FS: vfs.NewMem()}
	fs.free.Store(50 << 30)
	s := mustOpen(t, Options{FS: fs})
	defer mustClose(t, s)
	mustCommit(t, s, textBatch(testPartition, "0", "1", "2"))
	fs.free.Store(1 << 20)
	eventually(t, func() bool {
		return errors.Is(store.Commit(patient(t), s, textBatch(testPartition, "refused")), store.ErrFull)
	})
	if err := s.Health(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Health: %v", err)
	}
	mustCommit(t, s, &store.Batch{Trims: []store.Position{{Partition: testPartition, Offset: 1}}, Puts: []store.Put{{Key: "trimmed", Data: []byte("1")}}})
	if err := store.Commit(patient(t), s, &store.Batch{Puts: []store.Put{{Key: "trimmed", Data: []byte("2")}}}); !errors.Is(err, store.ErrFull) {
		t.Errorf("state alone: %v", err)
	}
	fs.free.Store(50 << 30)
	eventually(t, func() bool { return store.Commit(patient(t), s, textBatch(testPartition, "more")) == nil })
	if err := s.Health(); err != nil {
		t.Errorf("Health: %v", err)
	}
	got := texts(t, s, testPartition, 0, store.ReadOptions{})
	if got[0] != "1" || got[1] != "2" || got[len(got)-1] != "more" {
		t.Errorf("records: %q", got)
	}
}

// eventually waits until ok, for which the tests of time-outs in the store have no event.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx := patient(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("it did not happen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestBallast fills the disk at once, although there was room a moment ago: nothing that was taken is lost, and the store goes on when there is room.
func TestBallast(t *testing.T) {
	mem := vfs.NewMem()
	full := new(atomic.Bool)
	fs := &fullFS{FS: errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		write := op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFilePreallocate
		if _, err := mem.Stat("data/BALLAST"); write && full.Load() && (err == nil || strings.HasSuffix(op.Path, "BALLAST")) {
			return syscall.ENOSPC
		}
		return nil
	}))}
	fs.free.Store(50 << 30)
	s := mustOpen(t, Options{FS: fs})
	defer mustClose(t, s)
	mustCommit(t, s, textBatch(testPartition, "0"))
	full.Store(true)
	fs.free.Store(0)
	n := 1
	eventually(t, func() bool {
		err := store.Commit(patient(t), s, textBatch(testPartition, fmt.Sprint(n)))
		if err == nil {
			n++
		} else if !errors.Is(err, store.ErrFull) {
			t.Fatal(err)
		}
		return err != nil
	})
	if n < 2 {
		t.Error("the ballast was of no use")
	}
	full.Store(false)
	fs.free.Store(50 << 30)
	eventually(t, func() bool { return store.Commit(patient(t), s, textBatch(testPartition, "last")) == nil })
	if got := texts(t, s, testPartition, 0, store.ReadOptions{}); len(got) != n+1 {
		t.Errorf("%d records, want %d", len(got), n+1)
	}
	eventually(t, func() bool { _, err := mem.Stat("data/BALLAST"); return err == nil })
}

// TestLogHitsFullDisk fails a write with ENOSPC although there seemed to be room: as any failed write of the log.
func TestLogHitsFullDisk(t *testing.T) {
	fs, armed := vfs.NewMem(), new(atomic.Bool)
	s := mustOpen(t, Options{FS: faultFS(fs, armed, "*.log", syscall.ENOSPC, errorfs.OpFileWrite)})
	armed.Store(true)
	if err := store.Commit(patient(t), s, textBatch(testPartition, "0")); !errors.Is(err, store.ErrFailed) {
		t.Errorf("a commit: %v", err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Close: %v", err)
	}
}
