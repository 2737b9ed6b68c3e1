package device

import (
	"encoding/json"
	"fmt"
)

// hearing is what a device has subscribed to on its last connection, or has from the session that it resumed. Nothing is sent to who cannot hear it, and
// nothing twice that the session has.
type hearing struct {
	Epoch    uint64 `json:"epoch"` // of the connection
	Commands bool   `json:"commands,omitempty"`
	Delta    bool   `json:"delta,omitempty"`
	Kept     bool   `json:"kept,omitempty"` // while it is away, its session keeps differences of the state
	Away     bool   `json:"away,omitempty"` // and has one
}

// hearingName is the name of the state of the consumer of the inbox that has it.
const hearingName = "hearing"

// hearing returns what the device hears. Who changes it keeps it with keepHearing.
func (t *turn) hearing() (*hearing, error) {
	if t.hears != nil {
		return t.hears, nil
	}
	data, err := t.Delivery.Get(t.ctx, hearingName)
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
	return h, nil
}

func (t *turn) keepHearing() error {
	if t.hears.Epoch == 0 {
		return t.Delete(hearingName)
	}
	data, err := json.Marshal(t.hears)
	if err != nil {
		return err
	}
	return t.Put(hearingName, data)
}

// came handles a presence event. A device that has resumed its session, and is still connected, hears at once; any other one once it has subscribed.
func (t *turn) came() error {
	var p Presence
	if err := json.Unmarshal(t.Event.Data, &p); err != nil || p.State != Online {
		return nil // nobody but the service publishes on that subject
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil || !e.Online || e.Epoch != p.Epoch {
		return err
	}
	h, err := t.hearing()
	if err != nil || h.Epoch == 0 {
		return err
	}
	tell := h.Delta && !(h.Kept && h.Away)
	if h.Epoch, h.Away = e.Epoch, false; !e.Resumed {
		*h = hearing{}
	}
	if err := t.keepHearing(); err != nil || !e.Resumed {
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

// ready notes that a device has subscribed. The first time on a connection, it is told what it has missed: what it should be, and what it should do, also again
// what it has not acknowledged.
func (t *turn) ready() error {
	var now hearing
	if err := json.Unmarshal(t.Event.Data, &now); err != nil {
		return nil // only the service says so
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil || e.Epoch != now.Epoch {
		return err
	}
	h, err := t.hearing()
	if err != nil {
		return err
	}
	if h.Epoch != now.Epoch {
		*h = hearing{Epoch: now.Epoch}
	}
	delta, commands := now.Delta && !h.Delta, now.Commands && !h.Commands
	if now.Delta {
		h.Delta, h.Kept = true, now.Kept
	}
	h.Commands = h.Commands || now.Commands
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
	h, err := t.hearing()
	if err != nil || !h.Delta || !h.Kept || h.Away {
		return err
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil || e.Online {
		return err
	}
	h.Away = true
	return t.keepHearing()
}
