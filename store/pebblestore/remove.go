package pebblestore

import (
	"slices"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// A removal is what a batch takes out of one block.
type removal struct {
	part    *groupPart
	old     *block
	left    *block // nil if nothing is left
	count   uint64
	bytes   uint64
	removed []event.ID
}

// planRemovals reads the blocks that the batch takes records out of, so that nothing can fail once the batch is taken. Only records that were there
// before the batch can be removed, since nobody knows the offsets of others.
func (b *builder) planRemovals(g *group, batch *store.Batch) ([]removal, error) {
	if len(batch.Removes) == 0 {
		return nil, nil
	}
	var plan []removal
	for p, offsets := range b.removesByPartition(batch) {
		slices.Sort(offsets)
		gp := b.part(g, p)
		b.finishBlock(g, gp)
		for len(offsets) > 0 {
			bl, err := b.blockAt(gp, offsets[0])
			if err != nil {
				return nil, err
			}
			if bl == nil {
				offsets = offsets[1:]
				continue
			}
			r, err := gp.without(bl, offsets)
			if err != nil {
				return nil, &store.CorruptError{Position: store.Position{Partition: p.Partition, Offset: max(bl.first, p.head.First)}, Err: err}
			}
			if r.count > 0 {
				plan = append(plan, r)
			}
			end := max(r.old.end, offsets[0]+1)
			offsets = offsets[countLess(offsets, end):]
		}
	}
	return plan, nil
}

func countLess(sorted []uint64, v uint64) int {
	i, _ := slices.BinarySearch(sorted, v)
	return i
}

// removesByPartition leaves out what does not exist.
func (b *builder) removesByPartition(batch *store.Batch) map[*partition][]uint64 {
	wanted := map[*partition][]uint64{}
	for _, at := range batch.Removes {
		if slices.Contains(batch.Drops, at.Stream) {
			continue
		}
		if p := b.find(at.Partition); p != nil && at.Offset >= p.head.First && at.Offset < p.head.Next {
			wanted[p] = append(wanted[p], at.Offset)
		}
	}
	return wanted
}

// without builds a block that lacks some offsets, which are sorted.
func (gp *groupPart) without(bl *block, offsets []uint64) (removal, error) {
	var r blockReader
	if err := r.open(gp.id, bl.first, bl.value); err != nil {
		return removal{}, err
	}
	plan := removal{part: gp, old: &block{first: bl.first, end: bl.first}}
	var rest blockBuilder
	rest.start(gp.id, bl.first, r.before, r.firstAppend)
	for body := r.next(); body != nil; body = r.next() {
		plan.old.end = r.end
		if _, found := slices.BinarySearch(offsets, r.offset); !found {
			rest.bodies = append(rest.bodies, body...)
			rest.addRaw(r.offset, len(body))
			continue
		}
		plan.count, plan.bytes = plan.count+1, plan.bytes+uint64(len(body))
		var e event.Event
		if _, err := r.decode(body, &e, new([]event.Header)); err == nil {
			plan.removed = append(plan.removed, e.ID)
		}
	}
	rest.before += plan.bytes // so that what lies behind the gaps still knows how many bytes the partition had before it
	if rest.count > 0 {
		plan.left = rest.finish()
	}
	return plan, nil
}

// remove carries out a removal.
func (b *builder) remove(g *group, r removal) {
	gp, m := r.part, &r.part.head
	if gp.rewritten == nil {
		gp.rewritten = map[uint64]*block{}
	}
	gp.rewritten[r.old.first] = r.left
	if r.left == nil {
		g.delete(blockKey(gp.id, r.old.first))
	} else {
		g.set(blockKey(gp.id, r.old.first), r.left.value)
	}
	for _, id := range r.removed {
		b.dedupe.remove(gp.owner.window, id)
	}
	m.Count, m.Bytes = m.Count-min(m.Count, r.count), m.Bytes-min(m.Bytes, r.bytes)
	if m.Count == 0 {
		m.First, m.End = m.Next, m.Next
		return
	}
	b.finishBlock(g, gp)
	b.bound(gp)
}

// bound finds the first and the last record after some were removed.
func (b *builder) bound(gp *groupPart) {
	m := &gp.head
	err := b.walk(gp, m.First, func(r *blockReader) bool {
		m.First = r.offset
		return false
	})
	if err == nil {
		err = b.findEnd(gp)
	}
	if err != nil {
		b.options.Logger.Warn("the ends of a partition cannot be read after records were removed", "stream", gp.Stream, "partition", gp.Number, "error", err)
	}
}

// findEnd sets End to after the last record.
func (b *builder) findEnd(gp *groupPart) error {
	bl, err := b.blockAt(gp, gp.head.Next-1)
	if err != nil || bl == nil {
		return err
	}
	var r blockReader
	if err := r.open(gp.id, bl.first, bl.value); err != nil {
		return err
	}
	for r.next() != nil {
		gp.head.End = r.end
	}
	return nil
}
