package mqtt

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// away is a broker with sessions of one subscription each whose clients are away, and without Run: what that does is called by the tests.
type away struct {
	*Broker
	t   *testing.T
	now time.Time
}

func newAway(t *testing.T, c Config, sessions int, filter string, others ...string) *away {
	t.Helper()
	a := &away{t: t, now: time.Now()}
	clock := func() time.Time { return a.now }
	s := memstore.New(memstore.Options{Clock: clock})
	t.Cleanup(func() { _ = s.Close() })
	with := func(filter string) []byte {
		data, _ := json.Marshal(record{
			Expiry: never, Version: 5, Epoch: 1, Away: a.now.UnixMilli(), Subscriptions: []recordSub{{Filter: filter, QoS: 2}},
		})
		return data
	}
	data := with(filter)
	for from := 0; from < sessions; from += 500 {
		batch := &store.Batch{}
		for i := from; i < min(sessions, from+500); i++ {
			batch.Puts = append(batch.Puts, store.Put{Key: sessionKey(fmt.Sprintf("device-%05d", i)), Data: data})
		}
		if err := store.Commit(t.Context(), s, batch); err != nil {
			t.Fatal(err)
		}
	}
	for i, other := range others {
		if err := store.Commit(t.Context(), s, &store.Batch{Puts: []store.Put{{Key: sessionKey(fmt.Sprint("other-", i)), Data: with(other)}}}); err != nil {
			t.Fatal(err)
		}
	}
	log, err := stream.Open(t.Context(), s, stream.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	b := bus.New(bus.Options{Log: log, Clock: clock})
	t.Cleanup(b.Wait)
	if a.Broker, err = New(t.Context(), Options{Bus: b, Config: c, Clock: clock}); err != nil {
		t.Fatal(err)
	}
	return a
}

// say publishes messages of QoS 1 and waits until they are delivered.
func (a *away) say(topic string, payloads ...string) {
	a.t.Helper()
	for _, p := range payloads {
		if _, err := a.bus.Publish(a.t.Context(), newEvent([]byte(topic), []byte(p), meta{qos: 1}, nil, a.now)); err != nil {
			a.t.Fatal(err)
		}
	}
	a.bus.Wait()
}

// waits is what waits for a session, in order.
func (a *away) waits(id string) (payloads []string) {
	a.t.Helper()
	s := a.lookup(id)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	places := s.nextPlacesLocked(maxInt)
	s.mu.Unlock()
	records, err := a.readLog(places)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, p := range places {
		payloads = append(payloads, string(records[p].Data))
	}
	return payloads
}

// finish has a session be done with its first messages.
func (a *away) finish(id string, n int) {
	s := a.lookup(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lasting.next = s.nextPlacesLocked(n)[n-1] + 1
}

// heard takes what comes on a subject.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) Deliver(m *bus.Message) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, string(m.Data()))
	return true
}

const first = "device-00000"

// What waits for a session is bounded by count, bytes and age, each policy drops what it says, and what is lost is counted and told.
func TestQueueBounds(t *testing.T) {
	size := newEvent([]byte("a"), []byte("1"), meta{qos: 1}, nil, time.Now()).Size()
	count, bytes := Limits{Queue: 3}, Limits{QueueBytes: int64(3 * size)}
	for name, test := range map[string]struct {
		limits Limits
		policy Overflow
		after  time.Duration
		want   []string
		why    string
		lost   int
	}{
		"count, oldest": {count, DropOldest, 0, []string{"3", "4", "5"}, dropQueue, 2},
		"count, newest": {count, DropNewest, 0, []string{"1", "2", "3"}, dropQueue, 2},
		"count, end":    {count, EndSession, 0, nil, dropQueue, 5},
		"bytes, oldest": {bytes, DropOldest, 0, []string{"3", "4", "5"}, dropQueue, 2},
		"bytes, newest": {bytes, DropNewest, 0, []string{"1", "2", "3"}, dropQueue, 2},
		"bytes, end":    {bytes, EndSession, 0, nil, dropQueue, 5},
		"age":           {Limits{QueueAge: time.Hour}, DropNewest, 2 * time.Hour, nil, dropAge, 5},
		"young":         {Limits{QueueAge: time.Hour}, EndSession, time.Minute, []string{"1", "2", "3", "4", "5"}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAway(t, Config{Limits: test.limits, Overflow: test.policy}, 1, "a")
			told := &heard{}
			if _, err := a.bus.NewClient(told).Subscribe(DroppedSubject); err != nil {
				t.Fatal(err)
			}
			a.say("a", "1", "2", "3", "4", "5")
			a.now = a.now.Add(test.after)
			a.sweep(t.Context())
			a.publishLosses()
			if got := a.waits(first); !slices.Equal(got, test.want) {
				t.Errorf("%q waits, want %q", got, test.want)
			}
			if n := a.Stats().Dropped[1]; n != uint64(test.lost) {
				t.Errorf("%d are counted, want %d", n, test.lost)
			}
			var want []string
			if test.lost > 0 {
				want = []string{fmt.Sprintf(`{"client":%q,"why":%q,"messages":%d}`, first, test.why, test.lost)}
			}
			if !slices.Equal(told.all, want) {
				t.Errorf("%s is told, want %s", told.all, want)
			}
			if ended := a.lookup(first) == nil; ended != (test.policy == EndSession && test.lost > 0) {
				t.Errorf("the session has ended: %v", ended)
			}
		})
	}
}

