package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// Keys of the store. Client identifiers are text without U+0000, of at most maxClientID bytes.
const (
	sessionStream  = "$mqtt"
	keyPrefix      = "mqtt/"
	sessionPrefix  = keyPrefix + "session/"
	marksPrefix    = keyPrefix + "marks/"
	inboundPrefix  = keyPrefix + "received/"
	sharePrefix    = keyPrefix + "share/"
	willPrefix     = keyPrefix + "will/"
	retainedPrefix = keyPrefix + "retained/"
	saltKey        = keyPrefix + "salt"
)

func sessionKey(id string) string { return sessionPrefix + id }
func marksKey(id string) string   { return marksPrefix + id }

// inboundKey is there as long as a message of QoS 2 with this packet identifier was taken and not released. A client identifier has no U+0000.
func inboundKey(id string, n uint16) string { return fmt.Sprintf("%s%s\x00%04x", inboundPrefix, id, n) }

func inboundKeys(id string, ids []uint16) (keys []string) {
	for _, n := range ids {
		keys = append(keys, inboundKey(id, n))
	}
	return keys
}

// shareKey is where the place of a shared subscription is stored. A ShareName has no slash.
func shareKey(n shareName) string { return sharePrefix + n.name + "/" + n.filter.String() }

func willKey(id string) string { return willPrefix + id }

// A record is a session as it is stored, but for its marks.
type record struct {
	Owner         string      `json:"owner,omitempty"`
	Expiry        uint32      `json:"expiry"`
	Version       byte        `json:"version"`
	Epoch         uint64      `json:"epoch"`
	Away          int64       `json:"away,omitempty"` // when the client went, in Unix milliseconds; 0 while it is there
	Subscriptions []recordSub `json:"subscriptions,omitempty"`
}

// A recordSub is a subscription as it is stored.
type recordSub struct {
	Filter  string `json:"filter"`
	QoS     byte   `json:"qos"`
	NoLocal bool   `json:"no_local,omitempty"`
	AsIs    bool   `json:"retain_as_published,omitempty"`
	ID      uint32 `json:"id,omitempty"`
	From    uint64 `json:"from,omitempty"`
}

// record returns what is to be stored.
func (s *session) record() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lasting
	r := record{Owner: l.owner, Expiry: l.expiry, Version: byte(l.version), Epoch: l.epoch}
	if !l.since.IsZero() {
		r.Away = l.since.UnixMilli()
	}
	for sub := range s.subs.all {
		r.Subscriptions = append(r.Subscriptions, recordSub{sub.text(), sub.qos, sub.noLocal, sub.asIs, sub.id, sub.start()})
	}
	data, _ := json.Marshal(r)
	return data
}

// saveSession stores a session, and its will, and waits until they are on disk: then all that earlier connections of it have
// handed over is there too. It may replace another that was stored. The caller holds the stripe.
func (b *Broker) saveSession(s *session, replaced bool) error {
	if b.store == nil {
		return nil
	}
	batch := &store.Batch{}
	s.mu.Lock()
	w := s.will
	s.mu.Unlock()
	if w != nil {
		batch.Puts = append(batch.Puts, store.Put{Key: willKey(s.id), Data: b.encodeWill(w)})
	} else if s.lasting != nil && b.agenda.waitingWill(s.id) == nil { // one that waits goes once the client is let in
		batch.Deletes = append(batch.Deletes, willKey(s.id))
	}
	if l := s.lasting; l != nil {
		l.save.Lock()
		defer l.save.Unlock()
		batch.Puts = append(batch.Puts, store.Put{Key: sessionKey(s.id), Data: s.record()}, store.Put{Key: marksKey(s.id), Data: s.encodeMarks()})
	} else if replaced {
		batch.Deletes = append(batch.Deletes, sessionKey(s.id), marksKey(s.id))
	}
	if batch.Operations() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	return store.Commit(ctx, b.store, batch)
}

// saveLater stores a session whose client has gone, with its marks. Nobody waits for it.
func (b *Broker) saveLater(s *session) {
	l := s.lasting
	l.save.Lock()
	defer l.save.Unlock()
	batch := &store.Batch{Puts: []store.Put{{Key: sessionKey(s.id), Data: s.record()}, {Key: marksKey(s.id), Data: s.encodeMarks()}}, Durability: store.Interval}
	b.store.Submit(batch, func(err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) {
			b.log.Error("storing how far a session has got; some messages may come to it again", "client", describe(s.id), "error", err)
		}
	})
}

// open prepares the log of sessions, and reads the sessions.
func (b *Broker) open(ctx context.Context, l *stream.Log) error {
	b.store = l.Store()
	b.batch = max(1, min(publishBatch, b.store.Limits().Operations/8)) // a message is one in each stream, is retained, and has an identifier
	c := stream.Config{
		Name: sessionStream, Subjects: []string{sessionStream}, Partitions: 1,
		MaxAge: stream.Duration(b.limits.QueueAge + time.Hour), MaxBytes: b.limits.LogBytes,
	}
	var err error
	if b.tap, err = l.Tap(ctx, c, func(e *event.Event) bool { return metaOf(e).qos > 0 }); err != nil {
		return fmt.Errorf("preparing the log of MQTT's sessions: %w", err)
	}
	if b.salt, err = b.loadSalt(ctx); err != nil {
		return fmt.Errorf("reading what MQTT's sessions are kept with: %w", err)
	}
	if err := b.each(ctx, sessionPrefix, b.loadSession); err != nil {
		return fmt.Errorf("reading MQTT's sessions: %w", err)
	}
	if err := b.each(ctx, inboundPrefix, b.loadInbound); err != nil {
		return fmt.Errorf("reading which messages MQTT's sessions have sent: %w", err)
	}
	if err := b.each(ctx, willPrefix, b.loadWill); err != nil {
		return fmt.Errorf("reading MQTT's wills: %w", err)
	}
	if err := b.recall(ctx); err != nil {
		return fmt.Errorf("reading what MQTT's sessions wait for: %w", err)
	}
	return nil
}

