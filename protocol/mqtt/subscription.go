package mqtt

import "github.com/spate-io/spate/event"

// A subscription is a filter and its options. It is small, since most sessions have one and there are many sessions.
type subscription struct {
	filter  event.Filter // of a shared one what comes after $share/NAME/
	bonds   *bonds       // nil for most of those that end with their connection
	id      uint32       // Subscription Identifier; 0 is none
	qos     byte
	noLocal bool
	asIs    bool // Retain As Published
}

// bonds tie a subscription to others.
type bonds struct {
	share    *share          // nil: it is not shared
	overlaps []*subscription // those of the session that select subjects which this one does too
	backlog  *backlog        // of lasting sessions, with QoS 1 and 2
	from     uint64          // the place in the log from which on it counts
}

func (s *subscription) bond() *bonds {
	if s.bonds == nil {
		s.bonds = &bonds{}
	}
	return s.bonds
}

// text is the subscription as a client writes it.
func (s *subscription) text() string {
	if sh := s.shared(); sh != nil {
		return "$share/" + sh.name.name + "/" + s.filter.String()
	}
	return s.filter.String()
}

// is tells whether the subscription is the one that a client writes like that.
func (s *subscription) is(text string) bool {
	if s.shared() == nil {
		return s.filter.String() == text
	}
	return s.text() == text
}

func (s *subscription) shared() *share {
	if s.bonds == nil {
		return nil
	}
	return s.bonds.share
}

func (s *subscription) others() []*subscription {
	if s.bonds == nil {
		return nil
	}
	return s.bonds.overlaps
}

func (s *subscription) log() *backlog {
	if s.bonds == nil {
		return nil
	}
	return s.bonds.backlog
}

func (s *subscription) start() uint64 {
	if s.bonds == nil {
		return 0
	}
	return s.bonds.from
}

// before is a stable order, which is all that is needed.
func (s *subscription) before(other *subscription) bool {
	return s.filter.String() < other.filter.String()
}
