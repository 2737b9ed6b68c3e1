package mqtt

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// The model: what each session is to receive, described one step after the other, without a log, pages, or anything that happens at the same time.

// A mMessage is a published message. Payloads are unique, but for the empty one.
type mMessage struct {
	seq            int
	topic, payload string
	qos            byte
	retain         bool
	from           string // the client that has published it
	expires        time.Time
}

func (m *mMessage) expired(now time.Time) bool { return !m.expires.IsZero() && !now.Before(m.expires) }

// A mSub is a subscription.
type mSub struct {
	text, filter string
	qos          byte
	noLocal, rap bool
	id           uint32
	from         int // the first message that it is for
	group        *mGroup
}

func (s *mSub) matches(m *mMessage, own bool) bool {
	f, err := event.ParseFilter(s.filter, event.Limits{})
	return err == nil && s.group == nil && f.Match(m.topic) && !(own && s.noLocal)
}

// A mFlight is a message of QoS 1 or 2 on its way.
type mFlight struct {
	m        *mMessage
	qos      byte
	pid      uint16 // as it was observed
	released bool
	unsent   bool
	group    *mGroup
	retained *mSub // the subscription for which it was sent
	logged   bool
	sent     time.Time // for the first time
	doubt    bool      // there was a crash before the marks of the session could say that it was sent
}

// A mWaiting is a message that waits for room. What a session that ends with its connection waits for was decided when it came.
type mWaiting struct {
	m     *mMessage
	doubt bool // it may have been sent before a crash
	want  *want
}

// A mReplay is the retained messages that a subscription is owed.
type mReplay struct {
	sub   *mSub
	since int // what is retained later may come, or the replay was over by then
	after string
	seen  map[string]bool
}

// A mSession is a session.
type mSession struct {
	id      string
	lasts   bool // it is in the store
	expiry  uint32
	subs    []*mSub
	flight  []*mFlight
	waiting []*mWaiting
	replay  []*mReplay
	inbound map[uint16]bool
	end     time.Time // when it ends, if its client is away
	there   bool      // its client was there when it was stored
}

// A mWill is a will.
type mWill struct {
	m      mMessage
	delay  time.Duration
	expiry time.Duration
}

// A mGroup is a shared subscription. Who of its members gets a message is observed.
type mGroup struct {
	text    string
	byKey   bool
	durable bool
	members map[string]*mSub
	waiting []*mMessage          // what somebody is owed
	live    map[string]*mMessage // what one may get
	done    map[string]bool
}

// A mClient is a client: its session here, and what it knows itself.
type mClient struct {
	id       string
	peer     *peer
	version  packet.Version
	most     int // Receive Maximum
	session  *mSession
	will     *mWill
	willDue  time.Time // its will waits
	waitWill *mWill

	taken map[uint16]string // QoS 2: payloads by identifiers that were not released
	sends []*mSend          // its own messages that are not done
	next  uint16
	want  []*want // of this step
	rels  []uint16
	acks  []string
	maybe string // the payload of its own will, which the next connection may get if it was quick
}

// A mSend is a message that a client has published and that is not done.
type mSend struct {
	m        *mMessage
	pid      uint16
	received bool // PUBREC has come
	lost     bool // the connection ended meanwhile: it is to be sent again
}

// A want is a PUBLISH that a client is to get.
type want struct {
	m        *mMessage
	qos      byte
	dup      bool
	anyDup   bool
	optional bool // it may come
	retain   bool
	ids      []uint32
	pid      uint16 // 0: any
	flight   *mFlight
	unexpiry bool // it may say nothing exact of its expiry
}

func (w *want) String() string {
	return fmt.Sprintf("%s=%q qos %d dup %v retain %v ids %v pid %d", w.m.topic, w.m.payload, w.qos, w.dup, w.retain, w.ids, w.pid)
}

// A model is the broker as it should be.
type model struct {
	at       time.Time // while something is done that was due earlier
	clients  []*mClient
	retained map[string]*mMessage
	groups   map[string]*mGroup
	seq      int
}

func (d *model) now() time.Time {
	if !d.at.IsZero() {
		return d.at
	}
	return time.Now()
}

func (c *mClient) connected() bool { return c.peer != nil }

// room tells whether another message may be sent.
func (c *mClient) room() bool {
	n := c.session.under()
	return n == 0 || n < c.most
}

// under is how many messages are under way.
func (s *mSession) under() (n int) {
	for _, f := range s.flight {
		if !f.unsent {
			n++
		}
	}
	return n
}

