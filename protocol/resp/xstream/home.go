package xstream

import (
	"context"
	"encoding/hex"
	"sync"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// A home is one stream that has keys, from when it is made to when it is removed. What is stored about a key is stored under the identity of
// its home, so that another stream, also one that is made later with the same name, knows nothing of it.
type home struct {
	id   string // the stream's, in homeDigits hexadecimal digits
	name string // of the stream

	counts counts // of its keys; guarded by census.mu
	gone   bool   // the stream was removed; guarded by census.mu

	mu      sync.Mutex
	indexes map[int]*index // by the number of the partition
}

const homeDigits = 2 * len(event.ID{})

func homeID(st *stream.Stream) string {
	id := st.ID()
	return hex.EncodeToString(id[:])
}

// index returns that of one partition.
func (h *home) index(s *Set, p store.Partition) *index {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.indexes[p.Number]
	if x == nil {
		if h.indexes == nil {
			h.indexes = map[int]*index{}
		}
		x = &index{set: s, part: p, blocks: map[uint64]*block{}, dropped: map[uint64]struct{}{}, maker: make(chan struct{}, 1)}
		h.indexes[p.Number] = x
	}
	return x
}

// garbage is what is stored of a stream that was removed, and how far it has been deleted.
type garbage struct {
	home  string
	kind  int    // in stateKinds
	after string // the last name that was deleted
}

// homeOf returns the home of the keys of a stream.
func (s *Set) homeOf(st *stream.Stream) *home {
	id := homeID(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.homes[id]
	if h == nil {
		h = &home{id: id, name: st.Config().Name}
		s.homes[id] = h
	}
	return h
}

// streamOf returns the stream that holds the entries of a key, or nil: of those that capture it, the one that was created first; and whether nothing
// else is in it. Called within Log.Capture.
func (s *Set) streamOf(name string) (found *stream.Stream, own bool) {
	for _, st := range s.log.Capturing(name) {
		if found == nil || st.ID().Compare(found.ID()) < 0 {
			found = st
		}
	}
	if found == nil {
		return nil, false
	}
	c := found.Config()
	return found, c.Partitions == 1 && len(c.Subjects) == 1 && c.Subjects[0] == name && !found.Refiltered()
}

// removed forgets what was known of a stream. The log calls it, so it must not wait, nor lock a key: whoever holds one may wait for the log.
func (s *Set) removed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, h := range s.homes {
		if h.name == name {
			delete(s.homes, id)
			s.abandon(h)
		}
	}
}

// abandon forgets what was known of the stream of a home. Called with the lock.
func (s *Set) abandon(h *home) {
	s.discard(h.id)
	s.census.leave(h)
	h.mu.Lock()
	for _, x := range h.indexes {
		x.clear()
	}
	h.mu.Unlock()
	for _, k := range s.keys {
		if k.home.Load() == h {
			k.watch.wake()
		}
	}
}

// discard has what is stored under a number deleted by and by. Called with the lock.
func (s *Set) discard(home string) {
	s.garbage = append(s.garbage, &garbage{home: home})
	s.littered.Store(true)
}

// sweep deletes a piece of what is stored of streams that were removed. Each command does one, so that none waits for long.
func (s *Set) sweep(ctx context.Context) {
	if !s.littered.Load() || !s.sweeping.TryLock() {
		return
	}
	defer s.sweeping.Unlock()
	s.mu.Lock()
	var g *garbage
	if len(s.garbage) > 0 {
		g = s.garbage[0]
	}
	s.littered.Store(g != nil)
	s.mu.Unlock()
	if g == nil {
		return
	}
	kinds, page := stateKinds(), min(s.most, sweepPage)
	b := &store.Batch{}
	for left := page; left > 0 && g.kind < len(kinds); {
		entries, err := s.store.Scan(ctx, kinds[g.kind]+g.home+"/", g.after, left)
		if err != nil {
			return // the next command tries again
		}
		for _, e := range entries {
			b.Deletes = append(b.Deletes, e.Key)
			g.after = e.Key
		}
		if left -= len(entries); left > 0 {
			g.kind, g.after = g.kind+1, ""
		}
	}
	if len(b.Deletes) > 0 {
		s.store.Submit(b, func(error) {}) // what stays after a failure is found by the survey of the next start
	}
	if g.kind == len(kinds) {
		s.mu.Lock()
		s.garbage = s.garbage[1:]
		s.mu.Unlock()
	}
}

// survey counts what is stored, once, before anything is changed.
func (s *Set) survey(ctx context.Context) error {
	if s.surveyed.Load() {
		return nil
	}
	select {
	case s.surveying <- struct{}{}:
		defer func() { <-s.surveying }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.surveyed.Load() {
		return nil
	}
	found := map[string]*counts{}
	for kind, prefix := range stateKinds() {
		err := s.eachState(ctx, prefix, func(e store.Entry) error {
			id := e.Key[len(prefix):min(len(e.Key), len(prefix)+homeDigits)]
			if found[id] == nil {
				found[id] = &counts{}
			}
			if kind < kinds {
				found[id][kind]++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.place(found)
	s.surveyed.Store(true)
	return nil
}

// place makes homes of what the survey has found.
func (s *Set) place(found map[string]*counts) {
	for {
		changes, names := s.log.Changes(), map[string]string{}
		for _, st := range s.log.List() { // which waits for a removal that goes on. Not with the lock: the log calls removed with its own
			names[homeID(st)] = st.Config().Name
		}
		s.mu.Lock()
		if s.log.Changes() != changes {
			s.mu.Unlock()
			continue
		}
		defer s.mu.Unlock()
		for id, c := range found {
			if names[id] == "" { // removed before the last stop, and not all of it was deleted
				s.discard(id)
				continue
			}
			h := &home{id: id, name: names[id]}
			s.homes[id] = h
			s.census.enter(h, *c)
		}
		return
	}
}

// eachState calls fn for every piece of state whose name begins with prefix.
func (s *Set) eachState(ctx context.Context, prefix string, fn func(store.Entry) error) error {
	const page = 1000
	for after := ""; ; {
		entries, err := s.store.Scan(ctx, prefix, after, page)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
			after = e.Key
		}
		if len(entries) < page {
			return nil
		}
	}
}

// checkKey tells whether a key can be a stream.
func (s *Set) checkKey(name []byte) error {
	if len(name) > s.limits.KeyLength {
		return refusedf("the key has %d bytes, at most %d can be a stream", len(name), s.limits.KeyLength)
	}
	return event.ValidateSubjectBytes(name, event.Limits{SubjectLength: event.MaxSubjectLength})
}
