package mqtt

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
)

var errTooLarge = errors.New("the message is larger than the client takes")

func copied(s string) string { return strings.Clone(s) }

// A queue is what waits in memory for a connected client whose Receive Maximum is used up. Events are shared by all who wait for them.
type queue struct {
	items []queued
	bytes int
}

type queued struct {
	event  *event.Event
	meta   meta
	ids    []uint32
	at     time.Time
	qos    byte
	asIs   bool
	retain bool
}

func (q *queue) len() int {
	if q == nil {
		return 0
	}
	return len(q.items)
}

// enqueueLocked has a message wait in memory.
func (s *session) enqueueLocked(d *dispatch, qos byte) bool {
	b := s.broker
	if s.queue == nil {
		s.queue = &queue{}
	}
	e := d.keep()
	size := e.Size()
	for q := s.queue; len(q.items) > 0 && (len(q.items) >= b.limits.Queue || q.bytes+size > b.limits.QueueMemory); {
		switch b.config.Overflow {
		case DropNewest:
			b.drop(s, qos, 1, dropQueue)
			return false
		case EndSession:
			b.drop(s, qos, 1, dropQueue)
			s.conn.carrier.Close(engine.ReasonOverflow, nil)
			return false
		}
		b.drop(s, q.items[0].qos, 1, dropQueue)
		q.bytes -= q.items[0].event.Size()
		q.items[0] = queued{}
		q.items = q.items[1:] // not moved: a client that never acknowledges must not slow down who publishes
	}
	s.queue.bytes += size
	s.queue.items = append(s.queue.items, queued{event: e, meta: d.meta, ids: slices.Clone(d.ids), at: b.now(), qos: qos, asIs: d.asIs, retain: d.retained})
	return true
}

// drainQueue sends what waits in memory, as far as the client takes it.
func (s *session) drainQueue(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c || s.queue == nil {
		return
	}
	sent := 0
	for _, q := range s.queue.items {
		if !s.roomLocked() {
			break
		}
		sent++
		s.queue.bytes -= q.event.Size()
		left, expired := expiry(q.event, s.broker.now())
		if expired {
			s.broker.count.expired.Add(1)
			continue
		}
		if !s.mayReceiveLocked(q.event.Subject) {
			continue
		}
		s.replay.met(q.event.Subject)
		d := dispatch{event: q.event, meta: q.meta, ids: q.ids, asIs: q.asIs, retained: q.retain}
		id := s.window.nextID()
		s.transmitLocked(&d, inflight{id: id, state: sentAs(q.qos)}, outgoing{id: id, qos: q.qos, expiry: left})
	}
	s.queue.items = slices.Delete(s.queue.items, 0, sent)
	if len(s.queue.items) == 0 {
		s.queue = nil
	}
}
