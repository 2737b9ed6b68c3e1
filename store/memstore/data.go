package memstore

import (
	"slices"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// data is all that the store holds.
type data struct {
	partitions map[store.Partition]*partition
	places     map[string]map[event.ID][]place // by stream: where events are, for Dedupe
	cursors    map[store.Cursor]uint64
	state      map[string]store.Value
	revision   uint64 // of the last batch
}

// A place says where a stream holds an event.
type place struct {
	number   int
	offset   uint64
	appended time.Time
}

// A partition is one log. What it has is exported for gob.
type partition struct {
	Records []record // by offset
	Next    uint64
	Bytes   uint64
	Latest  time.Time // the last time stamp given
}

type record struct {
	store.Record
	Corrupt bool
}

func newData() *data {
	return &data{
		partitions: map[store.Partition]*partition{},
		places:     map[string]map[event.ID][]place{},
		cursors:    map[store.Cursor]uint64{},
		state:      map[string]store.Value{},
	}
}

// partition returns what there is of a partition, which is not kept if it is new.
func (d *data) partition(id store.Partition) *partition {
	if p := d.partitions[id]; p != nil {
		return p
	}
	return &partition{}
}

// search returns where in Records the first record at or after an offset is, and whether it is at it.
func (p *partition) search(offset uint64) (int, bool) {
	return slices.BinarySearchFunc(p.Records, offset, func(r record, offset uint64) int {
		switch {
		case r.Offset < offset:
			return -1
		case r.Offset > offset:
			return 1
		}
		return 0
	})
}

// holdsFrom reports whether there is a record at or after a position.
func (d *data) holdsFrom(at store.Position) bool {
	p := d.partition(at.Partition)
	i, _ := p.search(at.Offset)
	return i < len(p.Records)
}

func (p *partition) bounds() store.Bounds {
	b := store.Bounds{First: p.Next, Next: p.Next, Count: uint64(len(p.Records)), Bytes: p.Bytes}
	if len(p.Records) > 0 {
		b.First = p.Records[0].Offset
	}
	return b
}

func (d *data) cursor(id store.Cursor) uint64 {
	if at, ok := d.cursors[id]; ok {
		return at
	}
	return store.NoCursor
}

// hold enters a record into the index by event ID.
func (d *data) hold(id store.Partition, r store.Record) {
	if r.Event.ID.IsZero() {
		return
	}
	if d.places[id.Stream] == nil {
		d.places[id.Stream] = map[event.ID][]place{}
	}
	index := d.places[id.Stream]
	index[r.Event.ID] = append(index[r.Event.ID], place{number: id.Number, offset: r.Offset, appended: r.Appended})
}

// release takes a record out of the index by event ID.
func (d *data) release(id store.Partition, r store.Record) {
	index := d.places[id.Stream]
	left := slices.DeleteFunc(index[r.Event.ID], func(at place) bool { return at.number == id.Number && at.offset == r.Offset })
	if len(left) == 0 {
		delete(index, r.Event.ID)
		return
	}
	index[r.Event.ID] = left
}
