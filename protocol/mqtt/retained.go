package mqtt

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// retained are the retained messages (§3.3.1.3): the state of the store, by topic. Nothing of them is in memory.
type retained struct {
	broker *Broker
	count  atomic.Int64
	// doubt is set when there seem to be too many: two connections that retain the first message of a topic at the same time count it twice, so they are counted anew.
	doubt   atomic.Bool
	counted atomic.Bool // the store was looked through
	some    atomic.Bool // there may be some
	looked  string      // the last key that was looked at; of Run only
}

// none tells whether there are none for sure, so that nobody need look.
func (r *retained) none() bool { return r.counted.Load() && !r.some.Load() }

func retainedKey(topic string) string { return retainedPrefix + topic }

// retain has the turn keep a message as the last one of its topic, or forget that, if it is empty.
func (t *turn) retain(e *event.Event) packet.Code {
	b := t.c.broker
	key := retainedKey(e.Subject)
	if len(key) > b.store.Limits().Key {
		return packet.TopicNameInvalid
	}
	had, known := t.has(key)
	if !known {
		had = b.retained.has(key)
	}
	if len(e.Data) == 0 {
		if had && b.retained.count.Add(-1) < 0 {
			b.retained.doubt.Store(true)
		}
		t.remove(key)
		return packet.Success
	}
	if !had {
		if b.retained.count.Add(1) > int64(b.limits.Retained) {
			b.retained.count.Add(-1)
			b.retained.doubt.Store(true)
			return packet.QuotaExceeded
		}
	}
	b.retained.some.Store(true)
	t.put(key, encodeRetained(e))
	return packet.Success
}

// change is retain for a will.
func (r *retained) change(batch *store.Batch, e *event.Event) {
	key := retainedKey(e.Subject)
	if len(key) > r.broker.store.Limits().Key {
		return
	}
	had := r.has(key)
	if len(e.Data) == 0 {
		if had && r.count.Add(-1) < 0 {
			r.doubt.Store(true)
		}
		batch.Deletes = append(batch.Deletes, key)
		return
	}
	if !had && r.count.Add(1) > int64(r.broker.limits.Retained) {
		r.count.Add(-1)
		r.doubt.Store(true)
		r.broker.log.Warn("a will is published and not retained: there are as many retained messages as there may be", "topic", e.Subject)
		return
	}
	r.some.Store(true)
	batch.Puts = append(batch.Puts, store.Put{Key: key, Data: encodeRetained(e)})
}

func (r *retained) has(key string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	v, err := r.broker.store.Get(ctx, key)
	return err == nil && v.Revision != 0
}

// anew has everything counted again, if there is doubt about the count.
func (r *retained) anew() bool {
	if !r.doubt.Swap(false) {
		return false
	}
	r.count.Store(0)
	r.looked = ""
	return true
}

// look looks through the next page of what there is, and tells whether that was the last one. What comes and goes meanwhile may be counted wrongly by a few.
func (r *retained) look(ctx context.Context) (done bool, err error) {
	entries, err := r.broker.store.Scan(ctx, retainedPrefix, r.looked, pageMessages)
	if err != nil {
		return false, err
	}
	if len(entries) > 0 {
		r.some.Store(true)
		r.count.Add(int64(len(entries)))
		r.looked = entries[len(entries)-1].Key
	}
	if len(entries) == pageMessages {
		return false, nil
	}
	r.counted.Store(true)
	return true, nil
}

// A replay is retained messages that are still to be sent to a client. They are read in pages, as the client takes them.
type replay struct {
	todo []replayOf
	seen map[string]int // topics on which something newer was delivered meanwhile: the how many-th message it was
	n    int            // messages that were delivered meanwhile
}

// A replayOf is the retained messages of one subscription.
type replayOf struct {
	sub   *subscription
	after string // the last key that was looked at
	since int    // so many messages had been delivered when it began
}

// replayLocked has the retained messages of a subscription sent, all of them.
func (s *session) replayLocked(sub *subscription) {
	if s.broker.store == nil {
		return
	}
	if s.replay == nil {
		s.replay = &replay{seen: map[string]int{}}
	}
	s.replay.without(sub)
	s.replay.todo = append(s.replay.todo, replayOf{sub: sub, since: s.replay.n})
}

// replace is told that a subscription is in the place of another.
func (r *replay) replace(old, sub *subscription) {
	if r == nil {
		return
	}
	for i := range r.todo {
		if r.todo[i].sub == old {
			r.todo[i].sub = sub
		}
	}
}

// without forgets a subscription that has ended.
func (r *replay) without(sub *subscription) {
	if r == nil {
		return
	}
	for i := range r.todo {
		if r.todo[i].sub == sub {
			r.todo = append(r.todo[:i:i], r.todo[i+1:]...)
			return
		}
	}
}

// met notes that a newer message of a topic was delivered, so that an older one does not follow. The caller has the lock of the session.
func (r *replay) met(topic string) {
	if r == nil {
		return
	}
	r.n++
	if _, has := r.seen[topic]; has || len(r.seen) < maxReplaySeen {
		r.seen[copied(topic)] = r.n
	}
}

// overtaken tells whether something newer was delivered on a topic since.
func (r *replay) overtaken(topic string, since int) bool { return r.seen[topic] > since }

