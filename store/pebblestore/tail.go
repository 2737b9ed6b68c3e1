package pebblestore

import "github.com/spate-io/spate/store"

// A tail is the recent records of all partitions. Store.mu guards it.
type tail struct {
	limit          int
	bytes          int
	oldest, newest *block // in the order of the commits
}

// change adds the blocks of a group, replaces those it has rewritten, and forgets what was trimmed.
func (t *tail) change(gp *groupPart) {
	p := gp.partition
	for first, bl := range gp.rewritten {
		t.replace(p, first, bl)
	}
	for _, bl := range gp.blocks {
		if now := gp.now(bl); now != nil {
			t.push(p, now)
		}
	}
	for len(p.tail) > 0 && p.tail[0].end <= p.visible.First {
		t.pop(p)
	}
	for t.bytes > t.limit && t.oldest != nil {
		t.pop(t.oldest.of) // it is the first of its partition
	}
}

// push adds the newest block of a partition.
func (t *tail) push(p *partition, bl *block) {
	p.tail = append(p.tail, bl)
	t.bytes += bl.size()
	bl.of, bl.older = p, t.newest
	if t.newest == nil {
		t.oldest = bl
	} else {
		t.newest.newer = bl
	}
	t.newest = bl
}

// pop forgets the first block of a partition.
func (t *tail) pop(p *partition) {
	bl := p.tail[0]
	t.bytes -= bl.size()
	p.tail[0] = nil
	p.tail = p.tail[1:]
	if bl.older == nil {
		t.oldest = bl.newer
	} else {
		bl.older.newer = bl.newer
	}
	if bl.newer == nil {
		t.newest = bl.older
	} else {
		bl.newer.older = bl.older
	}
	bl.older, bl.newer = nil, nil
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
