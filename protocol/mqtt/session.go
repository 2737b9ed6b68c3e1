package mqtt

import (
	"errors"
	"slices"
	"sync"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A session is what a client has here (§4.1): its subscriptions, and what is on its way to it. It ends with its connection, unless it is lasting.
//
// Its lock orders what is published against what its client does. Nothing blocks while it is held.
type session struct {
	broker *Broker
	id     string // the client identifier

	inbound *idSet // messages of QoS 2 that were taken and not released; nil until there is one

	mu      sync.Mutex
	conn    *conn         // nil: the client is away
	client  *bus.Client   // its subscriptions on the bus, while it is connected
	subs    subscriptions // all of them
	window  window        // what was sent and is not acknowledged
	queue   *queue        // what waits in memory, if it is not lasting
	lasting *lasting      // nil: it ends with its connection
	replay  *replay       // retained messages that are still to be sent
	judged  uint64        // the auth generation under which all subscriptions were last found to be allowed
	will    *will
	sharing bool // there are shared subscriptions
	over    bool // it has ended
}

// newSession returns a session without anything.
func (b *Broker) newSession(id string) *session {
	return &session{broker: b, id: id}
}

// Deliver takes a message from the bus, in the publisher's goroutine or that which delivers what was stored.
func (s *session) Deliver(m *bus.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs.get(m.Subscription().Pattern())
	if sub == nil || sub.shared() != nil || s.over {
		return false
	}
	return s.offerLocked(m, sub)
}

// offerLocked delivers a message for one of the subscriptions that match it. Of several, the first one of the session delivers for all of them: one copy, at
// the highest QoS, with every identifier.
func (s *session) offerLocked(m *bus.Message, sub *subscription) bool {
	d := s.dispatchOf(m)
	if !d.gather(sub, m.Subject()) {
		return true // another subscription of this session delivers it, or none
	}
	if !s.mayReceiveLocked(m.Subject()) {
		return false
	}
	s.replay.met(m.Subject())
	qos := min(d.meta.qos, d.qos)
	if s.lasting != nil && qos > 0 {
		offset, size, ok := s.broker.place(m)
		if ok {
			return s.followLocked(&d, qos, offset, size)
		}
		qos = 0 // it is kept nowhere: at most once
	}
	if s.conn == nil {
		return false
	}
	if qos == 0 {
		return s.sendOnceLocked(&d)
	}
	return s.sendLocked(&d, qos)
}

// dispatchOf finds out what MQTT knows of a message; those of other doors have QoS 1.
func (s *session) dispatchOf(m *bus.Message) dispatch {
	d := dispatch{session: s, message: m, meta: meta{qos: 1}}
	if o, ok := m.Origin().(*publication); ok {
		d.meta, d.mine = meta{qos: o.qos, retain: o.retain}, o.session == s
	} else if stored := m.Stored(); len(stored) > 0 || len(m.Headers()) > 0 {
		d.meta = metaOf(m.Event())
	}
	return d
}

// A dispatch is one message on its way to one session.
type dispatch struct {
	message *bus.Message // nil if it comes from the log or was retained
	event   *event.Event // then
	session *session
	meta    meta
	mine    bool // the session has published it itself, as far as that is known without looking

	qos      byte
	asIs     bool
	retained bool // it is sent because it was retained, with the flag
	ids      []uint32
	idStore  [4]uint32
}

// gather collects what all subscriptions ask for that match, and tells whether sub, which was met, is the first of them: it delivers for all.
func (d *dispatch) gather(sub *subscription, subject string) bool {
	if d.excludes(sub) {
		return false
	}
	for _, other := range sub.others() {
		if d.excludes(other) || !other.filter.Match(subject) {
			continue
		}
		if other.before(sub) {
			return false
		}
		d.add(other)
	}
	d.add(sub)
	return true
}

// excludes tells whether a subscription does not want the message, because the client has published it itself.
func (d *dispatch) excludes(s *subscription) bool {
	return s.noLocal && (d.mine || d.meta.tag != "" && d.meta.tag == d.session.broker.tag(d.session.id))
}

func (d *dispatch) add(s *subscription) {
	d.qos, d.asIs = max(d.qos, s.qos), d.asIs || s.asIs
	if s.id != 0 && !slices.Contains(d.ids, s.id) {
		if d.ids == nil {
			d.ids = d.idStore[:0]
		}
		d.ids = append(d.ids, s.id)
	}
}

// subject, data and event of what is dispatched.
func (d *dispatch) subject() string {
	if d.message != nil {
		return d.message.Subject()
	}
	return d.event.Subject
}

func (d *dispatch) data() []byte {
	if d.message != nil {
		return d.message.Data()
	}
	return d.event.Data
}

// keep returns the event for as long as it is needed.
func (d *dispatch) keep() *event.Event {
	if d.message != nil {
		return d.message.Keep()
	}
	return d.event
}

// retainFlag is the RETAIN flag of what is sent (§3.3.1.3).
func (d *dispatch) retainFlag() bool { return d.retained || d.asIs && d.meta.retain }

// sendOnceLocked sends a message of QoS 0, unless too much waits for the client already.
func (s *session) sendOnceLocked(d *dispatch) bool {
	c := s.conn
	if c.carrier.Congested() {
		s.broker.count.dropped[0].Add(1)
		return false
	}
	if d.message != nil && len(d.ids) == 0 && !d.retainFlag() && !c.aliasing() {
		f := frames[boolBit(c.version >= packet.V5)]
		if frame := d.message.Frame(f); len(frame) > 0 {
			return c.fits(len(frame)) && s.pushed(0, c.carrier.Push(frame, engine.DropNewest))
		}
	}
	return s.pushed(0, c.push(d, outgoing{}, engine.DropNewest))
}

// pushed counts what was sent.
func (s *session) pushed(qos byte, err error) bool {
	if err != nil {
		return false
	}
	s.broker.count.sent[qos].Add(1)
	return true
}

// sendLocked sends a message of QoS 1 or 2 of a session that ends with its connection, or has it wait in memory.
func (s *session) sendLocked(d *dispatch, qos byte) bool {
	if s.queue.len() > 0 || !s.roomLocked() {
		return s.enqueueLocked(d, qos)
	}
	id := s.window.nextID()
	return s.transmitLocked(d, inflight{id: id, state: sentAs(qos)}, outgoing{id: id, qos: qos})
}

// transmitLocked sends a message and enters it in the window. One that the client does not take for its size is done with [MQTT-3.1.2-25]; one that cannot be sent because the
// connection is ending is not.
func (s *session) transmitLocked(d *dispatch, e inflight, o outgoing) bool {
	if s.broker.told != nil {
		e.told = s.broker.tell(d)
	}
	err := s.conn.push(d, o, engine.Disconnect)
	if errors.Is(err, errTooLarge) {
		return false
	}
	s.window.add(e)
	return s.pushed(o.qos, err)
}

// roomLocked tells whether another message of QoS 1 or 2 may be sent. While nothing is on its way, one may always: no acknowledgement would come to go on with.
func (s *session) roomLocked() bool {
	return s.window.len() == 0 || s.window.len() < int(s.window.most) && !s.conn.carrier.Congested()
}

// received takes a PUBREC: the message is the client's now. It returns how the PUBREL is to be answered, and whether that has to be on disk before.
func (s *session) received(c *conn, id uint16, code packet.Code) (packet.Code, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.window.find(id)
	if s.conn != c || e == nil || e.state == sentOnce {
		return packet.PacketIdentifierNotFound, false
	}
	if code.Failed() {
		s.finishLocked(id)
		return packet.Success, false
	}
	e.state = stateReleased
	return packet.Success, s.lasting != nil
}

// unrelease is told that a PUBREC is not on disk: the message is to be sent again.
func (s *session) unrelease(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.window.find(id); e != nil && e.state == stateReleased {
		e.state = sentTwice
	}
}

// completed takes a PUBACK or a PUBCOMP: the message is done.
func (s *session) completed(c *conn, kind packet.Type, id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.window.find(id)
	if s.conn != c || e == nil || (kind == packet.Puback) != (e.state == sentOnce) {
		s.broker.count.strangeAcks.Add(1) // a client may repeat itself; nothing is done twice
		return
	}
	s.finishLocked(id)
}

// finishLocked takes a message out of the window.
func (s *session) finishLocked(id uint16) {
	e, ok := s.window.remove(id)
	if ok && e.told != nil {
		s.broker.told.Delivered(s.id, e.told.subject, e.told.event)
	}
	switch {
	case !ok:
	case e.share != nil:
		e.share.done(e.offset)
	case s.lasting != nil && (e.logged || e.state != sentOnce):
		s.broker.marks.note(s)
	}
}

// pump sends what waits, as far as the client takes it. It is called on the connection's task.
func (s *session) pump(c *conn) {
	s.mu.Lock()
	waits := s.conn == c && (s.queue.len() > 0 || s.replay != nil || s.lasting != nil && s.lasting.behind)
	shares := s.sharesLocked()
	s.mu.Unlock()
	if !waits {
		serve(shares)
		return
	}
	if s.lasting != nil {
		s.catchUp(c)
	} else {
		s.drainQueue(c)
	}
	serve(shares)
	s.replayOn(c)
}

// sharesLocked returns the shared subscriptions of the session.
func (s *session) sharesLocked() (shares []*share) {
	if !s.sharing {
		return nil
	}
	for sub := range s.subs.all {
		if sub.shared() != nil {
			shares = append(shares, sub.shared())
		}
	}
	return shares
}

// serve hands out what waits for shared subscriptions.
func serve(shares []*share) {
	for _, sh := range shares {
		sh.serve()
	}
}

func boolBit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mayReceiveLocked asks about one message, unless everything is known to be allowed.
func (s *session) mayReceiveLocked(subject string) bool {
	a, c := s.broker.auth, s.conn
	if a == nil || c == nil || c.is(flagOpen) || a.Generation() == s.judged && !c.is(flagExpires) {
		return true
	}
	return a.CanReceive(c.id, subject)
}
