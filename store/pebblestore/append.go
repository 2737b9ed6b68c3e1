package pebblestore

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// partition returns a partition of the stream, which is made if there is none.
func (st *stream) partition(number int) *partition {
	p := st.partitions[number]
	if p == nil {
		p = &partition{Partition: store.Partition{Stream: st.name, Number: number}, id: logID{st.number, uint16(number)}, owner: st}
		st.partitions[number] = p
	}
	return p
}

// part returns the part of the group for a partition, which is made if there is none.
func (b *builder) part(g *group, p *partition) *groupPart {
	if p.group == nil {
		p.group = &groupPart{partition: p, start: p.head.Next}
		g.parts = append(g.parts, p.group)
	}
	return p.group
}

// find returns a partition, or nil.
func (b *builder) find(id store.Partition) *partition {
	if st := b.streams[id.Stream]; st != nil {
		return st.partitions[id.Number]
	}
	return nil
}

// stream returns a stream, which is made if there is none.
func (b *builder) stream(g *group, name string) *stream {
	st := b.streams[name]
	if st == nil {
		b.numbers++
		name = strings.Clone(name) // the batch is its owner's again soon
		st = &stream{name: name, number: uint32(b.numbers), partitions: map[int]*partition{}}
		b.streams[name] = st
		g.set(streamKey(name), binary.BigEndian.AppendUint32(nil, st.number))
		g.set([]byte{kindNumber}, binary.BigEndian.AppendUint64(nil, b.numbers))
	}
	return st
}

// append adds a record, unless it repeats one.
func (b *builder) append(g *group, a *store.Append) {
	st := b.stream(g, a.Stream)
	a.Duplicate = false
	if st.window == nil && a.Dedupe > 0 {
		b.dedupe.start(st, a.Dedupe) // the stream is new
	}
	if st.window != nil && a.Dedupe > 0 && !a.Event.ID.IsZero() {
		if seen, ok := st.window.find(a.Event.ID, b.now-int64(a.Dedupe)); ok && st.holds(seen) {
			a.Duplicate, a.Offset, a.Appended = true, seen.offset, nanoTime(seen.appended)
			b.stats.duplicates.Add(1)
			return
		}
	}
	p := st.partition(a.Number)
	gp := b.part(g, p)
	now := max(b.now, p.head.Last)
	offset, size := p.head.Next, gp.addRecord(b, g, now, a.Event)
	m := &p.head
	m.Next, m.End, m.Last = offset+1, offset+1, now
	m.Count, m.Bytes, m.Total = m.Count+1, m.Bytes+uint64(size), m.Total+uint64(size)
	if m.Count == 1 {
		m.First = offset
	}
	a.Offset, a.Appended = offset, nanoTime(now)
	g.events, g.bytes = g.events+1, g.bytes+size
	if st.window != nil && !a.Event.ID.IsZero() {
		b.dedupe.add(st.window, a.Event.ID, sighting{appended: now, offset: offset, partition: uint16(a.Number)})
	}
}

// holds reports whether a record that was seen is still there. Single removals take theirs out of the window.
func (st *stream) holds(seen sighting) bool {
	p := st.partitions[int(seen.partition)]
	return p != nil && seen.offset >= p.head.First && seen.offset < p.head.Next
}

// addRecord encodes a record and returns its size.
func (gp *groupPart) addRecord(b *builder, g *group, now int64, e *event.Event) int {
	if gp.builder == nil {
		gp.builder = b.takeBlockBuilder()
		gp.builder.start(gp.id, gp.head.Next, gp.head.Total, now)
	}
	size := gp.builder.add(gp.head.Next, now, e)
	if gp.builder.full() {
		b.finishBlock(g, gp)
	}
	return size
}

func (b *builder) takeBlockBuilder() *blockBuilder {
	if n := len(b.spare); n > 0 {
		bb := b.spare[n-1]
		b.spare = b.spare[:n-1]
		return bb
	}
	return &blockBuilder{}
}

// finishBlock writes the block that is being built, if any.
func (b *builder) finishBlock(g *group, gp *groupPart) {
	bb := gp.builder
	if bb == nil {
		return
	}
	gp.builder = nil
	if !gp.dropped {
		bl := bb.finish()
		gp.blocks = append(gp.blocks, bl)
		g.set(blockKey(gp.id, bl.first), bl.value)
	}
	const keep, most = 32, 2 * blockBytes // what a flood of partitions or a huge event leaves behind is let go
	if len(b.spare) < keep && cap(bb.bodies) <= most {
		b.spare = append(b.spare, bb)
	}
}

// drop removes a stream.
func (b *builder) drop(g *group, name string) {
	st := b.streams[name]
	if st == nil {
		return
	}
	delete(b.streams, name)
	b.dedupe.forget(st)
	g.delete(streamKey(name))
	for _, kind := range []byte{kindRecords, kindPartition} {
		from, to := streamRange(kind, st.number)
		g.deleteRange(from, to)
	}
	for _, p := range st.partitions {
		gp := b.part(g, p)
		b.finishBlock(g, gp)
		gp.dropped = true
	}
}

