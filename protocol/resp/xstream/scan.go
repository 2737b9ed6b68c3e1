package xstream

import (
	"context"
	"errors"

	"github.com/spate-io/spate/store"
)

// scan calls yield for the records of the key from an offset up to another, all of which are visible.
func (k *key) scan(ctx context.Context, from, to uint64, yield func(r *store.Record) bool) error {
	return k.scanSome(ctx, from, to, scanRecords, yield)
}

// scanSome is scan for somebody who needs about n records.
func (k *key) scanSome(ctx context.Context, from, to uint64, n int, yield func(r *store.Record) bool) error {
	if k.own {
		_, err := k.scanAll(ctx, from, to, n, yield)
		return err
	}
	for from < to {
		end := min(to, blockEnd(from))
		marks, err := k.index.marks(ctx, k.hash, from, end)
		if err != nil {
			return err
		}
		for len(marks) > 0 {
			some := marks[:min(n, len(marks))]
			if more, err := k.readMarks(ctx, from>>blockBits, some, yield); err != nil || !more {
				return err
			}
			marks, n = marks[len(some):], scanRecords
		}
		from = end
	}
	return nil
}

// scanAll reads every record of a range, and yields those of the key. It tells whether yield wants more.
func (k *key) scanAll(ctx context.Context, from, to uint64, n int, yield func(r *store.Record) bool) (more bool, err error) {
	for from < to {
		options := store.ReadOptions{Records: int(min(uint64(n), to-from)), Bytes: scanBytes}
		records, err := k.set.store.Read(ctx, store.Position{Partition: k.part, Offset: from}, options)
		if err != nil || len(records) == 0 {
			return true, err
		}
		for i := range records {
			r := &records[i]
			if r.Offset >= to {
				return true, nil
			}
			if k.mine(r) && !yield(r) {
				return false, nil
			}
		}
		from = records[len(records)-1].Offset + 1
		n = scanRecords
	}
	return true, nil
}

// mine tells whether a record is an entry of the key.
func (k *key) mine(r *store.Record) bool { return k.own || r.Event.Subject == k.name }

// readMarks reads records of one block: one by one if they are far from each other, and else with what is between them.
func (k *key) readMarks(ctx context.Context, number uint64, marks []mark, yield func(r *store.Record) bool) (more bool, err error) {
	const apart = 8 // records are read in passing for the price of finding one
	first, last := marks[0].offset(number), marks[len(marks)-1].offset(number)
	if span := last + 1 - first; span <= uint64(apart*len(marks)) {
		return k.scanAll(ctx, first, last+1, int(span), yield)
	}
	for _, m := range marks {
		at := m.offset(number)
		if more, err = k.scanAll(ctx, at, at+1, 1, yield); err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// eachMark calls yield for the offset of each record of the key in a shared partition, without reading them, and tells it whether the ID was given.
func (k *key) eachMark(ctx context.Context, from, to uint64, yield func(offset uint64, given bool) bool) error {
	for from < to {
		end := min(to, blockEnd(from))
		marks, err := k.index.marks(ctx, k.hash, from, end)
		if err != nil {
			return err
		}
		for _, m := range marks {
			if !yield(m.offset(from>>blockBits), m&1 != 0) {
				return nil
			}
		}
		from = end
	}
	return nil
}

// errWide means that the records of a window are too large to be held together.
var errWide = errors.New("too many bytes for one window")

// scanBack calls yield for the records before an offset, last one first, down to the offset low. It reads windows of records forward, larger
// and larger ones, unless they are too many bytes.
func (k *key) scanBack(ctx context.Context, before, low uint64, n int, yield func(r *store.Record) bool) error {
	for size := max(1, min(n, scanRecords)); before > low; {
		from, records, err := k.window(ctx, before, low, size)
		if errors.Is(err, errWide) {
			size /= 2
			continue
		}
		if err != nil {
			return err
		}
		for i := len(records) - 1; i >= 0; i-- {
			if !yield(&records[i]) {
				return nil
			}
		}
		before = from
		size = min(2*size, scanRecords)
	}
	return nil
}

// window reads the last records of the key before an offset, at most so many, and returns from which offset on they are.
func (k *key) window(ctx context.Context, before, low uint64, size int) (from uint64, records []store.Record, err error) {
	held, wide := 0, false
	collect := func(r *store.Record) bool {
		held += r.Event.Size()
		wide = held > windowBytes && size > 1
		records = append(records, *r)
		return !wide
	}
	if k.own {
		from = low
		if before-low > uint64(size) {
			from = before - uint64(size)
		}
		_, err = k.scanAll(ctx, from, before, size, collect)
	} else {
		from = max(low, blockEnd(before-1)-blockRecords)
		var marks []mark
		if marks, err = k.index.marks(ctx, k.hash, from, before); err != nil {
			return from, nil, err
		}
		if len(marks) > size {
			marks = marks[len(marks)-size:]
			from = marks[0].offset(from >> blockBits)
		}
		if len(marks) > 0 {
			_, err = k.readMarks(ctx, from>>blockBits, marks, collect)
		}
	}
	if wide && err == nil {
		err = errWide
	}
	return from, records, err
}
