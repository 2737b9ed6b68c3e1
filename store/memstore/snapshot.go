package memstore

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spate-io/spate/store"
)

// snapshotFormat is the version of what [Store.Snapshot] writes.
const snapshotFormat = "spate memstore 1"

// A dump is a copy of all data, for gob. It shares the records, which never change.
type dump struct {
	Partitions map[store.Partition]partition
	Cursors    map[store.Cursor]uint64
	State      map[string]store.Value
	Revision   uint64
}

// Snapshot implements [store.Store]. [Restore] reads it.
func (s *Store) Snapshot(ctx context.Context, w io.Writer, options store.SnapshotOptions) error {
	var all dump
	if err := s.view(ctx, func(d *data) { all = d.dump() }); err != nil {
		return err
	}
	for _, c := range all.removeCorrupt() {
		if options.OnCorrupt == nil {
			return c
		}
		options.OnCorrupt(c)
	}
	out := gob.NewEncoder(w)
	if err := out.Encode(snapshotFormat); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	if err := out.Encode(all); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	return ctx.Err()
}

// Restore returns a store that holds what the snapshot does.
func Restore(r io.Reader, options Options) (*Store, error) {
	in := gob.NewDecoder(r)
	var format string
	if err := in.Decode(&format); err != nil || format != snapshotFormat {
		return nil, fmt.Errorf("restoring a snapshot: %w: it does not begin with %q", store.ErrFormat, snapshotFormat)
	}
	var all dump
	if err := in.Decode(&all); err != nil {
		return nil, fmt.Errorf("restoring a snapshot: it is cut short or damaged: %w", err)
	}
	return start(options.withDefaults(), all.load()), nil
}

func (d *data) dump() dump {
	all := dump{Partitions: map[store.Partition]partition{}, Cursors: maps.Clone(d.cursors), State: maps.Clone(d.state), Revision: d.revision}
	for id, p := range d.partitions {
		c := *p
		c.Records = slices.Clone(p.Records)
		all.Partitions[id] = c
	}
	return all
}

// removeCorrupt takes out what cannot be read.
func (all dump) removeCorrupt() (corrupt []*store.CorruptError) {
	for id, p := range all.Partitions {
		p.Records = slices.DeleteFunc(p.Records, func(r record) bool {
			if r.Corrupt {
				corrupt = append(corrupt, &store.CorruptError{Position: store.Position{Partition: id, Offset: r.Offset}, Records: 1, Err: errChecksum})
				p.Bytes -= uint64(r.Event.Size())
			}
			return r.Corrupt
		})
		all.Partitions[id] = p
	}
	return corrupt
}

func (all dump) load() *data {
	d := newData()
	d.revision = all.Revision
	maps.Copy(d.cursors, all.Cursors)
	maps.Copy(d.state, all.State)
	for id, p := range all.Partitions {
		d.partitions[id] = &p
		for _, r := range p.Records {
			d.hold(id, r.Record)
		}
	}
	return d
}
