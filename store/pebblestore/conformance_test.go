package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/store/storetest"
)

// A disk is what stays when a store of the suite is opened again: files in memory, which a crash robs of what was not synced.
type disk struct {
	t       *testing.T
	fs      *vfs.MemFS
	options Options
	stall   sync.RWMutex // held while the store is stalled
	dead    *atomic.Bool
}

func newDisk(t *testing.T, options Options) *disk {
	return &disk{t: t, fs: vfs.NewCrashableMem(), options: options, dead: new(atomic.Bool)}
}

func (d *disk) open() (*Store, error) {
	o := d.options
	o.FS = &stallFS{FS: d.fs, mu: &d.stall, dead: d.dead}
	return Open("data", o)
}

// crash takes the power away: no fsync of the store that uses the disk succeeds any more, and what was not synced is gone.
func (d *disk) crash(s *Store) {
	d.stall.Lock()
	d.dead.Store(true)
	d.fs = d.fs.CrashClone(vfs.CrashCloneCfg{})
	d.stall.Unlock()
	d.t.Cleanup(func() { _ = s.Close() }) // which says that it has failed
	d.dead = new(atomic.Bool)
}

// corrupt flips a bit of a record on the disk of a closed store.
func (d *disk) corrupt(at store.Position) {
	d.t.Helper()
	db, err := pebble.Open("data", &pebble.Options{FS: d.fs, FormatMajorVersion: pebbleFormat, Logger: quiet{}})
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	number, closer, err := db.Get(streamKey(at.Stream))
	if err != nil {
		d.t.Fatal(err)
	}
	id := logID{binary.BigEndian.Uint32(number), uint16(at.Number)}
	_ = closer.Close()
	it, _ := db.NewIter(nil)
	defer it.Close()
	if !it.SeekLT(blockKey(id, at.Offset+1)) {
		d.t.Fatalf("there is no block at %v", at)
	}
	first, value := blockFirst(it.Key()), append([]byte(nil), it.Value()...)
	var r blockReader
	if err := r.open(id, first, value); err != nil {
		d.t.Fatal(err)
	}
	for body := r.next(); body != nil; body = r.next() {
		if r.offset == at.Offset {
			body[len(body)-1] ^= 4
			if err := db.Set(blockKey(id, first), value, pebble.Sync); err != nil {
				d.t.Fatal(err)
			}
			return
		}
	}
	d.t.Fatalf("there is no record at %v", at)
}

// A stallFS lets no fsync through while mu is held, and none at all once it is dead.
type stallFS struct {
	vfs.FS
	mu   *sync.RWMutex
	dead *atomic.Bool
}

var errPower = errors.New("the power is gone")

type stallFile struct {
	vfs.File
	fs *stallFS
}

func (f *stallFS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &stallFile{file, f}, nil
}

func (f *stallFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.wrap(f.FS.Create(name, c))
}

func (f *stallFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.wrap(f.FS.ReuseForWrite(old, name, c))
}

func (f *stallFile) Sync() error {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if f.fs.dead.Load() {
		return errPower
	}
	return f.File.Sync()
}

func (f *stallFile) SyncData() error {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if f.fs.dead.Load() {
		return errPower
	}
	return f.File.SyncData()
}

func harness(t *testing.T, o Options) storetest.Harness {
	clock := storetest.NewClock()
	o.Clock = clock.Now
	d := newDisk(t, o)
	open := func() (store.Store, error) {
		s, err := d.open()
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return storetest.Harness{
		Open: open,
		Restore: func(r io.Reader) (store.Store, error) {
			o := Options{Clock: clock.Now, FS: vfs.NewMem()}
			if err := Restore(t.Context(), "restored", r, o); err != nil {
				return nil, err
			}
			s, err := Open("restored", o)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Clock: clock,
		Crash: func(s store.Store) { d.crash(s.(*Store)) },
		Stall: func(store.Store) func() {
			d.stall.Lock()
			return sync.OnceFunc(d.stall.Unlock)
		},
		Corrupt: func(s store.Store, at store.Position) store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			d.corrupt(at)
			again, err := open()
			if err != nil {
				t.Fatal(err)
			}
			return again
		},
	}
}

// configurations are stores that keep all that is recent in memory, and stores that go to the disk nearly always.
var configurations = map[string]Options{
	"default": {operations: 4096},
	"small":   {operations: 512, Pending: 1 << 20, TailBytes: 4 << 10, MemTableBytes: 64 << 10, CacheBytes: 1 << 20},
}

func TestConformance(t *testing.T) {
	for name, o := range configurations {
		if testing.Short() && name == "default" {
			continue // does less at once than the other
		}
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Harness { return harness(t, o) })
		})
	}
}

func TestModel(t *testing.T) {
	steps := 400
	if testing.Short() {
		steps = 100
	}
	for name, o := range configurations {
		if testing.Short() && name == "default" {
			continue // likewise
		}
		t.Run(name, func(t *testing.T) {
			storetest.RunModel(t, func(t *testing.T) storetest.Harness { return harness(t, o) }, func(clock func() time.Time) store.Store {
				return memstore.New(memstore.Options{Clock: clock})
			}, steps)
		})
	}
}

// quiet is a logger for the Pebble of a test.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
