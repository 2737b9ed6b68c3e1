package mqtt

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// publish takes a message from the client.
func (t *turn) publish(f packet.Frame) error {
	c := t.c
	p, err := f.Publish(c.version)
	if err != nil {
		return err
	}
	topic, err := c.resolve(&p)
	if err != nil {
		return err
	}
	c.broker.count.received[p.QoS].Add(1)
	if p.QoS > 0 {
		if err := t.receive(&p); err != nil {
			return err
		}
	}
	if p.QoS == 2 && c.session.inbound.has(p.ID) {
		return t.again(p.ID)
	}
	switch code, err := t.mayPublish(topic, &p); {
	case err != nil:
		return err // what is not taken is not acknowledged
	case code != packet.Success:
		t.refuse(&p, code)
		return nil
	}
	lasts := false
	if p.QoS == 2 {
		c.session.take(p.ID, c)
		if lasts = c.session.lasting != nil; lasts {
			t.inbound = append(t.inbound, idChange{p.ID, true})
		}
	}
	retain := p.Retain && c.broker.store != nil
	some, all := c.broker.bus.Captured(topic)
	if retain || lasts || all || some && p.QoS > 0 { // sessions wait for nothing of QoS 0
		return t.publishStored(topic, &p, retain, all)
	}
	return t.publishLive(topic, &p)
}

// again answers a message of QoS 2 that was taken before [MQTT-4.3.3-10], but not before it is on disk.
func (t *turn) again(id uint16) error {
	switch t.c.session.inbound.waits(id) {
	case nil:
		t.answer(answer{kind: packet.Pubrec, id: id})
		return nil
	case t.c:
		return nil // its PUBREC is on its way
	}
	return &leave{code: packet.ServerBusy, text: "what the last connection has sent is still being stored: try again", reason: engine.ReasonInternal}
}

// resolve returns the topic, which may stand behind an alias (§3.3.2.3.4).
func (c *conn) resolve(p *packet.PublishPacket) ([]byte, error) {
	alias, ok := p.TopicAlias()
	if !ok {
		return p.Topic, nil
	}
	if int(alias) > c.broker.limits.TopicAliases {
		return nil, broken(packet.TopicAliasInvalid, "the topic alias %d is greater than the maximum of %d", alias, c.broker.limits.TopicAliases)
	}
	d := c.details()
	if len(p.Topic) == 0 {
		topic, known := d.aliases[alias]
		if !known {
			return nil, broken(packet.ProtocolError, "the topic alias %d stands for nothing yet", alias)
		}
		return []byte(topic), nil
	}
	if d.aliases == nil {
		d.aliases = map[uint16]string{}
	}
	if event.ValidateSubjectBytes(p.Topic, c.broker.events) == nil {
		d.aliases[alias] = string(p.Topic)
	} else {
		delete(d.aliases, alias) // what cannot be published is not kept, and the alias stands no longer for what it stood for
	}
	return p.Topic, nil
}

// receive counts a message against what the client was granted.
func (t *turn) receive(p *packet.PublishPacket) error {
	c := t.c
	most := c.broker.limits.Receive
	under := int(c.acks.count()) + c.session.inbound.len() + len(t.answers)
	if under < most {
		return nil
	}
	if c.version >= packet.V5 {
		if under == most && p.QoS == 2 && c.session.inbound.has(p.ID) {
			return nil
		}
		t.submit()
		if int(c.acks.count())+c.session.inbound.len() >= most {
			return broken(packet.ReceiveMaximumExceeded, "more than %d messages of QoS 1 and 2 are on their way", most)
		}
		return nil
	}
	// Version 3 knows no such bound: the client is not read until some are acknowledged.
	t.submit()
	if err := t.flush(); err != nil {
		return err
	}
	if c.session.inbound.len() >= most && (p.QoS < 2 || !c.session.inbound.has(p.ID)) {
		return broken(packet.QuotaExceeded, "%d messages of QoS 2 are not released", most)
	}
	c.acks.wait(int32(most), c.carrier.Context().Done())
	return nil
}

// mayPublish decides whether a message can be taken. An error ends the connection.
func (t *turn) mayPublish(topic []byte, p *packet.PublishPacket) (packet.Code, error) {
	c, b := t.c, t.c.broker
	if err := event.ValidateSubjectBytes(topic, b.events); err != nil {
		return packet.TopicNameInvalid, t.cannot(packet.TopicNameInvalid, err)
	}
	if topic[0] == '$' && bus.Reserved(string(topic)) {
		err := fmt.Errorf("publishing on %.80q: the topic is the server's own", topic)
		return packet.NotAuthorized, t.cannot(packet.NotAuthorized, err)
	}
	if !c.is(flagOpen) {
		if err := b.authorize(c, auth.ActionPublish, topic); err != nil {
			return packet.NotAuthorized, t.cannot(packet.NotAuthorized, err)
		}
	}
	if p.Retain && b.store == nil && c.version >= packet.V5 {
		return packet.RetainNotSupported, broken(packet.RetainNotSupported, "the server keeps no retained messages: it has no store")
	}
	if p.Has(packet.PayloadFormat) && !c.decoder.Lenient && !utf8.Valid(p.Payload) {
		if q, err := p.Properties(); err == nil && q.PayloadFormat == 1 {
			return packet.PayloadFormatInvalid, nil
		}
	}
	return packet.Success, nil
}

// cannot ends the connection if nothing else can tell the client: a strict listener does not acknowledge to a version 3 client what it has not taken.
func (t *turn) cannot(code packet.Code, err error) error {
	t.c.broker.count.refused.Add(1)
	if t.c.version >= packet.V5 || t.c.decoder.Lenient {
		return nil
	}
	return refused(code, err)
}