func (s *mSession) sub(text string) *mSub {
	for _, sub := range s.subs {
		if sub.text == text {
			return sub
		}
	}
	return nil
}

// wanted collects what the subscriptions ask for that select a message.
func (s *mSession) wanted(m *mMessage, since int) *want {
	w := &want{m: m}
	matched := false
	for _, sub := range s.subs {
		if !sub.matches(m, m.from == s.id) || sub.from > since {
			continue
		}
		matched = true
		w.qos = max(w.qos, sub.qos)
		w.retain = w.retain || sub.rap && m.retain
		w.add(sub)
	}
	if !matched {
		return nil
	}
	w.qos = min(w.qos, m.qos)
	return w
}

func (w *want) add(sub *mSub) {
	if sub.id != 0 && !slices.Contains(w.ids, sub.id) {
		w.ids = append(w.ids, sub.id)
		slices.Sort(w.ids)
	}
}

// publish is a message that is routed.
func (d *model) publish(m *mMessage) {
	d.seq++
	m.seq = d.seq
	if m.retain {
		if m.payload == "" {
			delete(d.retained, m.topic)
		} else {
			d.retained[m.topic] = m
		}
	}
	for _, c := range d.clients {
		if c.session != nil {
			d.offer(c, m)
		}
	}
	for _, g := range d.groups {
		if !g.selects(m.topic) {
			continue
		}
		if m.qos > 0 && g.durable {
			g.waiting = append(g.waiting, m)
		} else {
			g.live[m.payload] = m
		}
	}
}

// offer gives a message to a session.
func (d *model) offer(c *mClient, m *mMessage) {
	s := c.session
	w := s.wanted(m, m.seq)
	if w == nil {
		return
	}
	if c.connected() {
		s.met(m.topic)
	}
	switch {
	case w.qos == 0:
		if c.connected() {
			c.want = append(c.want, w)
		}
	case !s.lasts:
		s.waiting = append(s.waiting, &mWaiting{m: m, want: w})
	default:
		s.waiting = append(s.waiting, &mWaiting{m: m})
	}
	d.pump(c)
}

func (s *mSession) met(topic string) {
	for _, r := range s.replay {
		r.seen[topic] = true
	}
}

// pump sends what waits, as far as there is room.
func (d *model) pump(c *mClient) {
	s := c.session
	if s == nil || !c.connected() {
		return
	}
	for _, f := range s.flight {
		if f.unsent {
			if !c.room() {
				return
			}
			f.unsent = false
			c.want = append(c.want, d.again(s, f))
		}
	}
	for len(s.waiting) > 0 && c.room() {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		w := next.want
		if w == nil {
			w = s.wanted(next.m, next.m.seq)
		}
		if w == nil || w.qos == 0 || next.m.expired(d.now()) {
			continue
		}
		s.met(next.m.topic)
		w.anyDup = next.doubt
		d.send(c, w, &mFlight{m: next.m, qos: w.qos, logged: s.lasts})
	}
}

func (d *model) send(c *mClient, w *want, f *mFlight) {
	w.flight, f.sent = f, d.now()
	c.session.flight = append(c.session.flight, f)
	c.want = append(c.want, w)
}

// again is a message that is sent again.
func (d *model) again(s *mSession, f *mFlight) *want {
	w := &want{m: f.m}
	if f.retained != nil {
		w.retain = true
		w.add(f.retained)
	} else if now := s.wanted(f.m, f.m.seq); now != nil {
		w.retain, w.ids = now.retain, now.ids
	}
	w.qos, w.dup, w.pid, w.flight, w.unexpiry = f.qos, true, f.pid, f, true
	w.optional = f.doubt && f.m.expired(d.now())
	return w
}

// replay sends retained messages, as far as there is room.
func (d *model) replay(c *mClient) {
	s := c.session
	if s == nil || !c.connected() {
		return
	}
	for len(s.replay) > 0 && len(s.waiting) == 0 && c.room() {
		r := s.replay[0]
		m := d.nextRetained(r)
		if m == nil {
			s.replay = s.replay[1:]
			continue
		}
		r.after = m.topic
		if r.seen[m.topic] || m.expired(d.now()) || m.from == s.id && r.sub.noLocal {
			continue
		}
		w := &want{m: m, qos: min(m.qos, r.sub.qos), retain: true, optional: m.seq > r.since}
		w.add(r.sub)
		if w.qos == 0 {
			c.want = append(c.want, w)
			continue
		}
		d.send(c, w, &mFlight{m: m, qos: w.qos, retained: r.sub})
	}
}

