package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// takeShared takes what came by shared subscriptions out of what has come: by a member each, once, and nothing that was acknowledged.
func (r *run) takeShared(c *mClient, all []got) (rest []got, err error) {
	for _, g := range all {
		if !strings.HasPrefix(g.topic, "s/") {
			rest = append(rest, g)
			continue
		}
		if err := r.model.shared(c, g); err != nil {
			return nil, fmt.Errorf("got %+v: %w", g, err)
		}
	}
	return rest, nil
}

// fleeting tells whether a shared subscription selects a topic that has only members whose sessions end with their connections. Who of them has a message waiting in memory cannot be
// seen, and what it is before: so only QoS 0 is published there.
func (d *model) fleeting(topic string) bool {
	for _, g := range d.groups {
		if g.selects(topic) && !g.durable {
			return true
		}
	}
	return false
}

func (g *mGroup) selects(topic string) bool {
	f, err := event.ParseFilter(strings.SplitN(g.text, "/", 3)[2], event.Limits{})
	return err == nil && f.Match(topic)
}

// shared finds the shared subscription by which a message has come.
func (d *model) shared(c *mClient, g got) error {
	for _, sub := range c.session.subs {
		if sub.group == nil || len(g.ids) > 0 && !slices.Contains(g.ids, sub.id) || len(g.ids) == 0 && sub.id > 0 && c.version == packet.V5 {
			continue
		}
		m, logged := sub.group.take(g.payload)
		if m == nil {
			continue
		}
		switch {
		case m.topic != g.topic:
			return errors.New("it is on another topic")
		case g.qos > min(m.qos, sub.qos) || g.qos < min(m.qos, sub.qos) && logged:
			return fmt.Errorf("its QoS is wrong: %d is wanted", min(m.qos, sub.qos))
		case g.dup || g.retain != (m.retain && sub.rap):
			return errors.New("its flags are wrong")
		}
		if g.qos == 0 {
			return nil
		}
		f := &mFlight{m: m, qos: g.qos, group: sub.group, logged: logged}
		if err := c.took(g, f); err != nil {
			return err
		}
		c.session.flight = append(c.session.flight, f)
		return nil
	}
	return errors.New("no shared subscription owes it")
}

// makeWay has the last messages of this step wait that have no room beside those by shared subscriptions: which came first is not determined.
func (c *mClient) makeWay() {
	for s := c.session; s.under() > c.most; {
		at := -1
		for i, w := range c.want {
			if w.flight != nil && !w.dup && w.flight.group == nil && w.flight.retained == nil {
				at = i
			}
		}
		if at < 0 {
			return
		}
		w := c.want[at]
		c.want = slices.Delete(c.want, at, at+1)
		s.flight = slices.DeleteFunc(s.flight, func(f *mFlight) bool { return f == w.flight })
		back := &mWaiting{m: w.m, doubt: w.anyDup}
		if !s.lasts {
			w.flight, back.want = nil, w
		}
		s.waiting = slices.Insert(s.waiting, 0, back)
	}
}

// take takes a message out of what a shared subscription owes.
func (g *mGroup) take(payload string) (m *mMessage, logged bool) {
	for i, m := range g.waiting {
		if m.payload == payload {
			g.waiting = slices.Delete(g.waiting, i, i+1)
			return m, true
		}
	}
	m = g.live[payload]
	delete(g.live, payload)
	return m, false
}

// stuck tells whether something waits for a shared subscription of which a member has room.
func (r *run) stuck() error {
	for _, g := range r.model.groups {
		g.waiting = slices.DeleteFunc(g.waiting, func(m *mMessage) bool { return m.expired(time.Now()) })
		if len(g.waiting) == 0 {
			continue
		}
		free, there := 0, 0
		for id := range g.members {
			c := r.model.client(id)
			if !c.connected() {
				continue
			}
			there++
			if c.room() && len(c.session.waiting) == 0 && len(c.session.replay) == 0 {
				free++
			}
		}
		if free > 0 && (!g.byKey || free == there) {
			return fmt.Errorf("%q waits for %s, which has a member with room", g.waiting[0].payload, g.text)
		}
	}
	return nil
}
