package mqtt

import (
	"fmt"
	"slices"

	"github.com/spate-io/spate/event"
)

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
	earlier  []grant         // what it has replaced
}

// A grant is what a subscription was until it was replaced by one with QoS 0: what has waited for it then is not lost [MQTT-3.8.4-4].
type grant struct {
	From  uint64 `json:"from"`  // the places in the log for which it counts
	Until uint64 `json:"until"` // and where they end
	QoS   byte   `json:"qos"`
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

// start is the place in the log from which on it counts.
func (s *subscription) start() uint64 {
	if s.bonds == nil {
		return 0
	}
	return s.bonds.from
}

func (s *subscription) earlier() []grant {
	if s.bonds == nil {
		return nil
	}
	return s.bonds.earlier
}

// span is where in the log there may be messages of QoS 1 and 2 for it, or for what it has replaced.
func (s *subscription) span() (from, to uint64) {
	from, to = s.start(), maxOffset
	if old := s.earlier(); len(old) > 0 {
		if from = old[0].From; s.qos == 0 {
			to = old[len(old)-1].Until
		}
	}
	return from, to
}

// granted returns the QoS for the message at a place in the log, and whether the subscription counts for it.
func (s *subscription) granted(offset uint64) (qos byte, ok bool) {
	if offset >= s.start() {
		return s.qos, true
	}
	for _, g := range s.earlier() {
		if g.From <= offset && offset < g.Until {
			return g.QoS, true
		}
	}
	return 0, false
}

// inherit takes over what waits for the subscription that s replaces, in a session that has got as far as next. The log ends at end.
func (s *subscription) inherit(old *subscription, next, end uint64) error {
	if old.log() != nil && old.qos > 0 && s.qos > 0 {
		s.bond().from = old.start()
	}
	earlier := slices.DeleteFunc(slices.Clone(old.earlier()), func(g grant) bool { return g.Until <= next })
	if old.log() != nil && old.qos > 0 && s.qos == 0 && next < end {
		earlier = append(earlier, grant{max(next, old.start()), end, old.qos})
		s.bond().from = end
	}
	if len(earlier) > maxGrants {
		return fmt.Errorf("it was changed %d times to QoS 0 and back, while messages waited", len(earlier))
	}
	if len(earlier) > 0 {
		s.bond().earlier = earlier
	}
	return nil
}

// before is a stable order, which is all that is needed.
func (s *subscription) before(other *subscription) bool {
	return s.filter.String() < other.filter.String()
}
