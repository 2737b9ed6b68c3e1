package xstream

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/spate-io/spate/store"
)

// UnknownRead is the number of entries that a group has read when nobody can tell.
const UnknownRead = -1

// A group is a consumer group.
type group struct {
	number    uint64
	name      string
	last      ID    // delivered to anybody
	read      int64 // entries of the stream up to last, or UnknownRead
	pel       pel
	consumers map[string]*consumer
}

// A consumer is one of a group.
type consumer struct {
	number uint64
	name   string
	seen   int64 // when it last asked, in milliseconds since 1970; kept in memory only, but for when it was made
	pel    pel
}

// sorted returns the consumers by name.
func (g *group) sorted() []*consumer {
	all := make([]*consumer, 0, len(g.consumers))
	for _, c := range g.consumers {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *consumer) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func (g *group) encode() []byte {
	data := appendText(nil, g.name)
	data = appendID(data, g.last)
	return binary.AppendVarint(data, g.read)
}

func (c *change) putGroup(g *group) { c.put(c.k.stateKey(stateGroup, g.number), g.encode()) }

func (c *change) putConsumer(g *group, con *consumer) error {
	data := appendText(nil, con.name)
	return c.puts(kindConsumer, c.k.stateKey(stateConsumer, g.number, con.number), binary.AppendVarint(data, con.seen))
}

// putPending stores what is pending for whom. There is one for each entry that is delivered, so it is short.
func (c *change) putPending(g *group, p *pending) { c.put(c.pendingKey(g, p), p.encode()) }

func (c *change) pendingKey(g *group, p *pending) string {
	return c.k.stateKey(statePending, g.number, p.id.Ms, p.id.Seq)
}

func (p *pending) encode() []byte {
	data := make([]byte, 0, 3*binary.MaxVarintLen64)
	data = binary.AppendUvarint(data, p.consumer.number)
	data = binary.AppendVarint(data, p.at)
	return binary.AppendUvarint(data, p.count)
}

// newPending has an entry become pending for a consumer, if there is room.
func (c *change) newPending(g *group, p *pending) error {
	if g.pel.n >= c.k.set.limits.Pending {
		return errManyPending
	}
	if err := c.puts(kindPending, c.pendingKey(g, p), p.encode()); err != nil {
		return err
	}
	g.pel.put(p)
	p.consumer.pel.put(p)
	return nil
}

// settle removes a pending entry.
func (c *change) settle(g *group, p *pending) {
	g.pel.drop(p)
	p.consumer.pel.drop(p)
	c.dels(kindPending, c.pendingKey(g, p))
}

// dropGroup removes all that is stored of a group.
func (c *change) dropGroup(g *group) {
	c.dels(kindGroup, c.k.stateKey(stateGroup, g.number))
	for _, con := range g.consumers {
		c.dels(kindConsumer, c.k.stateKey(stateConsumer, g.number, con.number))
	}
	g.pel.from(ID{}, func(p *pending) bool {
		c.dels(kindPending, c.pendingKey(g, p))
		return true
	})
}

// loadGroups reads the groups with their consumers and what is pending. What belongs to a group that is not there is left alone.
func (k *key) loadGroups(ctx context.Context) error {
	groups := map[uint64]*group{}
	consumers := map[[2]uint64]*consumer{}
	err := k.set.eachState(ctx, k.stateKey(stateGroup), func(e store.Entry) error {
		d := decoder{data: e.Data}
		g := &group{number: k.numbersOf(stateGroup, e.Key)[0], name: d.text(), last: d.id(), read: d.int(), consumers: map[string]*consumer{}}
		k.groups[g.name], groups[g.number] = g, g
		k.numbers = max(k.numbers, g.number)
		return d.err()
	})
	if err != nil || len(groups) == 0 {
		return err
	}
	err = k.set.eachState(ctx, k.stateKey(stateConsumer), func(e store.Entry) error {
		n, d := k.numbersOf(stateConsumer, e.Key), decoder{data: e.Data}
		k.numbers = max(k.numbers, n[0], n[1])
		if g := groups[n[0]]; g != nil {
			con := &consumer{number: n[1], name: d.text(), seen: d.int()}
			g.consumers[con.name], consumers[[2]uint64{n[0], n[1]}] = con, con
		}
		return d.err()
	})
	if err != nil {
		return err
	}
	return k.set.eachState(ctx, k.stateKey(statePending), func(e store.Entry) error {
		n, d := k.numbersOf(statePending, e.Key), decoder{data: e.Data}
		con := consumers[[2]uint64{n[0], d.uint()}]
		p := &pending{id: ID{n[1], n[2]}, consumer: con, at: d.int(), count: d.uint()}
		if g := groups[n[0]]; g != nil && con != nil {
			g.pel.put(p)
			con.pel.put(p)
			con.seen = max(con.seen, p.at)
		}
		return d.err()
	})
}

func (d *decoder) err() error {
	if d.bad {
		return errState
	}
	return nil
}

// withGroup is with for a command that needs a group: it fails with [ErrNoGroup] if there is none.
func (s *Set) withGroup(ctx context.Context, name, groupName []byte, fn func(k *key, g *group) (*change, error)) error {
	return s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			return nil, ErrNoGroup
		}
		g := k.groups[string(groupName)]
		if g == nil {
			return nil, ErrNoGroup
		}
		return fn(k, g)
	})
}

// Place is where a group begins: an ID, or behind the last entry that there is.
type Place struct {
	ID
	End bool
}

