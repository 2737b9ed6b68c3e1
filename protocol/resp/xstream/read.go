package xstream

import (
	"context"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// An Entry is one entry of a stream. What it points to must not be changed.
type Entry struct {
	ID
	Event *event.Event
}

// seek returns an offset such that the first record of the key at or after it is the first whose ID is not less. In a partition of the
// key's own that is a binary search; in a shared one each step reads on to the next record of the key.
func (k *key) seek(ctx context.Context, id ID, b store.Bounds) (uint64, error) {
	low, high := b.First, b.Next
	if id.IsZero() {
		return low, nil
	}
	if id.Seq >= low && id.Seq < high { // most IDs say where they are
		r, err := k.first(ctx, id.Seq, id.Seq+1)
		if err != nil {
			return 0, err
		}
		if r != nil && k.idOf(r) == id {
			return id.Seq, nil
		}
	}
	for low < high {
		mid := low + (high-low)/2
		r, err := k.first(ctx, mid, high)
		switch {
		case err != nil:
			return 0, err
		case r == nil || !k.idOf(r).Less(id):
			high = mid
		default:
			low = r.Offset + 1
		}
	}
	return low, nil
}

// after is seek for the first record behind an ID.
func (k *key) after(ctx context.Context, id ID, b store.Bounds) (uint64, error) {
	next, ok := id.Next()
	if !ok {
		return b.Next, nil
	}
	at, err := k.seek(ctx, id, b)
	if err != nil || at >= b.Next {
		return at, err
	}
	r, err := k.first(ctx, at, b.Next)
	if err != nil || r == nil {
		return b.Next, err
	}
	if k.idOf(r).Less(next) {
		return r.Offset + 1, nil
	}
	return at, nil
}

// first returns the first record of the key from an offset up to another, or nil.
func (k *key) first(ctx context.Context, from, to uint64) (found *store.Record, err error) {
	err = k.scanSome(ctx, from, to, 1, func(r *store.Record) bool {
		found = r
		return false
	})
	return found, err
}

// find returns the record with an ID, or nil.
func (k *key) find(ctx context.Context, id ID) (*store.Record, error) {
	at, err := k.seek(ctx, id, k.bounds)
	if err != nil {
		return nil, err
	}
	r, err := k.first(ctx, at, k.bounds.Next)
	if err != nil || r == nil || k.idOf(r) != id || k.leaving(r.Offset) {
		return nil, err
	}
	return r, nil
}

// leaving tells whether a record is being removed.
func (k *key) leaving(offset uint64) bool {
	k.ids.Lock()
	defer k.ids.Unlock()
	_, is := k.gone[offset]
	return is
}

// entry returns a record as an entry.
func (k *key) entry(r *store.Record) Entry { return Entry{k.idOf(r), r.Event} }

// edges returns the first and the last entry, nil if there is none. Called with the lock.
func (k *key) edges(ctx context.Context) (first, last *Entry, err error) {
	err = k.scanSome(ctx, k.bounds.First, k.bounds.Next, 1, func(r *store.Record) bool {
		if k.leaving(r.Offset) {
			return true
		}
		e := k.entry(r)
		first = &e
		return false
	})
	if err != nil || first == nil {
		return nil, nil, err
	}
	err = k.scanBack(ctx, k.bounds.Next, k.bounds.First, 1, func(r *store.Record) bool {
		if k.leaving(r.Offset) {
			return true
		}
		e := k.entry(r)
		last = &e
		return false
	})
	return first, last, err
}

// A Range is which entries are read.
type Range struct {
	Start, End ID
	Reverse    bool
	Count      int64 // at most; negative is all
}

// Range calls yield for the entries of a range until it returns false. It reports whether there is such a key.
func (s *Set) Range(ctx context.Context, name []byte, r Range, yield func(Entry) bool) (exists bool, err error) {
	var k *key
	var b store.Bounds
	err = s.with(ctx, name, func(found *key) (*change, error) {
		if found.exists() {
			found.retain()
			k, b = found, found.bounds
		}
		return nil, nil
	})
	if k == nil {
		return false, err
	}
	defer k.release()
	return true, k.readRange(ctx, r, b, yield)
}

// readRange does without the lock.
func (k *key) readRange(ctx context.Context, r Range, b store.Bounds, yield func(Entry) bool) error {
	if r.End.Less(r.Start) || r.Count == 0 {
		return nil
	}
	left, hint := r.Count, scanRecords
	if left > 0 {
		hint = int(min(left, scanRecords))
	}
	each := func(r *store.Record) bool {
		left--
		return yield(k.entry(r)) && left != 0
	}
	if r.Reverse {
		end, err := k.after(ctx, r.End, b)
		if err != nil {
			return err
		}
		return k.scanBack(ctx, end, b.First, hint, func(rec *store.Record) bool {
			return !k.idOf(rec).Less(r.Start) && each(rec)
		})
	}
	from, err := k.seek(ctx, r.Start, b)
	if err != nil {
		return err
	}
	return k.scanSome(ctx, from, b.Next, hint, func(rec *store.Record) bool {
		return !r.End.Less(k.idOf(rec)) && each(rec)
	})
}

// Len returns how many entries there are.
func (s *Set) Len(ctx context.Context, name []byte) (n int64, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		if k.exists() {
			n = k.length()
		}
		return nil, nil
	})
	return n, err
}

// Exists tells whether there is a stream at a key.
func (s *Set) Exists(ctx context.Context, name []byte) (is bool, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		is = k.exists()
		return nil, nil
	})
	return is, err
}

// Last returns the last ID that was generated.
func (s *Set) Last(ctx context.Context, name []byte) (last ID, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		if k.exists() {
			last, _ = k.top()
		}
		return nil, nil
	})
	return last, err
}
