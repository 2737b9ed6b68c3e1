package pebblestore

import (
	"errors"
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
		err = errors.Join(err, it.Close())
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
		from, low = first, middle+1
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

// skipCorrupt returns the first offset after from, at most end, whose block Pebble can read. Damage covers a range of keys, so it is found by
// doubling the distance, and then by bisection.
func (s *Store) skipCorrupt(id logID, from, end uint64) uint64 {
	bad, good := from, end
	for step := uint64(1); step < end-from; step *= 2 {
		if s.readable(id, from+step) {
			good = from + step
			break
		}
		bad = from + step
	}
	for good-bad > 1 {
		middle := bad + (good-bad)/2
		if s.readable(id, middle) {
			good = middle
		} else {
			bad = middle
		}
	}
	return good
}

// readable reports whether Pebble can read the block that begins at an offset or is the next one.
func (s *Store) readable(id logID, offset uint64) bool {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: blockKey(id, 0), UpperBound: blockKey(id, ^uint64(0))})
	if err != nil {
		return false
	}
	it.SeekGE(blockKey(id, offset))
	return errors.Join(it.Error(), it.Close()) == nil
}