func (k *key) resolve(p Place) ID {
	if !p.End {
		return p.ID
	}
	last, _ := k.top()
	return last
}

// CreateGroup makes a group; make says that it makes the key too.
func (s *Set) CreateGroup(ctx context.Context, name, groupName []byte, at Place, read int64, makeKey bool) error {
	if err := s.checkName("group", groupName); err != nil {
		return err
	}
	return s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			if !makeKey {
				return nil, ErrNeedsKey
			}
			if err := k.make(ctx); err != nil {
				return nil, err
			}
		}
		switch {
		case k.groups[string(groupName)] != nil:
			return nil, ErrBusyGroup
		case len(k.groups) >= s.limits.Groups:
			return nil, refusedf("there are %d consumer groups at this key, and no more are allowed", len(k.groups))
		}
		k.numbers++
		g := &group{number: k.numbers, name: string(groupName), last: k.resolve(at), read: read, consumers: map[string]*consumer{}}
		c := k.change()
		if err := c.puts(kindGroup, k.stateKey(stateGroup, g.number), g.encode()); err != nil {
			return nil, err
		}
		k.groups[g.name] = g
		k.meta.exists = true
		c.putMeta()
		return c, nil
	})
}

// make has the key exist without entries.
func (k *key) make(ctx context.Context) error {
	if k.stream == nil {
		if err := k.establish(ctx); err != nil {
			return err
		}
		return k.refresh(ctx)
	}
	return nil
}

func (s *Set) checkName(what string, name []byte) error {
	if len(name) > s.limits.NameLength {
		return refusedf("the name of the %s has %d bytes, at most %d are allowed", what, len(name), s.limits.NameLength)
	}
	return nil
}

// SetGroupID moves a group.
func (s *Set) SetGroupID(ctx context.Context, name, groupName []byte, at Place, read int64) error {
	return s.withXGroup(ctx, name, groupName, func(k *key, g *group) (*change, error) {
		g.last, g.read = k.resolve(at), read
		c := k.change()
		c.putGroup(g)
		k.watch.wake()
		return c, nil
	})
}

// withXGroup is withGroup for XGROUP, which tells a key that is not there from a group that is not.
func (s *Set) withXGroup(ctx context.Context, name, groupName []byte, fn func(k *key, g *group) (*change, error)) error {
	return s.with(ctx, name, func(k *key) (*change, error) {
		if !k.exists() {
			return nil, ErrNeedsKey
		}
		g := k.groups[string(groupName)]
		if g == nil {
			return nil, ErrNoGroup
		}
		return fn(k, g)
	})
}

// DestroyGroup removes a group, and reports whether there was one.
func (s *Set) DestroyGroup(ctx context.Context, name, groupName []byte) (was bool, err error) {
	err = s.withXGroup(ctx, name, groupName, func(k *key, g *group) (*change, error) {
		was = true
		c := k.change()
		c.dropGroup(g)
		delete(k.groups, g.name)
		k.watch.wake()
		return c, nil
	})
	if errors.Is(err, ErrNoGroup) {
		err = nil
	}
	return was, err
}

// CreateConsumer makes a consumer, and reports whether there was none.
func (s *Set) CreateConsumer(ctx context.Context, name, groupName, consumerName []byte) (made bool, err error) {
	err = s.withXGroup(ctx, name, groupName, func(k *key, g *group) (*change, error) {
		if g.consumers[string(consumerName)] != nil {
			return nil, nil
		}
		made = true
		c := k.change()
		_, err := c.consumer(g, consumerName)
		return c, err
	})
	return made, err
}

// consumer returns the consumer of a name, which is made if it is not there, and has just been seen.
func (c *change) consumer(g *group, name []byte) (*consumer, error) {
	s := c.k.set
	con := g.consumers[string(name)]
	if con == nil {
		if err := s.checkName("consumer", name); err != nil {
			return nil, err
		}
		if len(g.consumers) >= s.limits.Consumers {
			return nil, refusedf("the group has %d consumers, and no more are allowed", len(g.consumers))
		}
		c.k.numbers++
		con = &consumer{number: c.k.numbers, name: string(name), seen: s.now()}
		if err := c.putConsumer(g, con); err != nil {
			return nil, err
		}
		g.consumers[con.name] = con
	}
	con.seen = s.now()
	return con, nil
}

// DropConsumer removes a consumer with what is pending for it, and returns how many entries that were.
func (s *Set) DropConsumer(ctx context.Context, name, groupName, consumerName []byte) (n int, err error) {
	err = s.withXGroup(ctx, name, groupName, func(k *key, g *group) (*change, error) {
		con := g.consumers[string(consumerName)]
		if con == nil {
			return nil, nil
		}
		n = con.pel.n
		c := k.change()
		var all []*pending
		con.pel.from(ID{}, func(p *pending) bool {
			all = append(all, p)
			return true
		})
		for _, p := range all {
			c.settle(g, p)
		}
		delete(g.consumers, con.name)
		c.dels(kindConsumer, k.stateKey(stateConsumer, g.number, con.number))
		return c, nil
	})
	return n, err
}

// Ack acknowledges entries, and returns how many were pending.
func (s *Set) Ack(ctx context.Context, name, groupName []byte, ids []ID) (n int, err error) {
	err = s.withGroup(ctx, name, groupName, func(k *key, g *group) (*change, error) {
		c := k.change()
		for _, id := range ids {
			if p := g.pel.get(id); p != nil {
				n++
				c.settle(g, p)
			}
		}
		return c, nil
	})
	return n, err
}
