package mqtt

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

var stripeSeed = maphash.MakeSeed()

// stripe is the lock under which the sessions of a client identifier come and go, one after the other: it may be held while something is committed.
func (b *Broker) stripe(id string) *sync.Mutex {
	return &b.stripes[maphash.String(stripeSeed, id)%stripes]
}

func (b *Broker) lookup(id string) *session {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.sessions[id]
}

// claim finds the session of a client, or makes one, takes it over from whoever has it, and stores what has to outlive a crash. Ousted is the connection that it was taken
// from, of which nobody was told yet that it has ended. The caller holds the stripe.
func (b *Broker) claim(c *conn, p *packet.ConnectPacket) (s *session, present bool, ousted *conn, err error) {
	w, err := b.newWill(c, p) // what can be refused, before anything is taken from anybody
	if err != nil {
		return nil, false, nil, err
	}
	old := b.lookup(p.ClientID)
	if err := b.canStore(p, w, old); err != nil {
		return nil, false, nil, err
	}
	if old != nil {
		if err := b.mayClaim(c, old); err != nil {
			return nil, false, nil, err
		}
		resumes := !p.CleanStart && old.expiry() > 0 // what ends with its connection ends now
		ousted = b.takeOver(old, resumes)
		if resumes {
			s, present = old, true
		} else {
			b.endSession(old)
		}
	}
	expiry := b.grantExpiry(p)
	if s == nil {
		s = b.newSession(p.ClientID)
		if expiry > 0 && !b.enlist(s, c.id.User()) {
			expiry = 0
		}
	}
	s.prepare(c.id.User(), p, expiry, w)
	b.mu.Lock()
	b.sessions[s.id] = s
	b.mu.Unlock()
	if err := b.saveSession(s, old != nil && old.lasting != nil && !present); err != nil && !(present && errors.Is(err, store.ErrFull)) {
		b.abandon(s)
		return nil, false, ousted, &leave{code: failure(err), text: "the session cannot be stored", reason: engine.ReasonInternal, cause: err}
	}
	return s, present, ousted, nil
}

// canStore refuses a client whose session or will cannot be stored now, before anything is taken from anybody. A session that is stored already goes on: what waits for it may be
// what fills the disk.
func (b *Broker) canStore(p *packet.ConnectPacket, w *will, old *session) error {
	if b.store == nil || b.grantExpiry(p) == 0 && w == nil && (old == nil || old.expiry() == 0) || w == nil && !p.CleanStart && old != nil && old.expiry() > 0 {
		return nil
	}
	if err := b.store.Health(); err != nil {
		return &leave{code: failure(err), text: "the session cannot be stored", reason: engine.ReasonInternal, cause: err}
	}
	return nil
}

// mayClaim keeps a client from another user's session.
func (b *Broker) mayClaim(c *conn, old *session) error {
	old.mu.Lock()
	owner, owned := old.ownerLocked()
	old.mu.Unlock()
	if !owned || b.auth == nil || !b.auth.Enabled() || owner == c.id.User() || owner == "" { // that was before anybody had to log in
		return nil
	}
	return refused(packet.ClientIdentifierNotValid, fmt.Errorf("the client identifier is in use by another user: %w", auth.ErrForbidden))
}

// ownerLocked returns the user whose session it is, and whether it is anybody's: one that has just ended with its connection is not.
func (s *session) ownerLocked() (user string, owned bool) {
	switch {
	case s.lasting != nil:
		return s.lasting.owner, true
	case s.conn != nil:
		return s.conn.id.User(), true
	}
	return "", false
}

// grantExpiry is how long the session outlives its connection, in seconds.
func (b *Broker) grantExpiry(p *packet.ConnectPacket) uint32 {
	asked := expiryAsked(p.Properties)
	if p.Version < packet.V5 {
		if asked = never; p.CleanStart {
			asked = 0
		}
	}
	if b.store == nil {
		return 0
	}
	return b.mostExpiry(asked)
}

// mostExpiry is as much of a Session Expiry Interval as is granted.
func (b *Broker) mostExpiry(asked uint32) uint32 {
	if b.limits.Expiry == 0 {
		return asked
	}
	return min(asked, uint32(min(b.limits.Expiry/time.Second, never)))
}

// enlist makes a session lasting, unless there are too many.
func (b *Broker) enlist(s *session, user string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lasting >= b.limits.Sessions {
		return false
	}
	b.lasting++
	s.lasting = &lasting{owner: user}
	return true
}

// takeOver takes a session from its connection, if it has one [MQTT-3.1.4-3].
func (b *Broker) takeOver(s *session, resumes bool) (ousted *conn) {
	ousted, w := b.takeOverFor(s, packet.SessionTakenOver, engine.ReasonTakenOver)
	if ousted != nil {
		b.count.takeovers.Add(1)
	}
	switch {
	case w == nil:
	case resumes && w.delay > 0:
		b.willWaits(s, w) // until the client is let in: it may be refused still
	default:
		b.publishWill(s.id, w)
	}
	if resumes {
		return ousted
	}
	if waiting := b.agenda.takeWill(s.id); waiting != nil {
		b.publishWill(s.id, waiting) // its session ends now
	}
	return ousted
}

