package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// ErrNoSession means that a client has no session.
var ErrNoSession = errors.New("there is no session of such a client")

// A SessionInfo describes a session as it is now.
type SessionInfo struct {
	Client    string    // the client identifier
	User      string    // whose session it is; "" if nobody has to log in
	Connected bool      // its client is there
	Address   string    // of its client, while that is connected
	Version   string    // of the protocol that its client speaks, or spoke last: 3.1, 3.1.1 or 5.0
	Since     time.Time // since when its client is connected, or away
	// Expiry is for how many seconds the session outlives its connection: 0 is not at all, nil for ever.
	Expiry        *uint32
	Subscriptions int
	// Queued is how many messages of QoS 1 and 2 wait for the client, without those that wait for shared subscriptions. One that several subscriptions select is counted for each.
	Queued   int
	Inflight int // messages of QoS 1 and 2 that were sent to the client and are not acknowledged
}

// A Subscription is one of a session.
type Subscription struct {
	Filter            string // as the client wrote it
	QoS               int    // as it was granted
	NoLocal           bool
	RetainAsPublished bool
	ID                uint32 // Subscription Identifier; 0 is none
}

// A SessionQuery says which sessions are listed.
type SessionQuery struct {
	After     string // only those of clients whose identifiers come after it
	Limit     int    // how many at most. Default and most 1000
	Connected *bool  // only those whose clients are connected, or are not
}

// Sessions returns sessions by client identifier, a page at a time, and where the next page begins, "" if there is none. It looks at all sessions that come after, which takes about 15 ms for
// 100 000.
func (b *Broker) Sessions(q SessionQuery) (page []SessionInfo, after string) {
	if q.Limit <= 0 || q.Limit > maxSessionPage {
		q.Limit = maxSessionPage
	}
	first := b.firstSessions(q)
	for _, s := range first {
		if info, ok := s.info(q.Connected); ok {
			page = append(page, info)
		}
	}
	if len(first) == q.Limit {
		after = first[q.Limit-1].id
	}
	return page, after
}

// firstSessions returns the first sessions that a query selects, in order.
func (b *Broker) firstSessions(q SessionQuery) (first []*session) {
	b.mu.RLock()
	all := make([]*session, 0, len(b.sessions))
	for id, s := range b.sessions {
		if id > q.After {
			all = append(all, s)
		}
	}
	b.mu.RUnlock() // it comes after the lock of a session
	for _, s := range all {
		full := len(first) == q.Limit
		if full && s.id > first[q.Limit-1].id || !s.shows(q.Connected) {
			continue
		}
		if full {
			first = first[:q.Limit-1]
		}
		at, _ := slices.BinarySearchFunc(first, s.id, func(s *session, id string) int { return strings.Compare(s.id, id) })
		first = slices.Insert(first, at, s)
	}
	return first
}

// Session returns the session of a client, with its subscriptions in the order of their filters. It fails with [ErrNoSession].
func (b *Broker) Session(client string) (SessionInfo, []Subscription, error) {
	if s := b.lookup(client); s != nil {
		if info, ok := s.info(nil); ok {
			return info, s.subscribed(), nil
		}
	}
	return SessionInfo{}, nil, noSession(client)
}

func noSession(client string) error { return fmt.Errorf("%w: %s", ErrNoSession, describe(client)) }

// End ends the session of a client, which is disconnected if it is there (0x98, Administrative action), publishes its will, and removes all that is stored of the session. It returns once
// that is on disk; if it fails with anything but [ErrNoSession], the session may be there again after the next start. The client may connect again at once: then it has a new session. The
// context does not bound the wait for a connection of the client that is being made.
func (b *Broker) End(ctx context.Context, client string) error {
	k := b.stripe(client)
	k.Lock()
	defer k.Unlock()
	s := b.lookup(client)
	if s == nil {
		return noSession(client)
	}
	if s.lasting == nil {
		b.expel(s, packet.AdministrativeAction, engine.ReasonKilled)
		return nil
	}
	if err := b.store.Health(); err != nil && !errors.Is(err, store.ErrFull) { // removing makes room
		return fmt.Errorf("the session of %s cannot be removed: %w", describe(client), err)
	}
	b.expel(s, packet.AdministrativeAction, engine.ReasonKilled)
	// What is committed after all that endSession has handed over is on disk after it.
	if err := store.Commit(ctx, b.store, &store.Batch{Deletes: []string{sessionKey(client), marksKey(client)}}); err != nil {
		return fmt.Errorf("the session of %s has ended, and may be there again after the next start, since it could not be removed from the store: %w", describe(client), err)
	}
	return nil
}

// expel ends a session, whose client is told why if it is there. The caller holds the stripe.
func (b *Broker) expel(s *session, code packet.Code, reason engine.Reason) {
	ousted, w := b.takeOverFor(s, code, reason)
	if ousted != nil {
		b.departed(ousted, s, reason)
	}
	if w == nil {
		w = b.agenda.takeWill(s.id)
	}
	b.endSession(s)
	if w != nil {
		b.publishWill(s.id, w)
	}
}

// shows tells whether the session is listed among those whose clients are connected, or are not; nil is both.
func (s *session) shows(connected *bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.showsLocked(connected)
}

// showsLocked leaves out a session that has ended, or has not begun.
func (s *session) showsLocked(connected *bool) bool {
	return !s.over && (s.conn != nil || s.lasting != nil) && (connected == nil || *connected == (s.conn != nil))
}

// info describes the session, unless it is not to be listed any more.
func (s *session) info(connected *bool) (i SessionInfo, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.showsLocked(connected) {
		return i, false
	}
	i = SessionInfo{Client: s.id, Subscriptions: s.subs.len(), Inflight: len(s.window.entries), Queued: s.queue.len(), Expiry: new(uint32)}
	i.User, _ = s.ownerLocked()
	if l := s.lasting; l != nil {
		i.Version, i.Since, *i.Expiry = l.version.String(), l.since.Truncate(time.Millisecond).UTC(), l.expiry
		if l.behind {
			i.Queued, _ = s.waitingLocked(l.next)
		}
		if l.expiry == never {
			i.Expiry = nil
		}
	}
	if c := s.conn; c != nil {
		i.Connected, i.Address, i.Version, i.Since = true, c.carrier.RemoteString(), c.version.String(), time.UnixMilli(c.since).UTC()
	}
	return i, true
}

// subscribed returns the subscriptions.
func (s *session) subscribed() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Subscription, 0, s.subs.len())
	for sub := range s.subs.all {
		all = append(all, Subscription{sub.text(), int(sub.qos), sub.noLocal, sub.asIs, sub.id})
	}
	slices.SortFunc(all, func(a, b Subscription) int { return strings.Compare(a.Filter, b.Filter) })
	return all
}
