package store

import (
	"time"

	"github.com/spate-io/spate/event"
)

// A Batch is a set of changes that is committed wholly or not at all. Preconditions look at what was there before the batch. Then Drops take effect, then
// Removes and Trims, then Appends: what a batch appends is not removed by it. Records of one
// partition keep the order that they have in Appends. No key may be written, and no cursor moved, twice in it.
type Batch struct {
	// Requires are preconditions: the batch fails with [ErrConflict] unless all of them hold.
	Requires []Require
	// Cursors are moves of cursors, each with a precondition of its own.
	Cursors []MoveCursor
	// Appends adds records to streams.
	Appends []Append
	// Puts writes state.
	Puts []Put
	// Deletes removes state. A key that does not exist is fine.
	Deletes []string
	// Removes takes single records out of partitions. One that does not exist is fine.
	Removes []Position
	// Trims removes the records before a position. The end of the partition stays where it is.
	Trims []Position
	// Drops removes streams with all their partitions; their offsets begin at 0 again. Cursors and state stay.
	Drops []string
	// Durability is what may be lost after the batch is acknowledged. The default is nothing.
	Durability Durability
}

// Append adds a record to the end of a partition.
type Append struct {
	Partition
	Event *event.Event
	// Dedupe, if it is not 0, leaves the record out when the stream holds one with the same event ID in any partition, appended not longer ago than this.
	// An event without an ID repeats nothing.
	Dedupe time.Duration

	// What the store answers, before it calls done.

	Offset    uint64    // of the record, or of the one that it repeats
	Appended  time.Time // when that was taken
	Duplicate bool      // it was left out
}

// Require is a precondition: the key has this revision, where 0 means that it has no value.
type Require struct {
	Key      string
	Revision uint64
}

// Put writes a value under a key.
type Put struct {
	Key  string
	Data []byte
}

// MoveCursor moves a cursor, if it stands where the mover believes. That is what keeps a node that has lost a partition from
// committing for it.
type MoveCursor struct {
	Cursor
	From uint64 // where it must stand: an offset, [NoCursor] or [AnyCursor]
	To   uint64 // an offset, or [NoCursor] to remove it
}

// Places of cursors that are no offsets.
const (
	NoCursor  = ^uint64(0) // the cursor does not exist
	AnyCursor = NoCursor - 1
)

// Durability says what may be lost of a batch that was acknowledged.
type Durability uint8

// The durabilities. Batches that are written together get the strongest that one of them asks for.
const (
	Fsync    Durability = iota // nothing
	Interval                   // up to the last second, when the process is killed or the power fails
	None                       // up to the last ten seconds, likewise
)

// Operations returns how many changes and preconditions the batch has.
func (b *Batch) Operations() int {
	return len(b.Requires) + len(b.Cursors) + len(b.Appends) + len(b.Puts) + len(b.Deletes) + len(b.Removes) + len(b.Trims) + len(b.Drops)
}

// MakesRoom tells whether a batch is taken also while the disk is full: it appends nothing, and puts nothing but a little beside what it removes from
// streams, which the reserve has room for.
func (b *Batch) MakesRoom() bool {
	n := 0
	for i := range b.Puts {
		n += len(b.Puts[i].Key) + len(b.Puts[i].Data)
	}
	return len(b.Appends) == 0 && (len(b.Puts) == 0 || n <= roomPuts && len(b.Trims)+len(b.Removes)+len(b.Drops) > 0)
}

// roomPuts is how many bytes a batch may put that makes room: what a Redis stream notes of a removal has a key of 2 KiB at most.
const roomPuts = 4 << 10

// Size returns about how many bytes the batch takes.
func (b *Batch) Size() int {
	const perOperation = 32
	n := b.Operations() * perOperation
	for i := range b.Appends {
		n += b.Appends[i].Event.Size()
	}
	for i := range b.Puts {
		n += len(b.Puts[i].Key) + len(b.Puts[i].Data)
	}
	for _, key := range b.Deletes {
		n += len(key)
	}
	return n
}