// nextRetained returns the next retained message of a subscription, in the order of topics.
func (d *model) nextRetained(r *mReplay) (next *mMessage) {
	for _, m := range d.retained {
		if r.sub.matches(m, false) && m.topic > r.after && (next == nil || m.topic < next.topic) {
			next = m
		}
	}
	return next
}

// ended is a connection that has ended. Will says whether its will is to be published.
func (d *model) ended(c *mClient, will bool) {
	c.peer = nil
	c.lose()
	s, w := c.session, c.will
	c.will, s.there = nil, false
	d.giveBack(s)
	lasts := s.expiry > 0
	switch {
	case w == nil || !will:
	case lasts && w.delay > 0:
		c.waitWill, c.willDue = w, d.now().Add(min(w.delay, time.Duration(s.expiry)*time.Second))
	default:
		d.publishWill(w)
	}
	if !lasts {
		d.endSession(c)
		return
	}
	if s.expiry != never {
		s.end = d.now().Add(time.Duration(s.expiry) * time.Second)
	}
}

// lose has the client send again what was not done when its connection ended.
func (c *mClient) lose() {
	for _, f := range c.sends {
		f.lost = true
	}
}

func (d *model) publishWill(w *mWill) {
	m := w.m
	if w.expiry > 0 {
		m.expires = d.now().Add(w.expiry)
	}
	d.publish(&m)
}

// giveBack returns to shared subscriptions what was not acknowledged.
func (d *model) giveBack(s *mSession) {
	s.flight = slices.DeleteFunc(s.flight, func(f *mFlight) bool {
		if f.group == nil {
			return false
		}
		if f.logged && d.groups[f.group.text] == f.group && f.group.durable {
			f.group.waiting = append(f.group.waiting, f.m)
		}
		return true
	})
}

func (d *model) endSession(c *mClient) {
	for _, sub := range c.session.subs {
		d.leave(c.id, sub)
	}
	c.session = nil
	if w := c.waitWill; w != nil {
		c.waitWill = nil
		d.publishWill(w)
	}
}

func (d *model) leave(id string, sub *mSub) {
	g := sub.group
	if g == nil {
		return
	}
	delete(g.members, id)
	if len(g.members) == 0 {
		delete(d.groups, g.text)
	}
}

// pass does what time does.
func (d *model) pass() {
	for {
		var first *mClient
		at := d.now()
		for _, c := range d.clients {
			if c.session != nil && !c.session.end.IsZero() && (c.session.end.Before(at) || first == nil && !c.session.end.After(at)) {
				first, at = c, c.session.end
			}
			if c.waitWill != nil && (c.willDue.Before(at) || first == nil && !c.willDue.After(at)) {
				first, at = c, c.willDue
			}
		}
		if first == nil {
			return
		}
		d.at = at
		d.due(first)
		d.at = time.Time{}
	}
}

// due does what is due of a client.
func (d *model) due(c *mClient) {
	if w := c.waitWill; w != nil && !c.willDue.After(d.at) {
		c.waitWill = nil
		d.publishWill(w)
		return
	}
	d.endSession(c)
}

// crash is the end of the server, and its next start.
func (d *model) crash() {
	for _, g := range d.groups {
		g.durable = false
		for id, sub := range g.members {
			g.durable = g.durable || sub.qos > 0 && d.client(id).session.lasts
		}
	}
	for _, c := range d.clients {
		if c.peer != nil {
			c.peer = nil
			c.lose()
		}
		if c.session != nil {
			for _, f := range c.session.flight {
				f.doubt = f.doubt || d.now().Sub(f.sent) < marksEvery
			}
		}
		if c.session != nil && c.session.there {
			for _, w := range c.session.waiting {
				w.doubt = true
			}
		}
	}
	for _, c := range d.clients {
		if c.will != nil {
			c.waitWill, c.will = c.will, nil
		}
		if w := c.waitWill; w != nil {
			c.willDue = d.now().Add(max(w.delay, willGrace))
		}
		if c.session == nil {
			continue
		}
		if s := c.session; s.there && s.expiry > 0 && s.expiry != never {
			s.end = d.now().Add(seconds(s.expiry))
		}
		d.giveBack(c.session)
		c.session.replay = nil
		c.session.flight = slices.DeleteFunc(c.session.flight, func(f *mFlight) bool { return !f.logged })
		if c.session.expiry == 0 {
			w := c.waitWill // it waits for longer than the session
			c.waitWill = nil
			lasts := c.session.lasts
			d.endSession(c)
			if c.waitWill = w; lasts && w != nil {
				c.waitWill = nil
				d.publishWill(w)
			}
		}
	}
	for _, g := range d.groups {
		g.live = map[string]*mMessage{}
		if !g.durable {
			g.waiting = nil
		}
	}
}

