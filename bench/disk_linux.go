package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fileSystem returns what a directory is on, and whether that is memory.
func fileSystem(dir string) (kind string, inMemory bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", false, fmt.Errorf("asking for the file system of %s: %w", dir, err)
	}
	switch uint32(s.Type) {
	case unix.TMPFS_MAGIC:
		return "tmpfs", true, nil
	case unix.RAMFS_MAGIC:
		return "ramfs", true, nil
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", false, nil
	case unix.XFS_SUPER_MAGIC:
		return "xfs", false, nil
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", false, nil
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay", false, nil
	}
	return fmt.Sprintf("file system %#x", uint32(s.Type)), false, nil
}

func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// forget has the kernel forget what it has cached of files, so that reading goes to the disk. Only root can.
func forget() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0)
}

// nap sleeps more exactly than Go's timers, which are for many and not for one.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal ends it early, which does no harm
}
