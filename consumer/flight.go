package consumer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/spate-io/spate/store"
)

// flight is the events of a partition that are in memory, in their order, and the place: everything before the cursor is done, and
// of what comes after it, what is in marks.
type flight struct {
	items   []*item // not all done, from head on
	head    int
	bytes   int
	fetched uint64 // the next offset to read
	cursor  uint64 // as stored
	marked  bool   // marks are stored
	loaded  marks  // what was done, beyond the cursor, when the consumer started
}

func (f *flight) len() int { return len(f.items) - f.head }

func (f *flight) push(it *item) {
	if f.head > len(f.items)/2 && f.head > 64 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, it)
	f.bytes += it.size
}

// place drops what is done from the front, and returns the offset of the first event that is not.
func (f *flight) place() uint64 {
	for f.head < len(f.items) && f.items[f.head].done {
		f.bytes -= f.items[f.head].size
		f.items[f.head] = nil
		f.head++
	}
	if f.len() == 0 {
		f.items, f.head = f.items[:0], 0
	}
	return f.first()
}

// first returns the offset of the first event in memory.
func (f *flight) first() uint64 {
	if f.head < len(f.items) {
		return f.items[f.head].at
	}
	return f.fetched
}

// missed returns how many records are gone that should have come before the offset.
func (f *flight) missed(offset uint64) uint64 {
	if f.len() == 0 && f.fetched == f.cursor && offset > f.fetched {
		return offset - f.fetched
	}
	return 0
}

func (f *flight) wasDone(offset uint64) bool { return f.loaded.has(offset) }

// marks are runs of offsets from a place on, in turn not done and done.
type marks struct {
	from uint64
	runs []uint64
}

func (m *marks) has(offset uint64) bool {
	if offset < m.from {
		return false
	}
	at := m.from
	for i, n := range m.runs {
		if at += n; offset < at {
			return i%2 == 1
		}
	}
	return false
}

// encode returns the marks of what is done beyond the cursor, or nil if nothing is. Records that are not in memory, because they were removed or
// do not match or were done before a restart, count as done.
func (f *flight) encode(cursor uint64) []byte {
	dst := binary.AppendUvarint(nil, cursor)
	empty, start, end := len(dst), cursor, cursor
	for _, it := range f.items[f.head:] {
		if it.done {
			continue
		}
		if it.at != end {
			dst = binary.AppendUvarint(binary.AppendUvarint(dst, end-start), it.at-end)
			start = it.at
		}
		end = it.at + 1
	}
	if f.fetched > end {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, end-start), f.fetched-end)
	}
	if len(dst) == empty {
		return nil
	}
	return dst
}

var errMarks = errors.New("the place of the consumer is damaged: reset it to an offset or a time")

func decodeMarks(data []byte) (m marks, err error) {
	var n int
	if m.from, n = binary.Uvarint(data); n <= 0 && len(data) > 0 {
		return m, errMarks
	}
	for data = data[max(n, 0):]; len(data) > 0; data = data[n:] {
		var run uint64
		if run, n = binary.Uvarint(data); n <= 0 {
			return m, errMarks
		}
		m.runs = append(m.runs, run)
	}
	return m, nil
}

func marksKey(c store.Cursor) string {
	return fmt.Sprintf("%s%s\x00%s\x00%d", marksPrefix, c.Consumer, c.Stream, c.Number)
}

const marksPrefix = "consumer/marks/"

// load reads the place of the consumer; one without a place gets one.
func (f *flight) load(ctx context.Context, p *partition) error {
	id := store.Cursor{Consumer: p.consumer.config.Name, Partition: p.at}
	s := p.consumer.set.store()
	at, err := s.Cursor(ctx, id)
	if err == nil && at == store.NoCursor {
		if at, err = p.consumer.set.opts.Log.Locate(ctx, p.at, p.consumer.from(p)); err == nil {
			err = store.Commit(ctx, s, &store.Batch{
				Cursors: []store.MoveCursor{{Cursor: id, From: store.NoCursor, To: at}},
				Deletes: []string{marksKey(id)}, // of a stream that was removed
			})
		}
	}
	var v store.Value
	if err == nil {
		v, err = s.Get(ctx, marksKey(id))
	}
	if err == nil {
		f.loaded, err = decodeMarks(v.Data)
	}
	if err != nil {
		return fmt.Errorf("reading the place of the consumer: %w", err)
	}
	if f.loaded.from != at {
		f.loaded = marks{} // of before a reset
	}
	f.cursor, f.fetched, f.marked = at, at, v.Revision != 0
	return nil
}
