package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// A Session is one connection of a client that may be a device.
type Session struct {
	// ID is the identifier of the client.
	ID string
	// Assigned says that the server has chosen it: then the client is no device.
	Assigned bool
	// Resumed says that the client has the session of its last connection, with the subscriptions and what was queued for it.
	Resumed bool
	// User is who has logged in, Remote the address and Protocol what it speaks.
	User, Remote, Protocol string
	// Epoch is what [Service.Connected] has returned. 0 is no device.
	Epoch uint64
	// KeepAlive is how often the client is to be heard at least. 0: nobody knows.
	KeepAlive time.Duration
	// At is when it connected, or ended. Default: now.
	At time.Time
	// Heard is when something was last received before the end. Zero: nobody knows.
	Heard time.Time
}

// Presence is the data of an event on "$devices/{id}/presence".
type Presence struct {
	ID    string `json:"id"`
	State string `json:"state"` // online or offline
	// Epoch is the number of the connection that began or ended. It never falls.
	Epoch    uint64    `json:"epoch"`
	At       time.Time `json:"at"`
	Reason   string    `json:"reason,omitempty"` // of offline
	Address  string    `json:"address,omitempty"`
	Protocol string    `json:"protocol,omitempty"`
	User     string    `json:"user,omitempty"`
}

// The states of [Presence].
const (
	Online  = "online"
	Offline = "offline"
)

// subjectOf returns a subject of a device.
func subjectOf(id, tail string) string { return bus.DeviceRoot + "/" + id + "/" + tail }

// presence makes the event that tells that a device has come or gone.
func (s *Service) presence(e *entry, at time.Time, reason string) (*event.Event, error) {
	p := Presence{ID: e.ID, State: Offline, Epoch: e.Epoch, At: at, Reason: cut(reason, maxReason), Address: e.Address, Protocol: e.Protocol, User: e.User}
	if e.Online {
		p.State = Online
	}
	return s.tell(subjectOf(e.ID, "presence"), p)
}

// tell makes an event with JSON as its data.
func (s *Service) tell(subject string, v any) (*event.Event, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &event.Event{
		Subject: subject, Time: s.now(), Data: data,
		Headers: []event.Header{{Name: event.ContentType, Value: "application/json"}},
	}, nil
}

// Connected tells that a client has connected, and returns the epoch of the connection once the registry has it on disk and the
// presence event is published; 0 and no error means that the client is no device. It is called before the client is told that it is connected, and
// waits for a commit. [ErrUnknown] means that the client must be refused. With any error, the connection does not count.
func (s *Service) Connected(ctx context.Context, c Session) (epoch uint64, err error) {
	if c.Assigned || !s.config.names(c.ID) {
		return 0, nil
	}
	at := c.At
	if at.IsZero() {
		at = s.now()
	}
	var online entry
	err = s.change(ctx, c.ID, func(e *entry, b *store.Batch) ([]*event.Event, error) {
		if known := e.revision != 0; !known && s.config.Unknown == Ignore {
			return nil, nil
		} else if !known && s.config.Unknown == Refuse {
			return nil, ErrUnknown
		}
		if e.FirstSeen.IsZero() {
			e.FirstSeen = at
		}
		e.Online, e.Cut, e.Life, e.LastSeen, e.KeepAlive = true, false, s.life, at, max(0, c.KeepAlive)
		e.Address, e.Protocol, e.User = c.Remote, c.Protocol, c.User
		e.Epoch++
		if epoch = e.Epoch; !c.Resumed || e.Since == 0 {
			e.Since = epoch
		}
		told, err := s.presence(e, at, "")
		events := []*event.Event{told}
		if c.Resumed && err == nil {
			events, err = s.hasResumed(ctx, e, events)
		}
		if e.Absent && err == nil {
			e.Absent = false
			told, err = s.tell(subjectOf(e.ID, "present"), Absence{ID: e.ID, LastHeard: at, At: at})
			events = append(events, told)
		}
		online = *e
		return events, errors.Join(err, e.put(b))
	})
	if errors.Is(err, ErrTooMany) {
		s.refused(c.ID, err)
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("the connection of the device %q: %w", c.ID, err)
	}
	if epoch != 0 {
		s.expect(&online)
	}
	return epoch, nil
}

// Disconnected tells that a connection has ended, with the epoch that Connected returned. It does not block: the registry and the presence event
// follow soon. The device was heard at the end if the reason is none, or one of those of package engine for which a client ends its connection itself; else at Session.Heard. What comes after the device has connected again changes nothing.
func (s *Service) Disconnected(c Session, reason string) {
	if c.Epoch == 0 {
		return
	}
	at := c.At
	if at.IsZero() {
		at = s.now()
	}
	heard := c.Heard
	if ownEnd(reason) {
		heard = at
	}
	s.leave(leaving{id: c.ID, epoch: c.Epoch, at: at, heard: heard, reason: reason})
}

// ownEnd tells whether something was heard of a client when its connection ended for a reason: it has ended that itself. A reset is none of that: it may come from
// the network, long after the client has gone.
func ownEnd(reason string) bool {
	switch reason {
	case "", engine.ReasonQuit.String(), engine.ReasonPeer.String(), engine.ReasonProtocol.String(), engine.ReasonTooLarge.String():
		return true
	}
	return false
}

// cut returns at most so many bytes of a text, and whole characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xc0 == 0x80 {
		most--
	}
	return text[:most]
}
