package mqtt

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

// A shareName names a shared subscription: two with the same ShareName and filter are one (§4.8.2).
type shareName struct {
	name   string
	filter event.Filter
}

// A share is a shared subscription: each message goes to one of its members. It is a subscription of its own on the bus for as long as a session has it. What the log captures
// for it is handed out from there: the share has a place of its own, and what a member that goes away has not acknowledged is handed out again.
type share struct {
	broker  *Broker
	name    shareName
	byKey   bool
	client  *bus.Client
	backlog *backlog // once a lasting session is a member; not changed afterwards

	mu       sync.Mutex
	members  []member
	turn     int
	behind   bool
	next     uint64              // the place after the last message that was handed out
	flight   map[uint64]struct{} // handed out and not acknowledged
	returned []uint64            // given back, sorted
	dirty    bool
}

type member struct {
	session *session
	sub     *subscription
}

// shareOf returns the shared subscription of a name, making it.
func (b *Broker) shareOf(n shareName) *share {
	b.mu.Lock()
	defer b.mu.Unlock()
	sh := b.shares[n]
	if sh == nil {
		sh = &share{broker: b, name: n, flight: map[uint64]struct{}{}}
		sh.byKey = slices.Contains(b.config.ByKey, n.name) || slices.Contains(b.config.ByKey, "*")
		b.shares[n] = sh
	}
	return sh
}

// join makes a session a member, or again.
func (sh *share) join(s *session, sub *subscription) error {
	lasting := s.lasting != nil && sub.qos > 0
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if i := sh.indexLocked(s); i >= 0 {
		sh.members[i].sub = sub
	} else {
		sh.members = append(sh.members, member{s, sub})
	}
	if lasting && sh.backlog == nil {
		sh.backlog = sh.broker.acquireBacklog(sh.name.filter)
		sh.next = max(sh.next, sh.broker.logEnd())
	}
	if sh.client == nil {
		sh.client = sh.broker.bus.NewClient(sh)
		_, err := sh.client.Subscribe(sh.name.filter.String())
		return err
	}
	return nil
}

func (sh *share) indexLocked(s *session) int {
	return slices.IndexFunc(sh.members, func(m member) bool { return m.session == s })
}

// leave is told that a session has the subscription no longer.
func (sh *share) leave(s *session) {
	sh.mu.Lock()
	i := sh.indexLocked(s)
	if i >= 0 {
		sh.members = slices.Delete(sh.members, i, i+1)
	}
	client, backlog, last := sh.client, sh.backlog, len(sh.members) == 0
	if last {
		sh.client, sh.backlog = nil, nil
		if sh.behind {
			backlog.leave()
			sh.behind = false
		}
	}
	sh.mu.Unlock()
	if !last {
		return
	}
	if client != nil {
		client.Close()
	}
	if backlog != nil {
		sh.broker.releaseBacklog(backlog)
	}
	b := sh.broker
	b.mu.Lock()
	if b.shares[sh.name] == sh {
		delete(b.shares, sh.name)
	}
	b.mu.Unlock()
	if b.store != nil {
		b.forget(shareKey(sh.name))
	}
}

// Deliver gives a message to a member.
func (sh *share) Deliver(m *bus.Message) bool {
	offset, size, logged := sh.broker.place(m)
	if !logged || sh.backlog == nil {
		return sh.deliverLive(m)
	}
	sh.mu.Lock()
	if offset < sh.next {
		sh.mu.Unlock()
		return true
	}
	to, ok := sh.chooseLocked(m.Event(), true)
	if sh.behind || !ok {
		if !sh.behind {
			sh.behind = true
			sh.backlog.join()
		}
		sh.mu.Unlock()
		sh.backlog.note(offset, size)
		return true
	}
	sh.next = offset + 1
	sh.flight[offset] = struct{}{}
	sh.mu.Unlock()
	d := dispatch{message: m, meta: metaOf(m.Event())}
	if !to.session.sendShared(sh, &d, to.sub, offset) {
		sh.giveBack(offset)
	}
	return true
}

// deliverLive gives a message that is not in the log to a member: at most once.
func (sh *share) deliverLive(m *bus.Message) bool {
	sh.mu.Lock()
	to, ok := sh.chooseLocked(m.Event(), false)
	sh.mu.Unlock()
	if !ok {
		return false
	}
	s := to.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.over || !s.mayReceiveLocked(m.Subject()) {
		return false
	}
	d := s.dispatchOf(m)
	d.add(to.sub)
	qos := min(d.meta.qos, d.qos)
	if qos == 0 || s.lasting != nil {
		return s.sendOnceLocked(&d)
	}
	return s.sendLocked(&d, qos)
}

// chooseLocked returns the member that a message goes to: the next one that has room, or, by key, the one that has all of this key. By turns, one that has room is asked
// for only if it must.
func (sh *share) chooseLocked(e *event.Event, must bool) (member, bool) {
	if sh.byKey {
		return sh.chooseByKeyLocked(e, must)
	}
	var waiting member
	for i := range sh.members {
		m := sh.members[(sh.turn+i)%len(sh.members)]
		there, room := m.session.takes()
		if !there {
			continue
		}
		if room {
			sh.turn = (sh.turn + i + 1) % len(sh.members)
			return m, true
		}
		if waiting.session == nil {
			waiting = m
		}
	}
	if waiting.session == nil || must {
		return member{}, false
	}
	sh.turn++
	return waiting, true
}

var keySeed = maphash.MakeSeed()