// takeOverFor takes a session from its connection, which is told why, and returns its will.
func (b *Broker) takeOverFor(s *session, code packet.Code, reason engine.Reason) (ousted *conn, w *will) {
	s.mu.Lock()
	if ousted = s.conn; ousted != nil {
		s.conn = nil
		w, s.will = s.will, nil
		if s.lasting != nil {
			s.goAwayLocked()
		}
		s.giveBackLocked()
	}
	s.mu.Unlock()
	if ousted != nil {
		ousted.carrier.Close(reason, &leave{code: code, text: reason.String(), reason: reason})
		b.count.connected.Add(-1)
	}
	return ousted, w
}

// detach is told that a connection has ended.
func (b *Broker) detach(c *conn, why error) {
	s := c.session
	k := b.stripe(s.id)
	k.Lock()
	defer k.Unlock()
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return
	}
	s.conn, s.queue = nil, nil
	s.giveBackLocked()
	shares := s.sharesLocked()
	w := s.will
	s.will = nil
	lasts := s.lasting != nil && s.lasting.expiry > 0
	if lasts {
		s.lasting.since = b.now()
		s.goAwayLocked()
	}
	s.mu.Unlock()
	b.count.connected.Add(-1)
	b.departed(c, s, engine.ReasonOf(why, engine.ReasonPeer))
	b.parted(s, w, why, lasts)
	serve(shares) // what it has given back is for others
}

// discardWill takes the will from a client that has said good-bye, so that nobody publishes it who takes over its session a moment later [MQTT-3.14.4-3].
func (b *Broker) discardWill(c *conn) {
	s := c.session
	k := b.stripe(s.id) // the will of a later connection is stored after this one was removed
	k.Lock()
	defer k.Unlock()
	s.mu.Lock()
	var w *will
	if s.conn == c {
		w, s.will = s.will, nil
	}
	s.mu.Unlock()
	b.forgetWill(s.id, w)
}

// parted decides what becomes of session and will.
func (b *Broker) parted(s *session, w *will, why error, lasts bool) {
	shutdown := engine.ReasonOf(why, engine.ReasonNone) == engine.ReasonShutdown
	switch {
	case w == nil:
	case shutdown && b.store != nil:
		// It is in the store: if the client does not come back after the next start, it is published then.
	case lasts && w.delay > 0:
		b.willWaits(s, w)
	default:
		b.publishWill(s.id, w) // also if it was to wait and the session ends now [MQTT-3.1.3-9]
	}
	b.goOn(s, lasts)
}

// willWaits publishes a will after its delay or when its session ends, unless the client comes back before.
func (b *Broker) willWaits(s *session, w *will) {
	b.agenda.will(s.id, w, min(w.delay, seconds(s.expiry())))
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

// departed tells that a connection is gone.
func (b *Broker) departed(c *conn, s *session, reason engine.Reason) {
	if d := b.opts.Devices; d != nil {
		session := c.device(s)
		if silent, known := c.carrier.Silence(); known {
			session.Heard = session.At.Add(-silent)
		}
		d.Disconnected(session, reason.String())
	}
}

// abandon undoes claim for a client that is refused after all: a session that was there before goes on as one whose client is away, and so does the will that waits for it. The
// caller holds the stripe.
func (b *Broker) abandon(s *session) {
	s.mu.Lock()
	w := s.will
	s.will = nil
	lasts := s.lasting != nil && s.lasting.expiry > 0 && s.lasting.epoch > 1
	if lasts {
		s.lasting.since = b.now()
	}
	s.mu.Unlock()
	if waiting := b.agenda.waitingWill(s.id); waiting != nil {
		b.keepWill(s.id, waiting) // that of the client may have replaced it
	} else {
		b.forgetWill(s.id, w)
	}
	b.goOn(s, lasts)
}

// goOn ends a session that has lost its connection, or has it end in time.
func (b *Broker) goOn(s *session, lasts bool) {
	if !lasts {
		b.endSession(s)
		return
	}
	b.saveLater(s)
	if e := s.expiry(); e != never {
		b.agenda.expire(s, seconds(e))
	}
}

// endSession ends a session and forgets all of it. The caller holds the stripe.
func (b *Broker) endSession(s *session) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	s.over = true
	client, subs, stored := s.client, slices.Collect(s.subs.all), s.lasting != nil
	s.client = nil
	if stored {
		s.releaseLocked(subs)
	}
	s.subs, s.window, s.queue, s.replay = subscriptions{}, window{}, nil, nil
	s.mu.Unlock()
	if client != nil {
		client.Close()
	}
	for _, sub := range subs {
		if sub.shared() != nil {
			sub.shared().leave(s)
		}
	}
	b.mu.Lock()
	if b.sessions[s.id] == s {
		delete(b.sessions, s.id)
	}
	if stored {
		b.lasting--
	}
	b.mu.Unlock()
	if !stored {
		return
	}
	b.agenda.cancel(s)
	s.lasting.save.Lock() // so that no marks of before come after
	defer s.lasting.save.Unlock()
	keys := append([]string{sessionKey(s.id), marksKey(s.id)}, inboundKeys(s.id, s.inbound.all())...)
	for some := range slices.Chunk(keys, b.batch) {
		b.store.Submit(&store.Batch{Deletes: some}, func(err error) {
			if err != nil {
				b.log.Error("a session that has ended is still in the store", "client", describe(s.id), "error", err)
			}
		})
	}
}

