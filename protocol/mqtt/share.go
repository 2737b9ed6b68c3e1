package mqtt

import (
	"encoding/binary"
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
	broker *Broker
	name   shareName
	byKey  bool

	// mu comes after the locks of a session and of the broker: whoever holds it asks no session.
	mu       sync.Mutex
	client   *bus.Client
	backlog  *backlog // once a lasting session is a member
	members  []member // replaced and never changed, so that whoever chooses one needs no lock meanwhile
	turn     int
	behind   bool
	serving  bool                // somebody hands out what waits: one at a time, for the order
	again    bool                // there is more room than that one has seen
	next     uint64              // the place after the last message that was handed out
	flight   map[uint64]struct{} // handed out and not acknowledged
	returned []uint64            // given back, sorted
	dirty    bool
}

type member struct {
	session *session
	sub     *subscription
}

// newShare returns a shared subscription that nobody has yet.
func (b *Broker) newShare(n shareName) *share {
	sh := &share{broker: b, name: n}
	sh.byKey = slices.Contains(b.config.ByKey, n.name) || slices.Contains(b.config.ByKey, "*")
	return sh
}

// joinShare makes a session a member of the shared subscription of that name, or again. End is where the log ends.
func (b *Broker) joinShare(s *session, sub *subscription, end uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sh := b.shares[sub.shared().name]; sh != nil {
		sub.bond().share = sh
	}
	sh := sub.shared()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.client == nil {
		client := b.bus.NewClient(sh)
		if _, err := client.Subscribe(sh.name.filter.String()); err != nil {
			return err
		}
		sh.client, sh.flight = client, map[uint64]struct{}{}
		b.shares[sh.name] = sh
	}
	sh.members = append(sh.withoutLocked(s), member{s, sub})
	if s.lasting != nil && sub.qos > 0 && sh.backlog == nil {
		sh.backlog, sh.next = b.acquireBacklogLocked(sh.name.filter), max(sh.next, end)
		sh.noteLocked()
	}
	return nil
}

// withoutLocked returns a copy of the members without a session.
func (sh *share) withoutLocked(s *session) []member {
	return slices.DeleteFunc(slices.Clone(sh.members), func(m member) bool { return m.session == s })
}

// leave is told that a session has the subscription no longer.
func (sh *share) leave(s *session) {
	b := sh.broker
	b.mu.Lock()
	sh.mu.Lock()
	sh.members = sh.withoutLocked(s)
	client := sh.client
	last := len(sh.members) == 0 && client != nil
	if last {
		delete(b.shares, sh.name)
		if sh.behind {
			sh.backlog.leave()
		}
		if sh.backlog != nil {
			b.releaseBacklogLocked(sh.backlog)
		}
		sh.client, sh.backlog, sh.behind = nil, nil, false
	}
	if sh.behind {
		b.marks.serveSoon(sh) // another member may have room
	}
	sh.mu.Unlock()
	b.mu.Unlock()
	if !last {
		return
	}
	client.Close()
	if b.store != nil {
		b.forget(shareKey(sh.name))
	}
}

// Deliver gives a message to a member.
func (sh *share) Deliver(m *bus.Message) bool {
	offset, size, logged := sh.broker.place(m)
	if !logged || !sh.keeps() {
		return sh.deliverLive(m)
	}
	if !sh.take(offset, size) {
		return true
	}
	d := dispatch{message: m, meta: metaOf(m.Event())}
	if !sh.handOut(&d, m.Event(), offset) {
		sh.giveBack(offset)
	}
	return true
}

// keeps tells whether what cannot be handed out waits in the log.
func (sh *share) keeps() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.backlog != nil
}

// take takes a message that is delivered in order to hand it out, unless others wait: then it waits too.
func (sh *share) take(offset uint64, size int) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch {
	case sh.backlog == nil || offset < sh.next:
		return false
	case sh.behind:
		sh.backlog.note(offset, size)
		return false
	}
	sh.next = offset + 1
	sh.flight[offset] = struct{}{}
	return true
}

