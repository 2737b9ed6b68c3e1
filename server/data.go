package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// lockName is the file in the data directory that a running node holds a lock on.
const lockName = "LOCK"

var errLocked = errors.New("another node is using it")

// lockData makes the data directory, if one is named, and takes the lock that
// keeps a second node out. The system gives the lock back when the process ends,
// however it ends.
func lockData(dir string) (io.Closer, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot use the data directory %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot use the data directory %s: %w", dir, err)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot use the data directory %s: %w", dir, err), f.Close())
	}
	return f, nil
}
