package pebblestore

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A guardFS stands between Pebble and the file system. It notices a write or an fsync that fails, also one that Pebble would try
// again in the background, and from then on lets nothing more through: after a failed fsync nobody knows what the disk holds, and another attempt
// could seem to succeed. A full disk is no failure as long as it does not hit the log.
//
// The log and the directories are special: where they fail, Pebble panics, in one place so that nobody can recover. So to those the guard answers
// that all went well, after it has told the store, which acknowledges nothing from then on. Tables and the manifest are told the truth, so
// that Pebble never counts on a file that is not there.
type guardFS struct {
	vfs.FS
	fail   func(error)
	fenced atomic.Pointer[error]
	zeros  []byte // for the ends of logs; never changed

	durable atomic.Pointer[durableMark] // what is so far; nil until something is
	holding atomic.Bool                 // files are removed later
	mu      sync.Mutex
	held    []string // to be removed
}

func newGuardFS(fs vfs.FS, fail func(error)) *guardFS {
	return &guardFS{FS: fs, fail: fail, zeros: make([]byte, zeroAhead)}
}

// fence lets no more writes through.
func (g *guardFS) fence(err error) { g.fenced.CompareAndSwap(nil, &err) }

// refused returns why nothing is written any more.
func (g *guardFS) refused() error {
	if err := g.fenced.Load(); err != nil {
		return *err
	}
	return nil
}

// watch passes on the outcome of a write.
func (g *guardFS) watch(err error, hushed bool) error {
	if err != nil && (hushed || !errors.Is(err, syscall.ENOSPC)) {
		g.fail(err)
	}
	if hushed {
		return nil
	}
	return err
}

// file wraps a file that was opened for writing.
func (g *guardFS) file(name string, open func() (vfs.File, error)) (vfs.File, error) {
	hushed := strings.HasSuffix(name, ".log")
	err := g.refused()
	if err != nil && !hushed {
		time.Sleep(fencedDelay) // Pebble tries again at once, for ever
		return nil, err
	}
	var f vfs.File
	if err == nil {
		if f, err = patiently(open); g.watch(err, hushed) != nil {
			return nil, err
		}
	}
	if err != nil {
		f = vfs.NewMemFile(nil) // stays empty, since nothing is let through any more
	}
	guarded := &guardFile{File: f, fs: g, hushed: hushed}
	if guarded.name, guarded.marked = parseName(g.PathBase(name)); hushed && err == nil {
		guarded.tail = newLogTail(f, g.zeros)
	}
	return guarded, nil
}

// patiently opens a file, and waits while the process has no descriptor left: clients can bring that about, and it passes, while a
// store that has failed must be opened again.
func patiently(open func() (vfs.File, error)) (f vfs.File, err error) {
	for until := time.Now().Add(descriptorWait); ; time.Sleep(descriptorPause) {
		f, err = open()
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) || time.Now().After(until) {
			return f, err
		}
	}
}

// Create implements vfs.FS.
func (g *guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(name, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (g *guardFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return g.file(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, options...) })
}

// ReuseForWrite implements vfs.FS.
func (g *guardFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(name, func() (vfs.File, error) { return g.FS.ReuseForWrite(old, name, category) })
}

// OpenDir implements vfs.FS. Directories are opened to be synced.
func (g *guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: f, fs: g, hushed: true}, nil
}

func (g *guardFS) change(do func() error) error {
	if err := g.refused(); err != nil {
		return err
	}
	err := do()
	if errors.Is(err, os.ErrNotExist) {
		return err // Pebble removes what may be gone
	}
	return g.watch(err, false)
}

// Link implements vfs.FS.
func (g *guardFS) Link(old, name string) error {
	return g.change(func() error { return g.FS.Link(old, name) })
}

// Remove implements vfs.FS.
func (g *guardFS) Remove(name string) error {
	if g.holding.Load() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.held = append(g.held, name)
		return nil
	}
	return g.change(func() error { return g.FS.Remove(name) })
}

// release removes what Pebble wanted to be removed while it was being opened, now that it is known to have found what was there.
func (g *guardFS) release() {
	g.holding.Store(false)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range g.held {
		_ = g.Remove(name) // it is found again the next time
	}
	g.held = nil
}

// RemoveAll implements vfs.FS.
func (g *guardFS) RemoveAll(name string) error {
	return g.change(func() error { return g.FS.RemoveAll(name) })
}

// Rename implements vfs.FS.
func (g *guardFS) Rename(old, name string) error {
	return g.change(func() error { return g.FS.Rename(old, name) })
}

// MkdirAll implements vfs.FS.
func (g *guardFS) MkdirAll(dir string, mode os.FileMode) error {
	return g.change(func() error { return g.FS.MkdirAll(dir, mode) })
}

// Unwrap implements vfs.FS.
func (g *guardFS) Unwrap() vfs.FS { return g.FS }

// A guardFile is a file that was opened for writing, or a directory.
type guardFile struct {
	vfs.File
	fs     *guardFS
	hushed bool     // its failures are told to the store, not to Pebble
	tail   *logTail // of a log

	name   numbered
	marked bool // it has such a name
	size   uint64
}

// do carries out an operation that changes the disk, unless nothing may.
func (f *guardFile) do(operation func() error) error {
	if err := f.fs.refused(); err != nil {
		if f.hushed {
			return nil
		}
		return err
	}
	return f.fs.watch(operation(), f.hushed)
}

// Write implements io.Writer.
func (f *guardFile) Write(p []byte) (n int, err error) {
	n = len(p)
	err = f.do(func() (err error) {
		var written int
		if written, err = f.File.Write(p); err != nil && !f.hushed {
			n = written
		}
		if f.size += uint64(written); err == nil && f.tail != nil {
			f.tail.wrote(f.File, len(p))
		}
		return err
	})
	return n, err
}

// WriteAt implements io.WriterAt.
func (f *guardFile) WriteAt(p []byte, offset int64) (n int, err error) {
	n = len(p)
	err = f.do(func() (err error) {
		var written int
		if written, err = f.File.WriteAt(p, offset); err != nil && !f.hushed {
			n = written
		}
		return err
	})
	return n, err
}

// Preallocate implements vfs.File. That it fails is no failure: not every file system can, and on a full disk the writes will tell.
func (f *guardFile) Preallocate(offset, length int64) error {
	if err := f.fs.refused(); err != nil {
		return err
	}
	return f.File.Preallocate(offset, length)
}

// Sync implements vfs.File.
func (f *guardFile) Sync() error { return f.do(func() error { return f.synced(f.File.Sync()) }) }

// SyncData implements vfs.File.
func (f *guardFile) SyncData() error {
	return f.do(func() error { return f.synced(f.File.SyncData()) })
}

// synced notes what is durable.
func (f *guardFile) synced(err error) error {
	if err != nil {
		return err
	}
	if f.tail != nil {
		f.tail.unsynced = 0
	}
	for f.marked {
		before, now := f.fs.durable.Load(), durableMark{}
		if before != nil {
			now = *before
		}
		if f.name.manifest {
			now.manifest, now.manifestSize = f.name.number, f.size
		} else {
			now.log, now.logSize = f.name.number, f.size
		}
		if f.fs.durable.CompareAndSwap(before, &now) {
			break
		}
	}
	return nil
}

// SyncTo implements vfs.File.
func (f *guardFile) SyncTo(length int64) (full bool, err error) {
	err = f.do(func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close implements io.Closer. Some file systems say only here that a write has failed.
func (f *guardFile) Close() error {
	err := f.File.Close()
	if f.fs.refused() != nil {
		return nil
	}
	return f.fs.watch(err, f.hushed)
}
