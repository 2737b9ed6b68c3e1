package xstream

import (
	"context"
	"math"
)

// Claim is what XCLAIM asks for.
type Claim struct {
	Group, Consumer []byte
	MinIdle         int64 // milliseconds
	IDs             []ID
	At              int64 // when the entries count as delivered, in milliseconds since 1970; ClaimNow is now
	Count           int64 // how often; negative is one more often than before
	Force           bool  // also what is not pending
	JustID          bool  // it does not count as a delivery
	Last            ID    // the group gets at least as far
	Bytes           int   // of entries, about, at most; 0 is no limit. The rest stays with whom it is
}

// ClaimNow is the time of a claim that says none.
const ClaimNow = math.MinInt64

// Claim gives pending entries to another consumer. With JustID they come without events.
func (s *Set) Claim(ctx context.Context, name []byte, q Claim) (entries []Delivered, err error) {
	err = s.withGroup(ctx, name, q.Group, func(k *key, g *group) (*change, error) {
		c := k.change()
		if g.last.Less(q.Last) {
			g.last = q.Last
			c.putGroup(g)
		}
		now := s.now()
		if q.At == ClaimNow || q.At < 0 || q.At > now {
			q.At = now
		}
		size := 0
		for _, id := range q.IDs {
			if q.Bytes > 0 && size >= q.Bytes {
				break
			}
			e, err := k.claim(ctx, c, g, &q, id, now)
			if err != nil {
				return c, err
			}
			if e == nil {
				continue
			}
			if q.JustID {
				e.Event = nil
			} else {
				size += e.Event.Size()
			}
			entries = append(entries, *e)
		}
		return c, nil
	})
	return entries, err
}

// claim gives one entry to the consumer, if it may.
func (k *key) claim(ctx context.Context, c *change, g *group, q *Claim, id ID, now int64) (*Delivered, error) {
	p := g.pel.get(id)
	if p == nil && !q.Force {
		return nil, nil
	}
	r, err := k.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if r == nil {
		if p != nil {
			c.settle(g, p)
		}
		return nil, nil
	}
	if p != nil && q.MinIdle > 0 && now-p.at < q.MinIdle {
		return nil, nil
	}
	con, err := c.consumer(g, q.Consumer)
	if err != nil {
		return nil, err
	}
	if p == nil {
		p = &pending{id: id, consumer: con, count: 1}
		if err := c.newPending(g, p); err != nil {
			return nil, err
		}
	}
	c.give(p, con)
	p.at = q.At
	switch {
	case q.Count >= 0:
		p.count = uint64(q.Count)
	case !q.JustID:
		p.count++
	}
	c.putPending(g, p)
	return &Delivered{ID: id, Event: r.Event}, nil
}

// AutoClaim is what XAUTOCLAIM asks for.
type AutoClaim struct {
	Group, Consumer []byte
	MinIdle         int64
	Start           ID
	Count           int64
	JustID          bool
	Bytes           int // of entries, about, at most; 0 is no limit
}

// AutoClaim gives entries that are pending for long to another consumer. It returns where to go on, or 0-0, and which entries are no
// longer there. It ends early after 10 000 entries, and when they have as many bytes as are allowed. With JustID they come without events.
func (s *Set) AutoClaim(ctx context.Context, name []byte, q AutoClaim) (next ID, entries []Delivered, gone []ID, err error) {
	err = s.withGroup(ctx, name, q.Group, func(k *key, g *group) (*change, error) {
		if q.Count > countMost {
			return nil, ErrCount
		}
		c := k.change()
		const tries = 10 // entries looked at for each that may be claimed
		now, left, attempts, size := s.now(), min(q.Count, claimMost), min(q.Count, claimMost)*tries, 0
		var todo []*pending
		g.pel.from(q.Start, func(p *pending) bool {
			if attempts == 0 || left == 0 || q.Bytes > 0 && size >= q.Bytes {
				next = p.id
				return false
			}
			attempts--
			r, failed := k.find(ctx, p.id)
			if err = failed; err != nil {
				return false
			}
			if r != nil && q.MinIdle > 0 && now-p.at < q.MinIdle {
				return true
			}
			left--
			todo = append(todo, p)
			switch {
			case r == nil:
				gone = append(gone, p.id)
			case q.JustID:
				entries = append(entries, Delivered{ID: p.id})
			default:
				entries = append(entries, Delivered{ID: p.id, Event: r.Event})
				size += r.Event.Size()
			}
			return true
		})
		if err != nil {
			return c, err
		}
		return c, c.claimAll(g, q, todo, gone, now)
	})
	return next, entries, gone, err
}

// claimAll gives the pending entries to the consumer; those in gone, which are in the same order, it removes.
func (c *change) claimAll(g *group, q AutoClaim, todo []*pending, gone []ID, now int64) error {
	for _, p := range todo {
		if len(gone) > 0 && gone[0] == p.id {
			gone = gone[1:]
			c.settle(g, p)
			continue
		}
		con, err := c.consumer(g, q.Consumer)
		if err != nil {
			return err
		}
		c.give(p, con)
		p.at = now
		if !q.JustID {
			p.count++
		}
		c.putPending(g, p)
	}
	return nil
}