// trim removes the records before a position. What is gone is decided here; the space is given back by whole blocks, some time.
func (b *builder) trim(g *group, at store.Position) {
	p := b.find(at.Partition)
	if p == nil || at.Offset <= p.head.First {
		return
	}
	m := &p.head
	gp := b.part(g, p)
	b.finishBlock(g, gp)
	if at.Offset >= m.Next {
		m.First, m.End, m.Count, m.Bytes = m.Next, m.Next, 0, 0
	} else if err := b.cut(gp, at.Offset); err != nil {
		b.options.Logger.Warn("records that are being trimmed cannot be read: the counts of their partition are estimates",
			"stream", p.Stream, "partition", p.Number, "error", err)
		m.First, m.Count = at.Offset, min(m.Count, m.Next-at.Offset)
	}
	b.reclaim(g, gp)
}

// cut moves First to the first record at or after an offset and corrects the counts.
func (b *builder) cut(gp *groupPart, to uint64) error {
	m := &gp.head
	if m.dense() {
		before, err := b.bytesBefore(gp, to)
		if err == nil {
			m.Count, m.First, m.Bytes = m.Next-to, to, m.Total-before
		}
		return err
	}
	count, bytes, first := uint64(0), uint64(0), m.Next
	err := b.walk(gp, m.First, func(r *blockReader) bool {
		if r.offset >= to {
			first = r.offset
			return false
		}
		count, bytes = count+1, bytes+uint64(r.length)
		return true
	})
	if err != nil {
		return err
	}
	m.Count, m.Bytes, m.First = m.Count-min(m.Count, count), m.Bytes-min(m.Bytes, bytes), first
	if m.Count == 0 {
		m.First, m.End = m.Next, m.Next
	}
	return nil
}

// bytesBefore returns how many bytes the partition ever held before the record at an offset.
func (b *builder) bytesBefore(gp *groupPart, offset uint64) (uint64, error) {
	bl, err := b.blockAt(gp, offset)
	if err != nil {
		return 0, err
	}
	var r blockReader
	if bl == nil {
		return 0, errMissing
	}
	if err := r.open(gp.id, bl.first, bl.value); err != nil {
		return 0, err
	}
	for r.next() != nil {
		if r.offset >= offset {
			return r.before, nil
		}
	}
	return 0, errMissing
}

var errMissing = errors.New("a record is missing")

// reclaim deletes the blocks before First, once there are enough of them: each time leaves a tombstone behind.
func (b *builder) reclaim(g *group, gp *groupPart) {
	first := gp.head.First
	if first-gp.trimmed < trimSlack && first != gp.head.Next || first == gp.trimmed {
		return
	}
	if first < gp.head.Next {
		bl, err := b.blockAt(gp, first)
		if err != nil || bl == nil {
			return // the next trim tries it again
		}
		first = bl.first
	}
	g.deleteRange(blockKey(gp.id, gp.trimmed), blockKey(gp.id, first))
	gp.trimmed = first
}

// blockAt returns the last block that begins at or before an offset, or nil.
func (b *builder) blockAt(gp *groupPart, offset uint64) (*block, error) {
	for i := len(gp.blocks) - 1; i >= 0; i-- {
		if bl := gp.now(gp.blocks[i]); bl != nil && bl.first <= offset {
			return bl, nil
		}
	}
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: blockKey(gp.id, 0), UpperBound: blockKey(gp.id, gp.start)})
	if err != nil {
		return nil, err
	}
	var bl *block
	for ok := it.SeekLT(blockKey(gp.id, offset+1)); ok && bl == nil; ok = it.Prev() {
		bl = gp.now(&block{first: blockFirst(it.Key()), value: append([]byte(nil), it.Value()...)})
	}
	return bl, it.Close()
}

// now returns what the group has made of a block.
func (gp *groupPart) now(bl *block) *block {
	if changed, ok := gp.rewritten[bl.first]; ok {
		return changed
	}
	return bl
}

// walk calls yield for each record from an offset on, as the group leaves them, until it returns false.
func (b *builder) walk(gp *groupPart, from uint64, yield func(*blockReader) bool) error {
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: blockKey(gp.id, 0), UpperBound: blockKey(gp.id, gp.start)})
	if err != nil {
		return err
	}
	more := true
	visit := func(bl *block) {
		var r blockReader
		if bl == nil {
			return
		}
		if err = r.open(gp.id, bl.first, bl.value); err != nil {
			more = false
			return
		}
		for more && r.next() != nil {
			if r.offset >= from {
				more = yield(&r)
			}
		}
	}
	ok := it.SeekLT(blockKey(gp.id, from+1)) || it.First()
	for ; ok && more; ok = it.Next() {
		visit(gp.now(&block{first: blockFirst(it.Key()), value: it.Value()}))
	}
	err = ended(it, err)
	for _, bl := range gp.blocks {
		if more && err == nil {
			visit(gp.now(bl))
		}
	}
	return err
}
