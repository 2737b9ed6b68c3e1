package store

import (
	"context"
	"io"
	"time"

	"github.com/spate-io/spate/event"
)

// A Store keeps streams, cursors and state. Its methods are safe for concurrent use. Those that take a context return early
// with its error when it ends.
type Store interface {
	// Submit hands over a batch and returns. It calls done once, when the batch is durable, with nil, or with why nothing of
	// it was kept: [ErrConflict], [ErrTooLarge], [ErrFull], [ErrFailed], [ErrClosed]. See the package comment.
	Submit(b *Batch, done func(error))

	// Read returns records of a partition from an offset on, at least one if there is any. An offset before the first record means the
	// first; one at or after the end returns none. A record that fails its checksum ends the read before it, or, if
	// it is the first, is returned as a [CorruptError]; see [ReadOptions].OnCorrupt.
	Read(ctx context.Context, at Position, options ReadOptions) ([]Record, error)

	// Bounds returns what a partition holds. A partition that has never been appended to is empty.
	Bounds(ctx context.Context, p Partition) (Bounds, error)

	// Find returns the offset of the first record that was appended at t or later, or the end.
	Find(ctx context.Context, p Partition, t time.Time) (uint64, error)

	// Wait returns once there is a record at or after one of the positions.
	Wait(ctx context.Context, at ...Position) error

	// Partitions returns every partition that was appended to and not dropped, sorted.
	Partitions(ctx context.Context) ([]Partition, error)

	// Cursor returns where a cursor stands, or [NoCursor].
	Cursor(ctx context.Context, id Cursor) (uint64, error)

	// Cursors returns all cursors of a consumer and where they stand; of every consumer if the name is empty.
	Cursors(ctx context.Context, consumer string) (map[Cursor]uint64, error)

	// Get returns the value of a key. Its revision is 0 if there is none.
	Get(ctx context.Context, key string) (Value, error)

	// Scan returns the entries whose keys begin with prefix and come after the key after, in order, at most limit.
	Scan(ctx context.Context, prefix, after string, limit int) ([]Entry, error)

	// Snapshot writes all that the store holds at this moment, in a format of its own, from which it can be restored. The store is
	// used as usual meanwhile. A record that cannot be read ends it with a [CorruptError]; see [SnapshotOptions].OnCorrupt.
	Snapshot(ctx context.Context, w io.Writer, options SnapshotOptions) error

	// Limits returns what a batch may hold.
	Limits() Limits

	// Health returns why batches are refused now ([ErrFailed] or [ErrFull]), or nil.
	Health() error

	// Close waits for the batches that were submitted, and lets go of the data.
	Close() error
}

// Commit submits a batch and waits until it is durable. When the context ends first, the batch may be committed nevertheless.
func Commit(ctx context.Context, s Store, b *Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	s.Submit(b, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Partition names one log of a stream.
type Partition struct {
	Stream string
	Number int
}

// Position is a place in a partition.
type Position struct {
	Partition
	Offset uint64
}

// Bounds says what a partition holds.
type Bounds struct {
	First uint64 // offset of the first record, or Next if there is none
	Next  uint64 // offset that the next record will have
	Count uint64 // records, which is fewer than Next-First where some were deleted
	Bytes uint64 // as stored, before compression
}

// Record is an event in a partition.
type Record struct {
	Offset uint64
	// Appended is when the store took it, by its clock. It never falls within a partition: when the clock has stepped back, it is that of the record before, also
	// of one that was removed since.
	Appended time.Time
	Event    *event.Event
}

// ReadOptions bounds a read. The zero value is good.
type ReadOptions struct {
	// Records is the most records that are returned. Default [DefaultReadRecords].
	Records int
	// Bytes is how many bytes of records are returned at most, unless the first one is larger. Default [DefaultReadBytes].
	Bytes int
	// OnCorrupt, if it is set, is told of each record that cannot be read, which is then left out. By default reading ends there.
	OnCorrupt func(*CorruptError)
}

// SnapshotOptions says what to do about what cannot be read. The zero value is good.
type SnapshotOptions struct {
	// OnCorrupt, if it is set, is told of each record that cannot be read, which is then left out, as if it had been removed. State and cursors are never left
	// out. By default the snapshot ends there.
	OnCorrupt func(*CorruptError)
}

// Defaults of [ReadOptions].
const (
	DefaultReadRecords = 1024
	DefaultReadBytes   = 1 << 20
)

// Cursor names the place of a consumer in a partition.
type Cursor struct {
	Consumer string
	Partition
}

// Value is a value and when it was written.
type Value struct {
	Data []byte
	// Revision grows with every batch that writes the key. 0 means that there is no value.
	Revision uint64
}

// Entry is a key and its value.
type Entry struct {
	Key string
	Value
}

// Limits is what a store can take.
type Limits struct {
	Operations int // of one batch: appends, cursor moves, puts, deletes, and the others
	Bytes      int // of one batch
	Pending    int // bytes that wait to be committed, before Submit waits
	Key        int // bytes of a key of state
}
