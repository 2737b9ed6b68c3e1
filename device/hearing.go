package device

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
)

// hearing is what a device has subscribed to in its session. Nothing is sent to who cannot hear it, and nothing twice that the session has.
type hearing struct {
	Epoch    uint64 `json:"epoch"` // of the last connection that has subscribed, or resumed the session
	Commands bool   `json:"commands,omitempty"`
	Delta    bool   `json:"delta,omitempty"`
	Kept     bool   `json:"kept,omitempty"` // while it is away, its session keeps differences of the state
	Away     bool   `json:"away,omitempty"` // and has one
}

// hearingName is the name of the state of the consumer of the inbox that has it.
const hearingName = "hearing"

// hearing returns what the device hears: nothing if it has begun another session since it subscribed. Who changes it keeps it with keepHearing.
func (t *turn) hearing(e *entry) (*hearing, error) {
	if t.hears == nil {
		data, err := t.get(hearingName)
		h := &hearing{}
		if err == nil && len(data) > 0 {
			if err = json.Unmarshal(data, h); err != nil {
				err = fmt.Errorf("the subscriptions that are stored of a device cannot be read: %w", err)
			}
		}
		if err != nil {
			return nil, err
		}
		t.hears = h
	}
	if t.hears.Epoch < e.Since {
		*t.hears = hearing{}
	}
	return t.hears, nil
}

func (t *turn) keepHearing() error {
	data, err := json.Marshal(t.hears)
	if err != nil {
		return err
	}
	return t.Put(hearingName, data)
}

// hasResumed adds an event for the inbox, if the device has subscribed to something in the session that it has resumed. Most have not, and are spared it.
func (s *Service) hasResumed(ctx context.Context, e *entry, events []*event.Event) ([]*event.Event, error) {
	v, err := s.store.Get(ctx, consumer.StateKey(inbox, hearingName, e.ID))
	if err != nil {
		return nil, fmt.Errorf("reading the subscriptions of the device %q: %w", e.ID, err)
	}
	if v.Revision == 0 {
		return events, nil
	}
	return append(events, s.input(e.ID, inputResumed, fmt.Append(nil, e.Epoch))), nil
}

// resumed tells a device that has resumed its session what that does not have: it hears at once, any other one once it has subscribed.
func (t *turn) resumed() error {
	e, err := t.read(t.ctx, t.id)
	if err != nil || !e.Online || string(t.Event.Data) != fmt.Sprint(e.Epoch) {
		return err
	}
	h, err := t.hearing(&e)
	if err != nil || h.Epoch == 0 {
		return err
	}
	tell := h.Delta && !(h.Kept && h.Away)
	h.Epoch, h.Away = e.Epoch, false
	if err := t.keepHearing(); err != nil {
		return err
	}
	if tell {
		if err := t.tellState(); err != nil {
			return err
		}
	}
	if !h.Commands {
		return nil
	}
	return t.onQueue(func(q *queue) error {
		for i := range q.Open {
			if o := &q.Open[i]; o.State == Sent {
				o.Sent = t.now().UnixMilli() // its session sends it again now
			}
		}
		return nil
	})
}

// ready notes that a device has subscribed, now or in the session that it has resumed. The first time on a connection, it is told what it has missed: what it should be, and what it should do, also again
// what it has not acknowledged.
func (t *turn) ready() error {
	var now hearing
	if err := json.Unmarshal(t.Event.Data, &now); err != nil {
		return nil // only the service says so
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil || e.revision == 0 || now.Epoch < e.Since { // it has begun another session meanwhile
		return err
	}
	h, err := t.hearing(&e)
	if err != nil {
		return err
	}
	before := *h
	h.Epoch = max(h.Epoch, now.Epoch)
	delta, commands := now.Delta && !h.Delta, now.Commands && !h.Commands
	if now.Delta {
		h.Delta, h.Kept = true, now.Kept
	}
	h.Commands = h.Commands || now.Commands
	if *h == before { // as with most that resume their session
		return nil
	}
	if err := t.keepHearing(); err != nil || !e.Online { // it has gone already, and may resume its session
		return err
	}
	if delta {
		if err := t.tellState(); err != nil {
			return err
		}
	}
	if !commands {
		return nil
	}
	return t.onQueue(t.resend)
}

// deaf notes what a device still hears after it has unsubscribed from something. Commands wait then, until it has subscribed again.
func (t *turn) deaf() error {
	var left hearing
	if err := json.Unmarshal(t.Event.Data, &left); err != nil {
		return nil // only the service says so
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil || e.revision == 0 || left.Epoch < e.Since {
		return err
	}
	h, err := t.hearing(&e)
	if err != nil {
		return err
	}
	h.Commands, h.Delta, h.Kept = h.Commands && left.Commands, h.Delta && left.Delta, h.Kept && left.Kept
	if err := t.keepHearing(); err != nil {
		return err
	}
	return t.onQueue(func(*queue) error { return nil }) // what was sent is not sent again
}

// tellState tells a device what it should be.
func (t *turn) tellState() error {
	doc, err := t.document()
	if err != nil {
		return err
	}
	return t.tellDelta(doc, "")
}

// noteDelta notes that a difference is told, which the session of a device that is away keeps for it.
func (t *turn) noteDelta() error {
	e, err := t.read(t.ctx, t.id)
	if err != nil || e.Online {
		return err
	}
	h, err := t.hearing(&e)
	if err != nil || !h.Delta || !h.Kept || h.Away {
		return err
	}
	h.Away = true
	return t.keepHearing()
}
