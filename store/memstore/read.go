package memstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/spate-io/spate/store"
)

var errChecksum = errors.New("its checksum does not fit")

// view calls fn under the lock, unless the store is closed or the context has ended.
func (s *Store) view(ctx context.Context, fn func(d *data)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	fn(s.data)
	return nil
}

// Read implements [store.Store].
func (s *Store) Read(ctx context.Context, at store.Position, options store.ReadOptions) ([]store.Record, error) {
	if options.Records <= 0 {
		options.Records = store.DefaultReadRecords
	}
	if options.Bytes <= 0 {
		options.Bytes = store.DefaultReadBytes
	}
	var read []store.Record
	var corrupt []*store.CorruptError
	err := s.view(ctx, func(d *data) { read, corrupt = d.partition(at.Partition).read(at.Partition, at.Offset, options) })
	if err != nil {
		return nil, err
	}
	if options.OnCorrupt == nil {
		if len(corrupt) > 0 && len(read) == 0 {
			return nil, corrupt[0]
		}
		return read, nil
	}
	for _, c := range corrupt {
		options.OnCorrupt(c)
	}
	return read, nil
}

// read returns records from an offset on, and what was corrupt among them. Without OnCorrupt it ends at the first such.
func (p *partition) read(id store.Partition, offset uint64, options store.ReadOptions) (read []store.Record, corrupt []*store.CorruptError) {
	from, _ := p.search(offset)
	size := 0
	for _, r := range p.Records[from:] {
		if r.Corrupt {
			corrupt = append(corrupt, &store.CorruptError{Position: store.Position{Partition: id, Offset: r.Offset}, Records: 1, Err: errChecksum})
			if options.OnCorrupt == nil {
				break
			}
			continue
		}
		size += r.Event.Size()
		if len(read) == options.Records || len(read) > 0 && size > options.Bytes {
			break
		}
		read = append(read, r.Record)
	}
	return read, corrupt
}

// Bounds implements [store.Store].
func (s *Store) Bounds(ctx context.Context, id store.Partition) (b store.Bounds, err error) {
	err = s.view(ctx, func(d *data) { b = d.partition(id).bounds() })
	return b, err
}

// Find implements [store.Store].
func (s *Store) Find(ctx context.Context, id store.Partition, t time.Time) (offset uint64, err error) {
	err = s.view(ctx, func(d *data) {
		p := d.partition(id)
		offset = p.Next
		if i := sort.Search(len(p.Records), func(i int) bool { return !p.Records[i].Appended.Before(t) }); i < len(p.Records) {
			offset = p.Records[i].Offset
		}
	})
	return offset, err
}

// Wait implements [store.Store].
func (s *Store) Wait(ctx context.Context, at ...store.Position) error {
	for {
		var there bool
		var changed chan struct{}
		err := s.view(ctx, func(d *data) {
			there, changed = slices.ContainsFunc(at, d.holdsFrom), s.changed
		})
		if err != nil || there {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Partitions implements [store.Store].
func (s *Store) Partitions(ctx context.Context) (all []store.Partition, err error) {
	err = s.view(ctx, func(d *data) {
		for id := range d.partitions {
			all = append(all, id)
		}
	})
	slices.SortFunc(all, func(a, b store.Partition) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number))
	})
	return all, err
}

// Cursor implements [store.Store].
func (s *Store) Cursor(ctx context.Context, id store.Cursor) (at uint64, err error) {
	err = s.view(ctx, func(d *data) { at = d.cursor(id) })
	return at, err
}

// Cursors implements [store.Store].
func (s *Store) Cursors(ctx context.Context, consumer string) (map[store.Cursor]uint64, error) {
	all := map[store.Cursor]uint64{}
	err := s.view(ctx, func(d *data) {
		for id, at := range d.cursors {
			if consumer == "" || id.Consumer == consumer {
				all[id] = at
			}
		}
	})
	return all, err
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) (v store.Value, err error) {
	err = s.view(ctx, func(d *data) { v = d.state[key] })
	return v, err
}

// Scan implements [store.Store].
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, err error) {
	err = s.view(ctx, func(d *data) {
		for key, v := range d.state {
			if strings.HasPrefix(key, prefix) && key > after {
				entries = append(entries, store.Entry{Key: key, Value: v})
			}
		}
	})
	slices.SortFunc(entries, func(a, b store.Entry) int { return cmp.Compare(a.Key, b.Key) })
	return entries[:min(max(limit, 0), len(entries))], err
}
