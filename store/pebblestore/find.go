package pebblestore

import (
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/event"
)

// findDisk finds the first record that was appended at t or later: the last block that begins before t by bisection, and then the
// record in it or in the next one.
func (s *Store) findDisk(v view, t time.Time) (offset uint64, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: blockKey(v.id, 0), UpperBound: blockKey(v.id, v.bounds.End)})
	if err != nil {
		return 0, err
	}
	defer func() {
		err = ended(it, err)
	}()
	from := v.bounds.First
	for low, high := v.bounds.First, v.bounds.End; low < high && err == nil; {
		middle := low + (high-low)/2
		if !it.SeekLT(blockKey(v.id, middle+1)) {
			low, err = middle+1, it.Error() // nothing is left of what was there
			continue
		}
		first := blockFirst(it.Key())
		var r blockReader
		if r.open(v.id, first, it.Value()) == nil && r.firstAppend >= t.UnixNano() {
			high = min(middle, first)
			continue
		}
		from, low = first, high
		if it.Next() {
			low = max(blockFirst(it.Key()), middle+1)
		}
	}
	if err != nil {
		return 0, err
	}
	return scanFor(it, v, from, t)
}

// scanFor goes from the block of an offset on to the first record that was appended at t or later. What is damaged is passed over.
func scanFor(it *pebble.Iterator, v view, from uint64, t time.Time) (uint64, error) {
	ok := it.SeekLT(blockKey(v.id, from+1)) || it.First()
	for ; ok; ok = it.Next() {
		var r blockReader
		if r.open(v.id, blockFirst(it.Key()), it.Value()) != nil {
			continue
		}
		var e event.Event
		for body := r.next(); body != nil; body = r.next() {
			appended, err := r.decode(body, &e, new([]event.Header))
			if err == nil && r.offset >= v.bounds.First && !appended.Before(t) {
				return r.offset, nil
			}
		}
	}
	return v.bounds.Next, it.Error()
}

// skipCorrupt returns the first offset after from, at most end, at which a block begins that Pebble can read. It doubles the distance until something can be
// read, and goes back from there, so that it touches what is damaged as few times as it can: each time Pebble tries out, for about a second, which single
// bit could be wrong.
func skipCorrupt(db pebble.Reader, id logID, from, end uint64) uint64 {
	for step := uint64(blockRecords); ; step *= 2 {
		if next, ok := firstReadable(db, id, from, from+min(step, end-from)); ok {
			return min(next, end)
		}
		if step >= end-from {
			return end
		}
	}
}

// firstReadable reports whether the block at an offset, or the next one, can be read, and returns where the first one begins that can be reached from
// there by going back, not as far as from.
func firstReadable(db pebble.Reader, id logID, from, offset uint64) (first uint64, ok bool) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: blockKey(id, from+1), UpperBound: blockKey(id, ^uint64(0))})
	if err != nil {
		return 0, false
	}
	first = ^uint64(0)
	ok = it.SeekGE(blockKey(id, offset))
	if !ok && it.Error() == nil {
		ok = it.Last() // there is nothing behind the offset
	}
	ok = ok || it.Error() == nil
	for valid := it.Valid(); valid; valid = it.Prev() {
		first = blockFirst(it.Key())
	}
	_ = it.Close() // says again that something is damaged
	return first, ok
}
