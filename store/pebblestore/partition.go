package pebblestore

import (
	"encoding/binary"
	"errors"

	"github.com/spate-io/spate/store"
)

// A meta says what a partition holds. It is stored with every commit that changes it, so that nothing is scanned when the store opens.
type meta struct {
	store.Bounds
	End   uint64 // offset after the last record, which is less than Next if that was removed
	Total uint64 // bytes ever appended, also those that were removed
	Last  int64  // when the last record was appended
}

// dense reports whether no record between First and Next is missing.
func (m *meta) dense() bool { return m.Count == m.Next-m.First }

var errMeta = errors.New("the description of a partition is damaged")

func (m *meta) encode() []byte {
	b := make([]byte, 0, 64)
	for _, v := range [...]uint64{m.First, m.Next, m.Count, m.Bytes, m.End, m.Total, uint64(m.Last)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func (m *meta) decode(b []byte) error {
	fields := [...]*uint64{&m.First, &m.Next, &m.Count, &m.Bytes, &m.End, &m.Total}
	if len(b) != 8*(len(fields)+1) {
		return errMeta
	}
	for i, f := range fields {
		*f = binary.BigEndian.Uint64(b[8*i:])
	}
	m.Last = int64(binary.BigEndian.Uint64(b[8*len(fields):]))
	if m.First > m.Next || m.End > m.Next || m.Count > m.Next-m.First {
		return errMeta
	}
	return nil
}

// A stream is what the builder knows of a stream.
type stream struct {
	name       string
	number     uint32
	partitions map[int]*partition
	window     *window // event IDs, once a batch has asked for them
}

// A partition has two sides: what the builder has given out, and what can be read.
type partition struct {
	store.Partition
	id logID

	// The builder's.
	head    meta
	group   *groupPart // of the group being built, or nil
	trimmed uint64     // blocks before it are gone from the disk
	owner   *stream

	// What can be read, under Store.mu.
	visible meta
	tail    []*block
	dropped bool
}

// A groupPart is what a group does to one partition.
type groupPart struct {
	*partition
	start     uint64 // Next before the group
	builder   *blockBuilder
	blocks    []*block          // finished, in order
	rewritten map[uint64]*block // by first offset; nil if no record is left
	dropped   bool
}
