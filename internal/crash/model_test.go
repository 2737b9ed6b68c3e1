package crash

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/stream"
)

var seed = flag.Uint64("model-seed", 0, "the seed of TestModel and TestPromiseSessions; 0 takes one from the clock")

// model is what the streams of a store should be, in maps and slices.
type model struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *vfs.MemFS
	store   *pebblestore.Store
	log     *stream.Log
	streams map[string]*modelStream
	cursors map[store.Cursor]uint64
	state   map[string]string
	ids     event.Generator
}

type modelStream struct {
	filters []string
	parts   []modelPart
}

type modelPart struct {
	first, next uint64
	records     map[uint64]string
}

// TestModel does random things to streams, cursors and state, restarts and power cuts among them, and compares all that can be read with
// a model of it.
func TestModel(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("the seed is %d", s)
	m := &model{
		t: t, rng: rand.New(rand.NewPCG(s, 0)), fs: vfs.NewCrashableMem(),
		streams: map[string]*modelStream{}, cursors: map[store.Cursor]uint64{}, state: map[string]string{},
	}
	m.open()
	defer func() { _ = m.store.Close() }()
	steps := []func(){
		m.publish, m.publish, m.publish, m.publish, m.publish, m.publish, m.create, m.update, m.remove, m.trim, m.trim, m.delete,
		m.move, m.move, m.put, m.restart,
	}
	for i := range 60 * *kills {
		steps[m.rng.IntN(len(steps))]()
		if i%8 == 0 {
			m.compare()
		}
		if t.Failed() {
			t.Fatalf("after step %d", i)
		}
	}
	m.compare()
}

func (m *model) open() {
	m.t.Helper()
	var err error
	if m.store, err = pebblestore.Open("data", pebblestore.Options{FS: m.fs, Reserve: -1, TailBytes: 1 << 12}); err != nil {
		m.t.Fatal(err)
	}
	if m.log, err = stream.Open(m.t.Context(), m.store, stream.Options{}); err != nil {
		m.t.Fatal(err)
	}
}

// restart closes the store in order, or has the power fail.
func (m *model) restart() {
	crashed := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: m.rng.IntN(101), RNG: m.rng})
	if err := m.store.Close(); err != nil {
		m.t.Fatal(err)
	}
	if m.rng.IntN(2) == 0 {
		m.fs = crashed
	}
	m.open()
}

func (m *model) commit(b *store.Batch) error { return store.Commit(m.t.Context(), m.store, b) }

// some returns one of the streams, or "".
func (m *model) some() string {
	names := slices.Sorted(maps.Keys(m.streams))
	if len(names) == 0 {
		return ""
	}
	return names[m.rng.IntN(len(names))]
}

func (m *model) filters() []string {
	all := []string{"a/#", "b/+", "a/1", "#", "+/2", "c"}
	m.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+m.rng.IntN(3)]
}

func (m *model) create() {
	name := fmt.Sprint("s", m.rng.IntN(5))
	c := stream.Config{Name: name, Subjects: m.filters(), Partitions: 1 + m.rng.IntN(3)}
	_, err := m.log.Create(m.t.Context(), c)
	if m.streams[name] != nil {
		if err != nil && !errors.Is(err, stream.ErrExists) {
			m.t.Error(err)
		}
		return
	}
	if err != nil {
		m.t.Error(err)
	}
	m.streams[name] = &modelStream{filters: c.Subjects, parts: make([]modelPart, c.Partitions)}
	for i := range m.streams[name].parts {
		m.streams[name].parts[i].records = map[uint64]string{}
	}
}

func (m *model) update() {
	name := m.some()
	if name == "" {
		return
	}
	c := stream.Config{Name: name, Subjects: m.filters(), Partitions: len(m.streams[name].parts)}
	if _, err := m.log.Update(m.t.Context(), c); err != nil {
		m.t.Error(err)
	}
	m.streams[name].filters = c.Subjects
}

func (m *model) remove() {
	name := m.some()
	if name == "" || m.rng.IntN(4) > 0 {
		return
	}
	if err := m.log.Remove(m.t.Context(), name, false); err != nil {
		m.t.Error(err)
	}
	delete(m.streams, name)
	maps.DeleteFunc(m.cursors, func(id store.Cursor, _ uint64) bool { return id.Stream == name })
}

// publish publishes some events in one commit.
func (m *model) publish() {
	b := &store.Batch{}
	for range 1 + m.rng.IntN(20) {
		subject := []string{"a/1", "a/2", "b/1", "b/2", "c", "d/e"}[m.rng.IntN(6)]
		e := &event.Event{ID: m.ids.New(), Subject: subject, Data: fmt.Appendf(nil, "%s %d", subject, m.rng.IntN(1000))}
		n, _, err := m.log.Add(b, e)
		if err != nil {
			m.t.Fatal(err)
		}
		for name, s := range m.streams {
			if !s.captures(subject) {
				continue
			}
			n--
			st, err := m.log.Get(name)
			if err != nil {
				m.t.Fatal(err)
			}
			p := &s.parts[st.Partition(e).Number]
			p.records[p.next] = string(e.Data)
			p.next++
		}
		if n != 0 {
			m.t.Errorf("%s was captured by %d streams more than it should", subject, n)
		}
	}
	if err := m.commit(b); err != nil {
		m.t.Error(err)
	}
}

