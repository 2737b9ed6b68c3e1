package bus

import "sync/atomic"

// Kind says how a subscription matches.
type Kind uint8

// The kinds of subscriptions.
const (
	KindSubject Kind = iota // one subject
	KindFilter              // a filter with '+' or '#'
	KindGlob                // a glob
)

// Subscription is one subscriber's interest in one filter or glob. It is what a message names as its reason. It is 64
// bytes, one cache line, since a fan-out touches each once.
type Subscription struct {
	subscriber Subscriber
	client     *Client
	pattern    string
	dropped    atomic.Uint64
	active     atomic.Bool
	kind       Kind
	responds   bool // to requests
}

// Pattern returns the text of the filter or glob.
func (s *Subscription) Pattern() string { return s.pattern }

// Kind returns how it matches.
func (s *Subscription) Kind() Kind { return s.kind }

// Active reports whether the subscription has not been ended.
func (s *Subscription) Active() bool { return s.active.Load() }

// Dropped returns how many events that matched did not reach the subscriber.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// CountDropped is for a subscriber that accepted n events in Deliver and had to discard them later.
func (s *Subscription) CountDropped(n uint64) {
	s.dropped.Add(n)
	s.client.bus.dropped.Add(n)
}

// end ends the subscription wherever it is asked to.
func (s *Subscription) end() {
	if s.kind == KindGlob {
		s.client.UnsubscribeGlob(s.pattern)
		return
	}
	s.client.Unsubscribe(s.pattern)
}

// subscriptions is a client's set of them by text: one in place, since most clients have one, a slice while they are few, and a map, which
// takes 300 bytes, when they are many.
type subscriptions struct {
	one  *Subscription // nil if there is none, or several
	more *manySubscriptions
}

type manySubscriptions struct {
	few  []*Subscription
	many map[string]*Subscription // in place of few
}

const fewSubscriptions = 16

func (l *subscriptions) len() int {
	switch {
	case l == nil:
		return 0
	case l.more != nil:
		return len(l.more.few) + len(l.more.many)
	case l.one != nil:
		return 1
	}
	return 0
}

func (l *subscriptions) get(pattern string) *Subscription {
	switch {
	case l.one != nil && l.one.pattern == pattern:
		return l.one
	case l.more == nil:
		return nil
	}
	if i := l.more.index(pattern); i >= 0 {
		return l.more.few[i]
	}
	return l.more.many[pattern]
}

func (m *manySubscriptions) index(pattern string) int {
	for i, s := range m.few {
		if s.pattern == pattern {
			return i
		}
	}
	return -1
}

func (l *subscriptions) put(s *Subscription) {
	switch {
	case l.more != nil:
		l.more.put(s)
	case l.one == nil:
		l.one = s
	default:
		l.more = &manySubscriptions{few: []*Subscription{l.one, s}}
		l.one = nil
	}
}

func (m *manySubscriptions) put(s *Subscription) {
	if m.many == nil && len(m.few) < fewSubscriptions {
		m.few = append(m.few, s)
		return
	}
	if m.many == nil {
		m.many = make(map[string]*Subscription, 2*fewSubscriptions)
		for _, s := range m.few {
			m.many[s.pattern] = s
		}
		m.few = nil
	}
	m.many[s.pattern] = s
}

func (l *subscriptions) take(pattern string) *Subscription {
	if l.len() == 0 {
		return nil
	}
	s := l.get(pattern)
	switch s {
	case nil:
	case l.one:
		l.one = nil
	default:
		l.more.take(pattern)
		l.shrink()
	}
	return s
}

// shrink gives back what fewer need less of.
func (l *subscriptions) shrink() {
	switch n := l.len(); {
	case n == 1:
		*l = subscriptions{one: l.appendTo(nil)[0]}
	case n <= fewSubscriptions/2 && l.more.many != nil:
		l.more = &manySubscriptions{few: l.appendTo(nil)} // a map keeps the size that it once had
	}
}

func (m *manySubscriptions) take(pattern string) {
	if i := m.index(pattern); i >= 0 {
		last := len(m.few) - 1
		copy(m.few[i:], m.few[i+1:])
		m.few[last] = nil
		m.few = m.few[:last]
	}
	delete(m.many, pattern)
}

func (l *subscriptions) appendTo(all []*Subscription) []*Subscription {
	switch {
	case l == nil:
		return all
	case l.one != nil:
		return append(all, l.one)
	case l.more == nil:
		return all
	}
	all = append(all, l.more.few...)
	for _, s := range l.more.many {
		all = append(all, s)
	}
	return all
}
