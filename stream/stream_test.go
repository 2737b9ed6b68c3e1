package stream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// kit is a log on a store in memory, with a clock that tests move.
type kit struct {
	*stream.Log
	t     *testing.T
	store *memstore.Store
	now   time.Time
	ids   event.Generator
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	k.store = memstore.New(memstore.Options{Clock: k.clock})
	t.Cleanup(func() { _ = k.store.Close() })
	k.open()
	return k
}

func (k *kit) clock() time.Time { return k.now }

// open opens the log, again.
func (k *kit) open() {
	k.t.Helper()
	var err error
	if k.Log, err = stream.Open(k.t.Context(), k.store, stream.Options{Clock: k.clock}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) create(c stream.Config) {
	k.t.Helper()
	if _, err := k.Create(k.t.Context(), c); err != nil {
		k.t.Fatal(err)
	}
}

// publish stores an event and returns how many streams captured it.
func (k *kit) publish(subject, data string) int {
	k.t.Helper()
	b := &store.Batch{}
	n, _, err := k.Add(b, &event.Event{ID: k.ids.New(), Subject: subject, Time: k.now, Data: []byte(data)})
	if err == nil && n > 0 {
		err = store.Commit(k.t.Context(), k.store, b)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return n
}

// read returns the data of all events of a stream that match.
func (k *kit) read(name, filter string, from stream.From) []string {
	k.t.Helper()
	r, err := k.NewReader(k.t.Context(), name, filter, from)
	if err != nil {
		k.t.Fatal(err)
	}
	var all []string
	for {
		records, _, err := r.Read(k.t.Context())
		if err != nil {
			k.t.Fatal(err)
		}
		if len(records) == 0 {
			return all
		}
		for _, rec := range records {
			all = append(all, string(rec.Event.Data))
		}
	}
}

// An event is stored in every stream that captures it, once, and in no other.
func TestCapture(t *testing.T) {
	k := newKit(t)
	k.create(stream.Config{Name: "orders", Subjects: []string{"orders/#", "orders/+"}})
	k.create(stream.Config{Name: "all", Subjects: []string{"#"}, Partitions: 3})
	for subject, want := range map[string]int{"orders/7": 2, "orders": 2, "news": 1, "$sys/x": 0} {
		if got := k.publish(subject, subject); got != want {
			t.Errorf("%s was captured by %d streams", subject, got)
		}
		if some, all := k.Captures(subject); some != (want > 0) || all != some {
			t.Errorf("Captures(%q)", subject)
		}
	}
	got := k.read("orders", "", stream.Beginning)
	if slices.Sort(got); !slices.Equal(got, []string{"orders", "orders/7"}) {
		t.Errorf("got %v", got)
	}
	if got := k.read("all", "", stream.Beginning); len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { k.Captures("orders/7") }); n != 0 {
		t.Errorf("Captures allocates %v times", n)
	}
}

// The identity of a stream lasts from its creation to its removal, across changes and restarts.
func TestIdentity(t *testing.T) {
	k := newKit(t)
	id := func() event.ID {
		s, err := k.Get("s")
		if err != nil {
			t.Fatal(err)
		}
		info, err := k.Info(t.Context(), "s")
		if err != nil || info.ID != s.ID() || s.ID().IsZero() {
			t.Fatalf("%v, %v, %v", s.ID(), info.ID, err)
		}
		return s.ID()
	}
	c := stream.Config{Name: "s", Subjects: []string{"#"}}
	k.create(c)
	first := id()
	k.create(c) // which changes nothing
	c.MaxEvents = 7
	if _, err := k.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	k.open()
	if id() != first {
		t.Errorf("%v became %v", first, id())
	}
	if err := k.Remove(t.Context(), "s", false); err != nil {
		t.Fatal(err)
	}
	k.create(c)
	if id() == first {
		t.Error("another stream has the same identity")
	}
}

// Names that begin with $ are the server's own.
func TestReservedNames(t *testing.T) {
	k := newKit(t)
	c := stream.Config{Name: "$own", Subjects: []string{"$own/#"}}
	if _, err := k.Create(t.Context(), c); !errors.Is(err, stream.ErrConfig) || c.Validate(event.Limits{}) == nil {
		t.Errorf("created: %v", err)
	}
	if err := k.Reserve(t.Context(), stream.Config{Name: "own", Subjects: []string{"own"}}); !errors.Is(err, stream.ErrConfig) {
		t.Errorf("reserved: %v", err)
	}
	if err := k.Reserve(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.MaxEvents = 5
	if _, err := k.Update(t.Context(), c); err != nil {
		t.Errorf("its retention cannot be changed: %v", err)
	}
	k.open()
	c.MaxEvents = 0
	if err := k.Reserve(t.Context(), c); err != nil {
		t.Errorf("reserving it again: %v", err)
	}
	if s, err := k.Get("$own"); err != nil || s.Config().MaxEvents != 5 {
		t.Errorf("reserving it again has changed it: %v", err)
	}
	if err := k.Remove(t.Context(), "$own", false); !errors.Is(err, stream.ErrConfig) {
		t.Errorf("removed: %v", err)
	}
}

// The key decides the partition, and order is kept in it.
func TestPartitions(t *testing.T) {
	tests := []struct {
		key         string
		event, same event.Event // of one key
		other       event.Event
	}{
		{"", event.Event{Subject: "a/b/c"}, event.Event{Subject: "a/b/c", Data: []byte("x")}, event.Event{Subject: "a/b/d"}},
		{"subject", event.Event{Subject: "a/b/c", Key: "k"}, event.Event{Subject: "x/y", Key: "k"}, event.Event{Subject: "a/b/c", Key: "l"}},
		{"level:2", event.Event{Subject: "a/b/c"}, event.Event{Subject: "z/b/d"}, event.Event{Subject: "a/c/c"}},
		{"level:3", event.Event{Subject: "a/b"}, event.Event{Subject: "a/b"}, event.Event{Subject: "a/b/x"}},
		{
			"header:device", event.Event{Subject: "a", Headers: []event.Header{{Name: "device", Value: "d"}}},
			event.Event{Subject: "b", Headers: []event.Header{{Name: "x", Value: "y"}, {Name: "device", Value: "d"}}},
			event.Event{Subject: "a"},
		},
	}
	for _, tt := range tests {
		k := newKit(t)
		s, err := k.Create(t.Context(), stream.Config{Name: "s", Subjects: []string{"#"}, Key: tt.key, Partitions: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if s.Partition(&tt.event) != s.Partition(&tt.same) || s.Key(&tt.event) != s.Key(&tt.same) {
			t.Errorf("%s: %+v and %+v differ", tt.key, tt.event, tt.same)
		}
		if s.Partition(&tt.event) == s.Partition(&tt.other) {
			t.Errorf("%s: %+v and %+v do not differ", tt.key, tt.event, tt.other)
		}
	}
	k := newKit(t)
	s, err := k.Create(t.Context(), stream.Config{Name: "s", Subjects: []string{"#"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Partition(&event.Event{Subject: "sensors/hall/temperature"}).Number; p != 1 {
		t.Errorf("the partition of what is stored has changed to %d", p)
	}
	spread := make([]int, 8)
	for i := range 8000 {
		spread[s.Partition(&event.Event{Subject: fmt.Sprint("device/", i)}).Number]++
	}
	for n, count := range spread {
		if count < 800 || count > 1200 {
			t.Errorf("partition %d has %d of 8000 keys", n, count)
		}
	}
}

// Streams survive a restart as they were, and what cannot be changed is refused.
func TestChange(t *testing.T) {
	k := newKit(t)
	c := stream.Config{Name: "s", Subjects: []string{"a/#"}, MaxAge: stream.Duration(time.Hour)}
	k.create(c)
	k.create(c) // the same again is fine
	wider := c
	wider.Subjects = []string{"a/#", "b/#"}
	if _, err := k.Create(t.Context(), wider); !errors.Is(err, stream.ErrExists) {
		t.Errorf("creating it otherwise returned %v", err)
	}
	if _, err := k.Update(t.Context(), wider); err != nil {
		t.Fatal(err)
	}
	k.publish("b/1", "x")
	k.open()
	if s, err := k.Get("s"); err != nil || !s.Refiltered() {
		t.Errorf("that the filters were changed is forgotten: %v", err)
	}
	if got := k.List(); len(got) != 1 || got[0].Config().Partitions != stream.DefaultPartitions || len(got[0].Config().Subjects) != 2 {
		t.Errorf("got %+v", got)
	}
	for _, change := range []func(c *stream.Config){
		func(c *stream.Config) { c.Partitions = 3 },
		func(c *stream.Config) { c.Key = "level:1" },
		func(c *stream.Config) { c.Subjects = nil },
	} {
		other := wider
		change(&other)
		if _, err := k.Update(t.Context(), other); !errors.Is(err, stream.ErrConfig) {
			t.Errorf("changing it to %+v returned %v", other, err)
		}
	}
	k.create(stream.Config{Name: "one", Subjects: []string{"one/#"}, Partitions: 1, Key: "level:2"})
	if got, err := k.Update(t.Context(), stream.Config{Name: "one", Subjects: []string{"one/#"}, MaxEvents: 5}); err != nil || got.Refiltered() || got.Config().Partitions != 1 || got.Config().Key != "level:2" {
		t.Errorf("what was not given became %+v, %v", got, err)
	}
	if err := k.Remove(t.Context(), "one", false); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Update(t.Context(), stream.Config{Name: "t", Subjects: []string{"#"}}); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	info, err := k.Info(t.Context(), "s")
	if err != nil || info.Events != 1 || len(info.Partitions) != 8 {
		t.Errorf("%+v, %v", info, err)
	}
	if err := k.Remove(t.Context(), "s", false); err != nil {
		t.Fatal(err)
	}
	if captured, _ := k.Captures("a/1"); captured {
		t.Error("a stream that was removed captures")
	}
	k.open()
	if _, err := k.Get("s"); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	k.create(c)
	if got := k.read("s", "", stream.Beginning); got != nil {
		t.Errorf("a stream of the same name holds %v", got)
	}
}

// What can be stored and nobody can want is refused, when it is created and when it is changed, and read if it is stored.
func TestConfigWithoutSense(t *testing.T) {
	k := newKit(t)
	for key, c := range map[string]stream.Config{
		"subjects[1]": {Subjects: []string{"a", "a"}}, "key": {Subjects: []string{"a/b", "+/b/+"}, Key: "level:4"},
		"max_age": {MaxAge: stream.Duration(time.Second - 1)}, "max_bytes": {MaxBytes: 1023},
	} {
		c.Name = "s"
		if c.Subjects == nil {
			c.Subjects = []string{"#"}
		}
		var wrong *stream.FieldError
		if _, err := k.Create(t.Context(), c); !errors.Is(err, stream.ErrConfig) || !errors.As(err, &wrong) || wrong.Key != key {
			t.Errorf("%s: %v", key, err)
		}
		if p := c.Problems(event.Limits{}); len(p) != 1 {
			t.Errorf("%s: %d problems: %v", key, len(p), p)
		}
	}
	k.create(stream.Config{Name: "s", Subjects: []string{"a/b", "+/b/+"}, Key: "level:3", MaxAge: stream.MinAge, MaxBytes: stream.MinBytes})
	k.create(stream.Config{Name: "deep", Subjects: []string{"a/#"}, Key: "level:128"})
	if _, err := k.Update(t.Context(), stream.Config{Name: "s", Subjects: []string{"a/b"}}); !errors.Is(err, stream.ErrConfig) {
		t.Errorf("a key that no subject reaches any more: %v", err)
	}
	if _, err := stream.Open(t.Context(), k.store, stream.Options{Limits: event.Limits{SubjectLevels: 5}}); err != nil {
		t.Errorf("a stream that was stored before the limits were changed: %v", err)
	}
}

// Everything that is wrong with a configuration is said at once.
func TestConfigErrors(t *testing.T) {
	err := stream.Config{Name: "a b", Subjects: []string{"a/#/b"}, Partitions: 5000, Key: "level:0", MaxAge: -1, Durability: "maybe"}.Validate(event.Limits{})
	for _, part := range []string{"name", "a/#/b", "5000", "level:0", "negative", "maybe"} {
		if err == nil || !errors.Is(err, stream.ErrConfig) || !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if err := (stream.Config{}).Validate(event.Limits{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
}

func TestConfigJSON(t *testing.T) {
	c := stream.Config{Name: "s", Subjects: []string{"a"}, MaxAge: stream.Duration(90 * time.Minute), Dedupe: stream.Duration(time.Second), Partitions: 2}
	text, err := json.Marshal(c)
	if err != nil || string(text) != `{"name":"s","subjects":["a"],"partitions":2,"max_age":"1h30m0s","dedupe":"1s"}` {
		t.Errorf("%s, %v", text, err)
	}
	var back stream.Config
	if err := json.Unmarshal(text, &back); err != nil || back.MaxAge != c.MaxAge {
		t.Errorf("%+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"max_age":"soon"}`), &back); err == nil || !strings.Contains(err.Error(), "soon") {
		t.Errorf("got %v", err)
	}
}

// Promise: retention removes what is beyond the limits, from the front, and nothing else.
func TestRetention(t *testing.T) {
	tests := map[string]struct {
		config stream.Config
		keep   int // of a hundred, one a minute
	}{
		"nothing":      {stream.Config{}, 100},
		"age":          {stream.Config{MaxAge: stream.Duration(10 * time.Minute)}, 10},
		"events":       {stream.Config{MaxEvents: 7}, 7},
		"bytes":        {stream.Config{MaxBytes: 2000}, -1},
		"the tightest": {stream.Config{MaxEvents: 50, MaxAge: stream.Duration(5 * time.Minute)}, 5},
		"more than is": {stream.Config{MaxEvents: 5000, MaxBytes: 1 << 30, MaxAge: stream.Duration(1000 * time.Hour)}, 100},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			tt.config.Name, tt.config.Subjects, tt.config.Partitions = "s", []string{"#"}, 1
			k.create(tt.config)
			var want []string
			for i := range 100 {
				k.publish("a", fmt.Sprint(i))
				want = append(want, fmt.Sprint(i))
				k.now = k.now.Add(time.Minute)
			}
			if err := k.Retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := k.read("s", "", stream.Beginning)
			if tt.keep < 0 {
				b, err := k.store.Bounds(t.Context(), store.Partition{Stream: "s"})
				if err != nil || b.Bytes > 2000 || b.Bytes < 1000 {
					t.Errorf("%+v, %v", b, err)
				}
				tt.keep = len(got)
			}
			if !slices.Equal(got, want[100-tt.keep:]) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// compact is a store in which an event takes a third of what it takes in memory, as small ones do on disk.
type compact struct{ *memstore.Store }

func (s compact) Bounds(ctx context.Context, p store.Partition) (store.Bounds, error) {
	b, err := s.Store.Bounds(ctx, p)
	b.Bytes /= 3
	return b, err
}

// Applying retention once leaves no more bytes than are allowed, as the store counts them, and not much less.
func TestRetentionOfStoredBytes(t *testing.T) {
	for _, size := range []int{1, 100, 5000} {
		s := compact{memstore.New(memstore.Options{})}
		defer s.Close()
		l, err := stream.Open(t.Context(), s, stream.Options{})
		if err != nil {
			t.Fatal(err)
		}
		k := &kit{t: t, Log: l, store: s.Store, now: time.Now()}
		const most = 20_000
		k.create(stream.Config{Name: "s", Subjects: []string{"#"}, MaxBytes: most, Partitions: 1})
		for range 2000 {
			k.publish("a", strings.Repeat("x", size))
		}
		before, err := s.Bounds(t.Context(), store.Partition{Stream: "s"})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Retain(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := s.Bounds(t.Context(), store.Partition{Stream: "s"})
		if one := before.Bytes/before.Count + 1; err != nil || before.Bytes < 2*most || after.Bytes > most || after.Bytes < most-2*one {
			t.Errorf("events of %d: %d bytes are left of %d, %v", size, after.Bytes, before.Bytes, err)
		}
	}
}

// Retention runs by itself until its context ends.
func TestRun(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	l, err := stream.Open(t.Context(), s, stream.Options{Retain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{t: t, Log: l, store: s, now: time.Now()}
	k.create(stream.Config{Name: "s", Subjects: []string{"#"}, MaxEvents: 3, Partitions: 1})
	for i := range 10 {
		k.publish("a", fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); len(k.read("s", "", stream.Beginning)) > 3; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was removed")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Reading begins at the beginning, the end, an offset or a time, and a reader can be put where another stood.
func TestReading(t *testing.T) {
	k := newKit(t)
	k.create(stream.Config{Name: "s", Subjects: []string{"#"}, Partitions: 1})
	for i := range 10 {
		k.publish([]string{"a/x", "b/x"}[i%2], fmt.Sprint(i))
		k.now = k.now.Add(time.Minute)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"": "0123456789", "beginning": "0123456789", "end": "", "7": "789", "100": "",
		start.Add(8 * time.Minute).Format(time.RFC3339): "89", "-3m": "789",
	} {
		from, err := stream.ParseFrom(text, k.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(k.read("s", "", from), ""); got != want {
			t.Errorf("from %q: %s", text, got)
		}
	}
	if _, err := stream.ParseFrom("yesterday", k.now); err == nil || !strings.Contains(err.Error(), "yesterday") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(k.read("s", "b/+", stream.FromOffset(4)), ""); got != "579" {
		t.Errorf("got %s", got)
	}
	a, err := k.NewReader(t.Context(), "s", "", stream.Beginning)
	if err != nil {
		t.Fatal(err)
	}
	a.Bound(store.ReadOptions{Records: 4})
	if records, p, err := a.Read(t.Context()); len(records) != 4 || p.Stream != "s" || err != nil {
		t.Fatal(records, p, err)
	}
	b, err := k.NewReader(t.Context(), "s", "", stream.End)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Seek(a.Positions()); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if records, _, err := b.Read(t.Context()); err != nil || string(records[0].Event.Data) != "4" {
		t.Error(records, err)
	}
	if err := b.Seek([]uint64{1, 2}); err == nil {
		t.Error("positions of two partitions were taken for one")
	}
	if err := k.Trim(t.Context(), store.Position{Partition: store.Partition{Stream: "s"}, Offset: 8}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(k.read("s", "", stream.Beginning), ""); got != "89" {
		t.Errorf("after trimming: %s", got)
	}
	if err := k.Trim(t.Context(), store.Position{Partition: store.Partition{Stream: "s", Number: 1}}); !errors.Is(err, stream.ErrNoPartition) || err.Error() != `there is no partition 1: "s" has 0 to 0` {
		t.Errorf("got %v", err)
	}
}

// An event that is too large for a stream is stored in none.
func TestMaxEventBytes(t *testing.T) {
	k := newKit(t)
	k.create(stream.Config{Name: "all", Subjects: []string{"#"}})
	k.create(stream.Config{Name: "small", Subjects: []string{"a"}, MaxEventBytes: 10})
	_, _, err := k.Add(&store.Batch{}, &event.Event{Subject: "a", Data: make([]byte, 11)})
	if !errors.Is(err, event.ErrTooLong) || !strings.Contains(err.Error(), "small") {
		t.Errorf("got %v", err)
	}
	if n := k.publish("b", strings.Repeat("x", 11)); n != 1 {
		t.Errorf("captured by %d", n)
	}
}

// An event of the server's own is left out of a stream that is too small for it, unless the stream is the server's own too.
func TestOwnEventsAreLeftOut(t *testing.T) {
	k := newKit(t)
	k.Own(func(subject string) bool { return subject == "own" })
	k.create(stream.Config{Name: "all", Subjects: []string{"#"}})
	k.create(stream.Config{Name: "small", Subjects: []string{"+"}, MaxEventBytes: 10})
	large := make([]byte, 11)
	b := &store.Batch{}
	if n, _, err := k.Add(b, &event.Event{Subject: "own", Data: large}); n != 1 || len(b.Appends) != 1 || err != nil {
		t.Errorf("captured by %d, %v", n, err)
	}
	if _, err := k.Update(t.Context(), stream.Config{Name: "small", Subjects: []string{"own", "other"}, MaxEventBytes: 10}); err != nil {
		t.Fatal(err)
	}
	if s, err := k.Get("small"); err != nil || s.LeftOut() != 1 {
		t.Errorf("%d were left out, %v", s.LeftOut(), err)
	}
	if err := errors.Join(k.Check(&event.Event{Subject: "own", Data: large}), k.Check(&event.Event{Subject: "other", Data: large[:10]})); err != nil {
		t.Error(err)
	}
	if err := k.Check(&event.Event{Subject: "other", Data: large}); !errors.Is(err, event.ErrTooLong) {
		t.Error(err)
	}
	if err := k.Reserve(t.Context(), stream.Config{Name: "$server", Subjects: []string{"own"}, MaxEventBytes: 10}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Add(&store.Batch{}, &event.Event{Subject: "own", Data: large}); !errors.Is(err, event.ErrTooLong) {
		t.Error(err)
	}
}

// A batch asks for the durability of its strongest stream.
func TestDurability(t *testing.T) {
	k := newKit(t)
	k.create(stream.Config{Name: "weak", Subjects: []string{"#"}, Durability: "none"})
	k.create(stream.Config{Name: "middle", Subjects: []string{"a/#"}, Durability: "interval"})
	k.create(stream.Config{Name: "strong", Subjects: []string{"a/b"}})
	for subject, want := range map[string]store.Durability{"x": store.None, "a/x": store.Interval, "a/b": store.Fsync} {
		_, got, err := k.Add(&store.Batch{}, &event.Event{Subject: subject})
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", subject, got, err)
		}
	}

	for _, name := range []string{"at the creation", "at the start"} {
		var out bytes.Buffer
		o := stream.Options{Clock: k.clock, Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))}
		l, err := stream.Open(t.Context(), k.store, o)
		if err != nil {
			t.Fatal(err)
		}
		weak := stream.Config{Name: "weak", Subjects: []string{"#"}, Durability: "none"}
		if name == "at the creation" {
			if err := l.Remove(t.Context(), "weak", false); err != nil {
				t.Fatal(err)
			}
			out.Reset()
			if _, err := l.Create(t.Context(), weak); err != nil {
				t.Fatal(err)
			}
		}
		said := out.String()
		for _, line := range []string{
			`msg="a stream does not wait for the disk: what it acknowledges may be lost" stream=weak durability=none lost="up to the last ten seconds, when the process is killed or the power fails"`,
			`msg="a stream does not wait for the disk: what it acknowledges may be lost" stream=middle durability=interval lost="up to the last second, when the process is killed or the power fails"`,
		} {
			if want := name == "at the start" || strings.Contains(line, "weak"); strings.Contains(said, line) != want {
				t.Errorf("%s: %q, want %q: %t", name, said, line, want)
			}
		}
		if strings.Contains(said, "strong") {
			t.Errorf("%s: %q", name, said)
		}
	}
}
