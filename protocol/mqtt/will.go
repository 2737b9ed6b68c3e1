package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// A will is the message that is published when a client is gone without a good-bye (§3.1.2.5). As long as it may be needed it is in the store, so that a crash of the server publishes
// it too, once the client has had time to come back.
type will struct {
	event  *event.Event
	meta   meta
	delay  time.Duration
	expiry uint32        // seconds, which begin when it is published; 0 is none
	id     auth.Identity // whose it is
}

// storedWill is a will as it is stored.
type storedWill struct {
	Topic   string         `json:"topic"`
	Payload []byte         `json:"payload,omitempty"`
	Headers []event.Header `json:"headers,omitempty"`
	QoS     byte           `json:"qos,omitempty"`
	Retain  bool           `json:"retain,omitempty"`
	Delay   int64          `json:"delay,omitempty"` // seconds
	Expiry  uint32         `json:"expiry,omitempty"`
	By      auth.Memory    `json:"by,omitzero"`
}

// newWill takes the will of a CONNECT, or returns nil.
func (b *Broker) newWill(c *conn, p *packet.ConnectPacket) (*will, error) {
	w := p.Will
	if w == nil {
		return nil, nil
	}
	if err := event.ValidateSubject(w.Topic, b.events); err != nil {
		return nil, broken(packet.TopicNameInvalid, "the will topic: %v", err)
	}
	if bus.Reserved(w.Topic) || !c.is(flagOpen) && !b.auth.CanPublish(c.id, w.Topic) {
		return nil, refused(packet.NotAuthorized, fmt.Errorf("the will on %.80q: %w", w.Topic, auth.ErrForbidden))
	}
	if w.Retain && b.store == nil {
		return nil, broken(packet.RetainNotSupported, "the server keeps no retained messages: it has no store")
	}
	m := meta{qos: w.QoS, retain: w.Retain, tag: b.tag(p.ClientID)}
	q := w.Properties
	out := &will{meta: m, id: c.id}
	if q.Has(packet.WillDelay) {
		out.delay = seconds(q.WillDelay)
	}
	if q.Has(packet.MessageExpiry) {
		out.expiry = q.MessageExpiry
		copied := *q
		copied.MessageExpiry = 0
		q = &copied
	}
	out.event = newEvent([]byte(w.Topic), w.Payload, m, q, b.now())
	out.event.Headers = dropHeader(out.event.Headers, event.Expires)
	if err := b.check(out.event.Clone()); err != nil { // it gets its ID and its time when it is published
		return nil, broken(packet.QuotaExceeded, "the will: %v", err)
	}
	return out, nil
}

func dropHeader(headers []event.Header, name string) []event.Header {
	kept := headers[:0]
	for _, h := range headers {
		if h.Name != name {
			kept = append(kept, h)
		}
	}
	return kept
}

// message returns the event to publish, as of now.
func (w *will) message(now time.Time) *event.Event {
	e := w.event.Clone()
	if w.expiry > 0 {
		e.Headers = appendHeaders(e.Headers, (&packet.Properties{MessageExpiry: w.expiry}).Set(packet.MessageExpiry), now)
	}
	return e
}

// publishWill publishes a will, and takes it out of the store with the same commit.
func (b *Broker) publishWill(client string, w *will) {
	if b.auth != nil && !b.auth.CanPublish(w.id, w.event.Subject) {
		b.log.Warn("a will is not published: its client may not publish there any more", "client", describe(client), "topic", w.event.Subject)
		b.forgetWill(client, w)
		return
	}
	e := w.message(b.now())
	if err := b.check(e); err != nil { // its stream takes less than when the client has connected
		b.log.Warn("a will is not published", "client", describe(client), "topic", w.event.Subject, "error", err)
		b.count.failed.Add(1)
		b.forgetWill(client, w)
		return
	}
	b.count.wills.Add(1)
	done := func(_ bus.Receipt, err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) {
			b.log.Error("a will could not be published; it is tried again at the next start", "client", describe(client), "error", err)
		}
	}
	if b.store == nil {
		b.bus.Submit([]*event.Event{e}, done)
		return
	}
	batch := &store.Batch{Deletes: []string{willKey(client)}}
	if w.meta.retain {
		b.retained.change(batch, e)
	}
	b.bus.SubmitWith(batch, []*event.Event{e}, done)
}

// keepWill has a will in the store that waits for its client.
func (b *Broker) keepWill(client string, w *will) {
	b.store.Submit(&store.Batch{Puts: []store.Put{{Key: willKey(client), Data: b.encodeWill(w)}}}, func(err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) {
			b.log.Error("a will that waits may be lost if the server ends before it is due", "client", describe(client), "error", err)
		}
	})
}

// outdateWill takes the will that waits for a client out of the store, if the client is about to be let in without another. It is the last that may refuse the client: so a client
// that is refused leaves its will waiting, and that of one which was told that it is connected is not published after a crash.
func (b *Broker) outdateWill(client string) error {
	if b.agenda.waitingWill(client) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	err := store.Commit(ctx, b.store, &store.Batch{Deletes: []string{willKey(client)}})
	if err == nil || errors.Is(err, store.ErrFull) { // what waits for the client may be what fills the disk
		return nil
	}
	return &leave{code: failure(err), text: "the last will cannot be removed", reason: engine.ReasonInternal, cause: err}
}

// forgetWill takes a will out of the store.
func (b *Broker) forgetWill(client string, w *will) {
	if b.store == nil || w == nil {
		return
	}
	b.store.Submit(&store.Batch{Deletes: []string{willKey(client)}}, func(err error) {
		if err != nil && !errors.Is(err, store.ErrClosed) {
			b.log.Error("a will that is not needed any more is still in the store", "client", describe(client), "error", err)
		}
	})
}

func (b *Broker) encodeWill(w *will) []byte {
	s := storedWill{
		Topic: w.event.Subject, Payload: w.event.Data, Headers: w.event.Headers, QoS: w.meta.qos, Retain: w.meta.retain, Delay: int64(w.delay / time.Second), Expiry: w.expiry,
	}
	if b.auth != nil {
		s.By = b.auth.Remember(w.id)
	}
	data, _ := json.Marshal(s)
	return data
}

func (b *Broker) decodeWill(data []byte) (*will, error) {
	var s storedWill
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	e := &event.Event{Subject: s.Topic, Data: s.Payload, Headers: s.Headers}
	m := metaOf(e)
	m.qos, m.retain = s.QoS, s.Retain
	w := &will{event: e, meta: m, delay: time.Duration(s.Delay) * time.Second, expiry: s.Expiry}
	if b.auth != nil {
		w.id = b.auth.Recall(s.By)
	}
	return w, nil
}
