package xstream

import (
	"context"

	"github.com/spate-io/spate/store"
)

// TrimBy says what XTRIM, and XADD, keep.
type TrimBy uint8

// What is kept.
const (
	TrimNone   TrimBy = iota // everything
	TrimMaxLen               // so many entries
	TrimMinID                // entries from an ID on
)

// Trim is what to keep of a stream.
type Trim struct {
	By     TrimBy
	Approx bool // remove whole hundreds only, as Redis does with its nodes
	Len    int64
	Min    ID
	Limit  int64 // how many entries an approximate trim removes at most; 0 is no limit, negative the default
}

// whole returns how many of n entries that are too many are removed, of total. Redis removes whole nodes, of which the last one may have fewer
// entries.
func (t *Trim) whole(n, total int64) int64 {
	n = max(n, 0)
	if !t.Approx {
		return n
	}
	limit := t.Limit
	if limit < 0 {
		limit = trimMost
	}
	if limit > 0 {
		n = min(n, limit)
	}
	if n >= total {
		return n
	}
	return n / nodeEntries * nodeEntries
}

// trimFor has an entry that is added remove those that are then too many. Called with the lock.
func (k *key) trimFor(ctx context.Context, a *Added, t Trim) error {
	var err error
	if k.bounds, err = k.set.store.Bounds(ctx, k.part); err != nil {
		return err
	}
	b := k.bounds
	k.next = max(k.next, b.Next)
	if t.By == TrimMaxLen && t.Len > 0 && k.own && !k.gaps() && !k.thinning() {
		total := int64(k.next-max(b.First, k.trimmed)) + 1
		if n := t.whole(total-t.Len, total); n > 0 {
			k.trimmed = max(b.First, k.trimmed) + uint64(n)
			a.batch.Trims = append(a.batch.Trims, store.Position{Partition: k.part, Offset: k.trimmed})
		}
		return nil
	}
	k.flight.Wait()
	if err := k.refresh(ctx); err != nil {
		return err
	}
	a.min = t.Min
	n, err := k.excess(ctx, t, a)
	if err != nil {
		return err
	}
	a.itself = n > k.length()
	c := k.change()
	if err := k.cut(ctx, c, min(n, k.length())); err != nil {
		return err
	}
	for key, data := range c.state {
		if data == nil {
			a.batch.Deletes = append(a.batch.Deletes, key)
		}
	}
	a.batch.Removes, a.batch.Trims = append(a.batch.Removes, c.batch.Removes...), append(a.batch.Trims, c.batch.Trims...)
	return nil
}

// thinning tells whether single entries are being removed.
func (k *key) thinning() bool {
	k.ids.Lock()
	defer k.ids.Unlock()
	return len(k.gone) > 0
}

// excess returns how many entries are too many, among them that which is added if it is not nil. Called with the lock, and nothing under way.
func (k *key) excess(ctx context.Context, t Trim, adding *Added) (int64, error) {
	total := k.length()
	n := total - t.Len
	if t.By == TrimMinID {
		var err error
		if n, err = k.countBefore(ctx, t.Min); err != nil {
			return 0, err
		}
		if adding != nil && adding.given && adding.id.Less(t.Min) {
			n++
		}
	} else if adding != nil {
		n++
	}
	if adding != nil {
		total++
	}
	return t.whole(n, total), nil
}

// cut has the first entries removed. Called with the lock, and nothing under way.
func (k *key) cut(ctx context.Context, c *change, n int64) error {
	if n <= 0 {
		return nil
	}
	if !k.own {
		return k.eachMark(ctx, k.bounds.First, k.bounds.Next, func(offset uint64, _ bool) bool {
			if !k.leaving(offset) {
				c.take(offset)
				n--
			}
			return n > 0
		})
	}
	end := k.bounds.First + uint64(n)
	if k.gaps() {
		err := k.scan(ctx, k.bounds.First, k.bounds.Next, func(r *store.Record) bool {
			n--
			end = r.Offset + 1
			return n > 0
		})
		if err != nil {
			return err
		}
	}
	c.batch.Trims = append(c.batch.Trims, store.Position{Partition: k.part, Offset: end})
	return nil
}

// gaps tells whether entries were removed from between the others of a partition of the key's own.
func (k *key) gaps() bool { return k.bounds.Count != k.bounds.Next-k.bounds.First }

// countBefore counts the entries before an ID.
func (k *key) countBefore(ctx context.Context, id ID) (n int64, err error) {
	at, err := k.seek(ctx, id, k.bounds)
	switch {
	case err != nil:
		return 0, err
	case !k.own:
		err = k.eachMark(ctx, k.bounds.First, at, func(uint64, bool) bool { n++; return true })
	case !k.gaps():
		n = int64(at - k.bounds.First)
	default:
		err = k.scan(ctx, k.bounds.First, at, func(*store.Record) bool { n++; return true })
	}
	return n, err
}

// take removes an entry and counts it out.
func (c *change) take(offset uint64) {
	c.remove(offset)
	if !c.k.own {
		c.k.entries--
	}
}

// Trim removes what is too much, and returns how many entries that were.
func (s *Set) Trim(ctx context.Context, name []byte, t Trim) (n int64, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			return nil, nil
		}
		k.flight.Wait()
		if err := k.refresh(ctx); err != nil {
			return nil, err
		}
		if n, err = k.excess(ctx, t, nil); n == 0 || err != nil {
			return nil, err
		}
		c := k.change()
		err := k.cut(ctx, c, n)
		k.meta.exists = true
		c.putMeta()
		return c, err
	})
	return n, err
}

// Delete removes entries, and returns how many there were.
func (s *Set) Delete(ctx context.Context, name []byte, ids []ID) (n int64, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			return nil, nil
		}
		c := k.change()
		for _, id := range ids {
			r, err := k.find(ctx, id)
			if err != nil {
				return c, err
			}
			if r == nil {
				continue
			}
			n++
			if k.meta.maxDeleted.Less(id) {
				k.meta.maxDeleted = id
			}
			c.take(r.Offset)
		}
		if n > 0 {
			k.meta.exists = true
			c.putMeta()
		}
		return c, nil
	})
	return n, err
}

// Drop removes the keys with all that they have. The streams that captured them stay. It returns how many there were.
func (s *Set) Drop(ctx context.Context, name []byte) (was bool, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		if was = k.exists(); !was {
			return nil, nil
		}
		k.flight.Wait()
		if err := k.refresh(ctx); err != nil {
			return nil, err
		}
		c := k.change()
		if k.own {
			c.batch.Trims = append(c.batch.Trims, store.Position{Partition: k.part, Offset: k.bounds.Next})
		} else if err := k.cut(ctx, c, k.length()); err != nil {
			return c, err
		}
		for _, g := range k.groups {
			c.dropGroup(g)
		}
		k.groups = map[string]*group{}
		k.meta, k.entries = meta{seen: k.bounds.Next}, 0
		if k.own {
			k.meta.added = -int64(k.bounds.Next)
		}
		k.seenLast = ID{}
		k.ids.Lock()
		k.last, k.assigned = ID{}, ID{}
		k.ids.Unlock()
		c.putMeta()
		k.watch.wake()
		return c, nil
	})
	return was, err
}
