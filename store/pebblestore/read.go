package pebblestore

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/store"
)

// A view is what a read sees of a partition.
type view struct {
	id      logID
	bounds  meta
	recent  []block // from the offset on that was asked for, as many as needed
	covered bool    // recent begins at or before that offset
}

// view looks at a partition; ok is false if there is none.
func (s *Store) view(at store.Position, records, bytes int) (v view, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.visible[at.Partition]
	if p == nil {
		return v, false
	}
	v.id, v.bounds = p.id, p.visible
	offset := max(at.Offset, p.visible.First)
	if len(p.tail) == 0 || p.tail[0].first > offset {
		return v, true
	}
	v.covered = true
	i := sort.Search(len(p.tail), func(i int) bool { return p.tail[i].end > offset })
	for ; i < len(p.tail) && records > 0 && bytes > 0; i++ {
		bl := *p.tail[i]
		v.recent = append(v.recent, bl)
		records -= bl.records
		bytes -= len(bl.value)
		if len(v.recent) == 1 { // the read may begin at its end
			records, bytes = records+bl.records, bytes+len(bl.value)
		}
	}
	return v, true
}

// Read implements [store.Store].
func (s *Store) Read(ctx context.Context, at store.Position, o store.ReadOptions) ([]store.Record, error) {
	release, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if o.Records <= 0 {
		o.Records = store.DefaultReadRecords
	}
	if o.Bytes <= 0 {
		o.Bytes = store.DefaultReadBytes
	}
	v, ok := s.view(at, o.Records, o.Bytes)
	if !ok || at.Offset >= v.bounds.End {
		return nil, nil
	}
	at.Offset = max(at.Offset, v.bounds.First)
	r := &reading{left: min(o.Records, maxReadRecords), bytes: o.Bytes, at: at, end: v.bounds.End, corrupt: o.OnCorrupt, dense: v.bounds.dense()}
	r.records = make([]store.Record, 0, v.bounds.expect(r))
	if v.covered {
		r.tail(v)
	} else if err := s.readDisk(ctx, r, v.id); err != nil {
		return nil, err
	}
	if len(r.records) == 0 && r.err != nil {
		return nil, r.err
	}
	return r.records, nil
}

// expect returns about how many records a reading will find: growing a slice of thousands took a sixth of the time of reading them.
func (m *meta) expect(r *reading) int {
	n := min(uint64(r.left), r.end-r.at.Offset, m.Count)
	if m.Count > 0 && m.Bytes > 0 {
		n = min(n, uint64(r.bytes)/max(1, m.Bytes/m.Count)+1)
	}
	return int(n)
}

// tail reads from memory.
func (r *reading) tail(v view) {
	for _, bl := range v.recent {
		if r.full() {
			return
		}
		if bl.records > 0 {
			if err := r.block(v.id, bl.first, bl.value, true); err != nil {
				r.bad(bl.first, uint64(bl.records), err)
			}
		}
	}
}

// readDisk reads blocks until the reading is full.
func (s *Store) readDisk(ctx context.Context, r *reading, id logID) error {
	for !r.full() {
		err := s.readRun(ctx, r, id)
		if err == nil {
			if r.dense && !r.full() { // the end is missing
				err = s.gap(r, id, r.end)
			}
			return err
		}
		if !pebble.IsCorruptionError(err) {
			return err
		}
		from := r.at.Offset
		next, cause := skipCorrupt(s.db, id, from, r.end), damage{err}
		r.at.Offset = next
		r.bad(from, next-from, cause)
	}
	return nil
}

// readRun reads blocks until the reading is full, there are none, or Pebble finds damage.
func (s *Store) readRun(ctx context.Context, r *reading, id logID) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: blockKey(id, 0), UpperBound: blockKey(id, r.end)})
	if err != nil {
		return err
	}
	defer func() {
		err = ended(it, err)
	}()
	ok := it.SeekLT(blockKey(id, r.at.Offset+1))
	if !ok && it.Error() == nil {
		ok = it.First()
	}
	for ok && !r.full() {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		first := blockFirst(it.Key())
		if r.dense && first > r.at.Offset { // a log that was damaged may be read without its end
			if err := s.gap(r, id, first); err != nil {
				return err
			}
			if r.full() {
				break
			}
		}
		err = r.block(id, first, slices.Clone(value), false)
		ok = it.Next()
		if err != nil { // the head of the block is damaged: all of it is lost
			from, next := max(first, r.at.Offset), r.end
			if ok {
				next = blockFirst(it.Key())
			}
			r.at.Offset = next
			r.bad(from, next-from, err)
		}
	}
	return it.Error()
}

// gap passes over records that are not there, up to an offset. That is damage unless they were trimmed or removed since the reading began: then the
// description of the partition, which is written together with that, says so.
func (s *Store) gap(r *reading, id logID, to uint64) error {
	from := r.at.Offset
	r.at.Offset = to
	value, err := s.get(partitionKey(id))
	if err != nil || value == nil {
		return err
	}
	var now meta
	if err := now.decode(value); err != nil {
		return err
	}
	if from = max(from, now.First); from < to && now.dense() {
		r.bad(from, to-from, errMissing)
	}
	return nil
}

// Bounds implements [store.Store].
func (s *Store) Bounds(ctx context.Context, id store.Partition) (store.Bounds, error) {
	if err := s.usable(ctx); err != nil {
		return store.Bounds{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p := s.visible[id]; p != nil {
		return p.visible.Bounds, nil
	}
	return store.Bounds{}, nil
}

// usable is for what does not touch the disk.
func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// Partitions implements [store.Store].
func (s *Store) Partitions(ctx context.Context) ([]store.Partition, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	all := make([]store.Partition, 0, len(s.visible))
	for id := range s.visible {
		all = append(all, id)
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b store.Partition) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Number, b.Number))
	})
	return all, nil
}

// Wait implements [store.Store].
func (s *Store) Wait(ctx context.Context, at ...store.Position) error {
	w := &waiter{at: at, ready: make(chan struct{}, 1)}
	defer s.leave(w)
	for {
		there := s.enter(w)
		if err := s.usable(ctx); err != nil { // looked at after entering: Close wakes those who have
			return err
		}
		if there {
			return nil
		}
		select {
		case <-w.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enter reports whether there is something already, and sees to it that the waiter is woken otherwise.
func (s *Store) enter(w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range w.at {
		id := w.at[i].Partition
		if p := s.visible[id]; p != nil && w.satisfied(p) {
			return true
		}
		if s.waiters[id] == nil {
			s.waiters[id] = map[*waiter]struct{}{}
		}
		s.waiters[id][w] = struct{}{}
	}
	return false
}

func (s *Store) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range w.at {
		id := w.at[i].Partition
		delete(s.waiters[id], w)
		if len(s.waiters[id]) == 0 {
			delete(s.waiters, id)
		}
	}
}

// wakeAll lets every call of Wait find out that the store is closed.
func (s *Store) wakeAll() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, ws := range s.waiters {
		for w := range ws {
			w.wake()
		}
	}
}

// Find implements [store.Store].
func (s *Store) Find(ctx context.Context, id store.Partition, t time.Time) (uint64, error) {
	release, err := s.use(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	v, ok := s.view(store.Position{Partition: id}, 0, 0)
	if !ok || v.bounds.Count == 0 || v.bounds.Last < t.UnixNano() {
		return v.bounds.Next, nil
	}
	return s.findDisk(v, t)
}
