package mqtt

import (
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// What the clients of the model do.

const (
	opConnect = iota
	opDisconnect
	opDrop
	opSubscribe
	opUnsubscribe
	opPublish
	opPublishMore
	opAck
	opAckAll
	opRelease
	opOther
	opWait
	opCrash
	opKinds
)

var opNames = [opKinds]string{"connect", "disconnect", "drop", "subscribe", "unsubscribe", "publish", "publish some", "acknowledge", "acknowledge all", "release", "another door publishes", "wait", "crash"}

// An op is a step: what is done, by which client, and three bytes that say how.
type op struct{ kind, client, a, b, c byte }

const opBytes = 5

// opsOf reads steps.
func opsOf(b []byte) (ops []op) {
	for ; len(b) >= opBytes; b = b[opBytes:] {
		ops = append(ops, op{b[0] % opKinds, b[1] % clients, b[2], b[3], b[4]})
	}
	return ops
}

func (o op) String() string {
	text := fmt.Sprintf("{%d, %d, %d, %d, %d}, // ", o.kind, o.client, o.a, o.b, o.c)
	if o.kind != opOther && o.kind != opWait && o.kind != opCrash {
		text += clientID(o.client) + " "
	}
	text += opNames[o.kind]
	switch o.kind {
	case opConnect:
		p, most := o.connect()
		text += fmt.Sprintf(" %s clean %v expiry %d receive maximum %d", p.Version, p.CleanStart, p.Properties.SessionExpiry, most)
		if w := p.Will; w != nil {
			text += fmt.Sprintf(" will %s qos %d retain %v delay %d", w.Topic, w.QoS, w.Retain, w.Properties.WillDelay)
		}
	case opSubscribe:
		s, id := o.subscription()
		text += fmt.Sprintf(" %+v id %d", s, id)
	case opUnsubscribe:
		text += " " + filters[int(o.a)%len(filters)]
	case opPublish, opPublishMore:
		m, life := o.message()
		text += fmt.Sprintf(" %s qos %d retain %v empty %v expiry %v half %v and drops %v", m.topic, m.qos, m.retain, m.payload == "", life, o.half(), o.drops())
	case opOther:
		text += " on " + topics[int(o.a)%len(topics)]
	case opWait:
		text += fmt.Sprintf(" %v", waits[int(o.a)%len(waits)])
	}
	return text
}

const clients = 4

var (
	topics  = []string{"a/x", "a/y", "b/x", "b/y/z", "s/g/1", "s/g/2", "s/k/1", "s/k/2"}
	filters = []string{"a/x", "a/#", "+/x", "a/+", "b/#", "b/y/z", "+/y/#", "$share/g/s/g/+", "$share/k/s/k/+"}
	waits   = []time.Duration{time.Second, 3 * time.Second, 6 * time.Second, 12 * time.Second}
)

func clientID(n byte) string { return string('A' + rune(n)) }

// connect is the CONNECT that a step sends, with everything of version 5, and how many messages the client takes at a time.
func (o op) connect() (p *packet.ConnectPacket, most int) {
	p = &packet.ConnectPacket{ClientID: clientID(o.client), Version: packet.V5, CleanStart: o.a&2 != 0 && o.a&64 != 0, Properties: &packet.Properties{}}
	most = modelInflight
	if o.a&1 != 0 {
		p.Version = packet.V311
	} else {
		if n := int(o.a>>2) & 3; n > 0 {
			most = n
			p.Properties.ReceiveMaximum = uint16(n)
			p.Properties.Set(packet.ReceiveMaximum)
		}
		if e := []uint32{0, 5, never, never}[o.b%4]; e > 0 {
			p.Properties.SessionExpiry = e
			p.Properties.Set(packet.SessionExpiry)
		}
	}
	if o.c%4 == 1 {
		q := &packet.Properties{}
		p.Will = &packet.Will{Topic: topics[int(o.c>>2)%4], Payload: []byte("will"), QoS: o.c >> 4 % 3, Retain: o.c&128 != 0, Properties: q}
		if o.b&16 != 0 && p.Version == packet.V5 {
			q.WillDelay = 2
			q.Set(packet.WillDelay)
		}
		if o.b&32 != 0 && p.Version == packet.V5 {
			q.MessageExpiry = 4
			q.Set(packet.MessageExpiry)
		}
	}
	return p, most
}

func (o op) subscription() (s packet.Subscription, id uint32) {
	s = packet.Subscription{Filter: filters[int(o.a)%len(filters)], QoS: o.b % 3, NoLocal: o.b&8 != 0, RetainAsPublished: o.b&16 != 0, RetainHandling: o.b >> 5 % 3}
	if packet.IsShared(s.Filter) {
		s.NoLocal = false
	}
	return s, uint32(o.c % 4)
}

func (o op) message() (m mMessage, life time.Duration) {
	m = mMessage{topic: topics[int(o.a)%len(topics)], payload: "?", qos: o.b % 3, from: clientID(o.client)}
	if !strings.HasPrefix(m.topic, "s/") {
		m.retain = o.b&12 == 4
		if m.retain && o.b&48 == 48 {
			m.payload = ""
		}
	}
	if o.c%4 == 3 {
		life = 3 * time.Second
	}
	return m, life
}

// half says that a message of QoS 2 is not released, and drops that the client goes before it has an answer.
func (o op) half() bool  { return o.b&64 != 0 }
func (o op) drops() bool { return o.c&24 == 24 }

const modelInflight = 4

// A run is a broker and its model.
type run struct {
	rig   *rig
	model *model
	n     int // payloads
}

// step does one step, and compares.
func (r *run) step(o op) error {
	c := r.model.clients[o.client]
	c.maybe = ""
	if err := r.do(c, o); err != nil {
		return err
	}
	<-time.After(tick)
	synctest.Wait()
	r.model.pass()
	if err := r.observe(); err != nil {
		return err
	}
	return r.stuck()
}

func (r *run) do(c *mClient, o op) error {
	switch o.kind {
	case opConnect:
		return r.connect(c, o)
	case opCrash:
		r.rig.crash()
		for _, c := range r.model.clients {
			if c.connected() {
				c.peer.close()
			}
		}
		r.model.crash()
		return r.observe()
	case opWait:
		<-time.After(waits[int(o.a)%len(waits)])
		return nil
	case opOther:
		m := &mMessage{topic: topics[int(o.a)%len(topics)], payload: r.payload(), qos: 1}
		if r.model.fleeting(m.topic) {
			return nil
		}
		if err := r.rig.other(m.topic, m.payload); err != nil {
			return err
		}
		r.model.publish(m)
		return r.observe()
	}
	if !c.connected() {
		return nil
	}
	return r.doConnected(c, o)
}

func (r *run) doConnected(c *mClient, o op) error {
	switch o.kind {
	case opDisconnect:
		return r.disconnect(c, o)
	case opDrop:
		c.peer.close()
		r.model.ended(c, true)
	case opSubscribe:
		return r.subscribe(c, o)
	case opUnsubscribe:
		text := filters[int(o.a)%len(filters)]
		c.peer.send(packet.AppendUnsubscribe(nil, c.version, &packet.UnsubscribePacket{ID: 9, Filters: []string{text}}))
		r.model.unsubscribe(c, text)
	case opPublish:
		return r.publish(c, o, 1)
	case opPublishMore:
		return r.publish(c, o, 2+int(o.c>>5%3))
	case opAck:
		return r.ack(c, int(o.a%8), 1+int(o.b%3))
	case opAckAll:
		return r.ack(c, 0, 60)
	case opRelease:
		return r.release(c)
	}
	return r.observe()
}

func (r *run) payload() string {
	r.n++
	return fmt.Sprintf("m%d", r.n)
}

func (r *run) connect(c *mClient, o op) error {
	p, most := o.connect()
	if p.Will != nil {
		p.Will.Payload = []byte(r.payload())
	}
	if c.connected() {
		defer c.peer.close()
	}
	peer := r.rig.dial(p.Version)
	peer.send(packet.AppendConnect(nil, p))
	synctest.Wait()
	present := r.model.connect(c, p)
	c.peer, c.version, c.most = peer, p.Version, most
	r.model.resume(c)
	if !present {
		c.taken, c.sends = map[uint16]string{}, nil
	}
	frames, times, err := peer.take()
	if len(frames) == 0 || frames[0].Type != packet.Connack {
		return fmt.Errorf("%s got no CONNACK: %v %v", c.id, frames, err)
	}
	ack, err := frames[0].Connack(c.version)
	if err != nil || ack.Code.Failed() || ack.SessionPresent != present {
		return fmt.Errorf("%s got a CONNACK %+v %v, session present %v is wanted", c.id, ack, err, present)
	}
	peer.putBack(c.releaseLoose(frames[1:], times[1:]))
	if err := r.observe(); err != nil {
		return err
	}
	for _, s := range slices.Clone(c.sends) { // what a client does that comes back
		if err := r.sendAgain(c, s); err != nil {
			return err
		}
	}
	return nil
}

// releaseLoose answers the releases of retained messages that were on their way when the server crashed. It has forgotten them, and their identifiers it has not.
func (c *mClient) releaseLoose(frames []packet.Frame, times []time.Time) (rest []packet.Frame, at []time.Time) {
	for i, f := range frames {
		if f.Type == packet.Pubrel {
			if a, err := f.Ack(c.version); err == nil && a.ID > logIDs && !slices.Contains(c.rels, a.ID) {
				delete(c.taken, a.ID)
				c.peer.send(packet.AppendAck(nil, c.version, packet.Pubcomp, a.ID, packet.Success, nil))
				continue
			}
		}
		rest, at = append(rest, f), append(at, times[i])
	}
	return rest, at
}

func (r *run) disconnect(c *mClient, o op) error {
	code, q := packet.NormalDisconnection, &packet.Properties{}
	if c.version == packet.V5 {
		if o.a&1 != 0 {
			code = packet.DisconnectWithWillMessage
		}
		if o.a&2 != 0 && c.session.expiry > 0 {
			q.SessionExpiry = []uint32{0, 5, never}[o.b%3]
			q.Set(packet.SessionExpiry)
			c.session.expiry = q.SessionExpiry
		}
	}
	c.peer.send(packet.AppendDisconnect(nil, c.version, code, q))
	synctest.Wait()
	c.peer.close()
	r.model.ended(c, code != packet.NormalDisconnection)
	return r.observe()
}

func (r *run) subscribe(c *mClient, o op) error {
	s, id := o.subscription()
	q := &packet.Properties{}
	if c.version < packet.V5 {
		s.NoLocal, s.RetainAsPublished, s.RetainHandling, id = false, false, 0, 0
	}
	if old := c.session.sub(s.Filter); old != nil && old.noLocal && !s.NoLocal {
		return nil // its own messages of before may come then, if others wait for them too: they were sent while they were not wanted, and are now
	}
	if id > 0 {
		q.SubscriptionIDs = []uint32{id}
	}
	c.peer.send(packet.AppendSubscribe(nil, c.version, &packet.SubscribePacket{ID: 8, Properties: q, Filters: []packet.Subscription{s}}))
	r.model.subscribe(c, s, id)
	return r.observe()
}

// publish sends messages of one topic and QoS.
func (r *run) publish(c *mClient, o op, n int) error {
	var out []byte
	for range n {
		m, life := o.message()
		if m.payload != "" {
			m.payload = r.payload()
		}
		if r.model.fleeting(m.topic) {
			m.qos = 0
		}
		p := &packet.OutPublish{Topic: m.topic, Payload: []byte(m.payload), QoS: m.qos, Retain: m.retain}
		if life > 0 && c.version == packet.V5 {
			m.expires = time.Now().Add(life)
			p.Properties = (&packet.Properties{MessageExpiry: uint32(life / time.Second)}).Set(packet.MessageExpiry)
		}
		if m.qos > 0 {
			c.next++
			p.ID = c.next
			c.sends = append(c.sends, &mSend{m: &m, pid: p.ID})
		}
		out = packet.AppendPublish(out, c.version, p)
		if m.qos == 2 {
			c.session.inbound[p.ID] = true
		}
		c.expectAck(m.qos, p.ID)
		r.model.publish(&m)
	}
	c.peer.send(out)
	if o.drops() {
		synctest.Wait() // all of it is read
		if err := r.observe(); err != nil {
			return err
		}
		c.peer.close()
		r.model.ended(c, true)
		return r.observe()
	}
	if err := r.observe(); err != nil {
		return err
	}
	c.done()
	if o.half() {
		return nil
	}
	return r.release(c)
}

// done takes the answers to what was sent: it is all there.
func (c *mClient) done() {
	c.sends = slices.DeleteFunc(c.sends, func(s *mSend) bool {
		s.received = s.m.qos == 2
		return s.m.qos == 1
	})
}

func (c *mClient) expectAck(qos byte, pid uint16) {
	switch qos {
	case 1:
		c.acks = append(c.acks, fmt.Sprintf("%s %d", packet.Puback, pid))
	case 2:
		c.acks = append(c.acks, fmt.Sprintf("%s %d", packet.Pubrec, pid))
	}
}

// release releases all messages of QoS 2 that were received.
func (r *run) release(c *mClient) error {
	for _, s := range c.sends {
		if s.received {
			c.peer.send(packet.AppendAck(nil, c.version, packet.Pubrel, s.pid, packet.Success, nil))
			c.acks = append(c.acks, fmt.Sprintf("%s %d", packet.Pubcomp, s.pid))
			delete(c.session.inbound, s.pid)
		}
	}
	c.sends = slices.DeleteFunc(c.sends, func(s *mSend) bool { return s.received })
	return r.observe()
}

// sendAgain is what a client does that comes back: it sends its messages again, or their releases.
func (r *run) sendAgain(c *mClient, s *mSend) error {
	if !s.lost {
		return nil
	}
	s.lost = false
	shared := strings.HasPrefix(s.m.topic, "s/")
	if !s.received && (r.model.fleeting(s.m.topic) || shared && !s.m.expires.IsZero()) { // of two with one payload nobody could tell which has expired
		c.sends = slices.DeleteFunc(c.sends, func(o *mSend) bool { return o == s })
		return nil
	}
	if s.received {
		return r.release(c)
	}
	p := &packet.OutPublish{Topic: s.m.topic, Payload: []byte(s.m.payload), QoS: s.m.qos, Retain: s.m.retain, ID: s.pid, Dup: true}
	c.peer.send(packet.AppendPublish(nil, c.version, p))
	c.expectAck(s.m.qos, s.pid)
	if !c.session.inbound[s.pid] {
		m := *s.m
		m.expires = time.Time{}
		if m.qos == 2 {
			c.session.inbound[s.pid] = true
		}
		r.model.publish(&m)
	}
	err := r.observe()
	s.received = s.m.qos == 2
	if s.m.qos == 1 {
		c.sends = slices.DeleteFunc(c.sends, func(o *mSend) bool { return o == s })
	}
	return err
}

// ack advances messages that are on their way to the client by so many packets.
func (r *run) ack(c *mClient, which, n int) error {
	for range n {
		var open []*mFlight
		for _, f := range c.session.flight {
			if !f.unsent && f.pid != 0 {
				open = append(open, f)
			}
		}
		if len(open) == 0 {
			return r.observe()
		}
		f := open[which%len(open)]
		kind := packet.Puback
		switch {
		case f.released:
			kind = packet.Pubcomp
		case f.qos == 2:
			kind = packet.Pubrec
		}
		c.peer.send(packet.AppendAck(nil, c.version, kind, f.pid, packet.Success, nil))
		if kind == packet.Pubrec {
			f.released = true
			c.rels = append(c.rels, f.pid)
		} else {
			r.model.finished(c, f)
		}
		if err := r.observe(); err != nil {
			return err
		}
	}
	return nil
}