func (d *model) client(id string) *mClient {
	for _, c := range d.clients {
		if c.id == id {
			return c
		}
	}
	return nil
}

// connect is a CONNECT: it returns whether there is a session to go on with.
func (d *model) connect(c *mClient, p *packet.ConnectPacket) (present bool) {
	expiry := p.Properties.SessionExpiry
	if p.Version < packet.V5 {
		if expiry = never; p.CleanStart {
			expiry = 0
		}
	}
	s := c.session
	present = s != nil && !p.CleanStart && s.expiry > 0
	if c.connected() {
		c.peer = nil
		c.lose()
		w := c.will
		c.will = nil
		d.giveBack(s)
		if w != nil && !(present && w.delay > 0) {
			d.publishWill(w)
			c.maybe = w.m.payload
		}
	}
	if w := c.waitWill; w != nil {
		c.waitWill = nil
		if s != nil && !present {
			d.publishWill(w) // its session ends now
		}
	}
	if !present {
		if s != nil {
			d.endSession(c)
		}
		c.session = &mSession{id: c.id, lasts: expiry > 0, inbound: map[uint16]bool{}}
	}
	c.session.expiry, c.session.end, c.session.there = expiry, time.Time{}, true
	if w := p.Will; w != nil {
		c.will = &mWill{m: mMessage{topic: w.Topic, payload: string(w.Payload), qos: w.QoS, retain: w.Retain, from: c.id}}
		c.will.delay, c.will.expiry = seconds(w.Properties.WillDelay), seconds(w.Properties.MessageExpiry)
	}
	return present
}

// resume sends again what was on its way.
func (d *model) resume(c *mClient) {
	for _, f := range c.session.flight {
		if f.released {
			c.rels = append(c.rels, f.pid)
		} else {
			f.unsent = true
		}
	}
	d.pump(c)
}

func (d *model) subscribe(c *mClient, o packet.Subscription, id uint32) {
	s := c.session
	sub := &mSub{text: o.Filter, filter: o.Filter, qos: o.QoS, noLocal: o.NoLocal, rap: o.RetainAsPublished, id: id, from: d.seq + 1}
	old := s.sub(o.Filter)
	if packet.IsShared(o.Filter) {
		sub.qos = min(sub.qos, 1)
		d.join(s, sub)
	}
	if old != nil {
		if sub.group != nil || old.qos > 0 && sub.qos > 0 {
			sub.from = old.from
		}
		s.subs[slices.Index(s.subs, old)] = sub
		for _, r := range s.replay {
			if r.sub == old {
				r.sub = sub
			}
		}
	} else {
		s.subs = append(s.subs, sub)
	}
	if sub.group == nil && len(d.retained) > 0 && (o.RetainHandling == 0 || o.RetainHandling == 1 && old == nil) {
		s.replay = slices.DeleteFunc(s.replay, func(r *mReplay) bool { return r.sub == sub })
		s.replay = append(s.replay, &mReplay{sub: sub, since: d.seq, seen: map[string]bool{}})
	}
}

// join makes a session a member of a shared subscription.
func (d *model) join(s *mSession, sub *mSub) {
	g := d.groups[sub.text]
	if g == nil {
		g = &mGroup{text: sub.text, byKey: strings.HasPrefix(sub.text, "$share/k/"), members: map[string]*mSub{}, live: map[string]*mMessage{}, done: map[string]bool{}}
		d.groups[sub.text] = g
	}
	g.members[s.id], sub.group = sub, g
	g.durable = g.durable || s.lasts && sub.qos > 0
}

func (d *model) unsubscribe(c *mClient, text string) {
	s := c.session
	sub := s.sub(text)
	if sub == nil {
		return
	}
	s.subs = slices.DeleteFunc(s.subs, func(o *mSub) bool { return o == sub })
	s.replay = slices.DeleteFunc(s.replay, func(r *mReplay) bool { return r.sub == sub })
	d.leave(c.id, sub)
}

// finished is a message that the client has acknowledged.
func (d *model) finished(c *mClient, f *mFlight) {
	c.session.flight = slices.DeleteFunc(c.session.flight, func(o *mFlight) bool { return o == f })
	if f.group != nil {
		f.group.done[f.m.payload] = true
	}
	d.pump(c)
}
