package bus

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
)

// recorder keeps what it is given, and refuses what refuse says.
type recorder struct {
	mu     sync.Mutex
	lines  []string
	refuse func(m *Message) bool
}

func (r *recorder) Deliver(m *Message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil && r.refuse(m) {
		return false
	}
	r.lines = append(r.lines, fmt.Sprintf("%s %s %s", m.Subscription().Pattern(), m.Subject(), m.Data()))
	return true
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	slices.Sort(lines)
	return lines
}

func publish(t testing.TB, b *Bus, subject, data string) int {
	t.Helper()
	n, err := b.PublishBytes([]byte(subject), []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func subscribe(t testing.TB, c *Client, filters ...string) {
	t.Helper()
	for _, f := range filters {
		if added, err := c.Subscribe(f); err != nil || !added {
			t.Fatalf("Subscribe(%q) = %v, %v", f, added, err)
		}
	}
}

func subscribeGlob(t testing.TB, c *Client, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if added, err := c.SubscribeGlob(p); err != nil || !added {
			t.Fatalf("SubscribeGlob(%q) = %v, %v", p, added, err)
		}
	}
}

// A glob reaches subjects that begin with "$" only if it says so: auth counts on
// it, since the right to "#" does not include them.
func TestGlobsAndReservedSubjects(t *testing.T) {
	b := New(Options{})
	var r recorder
	c := b.NewClient(&r)
	subscribeGlob(t, c, "*", "?SYS/*", "[$]SYS/*", "**x")
	if n := publish(t, b, "$sys/x", "1"); n != 0 {
		t.Errorf("%d globs that do not begin with $ matched", n)
	}
	subscribeGlob(t, c, "$*", `\$sys/?`)
	if n := publish(t, b, "$sys/x", "1"); n != 2 {
		t.Errorf("%d of two globs that begin with $ matched", n)
	}
	if n := publish(t, b, "SYS/x", "1"); n != 2 {
		t.Errorf("%d of two globs that match anything matched", n)
	}
}

func TestRouting(t *testing.T) {
	b := New(Options{})
	var r recorder
	c := b.NewClient(&r)
	subscribe(t, c, "a/b", "a/+", "#", "$sys/x")
	subscribeGlob(t, c, "a/*", "a/b", `a/\b`, "a[", "[", "", "x+y", "$*")
	tests := []struct {
		subject string
		want    []string
	}{
		{"a/b", []string{"# a/b 1", "a/* a/b 1", "a/+ a/b 1", "a/\\b a/b 1", "a/b a/b 1", "a/b a/b 1"}},
		{"a/c", []string{"# a/c 1", "a/* a/c 1", "a/+ a/c 1"}},
		{"z", []string{"# z 1"}},
		{"$sys/x", []string{"$* $sys/x 1", "$sys/x $sys/x 1"}},
		{"$sys/y", []string{"$* $sys/y 1"}},
	}
	for _, tt := range tests {
		if n, got := publish(t, b, tt.subject, "1"), r.take(); n != len(tt.want) || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %d receivers, %q, want %q", tt.subject, n, got, tt.want)
		}
	}
	c.Close()
	if n := publish(t, b, "a/b", "1"); n != 0 {
		t.Errorf("%d receivers after Close", n)
	}
}

func TestPublishRefuses(t *testing.T) {
	b := New(Options{Limits: Limits{Event: event.Limits{DataLength: 3}}})
	for subject, want := range map[string]error{"": event.ErrEmpty, "a/+": event.ErrWildcard, "a\x00": event.ErrNotText} {
		if _, err := b.PublishBytes([]byte(subject), nil); !errors.Is(err, want) {
			t.Errorf("PublishBytes(%q) = %v, want %v", subject, err, want)
		}
		if _, err := b.PublishLive(&event.Event{Subject: subject}); !errors.Is(err, want) {
			t.Errorf("Publish(%q) = %v, want %v", subject, err, want)
		}
	}
	if _, err := b.PublishBytes([]byte("a"), []byte("1234")); !errors.Is(err, event.ErrTooLong) {
		t.Errorf("too much data: %v", err)
	}
	if s := b.Stats(); s != (Stats{}) {
		t.Errorf("what was refused was counted: %+v", s)
	}
}

