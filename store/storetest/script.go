package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// A step of a script for a store and its model.
type step struct {
	clock   time.Duration
	restart restart
	batches []draft // submitted without waiting for each other
	page    store.ReadOptions
}

type restart uint8

const (
	goOn restart = iota
	byClosing
	byCrash
	throughSnapshot // compares what is restored, and goes on with the store
)

// A draft is a batch whose preconditions are worked out when it is submitted, since revisions are every store's own.
type draft struct {
	store.Batch
	current []string // keys whose revision is required to be what it is before the step
	onTop   []int    // Cursors whose From is where the cursor is before the step
}

// What scripts write to. Nothing is removed from the stream once, and everything in it is deduplicated: whether a record that was removed counts as
// held is not promised.
var (
	scriptLogs    = []store.Partition{part("a", 0), part("a", 1), part("a", 12), part("ab", 0)}
	scriptOnce    = []store.Partition{part("once", 0), part("once", 1)}
	scriptKeys    = []string{"k", "k/", "k/1", "k0", "l\xff", "\xff"}
	scriptCursors = []store.Cursor{
		{Consumer: "c", Partition: part("a", 0)}, {Consumer: "c", Partition: part("a", 1)},
		{Consumer: "c/", Partition: part("a", 0)}, {Consumer: "d", Partition: part("unknown", 3)},
	}
)

// A dice makes a script. Times are even and the window is odd, in seconds, so that its edge is never met.
type dice struct {
	*rand.Rand
	reach   int  // offsets are below it, more or less
	relaxed bool // batches may ask for less than Fsync, so that the next crash is none
}

const scriptWindow = 61 * time.Second