// chooseByKeyLocked gives every key to the member with the greatest hash of both (rendezvous hashing): when members come and go, only what they had moves.
func (sh *share) chooseByKeyLocked(e *event.Event, must bool) (best member, ok bool) {
	key := e.Key
	if key == "" {
		key = e.Subject
	}
	most, room := uint64(0), false
	for _, m := range sh.members {
		there, has := m.session.takes()
		if !there {
			continue
		}
		var h maphash.Hash
		h.SetSeed(keySeed)
		_, _ = h.WriteString(m.session.id)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(key)
		if n := h.Sum64(); !ok || n > most {
			best, most, room, ok = m, n, has, true
		}
	}
	return best, ok && (room || !must)
}

// takes tells whether the client of a session is there, and takes messages of QoS 1 now.
func (s *session) takes() (there, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.over {
		return false, false
	}
	return true, s.roomLocked() && s.queue.len() == 0
}

// sendShared sends a message of the log to the member that it was given to. It may have gone meanwhile.
func (s *session) sendShared(sh *share, d *dispatch, sub *subscription, offset uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.over {
		return false
	}
	d.add(sub)
	left, expired := uint32(0), false
	if e := d.keep(); e != nil {
		left, expired = expiry(e, s.broker.now())
	}
	qos := min(d.meta.qos, d.qos)
	switch {
	case expired:
		s.broker.count.expired.Add(1)
		sh.done(offset)
	case !s.mayReceiveLocked(d.subject()):
		sh.done(offset)
	case qos == 0:
		s.sendOnceLocked(d)
		sh.done(offset)
	default:
		id := s.window.nextID()
		s.transmitLocked(d, inflight{offset: offset, id: id, state: sentAs(qos), share: sh}, outgoing{id: id, qos: qos, expiry: left})
		if s.window.index(id) < 0 {
			sh.done(offset) // it is larger than the client takes
		}
	}
	return true
}

// done is told that a message was acknowledged.
func (sh *share) done(offset uint64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.flight, offset)
	sh.noteLocked()
}

// giveBack is told that a message was not acknowledged by the member that had it.
func (sh *share) giveBack(offsets ...uint64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, offset := range offsets {
		if _, has := sh.flight[offset]; has {
			delete(sh.flight, offset)
			at, _ := slices.BinarySearch(sh.returned, offset)
			sh.returned = slices.Insert(sh.returned, at, offset)
		}
	}
	if !sh.behind && sh.backlog != nil {
		sh.behind = true
		sh.backlog.join()
	}
}

// claim takes the next messages that are to be handed out.
func (sh *share) claim(most int) []uint64 {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.behind || sh.backlog == nil {
		return nil
	}
	n := min(most, len(sh.returned))
	places := slices.Clone(sh.returned[:n])
	sh.returned = slices.Delete(sh.returned, 0, n)
	places = sh.backlog.from(places, sh.next, most-n)
	if len(places) == 0 {
		sh.behind = false
		sh.backlog.leave()
		return nil
	}
	sh.next = max(sh.next, places[len(places)-1]+1)
	for _, offset := range places {
		sh.flight[offset] = struct{}{}
	}
	return places
}

// serve hands out what waits, as far as members take it. It reads from the log, so it is not called where nothing may block.
func (sh *share) serve() {
	for {
		places := sh.claim(pageMessages)
		if len(places) == 0 {
			return
		}
		records, err := sh.broker.readLog(places)
		if err != nil {
			sh.broker.log.Error("reading what waits for a shared subscription", "share", sh.name.name, "filter", sh.name.filter.String(), "error", err)
			sh.giveBack(places...)
			return
		}
		for i, offset := range places {
			e := records[offset]
			if e == nil {
				sh.done(offset)
				continue
			}
			if !sh.handOut(e, offset) {
				sh.giveBack(places[i:]...)
				return
			}
		}
	}
}

func (sh *share) handOut(e *event.Event, offset uint64) bool {
	for {
		sh.mu.Lock()
		to, ok := sh.chooseLocked(e, true)
		sh.mu.Unlock()
		if !ok {
			return false
		}
		d := dispatch{event: e, meta: metaOf(e)}
		if to.session.sendShared(sh, &d, to.sub, offset) {
			return true
		}
	}
}

// noteLocked has the place of the share written soon.
func (sh *share) noteLocked() {
	if !sh.dirty && sh.backlog != nil {
		sh.dirty = true
		sh.broker.marks.noteShare(sh)
	}
}

// encode returns the place of the share, and what before it is not done.
func (sh *share) encode() []byte {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.dirty = false
	b := binary.AppendUvarint(nil, sh.next)
	open := append(slices.Collect(maps.Keys(sh.flight)), sh.returned...)
	slices.Sort(open)
	for _, offset := range open {
		b = binary.AppendUvarint(b, offset)
	}
	return b
}

// decode reads it: what had been handed out is handed out again.
func (sh *share) decode(b []byte) bool {
	next, n := binary.Uvarint(b)
	if n <= 0 {
		return false
	}
	sh.next = next
	for b = b[n:]; len(b) > 0; b = b[n:] {
		var offset uint64
		if offset, n = binary.Uvarint(b); n <= 0 {
			return false
		}
		sh.returned = append(sh.returned, offset)
	}
	return true
}

// oldest returns the first place that the share still needs, and whether there is one.
func (sh *share) oldest() (uint64, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	first, ok := uint64(0), false
	take := func(offset uint64) {
		if !ok || offset < first {
			first, ok = offset, true
		}
	}
	for offset := range sh.flight {
		take(offset)
	}
	for _, offset := range sh.returned {
		take(offset)
	}
	if sh.behind {
		for _, offset := range sh.backlog.from(nil, sh.next, 1) {
			take(offset)
		}
	}
	return first, ok
}
