package bus

import (
	"bytes"
	"fmt"
	"strings"
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
	matcher     *matcher
	reserved    bool // it names subjects that begin with "$"
	subscribers event.Set[*Subscription]
}

// match visits the subscriptions to globs that match.
func (l *globList) match(subject string, visit func(*Subscription) bool) {
	l.all.Each(func(g *globEntry) bool {
		if (g.reserved || subject[0] != '$') && g.matcher.match(subject) {
			g.subscribers.Each(visit)
		}
		return true
	})
}

// namesReserved tells whether a glob asks for subjects that begin with "$" in so
// many words. Others do not match them, as with the wildcards of filters (MQTT
// 5.0, section 4.7.2): who may subscribe to everything has no right to those.
func namesReserved(pattern string) bool {
	return strings.HasPrefix(pattern, "$") || strings.HasPrefix(pattern, `\$`)
}

// add enters a subscription unless that makes more than most distinct globs.
func (l *globList) add(s *Subscription, most int) error {
	m, err := newMatcher(s.pattern)
	if err != nil {
		return err
	}
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
		g = &globEntry{matcher: m, reserved: namesReserved(s.pattern)}
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

func (b *Bus) checkGlobLength(pattern string) error {
	if most := b.limits.GlobLength; len(pattern) > most {
		return fmt.Errorf("pattern %.64q… has %d bytes, at most %d are allowed: %w", pattern, len(pattern), most, ErrTooLong)
	}
	return nil
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

// Channels calls yield for each subject that has a subscriber of its own and matches the glob, until yield returns false,
// as PUBSUB CHANNELS does: subscriptions to wildcards and patterns do not count. Give it "*" for all. The subject is good
// only until yield returns. It fails for a pattern that could not be subscribed to.
func (b *Bus) Channels(glob string, yield func(subject string) bool) error {
	if err := b.checkGlobLength(glob); err != nil {
		return err
	}
	m, err := newMatcher(glob)
	if err != nil {
		return err
	}
	b.filters.Walk(func(filter []byte, _ int) bool {
		return bytes.ContainsAny(filter, "+#") || !m.match(view(filter)) || yield(view(filter))
	})
	return nil
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