func TestSubscriptionsAreCountedOnce(t *testing.T) {
	b := New(Options{})
	var r recorder
	one, two := b.NewClient(&r), b.NewClient(&r)
	subscribe(t, one, "a", "b", "w/+")
	subscribe(t, two, "a", "w/+", "v/#")
	subscribeGlob(t, one, "g*", "plain")
	subscribeGlob(t, two, "g*", "g?")
	if added, err := one.Subscribe("a"); added || err != nil {
		t.Errorf("subscribing again = %v, %v", added, err)
	}
	if added, err := one.SubscribeGlob("g*"); added || err != nil {
		t.Errorf("subscribing to a glob again = %v, %v", added, err)
	}
	check := func(channels []string, a, pat, subscriptions int) {
		t.Helper()
		got := channelsOf(t, b, "*")
		slices.Sort(got)
		if !slices.Equal(got, channels) || b.NumSub("a") != a || b.NumPat() != pat || b.Stats().Subscriptions != subscriptions {
			t.Errorf("Channels %q, NumSub %d, NumPat %d, %+v", got, b.NumSub("a"), b.NumPat(), b.Stats())
		}
	}
	check([]string{"a", "b"}, 2, 5, 10)
	if got := channelsOf(t, b, "[b-z]"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("Channels([b-z]) = %q", got)
	}
	if b.NumSub("w/+") != 0 || b.NumSub("none") != 0 || b.NumSub("plain") != 0 || b.NumSub("") != 0 {
		t.Error("NumSub counts patterns")
	}
	if !one.Unsubscribe("a") || one.Unsubscribe("a") || !one.UnsubscribeGlob("g*") || one.UnsubscribeGlob("none") || one.Unsubscribe("\xff") {
		t.Error("Unsubscribe does not tell whether there was a subscription")
	}
	check([]string{"a", "b"}, 1, 5, 8)
	two.Close()
	check([]string{"b"}, 0, 2, 3)
	one.Close()
	check(nil, 0, 0, 0)
	if _, err := one.Subscribe("a"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if len(b.globs.byText) != 0 || b.Stats().Filters != 0 {
		t.Error("something is left")
	}
}

func TestClientManySubscriptions(t *testing.T) {
	b := New(Options{})
	var r recorder
	c := b.NewClient(&r)
	for n := range 100 {
		subscribe(t, c, fmt.Sprint("s/", n))
		subscribeGlob(t, c, fmt.Sprint("g", n, "*"))
	}
	kinds := map[Kind]int{}
	for _, s := range c.Subscriptions() {
		kinds[s.Kind()]++
	}
	if kinds[KindSubject] != 100 || kinds[KindGlob] != 100 {
		t.Errorf("kinds = %v", kinds)
	}
	for n := range 100 {
		if !c.Unsubscribe(fmt.Sprint("s/", n)) || !c.UnsubscribeGlob(fmt.Sprint("g", n, "*")) {
			t.Fatalf("subscription %d is lost", n)
		}
		if got := len(c.Subscriptions()); got != 2*(99-n) {
			t.Fatalf("%d subscriptions are left after %d", got, n)
		}
	}
	if c.filters.more != nil || c.globs.more != nil {
		t.Error("the maps were not given back")
	}
}

func TestLimits(t *testing.T) {
	b := New(Options{Limits: Limits{Subscriptions: 5, ClientSubscriptions: 3, Globs: 2, ClientGlobs: 1, GlobLength: 4}})
	var r recorder
	one, two, three := b.NewClient(&r), b.NewClient(&r), b.NewClient(&r)
	subscribeGlob(t, one, "a*")
	subscribe(t, one, "a", "b")
	tests := []struct {
		name string
		call func() (bool, error)
		want error
	}{
		{"client", func() (bool, error) { return one.Subscribe("c") }, ErrTooMany},
		{"length", func() (bool, error) { return two.SubscribeGlob("12345") }, ErrTooLong},
		{"second glob", func() (bool, error) { return two.SubscribeGlob("b*") }, nil},
		{"client globs", func() (bool, error) { return two.SubscribeGlob("a*") }, ErrTooMany},
		{"globs", func() (bool, error) { return three.SubscribeGlob("c*") }, ErrTooMany},
		{"same glob", func() (bool, error) { return three.SubscribeGlob("a*") }, nil},
		{"bus", func() (bool, error) { return three.Subscribe("c") }, ErrTooMany},
		{"filter", func() (bool, error) { return three.Subscribe("a/#/b") }, event.ErrWildcard},
	}
	for _, tt := range tests {
		if added, err := tt.call(); !errors.Is(err, tt.want) || added != (tt.want == nil) {
			t.Errorf("%s: %v, %v, want %v", tt.name, added, err, tt.want)
		}
	}
	if got := b.Stats().Subscriptions; got != 5 {
		t.Errorf("%d subscriptions are counted, want 5", got)
	}
	one.Close()
	if added, err := three.Subscribe("c"); !added || err != nil {
		t.Errorf("after room was made: %v, %v", added, err)
	}
}

func TestRefusedIsCounted(t *testing.T) {
	b := New(Options{})
	r := recorder{refuse: func(m *Message) bool { return string(m.Data()) == "no" }}
	c := b.NewClient(&r)
	subscribe(t, c, "a", "#")
	if n := publish(t, b, "a", "no"); n != 0 {
		t.Errorf("%d receivers", n)
	}
	publish(t, b, "a", "yes")
	s := c.Subscriptions()[0]
	s.CountDropped(3)
	if got, want := b.Stats(), (Stats{Published: 2, Delivered: 2, Dropped: 5, Subscriptions: 2, Filters: 2, Patterns: 1}); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
	if s.Dropped() != 4 {
		t.Errorf("Dropped = %d, want 4", s.Dropped())
	}
}

type panicker struct{}

func (panicker) Deliver(*Message) bool { panic("a bug in a subscriber") }

func TestPanicCostsOnlyItsSubscription(t *testing.T) {
	var log bytes.Buffer
	b := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	var r recorder
	bad, good := b.NewClient(panicker{}), b.NewClient(&r)
	subscribe(t, bad, "a", "b")
	subscribeGlob(t, bad, "a*")
	subscribe(t, good, "a", "+")
	for range 2 {
		if n := publish(t, b, "a", "1"); n != 2 || len(r.take()) != 2 {
			t.Errorf("%d receivers, want 2", n)
		}
	}
	if s := b.Stats(); s.Panics != 2 || s.Dropped != 2 || s.Subscriptions != 3 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(log.String(), "panicker.Deliver") {
		t.Errorf("the log has no stack: %s", log.String())
	}
}

// counting encodes and counts how often.
func counting(perPattern bool) (*Format, *int) {
	n := new(int)
	return &Format{PerPattern: perPattern, Encode: func(dst []byte, m *Message) []byte {
		*n++
		if perPattern {
			dst = append(dst, m.Subscription().Pattern()...)
		}
		return append(append(dst, m.Subject()...), m.Data()...)
	}}, n
}

type subscriberFunc func(m *Message) bool

func (f subscriberFunc) Deliver(m *Message) bool { return f(m) }

func TestFramesAreSharedAndKept(t *testing.T) {
	b := New(Options{})
	plain, plains := counting(false)
	per, pers := counting(true)
	var frames [][]byte
	take := subscriberFunc(func(m *Message) bool {
		frames = append(frames, m.Frame(plain), m.Frame(per), m.Frame(plain))
		_ = append(m.Frame(plain), "an append must not reach the others"...)
		return true
	})
	for range 100 {
		subscribe(t, b.NewClient(take), "a/+", "#")
		subscribeGlob(t, b.NewClient(take), "a*")
	}
	subject, data := []byte("a/b"), []byte("data")
	if n, err := b.PublishBytes(subject, data); n != 300 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if *plains != 1 || *pers != 3 {
		t.Errorf("encoded %d and %d times, want 1 and 3", *plains, *pers)
	}
	copy(subject, "XXX")
	copy(data, "XXXX")
	publish(t, b, "x", "another")
	seen := map[string]int{}
	for _, f := range frames {
		seen[string(f)]++
	}
	if seen["a/bdata"] != 600 || seen["a/+a/bdata"] != 100 || seen["#a/bdata"] != 100 || seen["a*a/bdata"] != 100 {
		t.Errorf("frames = %v", seen)
	}
}

func TestKeepIsOneCopy(t *testing.T) {
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	b := New(Options{Clock: func() time.Time { return at }})
	var kept []*event.Event
	take := subscriberFunc(func(m *Message) bool {
		if e := m.Event(); e.Subject != m.Subject() {
			t.Errorf("Event = %+v", e)
		}
		kept = append(kept, m.Keep())
		return true
	})
	subscribe(t, b.NewClient(take), "a")
	subscribe(t, b.NewClient(take), "a")
	subject, data := []byte("a"), []byte("data")
	if _, err := b.PublishBytes(subject, data); err != nil {
		t.Fatal(err)
	}
	subject[0], data[0] = 'X', 'X'
	e := kept[0]
	if kept[1] != e || e.Subject != "a" || string(e.Data) != "data" || !e.Time.Equal(at) || !e.ID.Time().Equal(at) {
		t.Errorf("kept %+v and %+v", kept[0], kept[1])
	}
	mine := &event.Event{Subject: "a", Key: "k"}
	if _, err := b.PublishLive(mine); err != nil || kept[2] != mine || mine.ID.Compare(e.ID) <= 0 {
		t.Errorf("Publish: %v, kept %+v", err, kept[2])
	}
}

// TestDeliverMayUseTheBus publishes, subscribes and unsubscribes from inside Deliver.
func TestDeliverMayUseTheBus(t *testing.T) {
	b := New(Options{})
	var r recorder
	var c *Client
	c = b.NewClient(subscriberFunc(func(m *Message) bool {
		if m.Subject() == "ping" {
			publish(t, b, "pong", string(m.Data()))
			c.Unsubscribe("ping")
			subscribe(t, c, "later")
		}
		return r.Deliver(m)
	}))
	subscribe(t, c, "ping", "pong")
	publish(t, b, "ping", "1")
	publish(t, b, "ping", "2")
	publish(t, b, "later", "3")
	if got, want := r.take(), []string{"later later 3", "ping ping 1", "pong pong 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
