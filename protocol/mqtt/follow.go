package mqtt

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// A lasting is what a session has that outlives its connection: a place in the log of all sessions. What lies before it was sent, and what of that is not done is in the window. While the
// client keeps up, the session follows what is delivered live; as soon as it does not, it falls behind, which costs nothing but the place, and reads from the log later.
type lasting struct {
	expiry  uint32 // seconds after the connection has ended; never is for ever
	owner   string // the user whose session it is
	epoch   uint64 // how often the client has connected
	version packet.Version
	since   time.Time // when the client went away

	next   uint64 // the place after the last message that was sent
	behind bool   // messages are noted in backlogs, and read from the log
	away   bool   // the backlogs listen by themselves
	// departures is how often the client went away in this process.
	departures uint32
	gap        gap    // what is left out of what waits
	doubt      uint64 // what is before this place may have been sent before a crash
	dirty      bool   // the marks in the store are old
	// save is held from where marks are made to where they are handed to the store, so that none are followed by older ones.
	save sync.Mutex
}

// followLocked takes a message that is in the log: it is sent at once, or the session falls behind.
func (s *session) followLocked(d *dispatch, qos byte, offset uint64, size int) bool {
	l := s.lasting
	switch {
	case offset < l.next:
		return true // it was sent, or is done with
	case l.behind || s.conn == nil || !s.roomLocked() || s.window.uses(idOf(offset)):
		s.fallBehindLocked()
		s.noteLocked(d.subject(), offset, size)
		return true
	}
	l.next = offset + 1
	s.broker.marks.note(s)
	id := idOf(offset)
	left, expired := uint32(0), false
	if d.message != nil {
		left, expired = expiry(d.message.Event(), s.broker.now())
	}
	if expired {
		s.broker.count.expired.Add(1)
		return true
	}
	s.transmitLocked(d, inflight{offset: offset, id: id, state: sentAs(qos), logged: true}, outgoing{id: id, qos: qos, expiry: left})
	return true
}

// fallBehindLocked has the backlogs note what the session does not send.
func (s *session) fallBehindLocked() {
	if s.lasting.behind {
		return
	}
	s.lasting.behind = true
	for sub := range s.subs.all {
		if sub.log() != nil {
			sub.log().join()
		}
	}
}

// noteLocked notes a message in the backlogs of all subscriptions that match it.
func (s *session) noteLocked(subject string, offset uint64, size int) {
	for sub := range s.subs.all {
		if sub.log() != nil && sub.filter.Match(subject) {
			sub.log().note(offset, size)
		}
	}
}

// keepUpLocked is told that everything was read.
func (s *session) keepUpLocked() {
	s.lasting.behind, s.lasting.gap = false, gap{}
	for sub := range s.subs.all {
		if sub.log() != nil {
			sub.log().leave()
		}
	}
}

// goAwayLocked prepares for a client that has gone: first the session's own subscriptions note what comes, then the backlogs do, and when all that was under way
// before has been delivered, the subscriptions end. So nothing falls between.
func (s *session) goAwayLocked() {
	s.fallBehindLocked()
	s.listenLocked()
	s.lasting.departures++
	n := s.lasting.departures
	s.broker.bus.Fence(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.client != nil && s.lasting.away && s.lasting.departures == n { // otherwise its client is back, and has the same subscriptions
			s.client.Close()
			s.client = nil
		}
	})
}

func (s *session) listenLocked() {
	if s.lasting.away {
		return
	}
	s.lasting.away = true
	for sub := range s.subs.all {
		if sub.log() != nil {
			sub.log().listen()
		}
	}
}

// comeBackLocked is the opposite: the session's own subscriptions are there again and note what comes; when all that was under way before has been delivered, the backlogs need not
// listen any more.
func (s *session) comeBackLocked() {
	if !s.lasting.away {
		return
	}
	s.lasting.away = false
	var heard []*backlog
	for sub := range s.subs.all {
		if sub.log() != nil {
			heard = append(heard, sub.log())
		}
	}
	s.broker.bus.Fence(func() {
		for _, l := range heard {
			l.unlisten()
		}
	})
}

// nextPlacesLocked returns where the next messages are that wait for the session.
func (s *session) nextPlacesLocked(most int) []uint64 {
	return s.placesLocked(s.lasting.next, maxOffset, most)
}

