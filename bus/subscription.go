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

// subscriptions is a client's set of them by text: a slice while they are few, since most clients have one or two and a
// map takes 300 bytes, and a map when they are many.
type subscriptions struct {
	few  []*Subscription
	many map[string]*Subscription
}

const fewSubscriptions = 16

func (l *subscriptions) len() int {
	if l == nil {
		return 0
	}
	return len(l.few) + len(l.many)
}

func (l *subscriptions) get(pattern string) *Subscription {
	if i := l.index(pattern); i >= 0 {
		return l.few[i]
	}
	return l.many[pattern]
}

func (l *subscriptions) index(pattern string) int {
	for i, s := range l.few {
		if s.pattern == pattern {
			return i
		}
	}
	return -1
}

func (l *subscriptions) put(s *Subscription) {
	if l.many == nil && len(l.few) < fewSubscriptions {
		l.few = append(l.few, s)
		return
	}
	if l.many == nil {
		l.many = make(map[string]*Subscription, 2*fewSubscriptions)
		for _, s := range l.few {
			l.many[s.pattern] = s
		}
		l.few = nil
	}
	l.many[s.pattern] = s
}

func (l *subscriptions) take(pattern string) *Subscription {
	if l == nil {
		return nil
	}
	s := l.get(pattern)
	if i := l.index(pattern); i >= 0 {
		last := len(l.few) - 1
		copy(l.few[i:], l.few[i+1:])
		l.few[last] = nil
		l.few = l.few[:last]
	}
	delete(l.many, pattern)
	if l.len() <= fewSubscriptions/2 && l.many != nil {
		*l = subscriptions{few: l.appendTo(nil)} // a map keeps the size that it once had
	}
	return s
}

func (l *subscriptions) appendTo(all []*Subscription) []*Subscription {
	if l == nil {
		return all
	}
	all = append(all, l.few...)
	for _, s := range l.many {
		all = append(all, s)
	}
	return all
}
