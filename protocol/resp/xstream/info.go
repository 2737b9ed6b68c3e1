package xstream

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// PendingInfo is one pending entry.
type PendingInfo struct {
	ID
	Consumer string
	At       int64 // when it was delivered last, in milliseconds since 1970
	Count    uint64
}

// PendingSummary is what XPENDING tells about a group.
type PendingSummary struct {
	Total       int
	First, Last ID
	Consumers   []ConsumerInfo // those with something pending
}

// ConsumerInfo is one consumer.
type ConsumerInfo struct {
	Name    string
	Pending int
	Seen    int64         // when it last asked, in milliseconds since 1970
	Entries []PendingInfo // only if they were asked for
}

// GroupInfo is one group.
type GroupInfo struct {
	Name      string
	Last      ID
	Read      int64 // UnknownRead if nobody can tell
	Lag       int64 // less than 0 if the group was told that it has read more than there were
	LagKnown  bool  // whether anybody can tell
	Pending   int
	Members   int            // consumers
	Consumers []ConsumerInfo // only if pending entries were asked for
	Entries   []PendingInfo  // only if they were asked for
}

// Info is a stream.
type Info struct {
	Length          int64
	Added           int64
	Last, Deleted   ID
	FirstID         ID
	First, LastItem *Entry
	Groups          []GroupInfo
}

// Pending returns the summary of a group.
func (s *Set) Pending(ctx context.Context, name, groupName []byte) (sum PendingSummary, err error) {
	err = s.withGroup(ctx, name, groupName, func(_ *key, g *group) (*change, error) {
		sum.Total = g.pel.n
		if first, last := g.pel.edges(); first != nil {
			sum.First, sum.Last = first.id, last.id
		}
		for _, c := range g.sorted() {
			if c.pel.n > 0 {
				sum.Consumers = append(sum.Consumers, ConsumerInfo{Name: c.name, Pending: c.pel.n})
			}
		}
		return nil, nil
	})
	return sum, err
}

// PendingRange is what the long form of XPENDING asks for.
type PendingRange struct {
	Group, Consumer []byte // nil is every consumer
	Start, End      ID
	Count, MinIdle  int64
	Most            int // with more it is [ErrLong]; 0 is no limit
}

// ErrLong means that a list is longer than whoever asked can take.
const ErrLong = Error("ERR the reply would be too long. Ask for fewer entries, with COUNT")

// ListedSize is about how many bytes an element of a list of pending entries or consumers holds.
const ListedSize = 64

// PendingEntries returns pending entries.
func (s *Set) PendingEntries(ctx context.Context, name []byte, q PendingRange) (list []PendingInfo, err error) {
	err = s.withGroup(ctx, name, q.Group, func(_ *key, g *group) (*change, error) {
		l := &g.pel
		if q.Consumer != nil {
			con := g.consumers[string(q.Consumer)]
			if con == nil {
				return nil, nil
			}
			l = &con.pel
		}
		now, long := s.now(), false
		l.from(q.Start, func(p *pending) bool {
			if int64(len(list)) >= q.Count || q.End.Less(p.id) {
				return false
			}
			if q.MinIdle == 0 || now-p.at >= q.MinIdle {
				if long = q.Most > 0 && len(list) == q.Most; long {
					return false
				}
				list = append(list, p.info())
			}
			return true
		})
		if long {
			return nil, ErrLong
		}
		return nil, nil
	})
	return list, err
}

func (p *pending) info() PendingInfo { return PendingInfo{p.id, p.consumer.name, p.at, p.count} }

// Info returns what there is at a key. With pending it goes into detail, with at most so many pending entries for each group and consumer;
// negative is without, and 0 is all. All lists together have at most so many elements, or it fails with [ErrLong]; 0 is no limit.
func (s *Set) Info(ctx context.Context, name []byte, pending int64, most int) (info Info, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			return nil, ErrNoKey
		}
		p, err := k.progress(ctx)
		if err != nil {
			return nil, err
		}
		info = Info{Length: p.length, Added: p.added, Last: p.last, Deleted: p.del, FirstID: p.first}
		if info.First, info.LastItem, err = k.edges(ctx); err != nil {
			return nil, err
		}
		left := cmp.Or(most, math.MaxInt)
		for _, g := range k.groups {
			gi := GroupInfo{Name: g.name, Last: g.last, Read: g.read, Pending: g.pel.n, Members: len(g.consumers)}
			gi.Lag, gi.LagKnown = p.lag(g)
			if pending >= 0 {
				gi.Entries = g.pel.infos(pending, &left)
				if gi.Consumers, err = g.infos(pending, &left); err != nil {
					return nil, err
				}
			}
			info.Groups = append(info.Groups, gi)
		}
		slices.SortFunc(info.Groups, func(a, b GroupInfo) int { return cmp.Compare(a.Name, b.Name) })
		return nil, nil
	})
	return info, err
}

// Consumers returns the consumers of a group, of which there are at most so many, or it fails with [ErrLong]. Without the key it is [ErrNoKey].
func (s *Set) Consumers(ctx context.Context, name, groupName []byte, most int) (list []ConsumerInfo, err error) {
	err = s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			return nil, ErrNoKey
		}
		g := k.groups[string(groupName)]
		if g == nil {
			return nil, ErrNoGroup
		}
		list, err = g.infos(-1, &most)
		return nil, err
	})
	return list, err
}

// infos returns the consumers with so many of their pending entries, and counts all down from left.
func (g *group) infos(pending int64, left *int) (list []ConsumerInfo, err error) {
	if *left -= len(g.consumers); *left < 0 {
		return nil, ErrLong
	}
	for _, c := range g.sorted() {
		list = append(list, ConsumerInfo{Name: c.name, Pending: c.pel.n, Seen: c.seen, Entries: c.pel.infos(pending, left)})
	}
	if *left < 0 {
		return nil, ErrLong
	}
	return list, nil
}

// infos returns as many as asked for, see [Set.Info], and counts them down from left, where it ends below 0.
func (l *pel) infos(most int64, left *int) (list []PendingInfo) {
	if most < 0 {
		return nil
	}
	l.from(ID{}, func(p *pending) bool {
		if *left--; *left < 0 {
			return false
		}
		list = append(list, p.info())
		return most == 0 || int64(len(list)) < most
	})
	return list
}

// SetID sets the last ID that was generated, and, unless they are negative or nil, how many entries there ever were and the highest that was
// deleted.
func (s *Set) SetID(ctx context.Context, name []byte, id ID, added int64, deleted *ID) error {
	return s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			return nil, ErrNoKey
		}
		k.flight.Wait()
		if err := k.refresh(ctx); err != nil {
			return nil, err
		}
		switch length := k.length(); {
		case length > 0 && id.Less(k.validLast(ctx)):
			return nil, ErrSetIDTop
		case added >= 0 && added < length:
			return nil, ErrSetIDAdded
		}
		if added >= 0 {
			k.meta.added += added - k.added()
		}
		if deleted != nil {
			k.meta.maxDeleted = *deleted
		}
		k.meta.exists = true
		k.seenLast = id
		k.ids.Lock()
		k.last, k.assigned = id, id
		k.ids.Unlock()
		c := k.change()
		c.putMeta()
		return c, nil
	})
}