func (s *modelStream) captures(subject string) bool {
	return slices.ContainsFunc(s.filters, func(text string) bool {
		f, err := event.ParseFilter(text, event.Limits{})
		return err == nil && f.Match(subject)
	})
}

// part returns a partition.
func (m *model) part() (store.Partition, *modelPart) {
	name := m.some()
	if name == "" {
		return store.Partition{}, nil
	}
	n := m.rng.IntN(len(m.streams[name].parts))
	return store.Partition{Stream: name, Number: n}, &m.streams[name].parts[n]
}

func (m *model) trim() {
	at, p := m.part()
	if p == nil {
		return
	}
	offset := p.first + m.rng.Uint64N(p.next-p.first+3)
	if err := m.log.Trim(m.t.Context(), store.Position{Partition: at, Offset: offset}); err != nil {
		m.t.Error(err)
	}
	p.first = max(p.first, min(offset, p.next))
	maps.DeleteFunc(p.records, func(o uint64, _ string) bool { return o < p.first })
}

func (m *model) delete() {
	at, p := m.part()
	if p == nil {
		return
	}
	offset := p.first + m.rng.Uint64N(p.next-p.first+1)
	if err := m.commit(&store.Batch{Removes: []store.Position{{Partition: at, Offset: offset}}}); err != nil {
		m.t.Error(err)
	}
	delete(p.records, offset)
}

// move moves a cursor from where it is, or from where it is not.
func (m *model) move() {
	at, p := m.part()
	if p == nil {
		return
	}
	id := store.Cursor{Consumer: fmt.Sprint("c", m.rng.IntN(3)), Partition: at}
	stands, known := m.cursors[id]
	if !known {
		stands = store.NoCursor
	}
	from := stands
	if m.rng.IntN(3) == 0 {
		from = m.rng.Uint64N(5)
	}
	err := m.commit(&store.Batch{Cursors: []store.MoveCursor{{Cursor: id, From: from, To: p.next}}})
	if (from == stands) != (err == nil) || err != nil && !errors.Is(err, store.ErrConflict) {
		m.t.Errorf("moving a cursor that stands at %d from %d returned %v", stands, from, err)
	}
	if err == nil {
		m.cursors[id] = p.next
	}
}

func (m *model) put() {
	key := fmt.Sprint("k", m.rng.IntN(10))
	if m.rng.IntN(3) == 0 {
		delete(m.state, key)
		if err := m.commit(&store.Batch{Deletes: []string{key}}); err != nil {
			m.t.Error(err)
		}
		return
	}
	m.state[key] = fmt.Sprint(m.rng.IntN(1000))
	if err := m.commit(&store.Batch{Puts: []store.Put{{Key: key, Data: []byte(m.state[key])}}}); err != nil {
		m.t.Error(err)
	}
}

// compare compares everything that can be read.
func (m *model) compare() {
	m.t.Helper()
	ctx := m.t.Context()
	var names []string
	for _, s := range m.log.List() {
		names = append(names, s.Config().Name)
	}
	if want := slices.Sorted(maps.Keys(m.streams)); !slices.Equal(names, want) {
		m.t.Errorf("the streams are %v, not %v", names, want)
	}
	for name, s := range m.streams {
		for n := range s.parts {
			m.comparePart(store.Partition{Stream: name, Number: n}, &s.parts[n])
		}
	}
	for id, want := range m.cursors {
		if got, err := m.store.Cursor(ctx, id); got != want || err != nil {
			m.t.Errorf("%v stands at %d, not %d (%v)", id, got, want, err)
		}
	}
	entries, err := m.store.Scan(ctx, "k", "", 100)
	if err != nil || len(entries) != len(m.state) {
		m.t.Errorf("%d entries of state, %v", len(entries), err)
	}
	for _, e := range entries {
		if m.state[e.Key] != string(e.Data) {
			m.t.Errorf("%s is %q, not %q", e.Key, e.Data, m.state[e.Key])
		}
	}
}

func (m *model) comparePart(at store.Partition, p *modelPart) {
	m.t.Helper()
	b, err := m.store.Bounds(m.t.Context(), at)
	// The first offset is that of the first record, or may be that of one that was removed.
	if err != nil || b.Next != p.next || b.Count != uint64(len(p.records)) || b.First < p.first {
		m.t.Errorf("%v: %+v, %v; should be %d to %d", at, b, err, p.first, p.next)
	}
	got := map[uint64]string{}
	pos := store.Position{Partition: at}
	for {
		records, err := m.store.Read(m.t.Context(), pos, store.ReadOptions{Records: 1 + m.rng.IntN(20)})
		if err != nil {
			m.t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if r.Offset < pos.Offset {
				m.t.Errorf("%v: offset %d came after %d", at, r.Offset, pos.Offset)
			}
			got[r.Offset] = string(r.Event.Data)
			pos.Offset = r.Offset + 1
		}
	}
	if !maps.Equal(got, p.records) {
		m.t.Errorf("%v holds %v, not %v", at, got, p.records)
	}
}
