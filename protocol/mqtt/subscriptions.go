package mqtt

// subscriptions is a session's set of them by the filter as it was written: a slice while they are few, since most sessions have one or two, and a map beside it when they are
// many.
type subscriptions struct {
	list []*subscription
	many map[string]*subscription
}

const fewSubscriptions = 16

func (l *subscriptions) len() int { return len(l.list) }

// all yields every subscription.
func (l *subscriptions) all(yield func(*subscription) bool) {
	for _, s := range l.list {
		if !yield(s) {
			return
		}
	}
}

func (l *subscriptions) get(text string) *subscription {
	if l.many != nil {
		return l.many[text]
	}
	for _, s := range l.list {
		if s.is(text) {
			return s
		}
	}
	return nil
}

// put enters a subscription in place of one of that filter.
func (l *subscriptions) put(s *subscription) {
	l.take(s.text())
	l.list = append(l.list, s)
	if l.many == nil && len(l.list) > fewSubscriptions {
		l.many = make(map[string]*subscription, 2*fewSubscriptions)
		for _, s := range l.list {
			l.many[s.text()] = s
		}
	}
	if l.many != nil {
		l.many[s.text()] = s
	}
	l.relate(s)
}

// relate finds out which others select subjects that s does too. Two filters without wildcards never do.
func (l *subscriptions) relate(s *subscription) {
	for _, other := range l.list {
		if other == s || other.shared() != nil || s.shared() != nil || s.filter.IsLiteral() && other.filter.IsLiteral() || !s.filter.Overlaps(other.filter) {
			continue
		}
		s.bond().overlaps = append(s.others(), other)
		other.bond().overlaps = append(other.others(), s)
	}
}

// take removes a subscription and returns it, or nil.
func (l *subscriptions) take(text string) *subscription {
	s := l.get(text)
	if s == nil {
		return nil
	}
	l.list = without(l.list, s)
	delete(l.many, text)
	for _, other := range s.others() {
		other.bond().overlaps = without(other.others(), s)
	}
	s.bond().overlaps = nil
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
