package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/store"
)

func (s *Stream) dedupe() time.Duration { return time.Duration(s.config.Dedupe) }

// Run applies retention until the context ends.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(l.opts.Retain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := l.Retain(ctx); err != nil && ctx.Err() == nil {
			l.opts.Logger.Error("records beyond the limits of a stream were not removed; it is tried again", "error", err)
		}
	}
}

// Retain removes now what is beyond the limits of each stream.
func (l *Log) Retain(ctx context.Context) error {
	var errs []error
	for _, s := range l.List() {
		for n := range s.config.Partitions {
			p := store.Partition{Stream: s.config.Name, Number: n}
			if err := l.retain(ctx, s, p); err != nil {
				errs = append(errs, fmt.Errorf("stream %q, partition %d: %w", p.Stream, p.Number, err))
			}
		}
	}
	return errors.Join(errs...)
}

// retain trims one partition to what its limits allow. An event takes more bytes in memory than in the store, so that one pass removes too little of the small
// ones, and never too much: it is repeated until nothing is left to remove, but not for ever while others publish.
func (l *Log) retain(ctx context.Context, s *Stream, p store.Partition) error {
	for range maxPasses {
		b, err := l.store.Bounds(ctx, p)
		if err != nil {
			return err
		}
		if more, err := l.retainOnce(ctx, &s.config, p, b); err != nil || !more {
			return err
		}
	}
	return nil
}

// maxPasses is how often a partition is trimmed at a time. The smallest event takes at least a tenth in the store, mostly a third: then 50 passes
// leave a billionth of the excess, or what is less than an event.
const maxPasses = 50

// retainOnce trims a partition, and tells whether there may be more to trim.
func (l *Log) retainOnce(ctx context.Context, c *Config, p store.Partition, b store.Bounds) (more bool, err error) {
	if b.Count == 0 || c.MaxAge == 0 && c.MaxBytes == 0 && c.MaxEvents == 0 {
		return false, nil
	}
	first := b.First
	if c.MaxAge > 0 {
		at, err := l.store.Find(ctx, p, l.opts.Clock().Add(-time.Duration(c.MaxAge)))
		if err != nil {
			return false, err
		}
		first = max(first, at)
	}
	events, bytes := int64(0), int64(0)
	if c.MaxEvents > 0 {
		events = int64(b.Count) - c.MaxEvents
	}
	if c.MaxBytes > 0 {
		bytes = int64(b.Bytes) - c.MaxBytes
	}
	at, err := l.skip(ctx, store.Position{Partition: p, Offset: b.First}, events, bytes, b)
	if err != nil {
		return false, err
	}
	if first = max(first, at); first == b.First {
		return false, nil
	}
	return bytes > 0, store.Commit(ctx, l.store, &store.Batch{Trims: []store.Position{{Partition: p, Offset: first}}})
}

// skip returns the offset after as many records, and after as many bytes, as are too many.
func (l *Log) skip(ctx context.Context, at store.Position, events, bytes int64, b store.Bounds) (uint64, error) {
	if bytes <= 0 && b.Count == b.Next-b.First { // no gaps to count
		return at.Offset + uint64(max(0, events)), nil
	}
	for events > 0 || bytes > 0 {
		records, err := l.store.Read(ctx, at, store.ReadOptions{OnCorrupt: func(c *store.CorruptError) { events -= int64(max(1, c.Records)) }})
		if err != nil || len(records) == 0 {
			return at.Offset, err
		}
		for _, r := range records {
			if events <= 0 && bytes <= 0 {
				return r.Offset, nil
			}
			events--
			bytes -= int64(r.Event.Size())
			at.Offset = r.Offset + 1
		}
	}
	return at.Offset, nil
}

// Trim removes the records of a stream before an offset of one partition.
func (l *Log) Trim(ctx context.Context, at store.Position) error {
	if err := l.partition(at.Partition); err != nil {
		return err
	}
	return store.Commit(ctx, l.store, &store.Batch{Trims: []store.Position{at}})
}

// partition checks that there is such a partition.
func (l *Log) partition(p store.Partition) error {
	s, err := l.Get(p.Stream)
	if err != nil {
		return err
	}
	if p.Number < 0 || p.Number >= s.config.Partitions {
		return fmt.Errorf("%w %d: %q has 0 to %d", ErrNoPartition, p.Number, p.Stream, s.config.Partitions-1)
	}
	return nil
}
