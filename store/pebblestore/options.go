package pebblestore

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say how a store is opened. The zero value is good.
type Options struct {
	// FS is the file system. Default the one of the system. Tests put one in memory here.
	FS vfs.FS
	// Clock tells the time for the time stamps of records. Default [time.Now].
	Clock func() time.Time
	// Logger is told of what goes wrong. Default none.
	Logger *slog.Logger
	// OnFail is called once, from a goroutine of the store, when a write or an fsync has failed and nothing more is acknowledged. It must not block.
	OnFail func(error)
	// CacheBytes is the memory for what was read from disk. Default [DefaultCacheBytes]. More helps where state is read at random.
	CacheBytes int64
	// TailBytes is the memory for recent records, of all partitions together. Default [DefaultTailBytes]. Readers that lag by more read from the disk.
	TailBytes int
	// Pending is how many bytes may wait to be committed before Submit waits. Default [DefaultPending].
	Pending int
	// DedupeEntries is how many event IDs are remembered for [store.Append].Dedupe, of all streams together. Default [DefaultDedupeEntries]. Beyond it the
	// oldest are forgotten, and their repetition is stored again.
	DedupeEntries int
	// Reserve is the free space of the disk below which batches are refused. Default [DefaultReserve] or a twentieth of the disk, whichever
	// is less. Negative means none: then a full disk is a failed write, after which the store must be opened again.
	Reserve int64

	// MemTableBytes is the memory for what was committed and is in no sstable yet, up to three times. Default 16 MiB. With less, sstables are more and smaller, and
	// are rewritten more often.
	MemTableBytes uint64

	operations int // of a batch: tests take fewer
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.TailBytes <= 0 {
		o.TailBytes = DefaultTailBytes
	}
	if o.Pending <= 0 {
		o.Pending = DefaultPending
	}
	if o.operations == 0 {
		o.operations = maxOperations
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = memTableBytes
	}
	if o.DedupeEntries <= 0 {
		o.DedupeEntries = DefaultDedupeEntries
	}
	return o
}