// each calls fn with all entries below a prefix.
func (b *Broker) each(ctx context.Context, prefix string, fn func(ctx context.Context, id string, data []byte) error) error {
	const page = 1000
	for after := ""; ; {
		entries, err := b.store.Scan(ctx, prefix, after, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := fn(ctx, e.Key[len(prefix):], e.Data); err != nil {
				return fmt.Errorf("%.100q: %w", e.Key, err)
			}
			after = e.Key
		}
		if len(entries) < page {
			return nil
		}
	}
}

// loadSession makes a session of what is stored. Its client is away.
func (b *Broker) loadSession(ctx context.Context, id string, data []byte) error {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	s := b.newSession(id)
	b.enlist(s, r.Owner)
	l := s.lasting
	if l == nil {
		return nil // there are fewer allowed now than there were
	}
	l.expiry, l.epoch, l.version, l.since = r.Expiry, r.Epoch, packet.Version(r.Version), time.UnixMilli(r.Away)
	if r.Away == 0 { // it was there when the server ended
		l.since, l.doubt = b.now(), b.logEnd()
	}
	marks, err := b.store.Get(ctx, marksKey(id))
	if err != nil {
		return err
	}
	if marks.Revision != 0 && !s.decodeMarks(marks.Data) {
		return errors.New("the marks of the session are not readable")
	}
	for _, sub := range r.Subscriptions {
		if err := s.restore(sub); err != nil {
			return err
		}
	}
	s.fallBehindLocked() // nobody else knows it yet
	b.sessions[id] = s
	if l.expiry != never {
		b.agenda.expireAt(s, l.since.Add(seconds(l.expiry)))
	}
	return nil
}

// loadInbound enters an identifier that was taken and not released.
func (b *Broker) loadInbound(_ context.Context, key string, _ []byte) error {
	id, text, _ := strings.Cut(key, "\x00")
	n, err := strconv.ParseUint(text, 16, 16)
	if err != nil {
		return err
	}
	s := b.sessions[id]
	if s == nil {
		b.forget(inboundPrefix + key) // its session has ended
		return nil
	}
	if s.inbound == nil {
		s.inbound = &idSet{}
	}
	s.inbound.add(uint16(n))
	return nil
}

// restore enters a stored subscription.
func (s *session) restore(r recordSub) error {
	sub, err := s.broker.parse(r.Filter)
	if err != nil {
		return err
	}
	sub.qos, sub.noLocal, sub.asIs, sub.id, sub.bond().from = r.QoS, r.NoLocal, r.AsIs, r.ID, r.From
	if sub.qos > 0 && sub.shared() == nil {
		sub.bond().backlog = s.broker.acquireBacklog(sub.filter)
	}
	s.subs.put(sub)
	if sub.shared() != nil {
		s.sharing = true
		return s.broker.joinShare(s, sub, 0)
	}
	return nil
}

// loadWill schedules the will of a client that was connected when the server ended.
func (b *Broker) loadWill(_ context.Context, id string, data []byte) error {
	w, err := b.decodeWill(data)
	if err != nil {
		return err
	}
	b.agenda.will(id, w, max(w.delay, b.config.WillGrace))
	return nil
}

// recall makes the backlogs again, by reading the log from where the first session stands.
func (b *Broker) recall(ctx context.Context) error {
	from, behind := ^uint64(0), event.Trie[*backlog]{}
	for _, s := range b.sessions {
		from = min(from, s.lasting.next)
		s.listenLocked()
	}
	for n, sh := range b.shares {
		v, err := b.store.Get(ctx, shareKey(n))
		if err != nil {
			return err
		}
		if sh.backlog == nil {
			continue
		}
		if v.Revision != 0 && !sh.decode(v.Data) {
			return fmt.Errorf("the place of the shared subscription %q is not readable", n.name)
		}
		if v.Revision == 0 {
			sh.next = sh.firstFrom()
		}
		sh.putBack() // it is behind
		from = min(from, sh.next)
	}
	for f, l := range b.backlogs {
		behind.Add(f, l)
	}
	bounds, err := b.store.Bounds(ctx, theLog)
	if err != nil {
		return err
	}
	for at := max(from, bounds.First); at < bounds.Next; {
		records, err := b.store.Read(ctx, store.Position{Partition: theLog, Offset: at}, store.ReadOptions{OnCorrupt: func(err *store.CorruptError) {
			b.log.Error("a message that waits for sessions cannot be read", "error", err)
		}})
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
		for i := range records {
			r := &records[i]
			behind.Match(r.Event.Subject, func(l *backlog) bool {
				l.note(r.Offset, r.Event.Size())
				return true
			})
			at = r.Offset + 1
		}
	}
	return nil
}

// logEnd is the place of the next message in the log.
func (b *Broker) logEnd() uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	bounds, err := b.store.Bounds(ctx, theLog)
	if err != nil {
		b.log.Error("reading where the log of sessions ends", "error", err)
		return 0
	}
	return bounds.Next
}
