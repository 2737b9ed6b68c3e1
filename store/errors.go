package store

import (
	"errors"
	"fmt"
)

// Why a batch was not committed.
var (
	// ErrConflict means that a precondition did not hold. Nothing was changed; read again and decide anew.
	ErrConflict = errors.New("a precondition of the batch does not hold")
	// ErrTooLarge means that the batch is beyond [Limits]. Commit it in parts.
	ErrTooLarge = errors.New("the batch is larger than the store can commit at once")
	// ErrFull means that there is no room on the disk. It is tried again with every batch.
	ErrFull = errors.New("the disk of the store is full")
	// ErrFailed means that writing has failed and the store must be opened again.
	ErrFailed = errors.New("the store has failed and takes nothing more")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the store is closed")
)

// Why a store cannot be opened.
var (
	// ErrInUse means that another process has the data open.
	ErrInUse = errors.New("the data is in use by another process")
	// ErrFormat means that the data was written by a version of Spate that this one does not know.
	ErrFormat = errors.New("the format of the data is not known")
)

// A CorruptError says which record cannot be read.
type CorruptError struct {
	Position
	// Records is how many may be affected, counted from the position. 0 means that it is not known.
	Records uint64
	Err     error
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("the record of stream %q, partition %d, offset %d is corrupt: %v", e.Stream, e.Number, e.Offset, e.Err)
}

// Unwrap implements errors.Unwrap.
func (e *CorruptError) Unwrap() error { return e.Err }
