package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/store"
)

// A builder merges the batches that wait into groups. All of it belongs to the goroutine that commits.
type builder struct {
	*Store
	streams  map[string]*stream
	revision uint64 // of the last batch that wrote state
	numbers  uint64 // given to streams so far
	now      int64  // of the group
	spare    []*blockBuilder
	dedupe   dedupe
	interval bool // a batch with [store.Interval] waits for an fsync
	none     bool // one with [store.None] does, if nothing else asks for it
	ticks    int
	marked   *durableMark // the last that was written to the log
	usage    usage
}

// A group is what one commit of Pebble holds.
type group struct {
	requests  []request
	batch     *pebble.Batch
	sync      bool
	interval  bool // a batch with [store.Interval] is in it
	none      bool
	revision  bool                    // state was written
	revisions map[string]uint64       // of keys that the group writes; 0 if it deletes them
	cursors   map[store.Cursor]uint64 // that the group moves
	parts     []*groupPart
	events    int
	bytes     int
}

func newBuilder(s *Store) *builder {
	b := &builder{Store: s, streams: map[string]*stream{}}
	b.dedupe.limit = s.options.DedupeEntries
	return b
}

// wait returns the next group. more is false when it is the last.
func (b *builder) wait(tick <-chan time.Time) (g *group, more bool) {
	for {
		requests, closed := b.queue.take(nil)
		if len(requests) > 0 {
			return b.newGroup(requests, b.ticked(tick)), true
		}
		if closed {
			if b.interval || b.none || b.unmarked() {
				return b.newGroup(nil, true), false
			}
			return nil, false
		}
		select {
		case <-b.failed:
			return nil, false
		case <-b.queue.wake:
		case <-tick:
			if b.usage.err != nil {
				_ = b.usage.full(b.Store) // for Health, when nobody tries to write
			}
			if b.due() || b.unmarked() {
				return b.newGroup(nil, true), true
			}
		}
	}
}

// ticked reports whether something must be made durable now, while there is always more to commit.
func (b *builder) ticked(tick <-chan time.Time) bool {
	select {
	case <-tick:
		return b.due()
	default:
		return false
	}
}

// due is called at each tick.
func (b *builder) due() bool {
	b.ticks++
	return b.interval || b.none && b.ticks%noneTicks == 0
}

// unmarked reports whether the log does not say yet how much of it is durable.
func (b *builder) unmarked() bool { return b.fs.durable.Load() != b.marked }

// newGroup makes a group. Without requests it says how much of the log is durable, and makes durable what went before it, if it is to be synced.
func (b *builder) newGroup(requests []request, sync bool) *group {
	size := 256
	for i := range requests {
		size += requests[i].size
	}
	g := &group{requests: requests, batch: b.db.NewBatchWithSize(size), sync: sync}
	if b.unmarked() {
		b.marked = b.fs.durable.Load()
		must(g.batch.LogData(b.marked.encode(), nil))
	}
	return g
}

// build puts what the requests ask for into the group, or notes why not.
func (b *builder) build(g *group) {
	b.now = b.options.Clock().UnixNano()
	full := b.usage.full(b.Store)
	for i := range g.requests {
		r := &g.requests[i]
		if r.err == nil {
			r.err = b.add(g, r.batch, full)
		}
	}
	b.complete(g)
}

// add puts a batch into the group, or nothing of it if it returns an error.
func (b *builder) add(g *group, batch *store.Batch, full error) error {
	if full != nil && !batch.MakesRoom() {
		return full
	}
	if err := b.require(g, batch); err != nil {
		return err
	}
	removals, err := b.planRemovals(g, batch)
	if err != nil {
		return err
	}
	if err := b.prepareDedupe(g, batch); err != nil {
		return err
	}
	g.sync = g.sync || batch.Durability == store.Fsync
	g.interval = g.interval || batch.Durability == store.Interval
	g.none = g.none || batch.Durability == store.None
	b.move(g, batch)
	b.write(g, batch)
	for _, name := range batch.Drops {
		b.drop(g, name)
	}
	for _, r := range removals {
		b.remove(g, r)
	}
	for _, at := range batch.Trims {
		b.trim(g, at)
	}
	for i := range batch.Appends {
		b.append(g, &batch.Appends[i])
	}
	return nil
}

// require checks the preconditions.
func (b *builder) require(g *group, batch *store.Batch) error {
	for i := range batch.Requires {
		want := batch.Requires[i]
		have, ok := g.revisions[want.Key]
		if !ok {
			value, err := b.getState(want.Key)
			if err != nil {
				return err
			}
			have = value.Revision
		}
		if have != want.Revision {
			return fmt.Errorf("key %.100q has revision %d, not %d: %w", want.Key, have, want.Revision, store.ErrConflict)
		}
	}
	for i := range batch.Cursors {
		want := &batch.Cursors[i]
		if want.From == store.AnyCursor {
			continue
		}
		have, ok := g.cursors[want.Cursor]
		if !ok {
			var err error
			if have, err = b.getCursor(want.Cursor); err != nil {
				return err
			}
		}
		if have != want.From {
			return fmt.Errorf("the cursor of consumer %q in stream %q, partition %d does not stand where its mover believes: %w",
				want.Consumer, want.Stream, want.Number, store.ErrConflict)
		}
	}
	return nil
}

// move writes the cursors.
func (b *builder) move(g *group, batch *store.Batch) {
	for i := range batch.Cursors {
		m := &batch.Cursors[i]
		if g.cursors == nil {
			g.cursors = map[store.Cursor]uint64{}
		}
		g.cursors[m.Cursor] = m.To
		if m.To == store.NoCursor {
			g.delete(cursorKey(m.Cursor))
			continue
		}
		g.set(cursorKey(m.Cursor), binary.BigEndian.AppendUint64(nil, m.To))
	}
}

// write writes the state.
func (b *builder) write(g *group, batch *store.Batch) {
	if len(batch.Puts)+len(batch.Deletes) == 0 {
		return
	}
	if g.revisions == nil {
		g.revisions = map[string]uint64{}
	}
	for _, key := range batch.Deletes {
		g.revisions[key] = 0
		g.delete(stateKey(key))
	}
	if len(batch.Puts) == 0 {
		return
	}
	b.revision++
	g.revision = true
	for i := range batch.Puts {
		p := &batch.Puts[i]
		g.revisions[p.Key] = b.revision
		g.set(stateKey(p.Key), append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(p.Data)), b.revision), p.Data...))
	}
}

// complete writes what the group leaves behind of each partition it has touched.
func (b *builder) complete(g *group) {
	for _, gp := range g.parts {
		b.finishBlock(g, gp)
		gp.group = nil
		if !gp.dropped {
			g.set(partitionKey(gp.id), gp.head.encode())
		}
	}
	if g.revision {
		g.set([]byte{kindRevision}, binary.BigEndian.AppendUint64(nil, b.revision))
	}
}

// set, delete and deleteRange cannot fail: a batch is memory.
func (g *group) set(key, value []byte)       { must(g.batch.Set(key, value, nil)) }
func (g *group) delete(key []byte)           { must(g.batch.Delete(key, nil)) }
func (g *group) deleteRange(from, to []byte) { must(g.batch.DeleteRange(from, to, nil)) }
func must(err error) {
	if err != nil {
		panic(errors.Join(errors.New("a batch in memory"), err))
	}
}