// deliverLive gives a message that is not in the log to a member: at most once.
func (sh *share) deliverLive(m *bus.Message) bool {
	to, c := sh.choose(m.Event(), false)
	if c != chosen {
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
		return false // since a moment: another may
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

// giveBack is told that a message was not acknowledged by the member that had it, or could not be given to any.
func (sh *share) giveBack(offset uint64) {
	sh.putBack(offset)
	sh.broker.marks.serveSoon(sh) // a member may have got room meanwhile
}

// putBack has messages wait again that were to be handed out.
func (sh *share) putBack(offsets ...uint64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, offset := range offsets {
		if _, has := sh.flight[offset]; has {
			delete(sh.flight, offset)
			at, _ := slices.BinarySearch(sh.returned, offset)
			sh.returned = slices.Insert(sh.returned, at, offset)
		}
	}
	if sh.backlog != nil && !sh.behind {
		sh.behind = true
		sh.backlog.join()
	}
}

// claim takes the next messages that are to be handed out. If there are none, nobody serves any more.
func (sh *share) claim(most int) []uint64 {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.behind {
		sh.serving = false
		return nil
	}
	n := min(most, len(sh.returned))
	places := slices.Clone(sh.returned[:n])
	sh.returned = slices.Delete(sh.returned, 0, n)
	places = sh.backlog.between(places, sh.next, maxOffset, most-n)
	if len(places) == 0 {
		sh.behind, sh.serving = false, false
		sh.backlog.leave()
		return nil
	}
	sh.next = max(sh.next, places[len(places)-1]+1)
	for _, offset := range places {
		sh.flight[offset] = struct{}{}
	}
	return places
}

// begin tells whether the caller is to hand out what waits. If somebody does already, that one looks again.
func (sh *share) begin() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.serving {
		sh.again = true
		return false
	}
	sh.serving, sh.again = sh.behind, false
	return sh.behind
}

// end tells whether there is nothing more to do for now.
func (sh *share) end() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.again {
		sh.again = false
		return false
	}
	sh.serving = false
	return true
}

// serve hands out what waits, as far as members take it. It reads from the log, so it is not called where nothing may block.
func (sh *share) serve() {
	if !sh.begin() {
		return
	}
	for {
		places := sh.claim(pageMessages)
		if len(places) == 0 {
			return
		}
		if !sh.servePage(places) && sh.end() {
			return
		}
	}
}

// servePage hands out messages, and tells whether members took all of them.
func (sh *share) servePage(places []uint64) bool {
	slices.Sort(places) // what was given back may lie behind what was not
	records, err := sh.broker.readLog(places)
	if err != nil {
		sh.broker.log.Error("reading what waits for a shared subscription", "share", sh.name.name, "filter", sh.name.filter.String(), "error", err)
		sh.putBack(places...)
		return false
	}
	for i, offset := range places {
		e := records[offset]
		if e == nil {
			sh.done(offset)
			continue
		}
		d := dispatch{event: e, meta: metaOf(e)}
		if !sh.handOut(&d, e, offset) {
			sh.putBack(places[i:]...)
			return false
		}
	}
	return true
}

// handOut gives a message to a member, unless none takes it now. One may go just when it was chosen.
func (sh *share) handOut(d *dispatch, e *event.Event, offset uint64) bool {
	for {
		to, c := sh.choose(e, true)
		switch c {
		case later:
			return false
		case barred: // nobody gets it, and it must not hold up the rest
			sh.done(offset)
			sh.broker.count.dropped[1].Add(1)
			sh.broker.losses.add("$share/"+sh.name.name, dropDenied, 1)
			return true
		}
		if to.session.sendShared(sh, d, to.sub, offset) {
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

// firstFrom is where the first of the members has joined that the log is kept for: where the share stands if that was not written yet.
func (sh *share) firstFrom() uint64 {
	first := ^uint64(0)
	for _, m := range sh.members {
		if m.session.lasting != nil && m.sub.qos > 0 {
			first = min(first, m.sub.start())
		}
	}
	return first
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
		sh.backlog.need(sh.next)
		for _, offset := range sh.backlog.between(nil, sh.next, maxOffset, 1) {
			take(offset)
		}
	}
	return first, ok
}
