package pebblestore

import "github.com/spate-io/spate/store"

// A tail is the recent records of all partitions, in the order in which they were committed. Store.mu guards it.
type tail struct {
	limit int
	bytes int
	order []tailBlock
	gone  int // of order
}

type tailBlock struct {
	of *partition
	*block
}

// change adds the blocks of a group, replaces those it has rewritten, and forgets what was trimmed.
func (t *tail) change(gp *groupPart) {
	p := gp.partition
	for first, bl := range gp.rewritten {
		t.replace(p, first, bl)
	}
	for _, bl := range gp.blocks {
		if now := gp.now(bl); now != nil {
			p.tail = append(p.tail, now)
			t.order = append(t.order, tailBlock{p, now})
			t.bytes += now.size()
		}
	}
	for len(p.tail) > 0 && p.tail[0].end <= p.visible.First {
		t.pop(p)
	}
	for t.bytes > t.limit && t.gone < len(t.order) {
		t.evict()
	}
}

// evict forgets the oldest block.
func (t *tail) evict() {
	oldest := t.order[t.gone]
	t.order[t.gone] = tailBlock{}
	t.gone++
	if !oldest.evicted && len(oldest.of.tail) > 0 {
		t.pop(oldest.of)
	}
	if t.gone > len(t.order)/2 && t.gone > 1024 {
		rest := copy(t.order, t.order[t.gone:])
		clear(t.order[rest:])
		t.order, t.gone = t.order[:rest], 0
	}
}

// pop forgets the first block of a partition.
func (t *tail) pop(p *partition) {
	bl := p.tail[0]
	bl.evicted = true
	t.bytes -= bl.size()
	p.tail[0] = nil
	p.tail = p.tail[1:]
}

// replace puts a rewritten block in the place of the old one, or takes that out.
func (t *tail) replace(p *partition, first uint64, bl *block) {
	for _, old := range p.tail {
		if old.first != first {
			continue
		}
		if bl == nil {
			bl = &block{first: old.first, end: old.end} // keeps the tail without a hole
		}
		t.bytes += cap(bl.value) - cap(old.value)
		old.records, old.value = bl.records, bl.value
		return
	}
}

// drop forgets all of a partition.
func (t *tail) drop(p *partition) {
	for len(p.tail) > 0 {
		t.pop(p)
	}
	p.tail = nil
}

// A waiter is a call of Wait.
type waiter struct {
	at    []store.Position
	ready chan struct{}
}

func (w *waiter) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// satisfied reports whether the partition has a record that the waiter waits for.
func (w *waiter) satisfied(p *partition) bool {
	for i := range w.at {
		if w.at[i].Partition == p.Partition && w.at[i].Offset < p.visible.End && p.visible.Count > 0 {
			return true
		}
	}
	return false
}