func generate(seed uint64, n int) []step {
	d := dice{Rand: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // a script must be repeatable
	steps := make([]step, n)
	for i := range steps {
		d.reach = i + 5
		steps[i] = d.step()
		if steps[i].restart != goOn {
			d.relaxed = d.oneIn(2)
		}
	}
	return steps
}

// oneIn is true once in n times.
func (d dice) oneIn(n int) bool { return d.IntN(n) == 0 }

func of[T any](d dice, all []T) T { return all[d.IntN(len(all))] }

func (d dice) step() step {
	s := step{page: store.ReadOptions{Records: 1 + d.IntN(20), Bytes: 1 + d.IntN(4000)}}
	switch {
	case d.oneIn(10):
		s.clock = -2 * time.Second * time.Duration(d.IntN(20))
	case d.oneIn(2):
		s.clock = 2 * time.Second * time.Duration(d.IntN(10))
	}
	switch {
	case d.oneIn(25):
		s.restart = byClosing
	case d.oneIn(25):
		s.restart = byCrash
	case d.oneIn(40):
		s.restart = throughSnapshot
	}
	for range 1 + d.IntN(4) {
		s.batches = append(s.batches, d.draft())
	}
	return s
}

func (d dice) draft() draft {
	var b draft
	if d.relaxed {
		b.Durability = store.Durability(d.IntN(3))
	}
	for range d.IntN(5) {
		b.Appends = append(b.Appends, d.append())
	}
	if d.oneIn(6) {
		b.Trims = append(b.Trims, at(of(d, scriptLogs), uint64(d.IntN(d.reach))))
	}
	for d.oneIn(4) {
		b.Removes = append(b.Removes, at(of(d, scriptLogs), uint64(d.IntN(d.reach))))
	}
	if d.oneIn(40) {
		b.Drops = []string{of(d, []string{"a", "ab", "once", "unknown"})}
	}
	d.writes(&b)
	d.moves(&b)
	return b
}

func (d dice) append() store.Append {
	e := &event.Event{Subject: fmt.Sprint("s/", d.IntN(10)), Key: fmt.Sprint("key", d.IntN(3)), Data: make([]byte, d.IntN(50))}
	if d.oneIn(20) {
		e.Data = make([]byte, 3000)
	}
	for i := range e.Data {
		e.Data[i] = byte(d.Uint32())
	}
	for range d.IntN(3) {
		e.Headers = append(e.Headers, event.Header{Name: fmt.Sprint("n", d.IntN(3)), Value: fmt.Sprint(d.IntN(100))})
	}
	if !d.oneIn(5) {
		e.Time = time.Unix(d.Int64N(1<<33)-1<<32, d.Int64N(1e9))
	}
	if d.oneIn(3) {
		e.ID = event.ID{1, byte(d.IntN(12))}
		return store.Append{Partition: of(d, scriptOnce), Event: e, Dedupe: scriptWindow}
	}
	e.ID = event.ID{2, byte(d.Uint32()), byte(d.Uint32())}
	return store.Append{Partition: of(d, scriptLogs), Event: e}
}

// writes adds state, with and without preconditions, of which some do not hold.
func (d dice) writes(b *draft) {
	for _, key := range scriptKeys {
		switch d.IntN(10) {
		case 0, 1:
			b.Puts = append(b.Puts, store.Put{Key: key, Data: fmt.Append(nil, d.Uint32())})
		case 2:
			b.Deletes = append(b.Deletes, key)
		}
		switch d.IntN(24) {
		case 0, 1:
			b.current = append(b.current, key)
		case 2:
			b.Requires = append(b.Requires, store.Require{Key: key, Revision: 0})
		case 3:
			if d.oneIn(4) {
				b.Requires = append(b.Requires, store.Require{Key: key, Revision: 1 << 60})
			}
		}
	}
}

func (d dice) moves(b *draft) {
	for _, id := range scriptCursors {
		if !d.oneIn(6) {
			continue
		}
		m := store.MoveCursor{Cursor: id, To: uint64(d.IntN(d.reach))}
		if d.oneIn(6) {
			m.To = store.NoCursor
		}
		switch d.IntN(8) {
		case 0:
			m.From = store.NoCursor
		case 1, 2:
			m.From = store.AnyCursor
		case 3:
			m.From = uint64(d.IntN(d.reach))
		default:
			b.onTop = append(b.onTop, len(b.Cursors))
		}
		b.Cursors = append(b.Cursors, m)
	}
}

// build makes the batch for one store, which shares nothing with that of another.
func (d draft) build(ctx context.Context, s store.Store) (*store.Batch, error) {
	b := d.Batch
	b.Appends = append([]store.Append(nil), d.Appends...)
	for i := range b.Appends {
		b.Appends[i].Event = b.Appends[i].Event.Clone()
	}
	b.Requires = append([]store.Require(nil), d.Requires...)
	for _, key := range d.current {
		v, err := s.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		b.Requires = append(b.Requires, store.Require{Key: key, Revision: v.Revision})
	}
	b.Cursors = append([]store.MoveCursor(nil), d.Cursors...)
	for _, i := range d.onTop {
		from, err := s.Cursor(ctx, b.Cursors[i].Cursor)
		if err != nil {
			return nil, err
		}
		b.Cursors[i].From = from
	}
	return &b, nil
}

// String says what the step does.
func (s step) String() string {
	parts := []string{map[restart]string{goOn: "go on", byClosing: "reopen", byCrash: "crash", throughSnapshot: "snapshot"}[s.restart]}
	if s.clock != 0 {
		parts = append(parts, fmt.Sprint("clock ", s.clock))
	}
	for _, b := range s.batches {
		parts = append(parts, b.String())
	}
	return strings.Join(parts, ", ")
}

// String says what the batch changes.
func (d draft) String() string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, r := range d.Requires {
		say("require %q=%d", r.Key, r.Revision)
	}
	for _, key := range d.current {
		say("require %q as it is", key)
	}
	for i, m := range d.Cursors {
		if slices.Contains(d.onTop, i) {
			say("move %v from where it is to %s", m.Cursor, place(m.To))
		} else {
			say("move %v from %s to %s", m.Cursor, place(m.From), place(m.To))
		}
	}
	for _, stream := range d.Drops {
		say("drop %s", stream)
	}
	for _, r := range d.Removes {
		say("remove %v", r)
	}
	for _, r := range d.Trims {
		say("trim %v", r)
	}
	for _, a := range d.Appends {
		say("append %v %x dedupe %v, %d bytes", a.Partition, a.Event.ID[:3], a.Dedupe, len(a.Event.Data))
	}
	for _, p := range d.Puts {
		say("put %q", p.Key)
	}
	for _, key := range d.Deletes {
		say("delete %q", key)
	}
	return fmt.Sprintf("[%s, durability %d]", strings.Join(parts, "; "), d.Durability)
}

func place(offset uint64) string {
	switch offset {
	case store.NoCursor:
		return "NoCursor"
	case store.AnyCursor:
		return "AnyCursor"
	}
	return fmt.Sprint(offset)
}
