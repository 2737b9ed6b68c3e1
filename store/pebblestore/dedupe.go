package pebblestore

import (
	"cmp"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// A sighting says where an event ID was appended.
type sighting struct {
	appended  int64
	offset    uint64
	partition uint16
}

// A window holds the event IDs that were appended to a stream lately.
type window struct {
	keep  time.Duration // the longest that was asked for
	seen  map[event.ID]sighting
	order []seenAt // in the order in which they were appended
	old   int      // of order, that are gone
}

// seenAt is one of the times at which an ID was appended. The window knows where the last one was.
type seenAt struct {
	id       event.ID
	appended int64
}

// find returns where an ID was seen at or after a time.
func (w *window) find(id event.ID, since int64) (sighting, bool) {
	s, ok := w.seen[id]
	return s, ok && s.appended >= since
}

// dedupe is the windows of all streams, which share a bound.
type dedupe struct {
	limit   int
	entries int
	windows []*window
}

// start begins an empty window.
func (d *dedupe) start(st *stream, keep time.Duration) {
	st.window = &window{keep: keep, seen: map[event.ID]sighting{}}
	d.windows = append(d.windows, st.window)
}

// forget ends the window of a stream.
func (d *dedupe) forget(st *stream) {
	if st.window == nil {
		return
	}
	d.entries -= len(st.window.order) - st.window.old
	d.windows = slices.DeleteFunc(d.windows, func(w *window) bool { return w == st.window })
	st.window = nil
}

// add enters an ID, and lets go of what is too old or too much.
func (d *dedupe) add(w *window, id event.ID, s sighting) {
	w.seen[id] = s
	w.order = append(w.order, seenAt{id, s.appended})
	d.entries++
	for w.old < len(w.order) && w.order[w.old].appended < s.appended-int64(w.keep) {
		d.pop(w)
	}
	for d.entries > d.limit {
		d.pop(slices.MaxFunc(d.windows, func(a, b *window) int { return cmp.Compare(len(a.order)-a.old, len(b.order)-b.old) }))
	}
}

// pop forgets the oldest ID of a window, unless it was appended again.
func (d *dedupe) pop(w *window) {
	if oldest := w.order[w.old]; w.seen[oldest.id].appended == oldest.appended {
		delete(w.seen, oldest.id)
	}
	w.old++
	d.entries--
	if w.old > len(w.order)/2 && w.old > 1024 {
		w.order = append(w.order[:0], w.order[w.old:]...)
		w.old = 0
	}
}

// remove forgets an ID whose record was removed.
func (d *dedupe) remove(w *window, id event.ID) {
	if w != nil {
		delete(w.seen, id)
	}
}

// prepareDedupe reads back the event IDs of the streams for which the batch asks, if that was not done yet or not far enough.
func (b *builder) prepareDedupe(g *group, batch *store.Batch) error {
	for i := range batch.Appends {
		a := &batch.Appends[i]
		if a.Dedupe <= 0 {
			continue
		}
		st := b.streams[a.Stream]
		if st == nil || st.window != nil && st.window.keep >= a.Dedupe {
			continue
		}
		if err := b.rebuild(g, st, a.Dedupe); err != nil {
			return err
		}
	}
	return nil
}

// An entry is a sighting and its ID.
type entry struct {
	sighting
	id event.ID
}

// rebuild fills the window of a stream from its records.
func (b *builder) rebuild(g *group, st *stream, keep time.Duration) error {
	var entries []entry
	for _, p := range st.partitions {
		gp := b.part(g, p)
		b.finishBlock(g, gp)
		found, err := b.recent(gp, b.now-int64(keep))
		if err != nil {
			return err
		}
		entries = append(entries, found...)
	}
	slices.SortFunc(entries, func(x, y entry) int { return cmp.Compare(x.appended, y.appended) })
	b.dedupe.forget(st)
	b.dedupe.start(st, keep)
	for i := range entries {
		b.dedupe.add(st.window, entries[i].id, entries[i].sighting)
	}
	return nil
}

// recent returns the IDs of a partition that were appended since a time, at most as many as a window may have.
func (b *builder) recent(gp *groupPart, since int64) ([]entry, error) {
	var found []entry
	visit := func(bl *block) (more bool) {
		var r blockReader
		if bl == nil || r.open(gp.id, bl.first, bl.value) != nil {
			return true
		}
		for body := r.next(); body != nil; body = r.next() {
			var e event.Event
			appended, err := r.decode(body, &e, new([]event.Header))
			if err == nil && !e.ID.IsZero() && r.offset >= gp.head.First && appended.UnixNano() >= since {
				found = append(found, entry{sighting{appended.UnixNano(), r.offset, gp.id.partition}, e.ID})
			}
		}
		return r.firstAppend >= since && bl.first > gp.head.First && len(found) < b.dedupe.limit
	}
	for i := len(gp.blocks) - 1; i >= 0; i-- {
		if !visit(gp.now(gp.blocks[i])) {
			return found, nil
		}
	}
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: blockKey(gp.id, 0), UpperBound: blockKey(gp.id, gp.start)})
	if err != nil {
		return nil, err
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		if !visit(gp.now(&block{first: blockFirst(it.Key()), value: it.Value()})) {
			break
		}
	}
	return found, it.Close()
}
