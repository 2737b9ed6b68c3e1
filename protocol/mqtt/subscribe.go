package mqtt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// subscribe takes a SUBSCRIBE. What the client has published before is published before.
func (t *turn) subscribe(f packet.Frame) error {
	c := t.c
	p, err := f.Subscribe(c.version)
	if err != nil {
		return err
	}
	t.submit()
	id := uint32(0)
	if p.Properties.Has(packet.SubscriptionIDs) && len(p.Properties.SubscriptionIDs) > 0 {
		id = p.Properties.SubscriptionIDs[0]
	}
	codes := make([]packet.Code, len(p.Filters))
	changed := false
	for i := range p.Filters {
		codes[i] = c.subscribeTo(&p.Filters[i], id)
		changed = changed || !codes[i].Failed()
	}
	if err := c.keepSession(changed); err != nil {
		return err
	}
	t.out = packet.AppendSuback(t.out, c.version, p.ID, c.subackCodes(codes), nil)
	if !changed {
		return nil
	}
	if err := t.flush(); err != nil { // the SUBACK comes first
		return err
	}
	c.session.pump(c) // retained messages, and what waits for a shared subscription
	c.tellSubscribed(p.Filters, codes)
	return nil
}

// tellSubscribed tells who keeps devices that a client hears now what is said to it.
func (c *conn) tellSubscribed(filters []packet.Subscription, codes []packet.Code) {
	told := c.broker.told
	for i := range filters {
		if told != nil && c.epoch != 0 && !codes[i].Failed() && strings.HasPrefix(filters[i].Filter, bus.DeviceRoot+"/") {
			told.Subscribed(c.device(c.session), filters[i].Filter, codes[i] > 0)
		}
	}
}

// subackCodes are what version 3 can say: the QoS, or failure.
func (c *conn) subackCodes(codes []packet.Code) []packet.Code {
	if c.version < packet.V5 {
		for i := range codes {
			if codes[i].Failed() {
				codes[i] = packet.UnspecifiedError
			}
		}
	}
	return codes
}

// keepSession stores the session of a client whose subscriptions have changed, before it is told that they have.
func (c *conn) keepSession(changed bool) error {
	s := c.session
	if !changed || s.lasting == nil {
		return nil
	}
	k := c.broker.stripe(s.id)
	k.Lock()
	defer k.Unlock()
	s.mu.Lock()
	mine := s.conn == c
	s.mu.Unlock()
	if !mine {
		return errQuit // it was taken over meanwhile
	}
	if err := c.broker.saveSession(s, false); err != nil {
		return &leave{code: failure(err), text: "the subscriptions cannot be stored", reason: engine.ReasonInternal, cause: err}
	}
	return nil
}

var errFilter = errors.New("the filter is not usable")

// parse makes a subscription of a filter as a client writes it.
func (b *Broker) parse(text string) (*subscription, error) {
	sub := &subscription{}
	var err error
	if !packet.IsShared(text) {
		sub.filter, err = event.ParseFilter(text, b.events)
		return sub, err
	}
	rest := strings.TrimPrefix(text, "$share/")
	name, filter, ok := strings.Cut(rest, "/")
	if !ok || name == "" || strings.ContainsAny(name, "+#") {
		return nil, fmt.Errorf("%.80q: %w: a shared one is $share/NAME/FILTER", text, errFilter)
	}
	if sub.filter, err = event.ParseFilter(filter, b.events); err != nil {
		return nil, err
	}
	sub.bond().share = b.newShare(shareName{name, sub.filter})
	return sub, nil
}

// subscribeTo enters one subscription, or returns why not.
func (c *conn) subscribeTo(o *packet.Subscription, id uint32) packet.Code {
	b, s := c.broker, c.session
	sub, err := b.parse(o.Filter)
	if err != nil {
		return packet.TopicFilterInvalid
	}
	if !c.is(flagOpen) && b.auth.Authorize(c.origin(), c.id, auth.ActionSubscribe, sub.filter.String()) != nil {
		return packet.NotAuthorized
	}
	sub.qos, sub.noLocal, sub.asIs, sub.id = min(o.QoS, 2), o.NoLocal, o.RetainAsPublished, id
	if sub.shared() != nil {
		// A message of QoS 2 must not be given to another member when the first one goes, and the one that goes may not come back (§4.8.2): so it is not promised.
		sub.qos = min(sub.qos, 1)
	}
	if err := s.enter(sub, o.RetainHandling); err != nil {
		b.log.Debug("a subscription is refused", "client", describe(s.id), "error", err)
		return packet.QuotaExceeded
	}
	return packet.Code(sub.qos)
}

