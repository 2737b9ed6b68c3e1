package xstream

import (
	"cmp"
	"context"

	"github.com/spate-io/spate/store"
)

// A Delivery is what XREADGROUP asks for.
type Delivery struct {
	Group, Consumer []byte
	// New asks for entries that nobody has got; else for what is pending for the consumer, after the ID.
	New   bool
	After ID
	Count int64 // at most; 0 is all
	Bytes int   // of entries, about, at most
	NoAck bool  // they do not become pending
}

// A Delivered is an entry for a consumer. Event is nil if it was removed meanwhile.
type Delivered = Entry

// Check reports with [ErrNoGroup] that there is no such group.
func (s *Set) Check(ctx context.Context, name, groupName []byte) error {
	return s.withGroup(ctx, name, groupName, func(*key, *group) (*change, error) { return nil, nil })
}

// CheckX is Check for XGROUP, which fails with [ErrNeedsKey] if there is no such key.
func (s *Set) CheckX(ctx context.Context, name, groupName []byte) error {
	return s.withXGroup(ctx, name, groupName, func(*key, *group) (*change, error) { return nil, nil })
}

// Deliver gives entries to a consumer. It reports with nil, and no error, that there is nothing new.
func (s *Set) Deliver(ctx context.Context, name []byte, d Delivery) (entries []Delivered, err error) {
	err = s.withGroup(ctx, name, d.Group, func(k *key, g *group) (*change, error) {
		if d.New && (k.length() == 0 || !g.last.Less(k.validLast(ctx))) {
			return nil, nil
		}
		c := k.change()
		con, err := c.consumer(g, d.Consumer)
		if err != nil {
			return c, err
		}
		if !d.New {
			entries, err = k.again(ctx, c, g, con, &d)
			return c, err
		}
		entries, err = k.deliver(ctx, c, g, con, &d)
		return c, err
	})
	return entries, err
}

// validLast returns the ID of the last entry that there is.
func (k *key) validLast(ctx context.Context) (id ID) {
	_, last, err := k.edges(ctx)
	if err != nil || last == nil {
		return id
	}
	return last.ID
}

// again delivers what is pending for the consumer.
func (k *key) again(ctx context.Context, c *change, g *group, con *consumer, d *Delivery) ([]Delivered, error) {
	entries := []Delivered{}
	from, ok := d.After.Next()
	if !ok {
		return entries, nil
	}
	var failed error
	now, size := k.set.now(), 0
	con.pel.from(from, func(p *pending) bool {
		r, err := k.find(ctx, p.id)
		if err != nil {
			failed = err
			return false
		}
		e := Delivered{ID: p.id}
		if r != nil {
			e.Event = r.Event
			size += r.Event.Size()
			if size > d.Bytes && len(entries) > 0 {
				return false
			}
			p.at = now
			p.count++
			c.putPending(g, p)
		}
		entries = append(entries, e)
		return d.Count == 0 || int64(len(entries)) < d.Count
	})
	return entries, failed
}

// deliver gives new entries to the consumer.
func (k *key) deliver(ctx context.Context, c *change, g *group, con *consumer, d *Delivery) (entries []Delivered, err error) {
	at, err := k.after(ctx, g.last, k.bounds)
	if err != nil {
		return nil, err
	}
	lag, err := k.progress(ctx)
	if err != nil {
		return nil, err
	}
	most, size, full := d.Count, 0, error(nil)
	hint := scanRecords
	if most > 0 {
		hint = int(min(most, scanRecords))
	}
	now := k.set.now()
	err = k.scanSome(ctx, at, k.bounds.Next, hint, func(r *store.Record) bool {
		if k.leaving(r.Offset) {
			return true
		}
		size += r.Event.Size()
		if size > d.Bytes && len(entries) > 0 {
			return false
		}
		e := k.entry(r)
		if !d.NoAck {
			if full = k.pend(c, g, con, e.ID, now); full != nil {
				return false
			}
		}
		entries = append(entries, e)
		lag.advance(g, e.ID)
		return most == 0 || int64(len(entries)) < most
	})
	if len(entries) > 0 { // as many as there was room for
		c.putGroup(g)
		full = nil
	}
	return entries, cmp.Or(err, full)
}

// pend makes an entry pending for a consumer. It may be pending already, since a group can be moved back.
func (k *key) pend(c *change, g *group, con *consumer, id ID, now int64) error {
	p := g.pel.get(id)
	if p == nil {
		return c.newPending(g, &pending{id: id, consumer: con, at: now, count: 1})
	}
	c.give(p, con)
	p.at, p.count = now, 1
	c.putPending(g, p)
	return nil
}

// give moves a pending entry to another consumer.
func (c *change) give(p *pending, to *consumer) {
	if p.consumer == to {
		return
	}
	p.consumer.pel.drop(p)
	p.consumer = to
	to.pel.put(p)
}

// progress is what is needed to tell how far a group has come.
type progress struct {
	added, length    int64
	first, last, del ID // of the entries, the last generated, the highest deleted
}

func (k *key) progress(ctx context.Context) (p progress, err error) {
	p.added, p.length, p.del = k.added(), k.length(), k.meta.maxDeleted
	p.last, _ = k.top()
	first, _, err := k.edges(ctx)
	if first != nil {
		p.first = first.ID
	}
	return p, err
}

// gaps tells whether entries may have been deleted from an ID on.
func (p *progress) gaps(from ID) bool {
	return p.length > 0 && !p.del.IsZero() && !p.del.Less(p.first) && !p.del.Less(from)
}

// read returns how many entries of the stream there have been up to an ID, or UnknownRead. It is Redis's estimate.
func (p *progress) read(id ID) int64 {
	switch {
	case p.added == 0:
		return 0
	case p.length == 0 && !p.last.Less(id):
		return p.added
	case id == p.last:
		return p.added
	case p.last.Less(id):
		return UnknownRead
	}
	if p.del.IsZero() || p.del.Less(p.first) {
		switch id.Compare(p.first) {
		case -1:
			return p.added - p.length
		case 0:
			return p.added - p.length + 1
		}
	}
	return UnknownRead
}

// advance counts an entry that a group has got.
func (p *progress) advance(g *group, id ID) {
	if !g.last.Less(id) {
		return
	}
	if g.read != UnknownRead && !p.gaps(id) {
		g.read++
	} else if p.added != 0 { // which wraps around, as in Redis
		g.read = p.read(id)
	}
	g.last = id
}

// lag returns how many entries a group has yet to get, or false if nobody can tell.
func (p *progress) lag(g *group) (int64, bool) {
	switch {
	case p.added == 0:
		return 0, true
	case g.read != UnknownRead && !p.gaps(g.last):
		return p.added - g.read, true
	}
	if n := p.read(g.last); n != UnknownRead {
		return p.added - n, true
	}
	return 0, false
}
