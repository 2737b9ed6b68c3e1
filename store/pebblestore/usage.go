package pebblestore

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
)

// usage remembers how full the disk was.
type usage struct {
	next time.Time // when to look again
	err  error
}

// reserve returns how much of a disk is kept free.
func (o *Options) reserve(disk vfs.DiskUsage) uint64 {
	if o.Reserve != 0 {
		return uint64(max(o.Reserve, 0))
	}
	return min(DefaultReserve, max(leastReserve, disk.TotalBytes/20), disk.TotalBytes/2)
}

// full returns [store.ErrFull] while there is too little room. Where the file system cannot tell, there is always room.
func (u *usage) full(s *Store) error {
	now := time.Now()
	hit := s.ballast.hit.Swap(false)
	if s.options.Reserve < 0 || now.Before(u.next) && !hit {
		return u.err
	}
	u.next = now.Add(usageEvery)
	disk, err := s.options.FS.GetDiskUsage(s.dir)
	if err != nil {
		return u.err
	}
	reserve, was := s.options.reserve(disk), u.err
	u.err = nil
	switch {
	case disk.AvailBytes < reserve:
		u.err = fmt.Errorf("%w: %d bytes are free in %s and %d are kept in reserve; delete or trim streams, or make room", store.ErrFull, disk.AvailBytes, s.dir, reserve)
	case hit:
		u.err = fmt.Errorf("%w: a write to %s has just found no room; delete or trim streams, or make room", store.ErrFull, s.dir)
	default:
		if err := s.ballast.make(disk, reserve); err != nil {
			u.err = fmt.Errorf("%w: %s has no room for the reserve (%w); delete or trim streams, or make room", store.ErrFull, s.dir, err)
		}
	}
	u.tell(s, was)
	return u.err
}

// tell logs when the disk becomes full, and when there is room again.
func (u *usage) tell(s *Store, was error) {
	if u.err == nil {
		s.full.Store(nil)
		if was != nil {
			s.options.Logger.Info("there is room on the disk again: the store takes events", "directory", s.dir)
		}
		return
	}
	err := u.err
	s.full.Store(&err)
	if was == nil {
		s.options.Logger.Error("the disk is full: events are refused until there is room", "directory", s.dir, "error", err)
	}
}

// A ballast is a file that only takes room. When something else fills the disk faster than the store notices, the first write that fails gets that
// room and is tried again, so that the log, which must not fail, can be written to the end of what was taken.
type ballast struct {
	fs    vfs.FS
	name  string
	there bool        // the builder's
	hit   atomic.Bool // it was given up since the builder has last looked
}

// make sees to it that there is a ballast, unless the disk is too small for one.
func (b *ballast) make(disk vfs.DiskUsage, reserve uint64) error {
	size := int64(min(ballastBytes, reserve/4))
	if b.there && !b.gone() || size == 0 || disk.TotalBytes == 0 {
		return nil
	}
	b.there = false
	f, err := b.fs.Create(b.name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err = f.Preallocate(0, size); err != nil && !errors.Is(err, syscall.ENOSPC) {
		err = writeZeros(f, size) // not every file system can
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = b.fs.Remove(b.name) // what is left of it is in the way
		return err
	}
	b.there = true
	return nil
}

func writeZeros(f vfs.File, size int64) error {
	zeros := make([]byte, zeroAhead)
	for at := int64(0); at < size; at += zeroAhead {
		if _, err := f.Write(zeros[:min(zeroAhead, size-at)]); err != nil {
			return err
		}
	}
	return nil
}

func (b *ballast) gone() bool {
	_, err := b.fs.Stat(b.name)
	return err != nil
}

// give makes the room of the ballast free. It is called while writes wait that found the disk full.
func (b *ballast) give() {
	b.hit.Store(true)
	_ = b.fs.Remove(b.name) // if it is gone already, nothing can be done
}
