package mqtt

import (
	"slices"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// A turn is what comes of one read: answers that leave at once, and what is committed together before the rest is answered. It is used
// by the connection's task only, and by one connection at a time.
type turn struct {
	c       *conn
	out     []byte // answers that wait for nothing
	origin  publication
	events  []*event.Event // to be stored
	state   []store.Put    // beside them: retained messages, identifiers, progress
	gone    []string       // and what is removed
	ahead   []string       // topics whose next messages wait for it
	answers []answer       // that leave once it is all on disk
	inbound []idChange     // identifiers of incoming messages of QoS 2, of a session that lasts
	marks   bool           // the progress of outgoing ones has to be on disk
}

// An answer is an acknowledgement.
type answer struct {
	kind  packet.Type
	code  packet.Code
	id    uint16
	event *event.Event // what is acknowledged, if it is stored
}

// A publication is what the broker's own subscribers may ask of a message that is only live.
type publication struct {
	session *session // who has published it
	qos     byte
	retain  bool
}

func newTurn() any { return &turn{out: make([]byte, 0, 512)} }

func (t *turn) begin(c *conn) { t.c = c }

// end gives the turn back, without what a burst has made of it.
func (t *turn) end() {
	if cap(t.out) > replyFlush {
		t.out = make([]byte, 0, 512)
	}
	pool := &t.c.broker.turns
	*t = turn{out: t.out[:0]}
	pool.Put(t)
}

// take handles one packet.
func (t *turn) take(f packet.Frame) error {
	c := t.c
	c.broker.count.packetsIn.Add(1)
	if c.session == nil {
		return t.enter(f)
	}
	switch f.Type {
	case packet.Publish:
		return t.publish(f)
	case packet.Puback, packet.Pubrec, packet.Pubcomp, packet.Pubrel:
		return t.acknowledged(f)
	case packet.Subscribe:
		return t.subscribe(f)
	case packet.Unsubscribe:
		return t.unsubscribe(f)
	case packet.Pingreq:
		t.out = packet.AppendPingresp(t.out)
		return nil
	case packet.Disconnect:
		return t.disconnect(f)
	case packet.Auth:
		return t.reauthenticate(f)
	case packet.Connect:
		return broken(packet.ProtocolError, "a second CONNECT on one connection")
	}
	return broken(packet.ProtocolError, "%s is sent by servers only", f.Type)
}

// enter takes the first packets, until the client is known.
func (t *turn) enter(f packet.Frame) error {
	switch {
	case f.Type == packet.Connect && t.c.version == 0:
		return t.connect(f)
	case f.Type == packet.Auth && t.c.version == packet.V5:
		return t.authenticate(f)
	}
	return broken(packet.ProtocolError, "the first packet is to be a CONNECT")
}

// room hands over what has been collected, if that is much.
func (t *turn) room() error {
	if most := t.c.broker.batch; len(t.events) >= most || len(t.inbound) >= most || len(t.answers) >= most {
		t.submit()
		t.c.awaitAcks()
	}
	if len(t.out) >= replyFlush {
		return t.flush()
	}
	return nil
}

// finish hands over and sends what is left.
func (t *turn) finish() error {
	t.submit()
	return t.flush()
}

func (t *turn) flush() error {
	if len(t.out) == 0 {
		return nil
	}
	_, err := t.c.carrier.WriteThrough(t.out)
	t.out = t.out[:0]
	return err
}

// answer acknowledges a packet: now, if nothing of before waits for the disk.
func (t *turn) answer(a answer) {
	if t.commits() || len(t.answers) > 0 || !t.c.acks.empty() {
		t.answers = append(t.answers, a)
		return
	}
	t.out = t.c.appendAnswer(t.out, a)
}

func (c *conn) appendAnswer(dst []byte, a answer) []byte {
	return packet.AppendAck(dst, c.version, a.kind, a.id, a.code, nil)
}

// commits tells whether anything has to be on disk.
func (t *turn) commits() bool {
	return len(t.events) > 0 || len(t.state) > 0 || len(t.gone) > 0 || len(t.inbound) > 0 || t.marks
}

// put stores a value, in place of what this turn has put there before.
func (t *turn) put(key string, data []byte) {
	t.forget(key)
	t.state = append(t.state, store.Put{Key: key, Data: data})
}

// remove removes a value.
func (t *turn) remove(key string) {
	t.forget(key)
	t.gone = append(t.gone, key)
}

// has tells whether there is going to be a value, if this turn has decided that.
func (t *turn) has(key string) (has, known bool) {
	for i := range t.state {
		if t.state[i].Key == key {
			return true, true
		}
	}
	return false, slices.Contains(t.gone, key)
}

func (t *turn) forget(key string) {
	for i := range t.state {
		if t.state[i].Key == key {
			t.state = append(t.state[:i], t.state[i+1:]...)
			break
		}
	}
	for i := range t.gone {
		if t.gone[i] == key {
			t.gone = append(t.gone[:i], t.gone[i+1:]...)
			break
		}
	}
}

// progress puts how far a session has got, unless it has ended. The caller calls what it returns when that was handed to the store: so older progress never follows newer, nor any
// the end of the session.
func (t *turn) progress(s *session) (handed func()) {
	s.lasting.save.Lock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return s.lasting.save.Unlock
	}
	for _, i := range t.inbound {
		if i.taken {
			t.put(inboundKey(s.id, i.id), nil)
		} else {
			t.remove(inboundKey(s.id, i.id))
		}
	}
	if t.marks {
		t.put(marksKey(s.id), s.marksLocked())
	}
	return s.lasting.save.Unlock
}

