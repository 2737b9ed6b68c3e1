package memstore

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// check tells which precondition of the batch does not hold.
func (d *data) check(b *store.Batch) error {
	for _, r := range b.Requires {
		if have := d.state[r.Key].Revision; have != r.Revision {
			return fmt.Errorf("%w: key %q has revision %d, not %d", store.ErrConflict, r.Key, have, r.Revision)
		}
	}
	for _, m := range b.Cursors {
		if have := d.cursor(m.Cursor); m.From != store.AnyCursor && have != m.From {
			return fmt.Errorf("%w: the cursor of %q in partition %d of %q is at %d, not at %d (%d means that there is none)",
				store.ErrConflict, m.Consumer, m.Number, m.Stream, have, m.From, store.NoCursor)
		}
	}
	return nil
}

// apply makes the changes of a batch whose preconditions hold.
func (d *data) apply(b *store.Batch, now time.Time) {
	d.revision++
	for _, stream := range b.Drops {
		d.drop(stream)
	}
	for _, at := range b.Removes {
		if i, found := d.partition(at.Partition).search(at.Offset); found {
			d.remove(at.Partition, i, i+1)
		}
	}
	for _, at := range b.Trims {
		i, _ := d.partition(at.Partition).search(at.Offset)
		d.remove(at.Partition, 0, i)
	}
	for i := range b.Appends {
		d.append(&b.Appends[i], now.Round(0).UTC())
	}
	for _, m := range b.Cursors {
		d.move(m)
	}
	for _, p := range b.Puts {
		d.state[strings.Clone(p.Key)] = store.Value{Data: bytes.Clone(p.Data), Revision: d.revision}
	}
	for _, key := range b.Deletes {
		delete(d.state, key)
	}
}

func (d *data) append(a *store.Append, now time.Time) {
	if held, ok := d.duplicate(a, now); ok {
		a.Offset, a.Appended, a.Duplicate = held.offset, held.appended, true
		return
	}
	id := a.Partition
	p := d.partition(id)
	if p.Next == 0 {
		id.Stream = strings.Clone(id.Stream)
		d.partitions[id] = p
	}
	if now.After(p.Latest) {
		p.Latest = now
	}
	r := store.Record{Offset: p.Next, Appended: p.Latest, Event: keep(a.Event)}
	p.Records = append(p.Records, record{Record: r})
	p.Next++
	p.Bytes += uint64(r.Event.Size())
	d.hold(id, r)
	a.Offset, a.Appended, a.Duplicate = r.Offset, r.Appended, false
}

// duplicate returns the latest record of the stream that has the event's ID, if it is not older than the window.
func (d *data) duplicate(a *store.Append, now time.Time) (latest place, found bool) {
	if a.Dedupe == 0 || a.Event.ID.IsZero() {
		return latest, false
	}
	for _, at := range d.places[a.Stream][a.Event.ID] {
		if now.Sub(at.appended) <= a.Dedupe && !at.appended.Before(latest.appended) {
			latest, found = at, true
		}
	}
	return latest, found
}

// keep copies an event. Its time is the same instant, without the zone, as other stores keep it.
func keep(e *event.Event) *event.Event {
	e = e.Clone()
	e.Time = e.Time.Round(0).UTC()
	return e
}

// remove takes the records from index i up to j out of a partition.
func (d *data) remove(id store.Partition, i, j int) {
	p := d.partition(id)
	for _, r := range p.Records[i:j] {
		p.Bytes -= uint64(r.Event.Size())
		d.release(id, r.Record)
	}
	p.Records = slices.Delete(p.Records, i, j)
}

func (d *data) drop(stream string) {
	for id := range d.partitions {
		if id.Stream == stream {
			delete(d.partitions, id)
		}
	}
	delete(d.places, stream)
}

func (d *data) move(m store.MoveCursor) {
	if m.To == store.NoCursor {
		delete(d.cursors, m.Cursor)
		return
	}
	m.Consumer, m.Stream = strings.Clone(m.Consumer), strings.Clone(m.Stream)
	d.cursors[m.Cursor] = m.To
}