// placesLocked returns where the first messages from one place to another are that wait for the session.
func (s *session) placesLocked(from, to uint64, most int) []uint64 {
	var places []uint64
	g := s.lasting.gap
	for sub := range s.subs.all {
		if sub.log() == nil {
			continue
		}
		if at := max(from, sub.start()); at < g.to {
			places = sub.log().between(places, at, min(to, g.from), most)
			places = sub.log().between(places, g.to, to, most)
		} else {
			places = sub.log().between(places, at, to, most)
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	return places[:min(most, len(places))]
}

// catchUp sends what waits in the log, as far as the client takes it. It is called on the connection's task.
func (s *session) catchUp(c *conn) {
	for {
		if !s.resend(c) {
			return
		}
		s.mu.Lock()
		if s.conn != c || !s.lasting.behind || !s.roomLocked() {
			s.mu.Unlock()
			return
		}
		places := s.nextPlacesLocked(min(pageMessages, max(1, int(s.window.most)-s.window.len())))
		if len(places) == 0 {
			s.keepUpLocked()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		records, err := s.broker.readLog(places)
		if err != nil {
			s.unreadable(c, err)
			return
		}
		if !s.sendPage(c, places, records) {
			return
		}
	}
}

// sendPage sends messages from the log, and tells whether it is to go on.
func (s *session) sendPage(c *conn, places []uint64, records map[uint64]*event.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, offset := range places {
		if s.conn != c || !s.roomLocked() || s.window.uses(idOf(offset)) {
			return false
		}
		if g := s.lasting.gap; offset < s.lasting.next || g.from <= offset && offset < g.to {
			continue
		}
		s.lasting.next = offset + 1
		e := records[offset]
		if e == nil { // it was removed: the queue is bounded
			s.broker.drop(s, 1, 1, dropLog)
			continue
		}
		s.sendLoggedLocked(e, offset, offset < s.lasting.doubt)
	}
	s.broker.marks.note(s)
	return true
}

// sendLoggedLocked sends a message from the log, if the session still wants it.
func (s *session) sendLoggedLocked(e *event.Event, offset uint64, dup bool) bool {
	d := s.loggedLocked(e, offset)
	qos := min(d.qos, d.meta.qos)
	if qos == 0 || !s.mayReceiveLocked(e.Subject) {
		return false
	}
	left, expired := expiry(e, s.broker.now())
	if expired {
		s.broker.count.expired.Add(1)
		return false
	}
	s.replay.met(e.Subject)
	id := idOf(offset)
	return s.transmitLocked(&d, inflight{offset: offset, id: id, state: sentAs(qos), logged: true}, outgoing{id: id, qos: qos, expiry: left, dup: dup})
}

// loggedLocked collects what the subscriptions ask for that select a message of the log.
func (s *session) loggedLocked(e *event.Event, offset uint64) dispatch {
	d := dispatch{session: s, event: e, meta: metaOf(e)}
	for sub := range s.subs.all {
		if sub.shared() == nil && sub.start() <= offset && sub.filter.Match(e.Subject) && !d.excludes(sub) {
			d.add(sub)
		}
	}
	return d
}

// resendOneLocked sends a message again as it was sent: it does not expire any more [MQTT-4.3.3-7], and its delivery is completed even if the
// subscription has ended or was changed meanwhile [MQTT-3.10.4-3].
func (s *session) resendOneLocked(d *dispatch, sent inflight) {
	if !s.mayReceiveLocked(d.subject()) {
		return
	}
	left, expired := expiry(d.event, s.broker.now())
	if expired {
		left = 1
	}
	s.transmitLocked(d, sent, outgoing{id: sent.id, qos: byte(sent.state), expiry: left, dup: true})
}

// resumeLocked prepares for sending again what was on its way when the last connection ended: first of all, and in the order of then [MQTT-4.4.0-1].
func (s *session) resumeLocked(c *conn) {
	for i := range s.window.entries {
		e := &s.window.entries[i]
		if e.state == stateReleased {
			_ = c.carrier.Push(packet.AppendAck(nil, c.version, packet.Pubrel, e.id, packet.Success, nil), engine.Disconnect)
			continue
		}
		if !e.unsent {
			e.unsent = true
			s.window.unsent++
		}
	}
}

// resend sends what resumeLocked has marked, in its order, as far as the client takes it, and tells whether nothing of it is left.
func (s *session) resend(c *conn) bool {
	for {
		s.mu.Lock()
		ids, places := s.window.nextUnsent(pageMessages)
		s.mu.Unlock()
		if len(ids) == 0 {
			return true
		}
		records, err := s.broker.readLog(places)
		if err != nil {
			s.unreadable(c, err)
			return false
		}
		if !s.resendPage(c, ids, records) {
			return false
		}
	}
}

// resendPage sends messages again, which keep their place in the window, and tells whether it is to go on.
func (s *session) resendPage(c *conn, ids []uint16, records map[uint64]*event.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.conn != c || !s.roomLocked() {
			return false
		}
		e := s.window.find(id)
		if e == nil || !e.unsent {
			continue // the client has answered what its last connection got
		}
		again := *e
		switch {
		case again.kept != nil:
			d := again.kept.dispatch()
			s.resendOneLocked(&d, again)
		case records[again.offset] != nil:
			d := s.loggedLocked(records[again.offset], again.offset)
			s.resendOneLocked(&d, again)
		}
		if e := s.window.find(id); e != nil && e.unsent { // it is not in the log any more, or not allowed
			s.window.remove(id)
			s.broker.marks.note(s)
		}
	}
	return true
}

// unreadable ends a connection for which the log cannot be read.
func (s *session) unreadable(c *conn, err error) {
	s.broker.log.Error("reading what waits for a session; it is tried again when the client connects again", "client", s.id, "error", err)
	c.carrier.Close(engine.ReasonInternal, err)
}

// readLog reads messages of the log. Those that are not there any more are left out.
func (b *Broker) readLog(places []uint64) (map[uint64]*event.Event, error) {
	found := make(map[uint64]*event.Event, len(places))
	for len(places) > 0 {
		n := 1 // places so near to each other that what lies between is read too
		for n < len(places) && places[n]-places[n-1] <= nearPlaces {
			n++
		}
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		records, err := b.store.Read(ctx, store.Position{Partition: theLog, Offset: places[0]}, store.ReadOptions{
			Records: int(places[n-1] - places[0] + 1), OnCorrupt: func(err *store.CorruptError) {
				b.log.Error("a message that waits for sessions cannot be read", "error", err)
			},
		})
		cancel()
		if err != nil {
			return nil, err
		}
		read := places[0]
		for i := range records {
			if _, wanted := slices.BinarySearch(places, records[i].Offset); wanted {
				found[records[i].Offset] = records[i].Event
			}
			read = records[i].Offset
		}
		rest, _ := slices.BinarySearch(places, read+1)
		places = places[max(1, rest):]
	}
	return found, nil
}
