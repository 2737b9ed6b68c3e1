package bus

import (
	"bytes"
	"sync"

	"github.com/spate-io/spate/event"
)

// globList is the distinct globs and who subscribed to each. Reading takes no lock.
type globList struct {
	mu     sync.Mutex // for those who subscribe
	byText map[string]*globEntry
	all    event.Set[*globEntry]
}

type globEntry struct {
	pattern     string
	subscribers event.Set[*Subscription]
}

// match visits the subscriptions to globs that match.
func (l *globList) match(subject string, visit func(*Subscription) bool) {
	l.all.Each(func(g *globEntry) bool {
		if Glob(g.pattern, subject) {
			g.subscribers.Each(visit)
		}
		return true
	})
}

// add enters a subscription unless that makes more than most distinct globs.
func (l *globList) add(s *Subscription, most int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.byText[s.pattern]
	if g == nil {
		if len(l.byText) >= most {
			return tooMany(s, "distinct patterns in all", most)
		}
		if l.byText == nil {
			l.byText = make(map[string]*globEntry)
		}
		g = &globEntry{pattern: s.pattern}
		l.byText[s.pattern] = g
		l.all.Add(g)
	}
	g.subscribers.Add(s)
	return nil
}

func (l *globList) remove(s *Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.byText[s.pattern]
	if left, _ := g.subscribers.Remove(s); left > 0 {
		return
	}
	l.all.Remove(g)
	delete(l.byText, s.pattern)
	if len(l.byText) == 0 {
		l.byText = nil // a map keeps the size that it once had
	}
}

// plainFilter returns the filter for a glob that matches just one subject.
func (b *Bus) plainFilter(pattern string) (event.Filter, bool) {
	text, plain := plainGlob(pattern)
	if !plain {
		return event.Filter{}, false
	}
	filter, err := event.ParseFilter(text, b.limits.Event)
	return filter, err == nil && filter.IsLiteral()
}

func (b *Bus) addGlob(s *Subscription) error {
	if filter, ok := b.plainFilter(s.pattern); ok {
		b.plain.Add(filter, s)
		return nil
	}
	return b.globs.add(s, b.limits.Globs)
}

func (b *Bus) removeGlob(s *Subscription) {
	if filter, ok := b.plainFilter(s.pattern); ok {
		b.plain.Remove(filter, s)
		return
	}
	b.globs.remove(s)
}

// Channels returns the subjects that have a subscriber of their own and match the glob, as PUBSUB CHANNELS
// does: subscriptions to wildcards and patterns do not count. Give it "*" for all.
func (b *Bus) Channels(glob string) []string {
	var channels []string
	b.filters.Walk(func(filter []byte, _ int) bool {
		if !bytes.ContainsAny(filter, "+#") && Glob(glob, view(filter)) {
			channels = append(channels, string(filter))
		}
		return true
	})
	return channels
}

// NumSub returns the number of subscriptions to exactly this subject, as PUBSUB NUMSUB does.
func (b *Bus) NumSub(subject string) int {
	filter, err := event.ParseFilter(subject, b.limits.Event)
	if err != nil || !filter.IsLiteral() {
		return 0
	}
	return b.filters.Count(filter)
}

// NumPat returns the number of distinct patterns, as PUBSUB NUMPAT does: globs, and filters with wildcards.
func (b *Bus) NumPat() int {
	plain, _ := b.plain.Len()
	return plain + b.globs.all.Len() + int(b.wild.Load())
}