// A commit is what was handed to the store, and what is answered then.
type commit struct {
	c       *conn
	group   *ackGroup
	events  []*event.Event
	ahead   []string
	answers []answer
}

// submit hands over what has been collected. The answers leave in the order of the packets, also those of earlier and later turns.
func (t *turn) submit() {
	if len(t.answers) > 0 {
		_ = t.flush() // earlier ones leave first [MQTT-4.6.0-2]; that the client has gone, it is told elsewhere
	}
	if !t.commits() {
		if len(t.answers) > 0 {
			g := t.c.queue(t.answers)
			t.c.acks.settle(g, t.c.appendAnswers(nil, t.answers, nil), t.c.carrier)
			t.answers = t.answers[:0]
		}
		return
	}
	c, b := t.c, t.c.broker
	k := &commit{c: c, events: t.events, ahead: t.ahead, answers: t.answers, group: c.queue(t.answers)}
	var batch *store.Batch
	if len(t.inbound) > 0 || t.marks {
		defer t.progress(c.session)()
	}
	if len(t.state) > 0 || len(t.gone) > 0 {
		batch = &store.Batch{Puts: t.state, Deletes: t.gone}
	}
	t.events, t.answers, t.state, t.gone, t.ahead, t.inbound, t.marks = nil, nil, nil, nil, nil, nil, false
	if b.config.Ack == AckReceived {
		c.acks.settle(k.group, c.appendAnswers(nil, k.answers, nil), c.carrier)
		k.answers = nil
	}
	if batch == nil {
		b.bus.Submit(k.events, k.done)
		return
	}
	b.bus.SubmitWith(batch, k.events, k.done)
}

// done is called once the commit is on disk, or is not.
func (k *commit) done(_ bus.Receipt, err error) {
	if len(k.ahead) > 0 {
		k.c.ahead.delivered(k.ahead)
	}
	if err == nil {
		k.stored()
		k.settle(nil)
		return
	}
	unreleased := k.failed(err)
	switch {
	case k.group == nil || k.answers == nil:
	case k.c.version < packet.V5 || unreleased:
		// Nothing says in version 3 that a message was not taken, nor in any that one was not released: the client is left to send it again.
		k.c.carrier.Close(engine.ReasonInternal, err)
	default:
		k.settle(err)
	}
}

// settle answers.
func (k *commit) settle(err error) {
	if k.group != nil && k.answers != nil {
		k.c.acks.settle(k.group, k.c.appendAnswers(nil, k.answers, err), k.c.carrier)
	}
}

// stored notes that what has come is on disk.
func (k *commit) stored() {
	for i := range k.answers {
		if a := &k.answers[i]; a.kind == packet.Pubrec && a.event != nil {
			k.c.session.inbound.stored(a.id)
		}
	}
}

// failed takes back what was to be on disk before it is answered: identifiers are free again, and what was to be released is not, which the client cannot be told.
func (k *commit) failed(err error) (unreleased bool) {
	s, b := k.c.session, k.c.broker
	b.count.failed.Add(uint64(len(k.events)))
	for _, a := range k.answers {
		switch a.kind {
		case packet.Pubrec:
			if a.event != nil {
				s.inbound.remove(a.id)
			}
		case packet.Pubcomp:
			if a.code == packet.Success && s.lasting != nil {
				s.inbound.add(a.id)
				unreleased = true
			}
		case packet.Pubrel:
			if a.code == packet.Success && s.lasting != nil {
				s.unrelease(a.id)
				unreleased = true
			}
		}
	}
	b.log.Error("what a client has sent could not be stored, and is not acknowledged", "client", describe(s.id), "messages", len(k.events), "packets", len(k.answers), "error", err)
	return unreleased
}

// queue enters a place for answers, if there are any.
func (c *conn) queue(answers []answer) *ackGroup {
	if len(answers) == 0 {
		return nil
	}
	if c.acks == nil {
		c.acks = &acks{}
	}
	g := &ackGroup{held: int32(len(answers))}
	for i := range answers {
		if answers[i].counts() {
			g.count++
		}
	}
	c.acks.add(g)
	return g
}

// counts tells whether the client counts what is answered against the Receive Maximum until then.
func (a *answer) counts() bool { return a.kind == packet.Puback }

// appendAnswers appends acknowledgements; those of messages that could not be stored say so.
func (c *conn) appendAnswers(dst []byte, answers []answer, err error) []byte {
	for _, a := range answers {
		if err != nil && !a.code.Failed() && (a.kind == packet.Puback || a.kind == packet.Pubrec) {
			a.code = failure(err)
		}
		dst = c.appendAnswer(dst, a)
	}
	return dst
}