// With DropNewest, a session that has had some of what waits for it gets what comes then, and not what came while it was full.
func TestDropNewestGoesOn(t *testing.T) {
	a := newAway(t, Config{Limits: Limits{Queue: 3}, Overflow: DropNewest}, 1, "a")
	a.say("a", "1", "2", "3", "4", "5")
	a.sweep(t.Context())
	a.say("a", "6") // still full
	a.sweep(t.Context())
	a.finish(first, 2)
	a.say("a", "7", "8")
	a.sweep(t.Context())
	if got, want := a.waits(first), []string{"3", "7", "8"}; !slices.Equal(got, want) {
		t.Errorf("%q waits, want %q", got, want)
	}
	if n := a.Stats().Dropped[1]; n != 3 {
		t.Errorf("%d are counted, want 3", n)
	}
	a.finish(first, 3)
	a.say("a", "9")
	if got := a.waits(first); !slices.Equal(got, []string{"9"}) {
		t.Errorf("%q waits", got)
	}
}

// One message for ten thousand sessions that are away is stored once, and costs none of them anything. The log goes when the last of them has had it.
func TestManyAway(t *testing.T) {
	const sessions, most = 10_000, 1300
	before := inUse()
	a := newAway(t, Config{}, sessions, "all/+")
	if each := int(inUse()-before) / sessions; each > most { // with what the store in memory holds of it
		t.Errorf("a session that is away takes %d bytes", each)
	} else {
		t.Logf("a session that is away takes %d bytes", each)
	}
	base := inUse()
	a.say("all/1", "once")
	if grown := inUse() - base; grown > 64<<10 {
		t.Errorf("one message takes %d bytes for %d sessions", grown, sessions)
	}
	stored := func() uint64 {
		bounds, err := a.store.Bounds(t.Context(), theLog)
		if err != nil {
			t.Fatal(err)
		}
		return bounds.Count
	}
	if got := a.waits(first); !slices.Equal(got, []string{"once"}) {
		t.Fatalf("%q waits", got)
	}
	for i := range sessions {
		id := fmt.Sprintf("device-%05d", i)
		if i == sessions-1 {
			a.sweep(t.Context())
			if n := stored(); n != 1 {
				t.Errorf("%d messages are stored while one session waits", n)
			}
		}
		a.finish(id, 1)
	}
	a.sweep(t.Context())
	if n := stored(); n != 0 {
		t.Errorf("%d messages are stored that nobody waits for", n)
	}
	runtime.KeepAlive(a)
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Places in the log that all readers of a filter have passed are forgotten, whatever others wait for.
func TestPlacesAreForgotten(t *testing.T) {
	a := newAway(t, Config{Limits: Limits{Queue: 10}}, 1, "a", "b")
	a.say("b", "stays")
	for range 50 {
		a.say("a", "x")
	}
	a.sweep(t.Context()) // says what is needed
	a.sweep(t.Context())
	for f, l := range a.backlogs {
		if n, want := len(l.places), map[string]int{"a": 10, "b": 1}[f.String()]; n != want {
			t.Errorf("%d places of %s are noted, want %d", n, f, want)
		}
	}
	if got := a.waits("other-0"); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("%q waits for who is slow", got)
	}
}

// Messages that lie far apart in the log are read without all that lies between.
func TestReadLog(t *testing.T) {
	a := newAway(t, Config{}, 1, "#")
	var all []string
	for i := range 200 {
		all = append(all, fmt.Sprint(i))
	}
	a.say("a", all...)
	places := []uint64{0, 1, 2, 40, 45, 61, 62, 150, 199}
	if err := store.Commit(t.Context(), a.store, &store.Batch{Removes: []store.Position{{Partition: theLog, Offset: 45}}}); err != nil {
		t.Fatal(err)
	}
	records, err := a.readLog(places)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		if e := records[p]; (e == nil) != (p == 45) || e != nil && string(e.Data) != fmt.Sprint(p) {
			t.Errorf("at %d is %v", p, e)
		}
	}
	if len(records) != len(places)-1 {
		t.Errorf("%d records", len(records))
	}
}
