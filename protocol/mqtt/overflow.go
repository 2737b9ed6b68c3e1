package mqtt

import (
	"sort"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A gap is a part of the log that a session does not get: what came while its queue was full, with [DropNewest].
type gap struct{ from, to uint64 }

// bound drops what waits for a session beyond its limits, and tells whether the session is to end. First is where the log begins, and old the place before which everything is
// too old.
func (b *Broker) bound(s *session, first, old uint64) (end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || !s.lasting.behind {
		return false
	}
	s.loseLocked(first, dropLog)
	s.loseLocked(old, dropAge)
	if !s.overfullLocked(s.lasting.next) {
		return false
	}
	places := s.nextPlacesLocked(maxInt)
	switch b.config.Overflow {
	case EndSession:
		b.drop(s, 1, len(places), dropQueue)
		return true
	case DropNewest:
		s.cutLocked(places)
	default:
		fits := sort.Search(len(places), func(i int) bool { return !s.overfullLocked(places[i]) })
		s.loseLocked(places[max(1, fits)-1]+1, dropQueue)
	}
	return false
}

// overfullLocked tells whether more waits at and after a place than may.
func (s *session) overfullLocked(from uint64) bool {
	n, bytes := s.waitingLocked(from)
	l := &s.broker.limits
	return n > l.Queue || bytes > uint64(l.QueueBytes)
}

// waitingLocked returns how much waits for a session at and after a place, counting twice what two of its subscriptions select.
func (s *session) waitingLocked(from uint64) (n int, bytes uint64) {
	g := s.lasting.gap
	for sub := range s.subs.all {
		if sub.log() == nil {
			continue
		}
		at := max(from, sub.start())
		m, size := sub.log().waiting(at)
		n, bytes = n+m, bytes+size
		if at < g.to {
			m, size = sub.log().waiting(max(at, g.from))
			beyond, sizeBeyond := sub.log().waiting(g.to)
			n, bytes = n-(m-beyond), bytes-(size-sizeBeyond)
		}
	}
	return n, bytes
}

// loseLocked has a session go on at a place, if anything waits for it before that, and counts what it loses.
func (s *session) loseLocked(to uint64, why string) {
	if to <= s.lasting.next {
		return
	}
	if lost := len(s.placesLocked(s.lasting.next, to, maxInt)); lost > 0 {
		s.lasting.next = to
		s.broker.marks.note(s)
		s.broker.drop(s, 1, lost, why)
	}
}

// cutLocked has the session not get what it has no room for. What comes when it has had some of the rest, it gets again.
func (s *session) cutLocked(places []uint64) {
	var all []uint64
	g := &s.lasting.gap
	if g.to > s.lasting.next { // there is one still ahead: it grows
		at := sort.Search(len(places), func(i int) bool { return places[i] >= g.to })
		all = places[at:]
	} else {
		n, bytes := s.waitingLocked(s.lasting.next)
		fits := sort.Search(len(places), func(i int) bool {
			rest, size := 0, uint64(0)
			if i+1 < len(places) {
				rest, size = s.waitingLocked(places[i+1])
			}
			return n-rest > s.broker.limits.Queue || bytes-size > uint64(s.broker.limits.QueueBytes)
		})
		if all = places[fits:]; len(all) > 0 {
			g.from = all[0]
		}
	}
	if len(all) > 0 {
		g.to = all[len(all)-1] + 1
		s.broker.drop(s, 1, len(all), dropQueue)
	}
}

// endOverflowed ends a session that waits for more than it may.
func (b *Broker) endOverflowed(s *session) {
	k := b.stripe(s.id)
	k.Lock()
	defer k.Unlock()
	b.expel(s, packet.QuotaExceeded, engine.ReasonOverflow)
}

const maxInt = int(^uint(0) >> 1)

// Why messages are dropped, in the counters and on $spate/dropped.
const (
	dropQueue = "queue-full"
	dropAge   = "too-old"
	dropLog   = "log-full"
	// dropDenied is what no member of a shared subscription may receive any more.
	dropDenied = "not-allowed"
)

// drop counts messages of QoS 1 and 2 that a session loses, and says so.
func (b *Broker) drop(s *session, qos byte, n int, why string) {
	b.count.dropped[qos].Add(uint64(n))
	b.losses.add(s.id, why, n)
}
