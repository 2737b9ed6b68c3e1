package pebblestore

import (
	"fmt"
	"time"

	"github.com/spate-io/spate/store"
)

// usage remembers how full the disk was.
type usage struct {
	next time.Time // when to look again
	err  error
}

// full returns [store.ErrFull] while there is too little room. Where the file system cannot tell, there is always room.
func (u *usage) full(s *Store) error {
	now := time.Now()
	if s.options.Reserve < 0 || now.Before(u.next) {
		return u.err
	}
	u.next = now.Add(usageEvery)
	disk, err := s.options.FS.GetDiskUsage(s.dir)
	if err != nil {
		return u.err
	}
	reserve := uint64(s.options.Reserve)
	if reserve == 0 {
		reserve = min(DefaultReserve, disk.TotalBytes/20)
	}
	was := u.err
	u.err = nil
	if disk.AvailBytes < reserve {
		u.err = fmt.Errorf("%w: %d bytes are free in %s and %d are kept in reserve; delete or trim streams, or make room", store.ErrFull, disk.AvailBytes, s.dir, reserve)
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
