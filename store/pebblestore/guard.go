package pebblestore

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A guardFS stands between Pebble and the file system. It notices a write or an fsync that fails, also one that Pebble would try
// again in the background, and from then on lets nothing more through: after a failed fsync nobody knows what the disk holds, and another attempt
// could seem to succeed. A full disk is no failure as long as it does not hit the log.
type guardFS struct {
	vfs.FS
	fail   func(error)
	fenced atomic.Pointer[error]
}

func newGuardFS(fs vfs.FS, fail func(error)) *guardFS { return &guardFS{FS: fs, fail: fail} }

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
func (g *guardFS) watch(err error) error {
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		g.fail(err)
	}
	return err
}

// file wraps a file that was opened for writing.
func (g *guardFS) file(open func() (vfs.File, error)) (vfs.File, error) {
	if err := g.refused(); err != nil {
		time.Sleep(fencedDelay) // Pebble tries again at once, for ever
		return nil, err
	}
	f, err := open()
	if g.watch(err) != nil {
		return nil, err
	}
	return &guardFile{File: f, fs: g}, nil
}

// Create implements vfs.FS.
func (g *guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (g *guardFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, options...) })
}

// ReuseForWrite implements vfs.FS.
func (g *guardFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.file(func() (vfs.File, error) { return g.FS.ReuseForWrite(old, name, category) })
}

// OpenDir implements vfs.FS. Directories are opened to be synced.
func (g *guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: f, fs: g}, nil
}

func (g *guardFS) change(do func() error) error {
	if err := g.refused(); err != nil {
		return err
	}
	err := do()
	if errors.Is(err, os.ErrNotExist) {
		return err // Pebble removes what may be gone
	}
	return g.watch(err)
}

// Link implements vfs.FS.
func (g *guardFS) Link(old, name string) error {
	return g.change(func() error { return g.FS.Link(old, name) })
}

// Remove implements vfs.FS.
func (g *guardFS) Remove(name string) error {
	return g.change(func() error { return g.FS.Remove(name) })
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

// A guardFile is a file that was opened for writing.
type guardFile struct {
	vfs.File
	fs *guardFS
}

func (f *guardFile) allow() error { return f.fs.refused() }

// Write implements io.Writer.
func (f *guardFile) Write(p []byte) (int, error) {
	if err := f.allow(); err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	return n, f.fs.watch(err)
}

// WriteAt implements io.WriterAt.
func (f *guardFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.allow(); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(p, offset)
	return n, f.fs.watch(err)
}

// Sync implements vfs.File.
func (f *guardFile) Sync() error {
	if err := f.allow(); err != nil {
		return err
	}
	return f.fs.watch(f.File.Sync())
}

// SyncData implements vfs.File.
func (f *guardFile) SyncData() error {
	if err := f.allow(); err != nil {
		return err
	}
	return f.fs.watch(f.File.SyncData())
}

// SyncTo implements vfs.File.
func (f *guardFile) SyncTo(length int64) (bool, error) {
	if err := f.allow(); err != nil {
		return false, err
	}
	full, err := f.File.SyncTo(length)
	return full, f.fs.watch(err)
}
