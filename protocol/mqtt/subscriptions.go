package mqtt

// subscriptions is a session's set of them by the filter as it was written: one in place, since most sessions have one, a slice while they are few, and a map beside it when they are
// many.
type subscriptions struct {
	one  *subscription // nil if there is none, or several
	more *manySubscriptions
}

type manySubscriptions struct {
	wild int // filters with wildcards
	ties int // pairs that overlap
	list []*subscription
	many map[string]*subscription // nil up to fewSubscriptions
}

const fewSubscriptions = 16

func (l *subscriptions) len() int {
	switch {
	case l.one != nil:
		return 1
	case l.more != nil:
		return len(l.more.list)
	}
	return 0
}

// all yields every subscription.
func (l *subscriptions) all(yield func(*subscription) bool) {
	if l.one != nil {
		yield(l.one)
		return
	}
	if l.more == nil {
		return
	}
	for _, s := range l.more.list {
		if !yield(s) {
			return
		}
	}
}

func (l *subscriptions) get(text string) *subscription {
	if l.more != nil && l.more.many != nil {
		return l.more.many[text]
	}
	for s := range l.all {
		if s.is(text) {
			return s
		}
	}
	return nil
}

// fits tells whether a subscription to another filter may be entered.
func (l *subscriptions) fits(s *subscription) bool {
	if l.more == nil || s.filter.IsLiteral() && l.more.wild == 0 {
		return true
	}
	if !s.filter.IsLiteral() && l.more.wild >= maxWildcards {
		return false
	}
	ties := l.more.ties
	for other := range l.all {
		if overlap(s, other) {
			ties++
		}
	}
	return ties <= maxOverlaps
}

// overlap tells whether two subscriptions of a session select a subject both. Two filters without wildcards never do.
func overlap(s, other *subscription) bool {
	return other != s && other.shared() == nil && s.shared() == nil && !(s.filter.IsLiteral() && other.filter.IsLiteral()) && s.filter.Overlaps(other.filter)
}

// put enters a subscription in place of one of that filter.
func (l *subscriptions) put(s *subscription) {
	l.take(s.text())
	switch {
	case l.one == nil && l.more == nil:
		l.one = s
	case l.more == nil:
		l.more = &manySubscriptions{list: []*subscription{l.one, s}}
		if !l.one.filter.IsLiteral() {
			l.more.wild++
		}
		l.one = nil
	default:
		l.more.put(s)
	}
	l.relate(s)
}

func (m *manySubscriptions) put(s *subscription) {
	m.list = append(m.list, s)
	if m.many == nil && len(m.list) > fewSubscriptions {
		m.many = make(map[string]*subscription, 2*fewSubscriptions)
		for _, s := range m.list {
			m.many[s.text()] = s
		}
	}
	if m.many != nil {
		m.many[s.text()] = s
	}
}

// relate finds out which others select subjects that s does too.
func (l *subscriptions) relate(s *subscription) {
	if l.more == nil {
		return
	}
	if !s.filter.IsLiteral() {
		l.more.wild++
	}
	if s.filter.IsLiteral() && l.more.wild == 0 {
		return
	}
	for other := range l.all {
		if overlap(s, other) {
			l.more.ties++
			s.bond().overlaps = append(s.bond().overlaps, other)
			other.bond().overlaps = append(other.bond().overlaps, s)
		}
	}
}

// take removes a subscription and returns it, or nil.
func (l *subscriptions) take(text string) *subscription {
	s := l.get(text)
	switch s {
	case nil:
		return nil
	case l.one:
		l.one = nil
	default:
		l.more.list = without(l.more.list, s)
		delete(l.more.many, text)
		l.more.ties -= len(s.others())
		if !s.filter.IsLiteral() {
			l.more.wild--
		}
		if len(l.more.list) == 1 {
			*l = subscriptions{one: l.more.list[0]}
		}
	}
	for _, other := range s.others() {
		other.bond().overlaps = without(other.bond().overlaps, s)
	}
	if s.bonds != nil {
		s.bonds.overlaps = nil
	}
	return s
}

// without returns the list without s, which keeps the order of the rest.
func without(list []*subscription, s *subscription) []*subscription {
	for i, other := range list {
		if other == s {
			copy(list[i:], list[i+1:])
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}
