package httpapi

import (
	"encoding/json"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

// publish publishes the event of a message. It is answered once it is stored; what follows it does not wait for that, within bounds.
func (s *wsSession) publish(m message) error {
	e, p := m.event()
	if p != nil {
		return p
	}
	if err := e.Validate(s.door.opts.Event); err != nil {
		return err
	}
	if err := s.door.may(s.asCall(), auth.ActionPublish, e.Subject); err != nil {
		return err
	}
	size := int64(e.Size())
	if s.door.buffered.Add(size) > s.door.opts.Limits.Buffered {
		s.door.buffered.Add(-size)
		return problemf(kindBusy, "other requests take all memory that there is for large events: try again in a few seconds")
	}
	flights := s.activity().flights
	select {
	case flights <- struct{}{}:
	case <-s.conn.Context().Done():
		s.door.buffered.Add(-size)
		return nil // nobody waits for an answer
	}
	m.members = nil // they hold what was received
	s.door.opts.Bus.Submit([]*event.Event{e}, func(r bus.Receipt, err error) {
		s.published(m, e, r, err)
		s.door.buffered.Add(-size)
		<-flights
	})
	return nil
}

// published says what became of an event. It must not wait: a page that does not read its answers is disconnected.
func (s *wsSession) published(m message, e *event.Event, r bus.Receipt, err error) {
	kind, members := "ack", []byte(nil)
	if err == nil {
		members, err = json.Marshal(struct {
			Event     published `json:"event"`
			Receivers int       `json:"receivers"`
		}{tell(r, e)[0], r.Receivers})
	}
	if err != nil {
		kind, members = "error", s.problem(err)
	} else {
		members[0] = ','
		members = members[:len(members)-1]
	}
	s.push(m, kind, members)
}