// enter adds a subscription, in place of one of the same filter, and has retained messages sent as the client wants it (Retain Handling).
func (s *session) enter(sub *subscription, handling byte) (err error) {
	b := s.broker
	if s.lasting != nil && sub.qos > 0 && sub.shared() == nil {
		sub.bond().backlog = b.acquireBacklog(sub.filter) // from here on the log captures it
	}
	if s.lasting != nil {
		sub.bond().from = b.logEnd()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.subs.get(sub.text())
	if s.over {
		err = errQuit
	}
	if err == nil && old == nil && s.subs.len() >= b.limits.Subscriptions {
		err = fmt.Errorf("%d subscriptions of one session: %w", s.subs.len(), bus.ErrTooMany)
	}
	if err == nil && old == nil && !s.subs.fits(sub) {
		err = fmt.Errorf("more than %d filters with wildcards of one session, or %d pairs that select the same: %w", maxWildcards, maxOverlaps, bus.ErrTooMany)
	}
	switch {
	case err != nil:
	case sub.shared() != nil:
		err = b.joinShare(s, sub, sub.start())
	case old == nil && s.client != nil:
		_, err = s.client.Subscribe(sub.text())
	}
	if err != nil {
		if sub.log() != nil {
			b.releaseBacklog(sub.log())
		}
		return err
	}
	if sub.log() != nil && s.lasting.behind {
		sub.log().join()
		if s.lasting.away {
			sub.log().listen()
		}
	}
	if old != nil {
		if sub.shared() != nil || old.log() != nil && sub.log() != nil {
			sub.bond().from = old.start() // what waits for it goes on waiting
		}
		s.replay.replace(old, sub)
		s.releaseBacklogLocked(old) // after the new one has joined: the last to leave takes what was noted along
	}
	s.subs.put(sub)
	s.sharing = s.sharing || sub.shared() != nil
	if sub.shared() == nil && b.store != nil && !b.retained.none() && (handling == 0 || handling == 1 && old == nil) {
		s.replayLocked(sub)
	}
	return nil
}

// leaveLocked lets go of what a subscription holds.
func (s *session) leaveLocked(sub *subscription) {
	s.releaseBacklogLocked(sub)
	if sub.shared() != nil {
		sub.shared().leave(s)
	}
}

// unsubscribe takes an UNSUBSCRIBE.
func (t *turn) unsubscribe(f packet.Frame) error {
	c := t.c
	p, err := f.Unsubscribe(c.version)
	if err != nil {
		return err
	}
	t.submit()
	codes := make([]packet.Code, len(p.Filters))
	changed := false
	for i, text := range p.Filters {
		codes[i] = packet.NoSubscriptionExisted
		if c.session.unsubscribe(text) {
			codes[i], changed = packet.Success, true
		}
	}
	if err := c.keepSession(changed); err != nil {
		return err
	}
	t.out = packet.AppendUnsuback(t.out, c.version, p.ID, codes, nil)
	for i, text := range p.Filters {
		if told := c.broker.told; told != nil && c.epoch != 0 && codes[i] == packet.Success && strings.HasPrefix(text, bus.DeviceRoot+"/") {
			told.Unsubscribed(c.device(c.session), text, c.session.toDevices)
		}
	}
	return nil
}

// toDevices yields the filters of a session below [bus.DeviceRoot], and whether what they select is kept while the client is away.
func (s *session) toDevices(yield func(filter string, kept bool) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subs.all {
		if text := sub.text(); strings.HasPrefix(text, bus.DeviceRoot+"/") && !yield(text, sub.qos > 0) {
			return
		}
	}
}

func (s *session) unsubscribe(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs.take(text)
	if sub == nil {
		return false
	}
	if sub.shared() == nil && s.client != nil {
		s.client.Unsubscribe(text)
	}
	s.leaveLocked(sub)
	s.replay.without(sub)
	return true
}