// replayOn sends retained messages as far as the client takes them. It is called on the connection's task.
func (s *session) replayOn(c *conn) {
	for {
		s.mu.Lock()
		if s.conn != c || s.replay == nil || !s.roomLocked() {
			s.mu.Unlock()
			return
		}
		if len(s.replay.todo) == 0 {
			s.replay, s.window.reserved = nil, nil
			s.mu.Unlock()
			return
		}
		todo := s.replay.todo[0]
		s.mu.Unlock()
		if c.carrier.AwaitRoom() != nil {
			return
		}
		events, after, err := s.broker.retained.page(todo)
		if err != nil {
			s.broker.log.Error("reading retained messages", "filter", todo.sub.text(), "error", err)
			c.carrier.Close(engine.ReasonInternal, err)
			return
		}
		if len(events) > 0 && !s.broker.delivered(c) {
			return
		}
		if !s.reserve(c, todo.sub, events) || !s.sendRetained(c, todo.sub, events, after) {
			return
		}
	}
}

// reserve stores the identifiers that the retained messages of a page are going to have, if their client goes by them and the session outlives a crash. Those of messages in
// the log follow from their places.
func (s *session) reserve(c *conn, sub *subscription, events []*event.Event) bool {
	if s.lasting == nil || sub.qos < 2 {
		return true
	}
	need := 0
	for _, e := range events {
		if metaOf(e).qos == 2 {
			need++
		}
	}
	s.lasting.save.Lock()
	defer s.lasting.save.Unlock()
	s.mu.Lock()
	if need <= len(s.window.reserved) || s.over {
		s.mu.Unlock()
		return true
	}
	for len(s.window.reserved) < need {
		s.window.reserved = append(s.window.reserved, s.window.nextID())
	}
	marks := s.marksLocked()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.carrier.Context(), readTimeout)
	defer cancel()
	if err := store.Commit(ctx, s.broker.store, &store.Batch{Puts: []store.Put{{Key: marksKey(s.id), Data: marks}}}); err != nil {
		c.carrier.Close(engine.ReasonInternal, err)
		return false
	}
	return true
}

// delivered waits until everything that is in the store now has been delivered. A retained message that was published after the client has subscribed
// then is one that it has had, and is not sent to it again.
func (b *Broker) delivered(c *conn) bool {
	passed := make(chan struct{})
	b.bus.Fence(func() { close(passed) })
	select {
	case <-passed:
		return true
	case <-c.carrier.Context().Done():
		return false
	}
}

// sendRetained sends a page and notes how far it has got.
func (s *session) sendRetained(c *conn, sub *subscription, events []*event.Event, after string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c || s.replay == nil || len(s.replay.todo) == 0 || s.replay.todo[0].sub != sub {
		return s.conn == c
	}
	todo := &s.replay.todo[0]
	for _, e := range events {
		if s.window.len() == 0 && c.carrier.Congested() {
			return true // nothing is going to be acknowledged: there is room for the rest when the client has read
		}
		if !s.roomLocked() {
			return false
		}
		todo.after = retainedKey(e.Subject)
		if !s.replay.overtaken(e.Subject, todo.since) && s.mayReceiveLocked(e.Subject) {
			s.sendOneRetainedLocked(sub, e)
		}
	}
	todo.after = after
	if after == "" {
		s.replay.todo = s.replay.todo[1:]
	}
	return true
}

func (s *session) sendOneRetainedLocked(sub *subscription, e *event.Event) {
	again := kept{e, sub}
	d := again.dispatch()
	if d.session = s; d.excludes(sub) {
		return // what it has published itself is not forwarded to it, also not retained [MQTT-3.8.3-3]
	}
	left, expired := expiry(e, s.broker.now())
	if expired {
		s.broker.count.expired.Add(1)
		return
	}
	qos := min(d.qos, d.meta.qos)
	if qos == 0 {
		s.pushed(0, s.conn.push(&d, outgoing{expiry: left}, engine.Disconnect))
		return
	}
	id := s.window.retainedID(qos)
	s.transmitLocked(&d, inflight{id: id, state: sentAs(qos), kept: &again}, outgoing{id: id, qos: qos, expiry: left})
}

// page reads the next retained messages of a subscription. After is empty when there are no more.
func (r *retained) page(todo replayOf) (events []*event.Event, after string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	filter := todo.sub.filter
	if filter.IsLiteral() {
		v, err := r.broker.store.Get(ctx, retainedKey(filter.String()))
		if err != nil || v.Revision == 0 {
			return nil, "", err
		}
		e, err := decodeRetained(filter.String(), v.Data)
		return []*event.Event{e}, "", err
	}
	prefix := retainedPrefix + literalPrefix(filter.String())
	for after = todo.after; ; {
		entries, err := r.broker.store.Scan(ctx, prefix, after, pageMessages)
		if err != nil {
			return nil, "", err
		}
		for _, entry := range entries {
			after = entry.Key
			topic := entry.Key[len(retainedPrefix):]
			if !filter.Match(topic) {
				continue
			}
			e, err := decodeRetained(topic, entry.Data)
			if err != nil {
				r.broker.log.Error("a retained message cannot be read, and is left out", "topic", topic, "error", err)
				continue
			}
			events = append(events, e)
		}
		switch {
		case len(entries) < pageMessages:
			return events, "", nil
		case len(events) > 0:
			return events, after, nil
		}
	}
}

// literalPrefix is the beginning of all topics that a filter selects: what comes before its first wildcard. "a/#" selects "a" too.
func literalPrefix(filter string) string {
	i := strings.IndexAny(filter, "+#")
	if i < 0 {
		return filter
	}
	if filter[i] == '#' && i > 0 {
		i--
	}
	return filter[:i]
}

var errRetained = errors.New("the retained message is not readable")