// refuse answers a message that is not taken. To a version 3 client of a lenient listener it looks as if it were: the alternative, closing, has devices in the field come back
// with the same message for ever.
func (t *turn) refuse(p *packet.PublishPacket, code packet.Code) {
	if p.QoS == 0 {
		return
	}
	kind := packet.Puback
	if p.QoS == 2 {
		kind = packet.Pubrec
	}
	t.answer(answer{kind: kind, id: p.ID, code: code})
}

// publishLive routes a message that nobody waits for on disk, and acknowledges it.
func (t *turn) publishLive(topic []byte, p *packet.PublishPacket) error {
	c, b := t.c, t.c.broker
	if c.ahead.has(topic) {
		t.submit()
		if !c.ahead.wait(topic, c.carrier.Context().Done()) { // it would overtake them
			if p.QoS == 2 {
				t.untake(p.ID)
			}
			return errQuit
		}
	}
	t.origin = publication{session: c.session, qos: p.QoS, retain: p.Retain}
	var receivers int
	var err error
	if p.HasProperties() {
		var q *packet.Properties
		if q, err = p.Properties(); err != nil {
			return err
		}
		e := newEvent(topic, p.Payload, meta{qos: p.QoS, retain: p.Retain}, q, b.now())
		receivers, err = b.bus.PublishFrom(&t.origin, e)
	} else {
		receivers, err = b.bus.PublishBytesFrom(&t.origin, topic, p.Payload)
	}
	if err != nil {
		return t.reject(p, failure(err), err)
	}
	code := packet.Success
	if receivers == 0 {
		code = packet.NoMatchingSubscribers
	}
	t.acknowledge(p, code, nil)
	return nil
}

// reject answers a message that cannot be delivered or stored, whoever has published it. Version 3 has no word for that: its connection ends without an acknowledgement.
func (t *turn) reject(p *packet.PublishPacket, code packet.Code, err error) error {
	c, b := t.c, t.c.broker
	b.count.failed.Add(1)
	if b.lines.Allow(time.Now()) {
		b.log.Warn("a message is not taken", "client", describe(c.session.id), "error", err, "others", b.lines.Take())
	}
	if p.QoS == 2 {
		t.untake(p.ID)
	}
	if p.QoS > 0 && c.version < packet.V5 {
		reason := engine.ReasonOverflow
		if errors.Is(err, event.ErrTooLong) {
			reason = engine.ReasonTooLarge
		}
		return &leave{code: code, text: "the message is not taken", reason: reason, cause: err}
	}
	t.acknowledge(p, code, nil)
	return nil
}

func (t *turn) acknowledge(p *packet.PublishPacket, code packet.Code, e *event.Event) {
	a := answer{kind: packet.Puback, id: p.ID, code: code, event: e}
	switch p.QoS {
	case 0:
		return
	case 2:
		a.kind = packet.Pubrec
	}
	t.answer(a)
}

// publishStored collects a message that has to be on disk before it is delivered and acknowledged. Unless all messages of its topic are stored, those that are not wait for it.
func (t *turn) publishStored(topic []byte, p *packet.PublishPacket, retain, all bool) error {
	c, b := t.c, t.c.broker
	q, err := p.Properties()
	if err != nil {
		return err
	}
	e := newEvent(topic, p.Payload, meta{p.QoS, p.Retain, b.tag(c.session.id)}, q, b.now())
	if err := b.check(e); err != nil {
		return t.reject(p, failure(err), err)
	}
	if retain {
		if code := t.retain(e); code != packet.Success {
			return t.reject(p, code, fmt.Errorf("retaining a message on %.80q: %s", e.Subject, code))
		}
	}
	if !all {
		t.overtakable(e.Subject)
	}
	t.events = append(t.events, e)
	if p.QoS > 0 {
		t.acknowledge(p, packet.Success, e)
	}
	return nil
}

// overtakable notes that what follows on a topic has to wait for this turn's commit.
func (t *turn) overtakable(topic string) {
	if t.c.ahead == nil {
		t.c.ahead = &ahead{}
	}
	t.c.ahead.add(topic)
	t.ahead = append(t.ahead, topic)
}

// acknowledged takes PUBACK, PUBREC, PUBCOMP of what was sent to the client, and PUBREL of what it has sent.
func (t *turn) acknowledged(f packet.Frame) error {
	c := t.c
	a, err := f.Ack(c.version)
	if err != nil {
		return err
	}
	s := c.session
	switch f.Type {
	case packet.Pubrel:
		t.release(a.ID)
		return nil
	case packet.Pubrec:
		code, lasting := s.received(c, a.ID, a.Code)
		if a.Code.Failed() {
			break
		}
		t.marks = t.marks || lasting && code == packet.Success
		t.answer(answer{kind: packet.Pubrel, id: a.ID, code: code})
		return nil
	case packet.Puback, packet.Pubcomp:
		s.completed(c, f.Type, a.ID)
	}
	s.pump(c)
	return nil
}

// release forgets the identifier of a message of QoS 2: what comes with it next is another message.
func (t *turn) release(id uint16) {
	code := packet.PacketIdentifierNotFound
	if t.untake(id) {
		code = packet.Success
	}
	t.answer(answer{kind: packet.Pubcomp, id: id, code: code})
}

// untake makes an identifier free, and tells whether it was taken.
func (t *turn) untake(id uint16) bool {
	s := t.c.session
	if !s.inbound.remove(id) {
		return false
	}
	if s.lasting != nil {
		t.inbound = append(t.inbound, idChange{id, false})
	}
	return true
}