// releaseLocked lets go of the backlogs.
func (s *session) releaseLocked(subs []*subscription) {
	for _, sub := range subs {
		s.releaseBacklogLocked(sub)
	}
}

func (s *session) releaseBacklogLocked(sub *subscription) {
	if sub.log() == nil {
		return
	}
	if s.lasting.behind {
		sub.log().leave()
	}
	if s.lasting.away {
		sub.log().unlisten()
	}
	s.broker.releaseBacklog(sub.log())
	sub.bond().backlog = nil
}

// prepare notes what a CONNECT says of the session, before the client is told that it is connected.
func (s *session) prepare(user string, p *packet.ConnectPacket, expiry uint32, w *will) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.will = w
	if l := s.lasting; l != nil {
		l.owner, l.expiry, l.version, l.since = user, expiry, p.Version, time.Time{}
		l.epoch++
		if l.epoch == 1 {
			l.next = s.broker.logEnd()
		}
		s.broker.agenda.cancel(s)
	}
}

// attach gives the session its connection. What connack sends comes before all else.
func (s *session) attach(c *conn, p *packet.ConnectPacket, connack func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := connack(); err != nil {
		return err
	}
	c.session, s.conn, c.since = s, c, s.broker.now().UnixMilli()
	c.described.Store(s)
	s.broker.agenda.takeWill(s.id) // the client is back; one that is refused leaves it waiting
	s.window.most = uint16(s.broker.limits.Inflight)
	if p.Properties.Has(packet.ReceiveMaximum) {
		s.window.most = min(s.window.most, p.Properties.ReceiveMaximum)
	}
	s.broker.count.connected.Add(1)
	s.judge()
	if err := s.subscribeAllLocked(); err != nil {
		return err
	}
	if s.lasting != nil {
		s.resumeLocked(c)
		s.comeBackLocked()
	}
	return nil
}

// giveBackLocked returns to shared subscriptions what the client has not acknowledged.
func (s *session) giveBackLocked() {
	kept := s.window.entries[:0]
	for _, e := range s.window.entries {
		if e.share != nil {
			e.share.giveBack(e.offset)
			continue
		}
		kept = append(kept, e)
	}
	clear(s.window.entries[len(kept):])
	s.window.entries = kept
}

// subscribeAllLocked enters the subscriptions of a session that goes on.
func (s *session) subscribeAllLocked() error {
	if s.client == nil { // those of the last connection are there yet if the client is back at once
		s.client = s.broker.bus.NewClient(s)
	}
	for sub := range s.subs.all {
		if sub.shared() != nil {
			if err := s.broker.joinShare(s, sub, sub.start()); err != nil {
				return tooManySubscriptions(err)
			}
			continue
		}
		if _, err := s.client.Subscribe(sub.text()); err != nil {
			return tooManySubscriptions(err)
		}
	}
	return nil
}

func tooManySubscriptions(err error) error {
	return &leave{code: packet.QuotaExceeded, text: "there are too many subscriptions in all", reason: engine.ReasonInternal, cause: err}
}

// identify notes who the client of a connection is from now on. It fails if the session was taken from the connection meanwhile.
func (s *session) identify(c *conn, id auth.Identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return false
	}
	c.id, c.judged = id, c.broker.auth.Generation()
	s.judge()
	return true
}

// judge notes under which rules all subscriptions are allowed, so that messages need not be asked about one by one.
func (s *session) judge() {
	a, c := s.broker.auth, s.conn
	if a == nil {
		return
	}
	s.judged = c.judged
	for sub := range s.subs.all {
		if !a.CanSubscribe(c.id, sub.text()) {
			s.judged = 0 // no generation has this number
		}
	}
}

func (s *session) expiry() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lasting == nil {
		return 0
	}
	return s.lasting.expiry
}

func (s *session) setExpiry(n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lasting != nil {
		s.lasting.expiry = s.broker.mostExpiry(n)
	}
}
