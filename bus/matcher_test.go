package bus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func channelsOf(t *testing.T, b *Bus, glob string) (channels []string) {
	t.Helper()
	err := b.Channels(glob, func(subject string) bool {
		channels = append(channels, strings.Clone(subject))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return channels
}

// sameAsGlob compares the two implementations.
func sameAsGlob(t *testing.T, pattern, s string) {
	t.Helper()
	m, err := newMatcher(pattern)
	if errors.Is(err, ErrTooVague) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.match(s), Glob(pattern, s); got != want {
		t.Errorf("the matcher of %q says %v of %q, Glob says %v", pattern, got, s, want)
	}
}

// TestMatcherIsGlob compares them on random patterns over few letters, which match often.
func TestMatcherIsGlob(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "b", "ab", "*", "*", "**", "?", "[ab]", "[^a]", "[a-b", "[]", `\a`, `\*`, `\`, "]", "[\\]]", "-"}
	for range 100_000 {
		var pattern, s strings.Builder
		for range r.IntN(9) {
			pattern.WriteString(pieces[r.IntN(len(pieces))])
		}
		for range r.IntN(12) {
			s.WriteByte("aaabbb*]\\-"[r.IntN(10)])
		}
		sameAsGlob(t, pattern.String(), s.String())
	}
	for n := range maxVague + 2 {
		for _, end := range []string{"", "*", "a", "*a"} {
			sameAsGlob(t, strings.Repeat("*a", n)+end, strings.Repeat("a", maxVague))
			sameAsGlob(t, "a"+strings.Repeat("*?", n)+end, strings.Repeat("a", maxVague))
		}
	}
}

func FuzzMatcher(f *testing.F) {
	for _, s := range [][2]string{{"h[^a-c]*", "hello"}, {"*a*b", "aab"}, {`*[\]-]*?`, "a]b"}, {"*[", "x"}, {`a*\`, `a\`}, {"", ""}, {"**", ""}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(sameAsGlob)
}

// vague is a pattern with n characters that must be looked for and are not plain.
func vague(n int) string { return "*" + strings.Repeat("a", n-1) + "?*" }

func TestVaguePatternsAreRefused(t *testing.T) {
	b := New(Options{})
	c := b.NewClient(&discard{})
	subscribeGlob(t, c, vague(maxVague), "*"+strings.Repeat("a", 500)+"?", strings.Repeat("?", 500)+"*")
	if _, err := c.SubscribeGlob(vague(maxVague + 1)); !errors.Is(err, ErrTooVague) {
		t.Errorf("subscribing: %v", err)
	}
	if _, err := c.SubscribeGlob(vague(40) + vague(40)); !errors.Is(err, ErrTooVague) {
		t.Errorf("subscribing with two such parts: %v", err)
	}
	if _, err := c.SubscribeGlob(strings.Repeat("*a", maxVague+2)); !errors.Is(err, ErrTooVague) {
		t.Errorf("subscribing with many stars: %v", err)
	}
	if err := b.Channels(vague(100), nil); !errors.Is(err, ErrTooVague) {
		t.Errorf("listing: %v", err)
	}
	if err := b.Channels(strings.Repeat("a", DefaultGlobLength+1), nil); !errors.Is(err, ErrTooLong) {
		t.Errorf("listing with a long pattern: %v", err)
	}
	if n := b.Stats().Subscriptions; n != 3 {
		t.Errorf("%d subscriptions, want 3", n)
	}
}

// bombs are patterns of the greatest length that take the longest to find in a subject of 1024 times 'a', each with the number i.
var bombs = map[string]func(i int) string{
	"plain":    func(i int) string { return fmt.Sprintf("*%sb%d", strings.Repeat("a", 500), i) },
	"searched": func(i int) string { return fmt.Sprintf("*%sb%d*", strings.Repeat("a", 500), i) },
	"short":    func(i int) string { return fmt.Sprintf("*%sb%d*", strings.Repeat("a", 50), i) },
	"stars":    func(i int) string { return fmt.Sprintf("%sb%d*", strings.Repeat("*a", 62), i) },
	"pairs":    func(i int) string { return fmt.Sprintf("%s*b%d*", strings.Repeat("*aaaaaaaaaaaaaa", 61), i) },
	"vague":    func(i int) string { return fmt.Sprintf("*%s?b%06d*", strings.Repeat("a", 55), i) },
	"sets":     func(i int) string { return fmt.Sprintf("%s*[b]%d*", strings.Repeat("*[^b]", 59), i) },
	"tail":     func(i int) string { return fmt.Sprintf("*%sb%d", strings.Repeat("[^b]", 240), i) },
}

// TestGlobBomb publishes against many hostile patterns. It took 1.8 ms for each of them.
func TestGlobBomb(t *testing.T) {
	const clients, each = 5, DefaultClientGlobs
	subject := []byte(strings.Repeat("a", 1024))
	for name, bomb := range bombs {
		b := New(Options{})
		for i := range clients {
			c := b.NewClient(&discard{})
			for j := range each {
				subscribeGlob(t, c, bomb(i*each+j))
			}
		}
		// The best of several: the machine may be busy with something else.
		best := time.Hour
		for range 10 {
			began := time.Now()
			if n, err := b.PublishBytes(subject, nil); n != 0 || err != nil {
				t.Errorf("%s: %d receivers, %v", name, n, err)
			}
			best = min(best, time.Since(began)/(clients*each))
		}
		if best > 300*time.Microsecond { // 1.8 ms for the product of the lengths
			t.Errorf("%s: %v per pattern", name, best)
		}
	}
}

func BenchmarkPublishBombs(b *testing.B) {
	subject := []byte(strings.Repeat("a", 1024))
	for name, bomb := range bombs {
		b.Run(name, func(b *testing.B) {
			bus := New(Options{})
			for i := range 10 {
				c := bus.NewClient(&discard{})
				for j := range DefaultClientGlobs {
					subscribeGlob(b, c, bomb(100*i+j))
				}
			}
			for b.Loop() {
				_, _ = bus.PublishBytes(subject, nil)
			}
			perSubscriber(b, 10*DefaultClientGlobs)
		})
	}
}

// TestFewClientsLeavePatternsToOthers keeps the limits apart.
func TestFewClientsLeavePatternsToOthers(t *testing.T) {
	b := New(Options{})
	for i := range 50 {
		c := b.NewClient(&discard{})
		for j := range DefaultClientGlobs {
			subscribeGlob(t, c, fmt.Sprintf("%d-%d*", i, j))
		}
		if _, err := c.SubscribeGlob("more*"); !errors.Is(err, ErrTooMany) {
			t.Fatalf("one more: %v", err)
		}
	}
	subscribeGlob(t, b.NewClient(&discard{}), "mine*")
}
