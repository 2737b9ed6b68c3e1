package xstream

import (
	"context"
	"sync"
	"time"

	"github.com/spate-io/spate/store"
)

// A Watch waits for something to change at some keys. It is for one goroutine.
type Watch struct {
	set  *Set
	keys []*key

	mu     sync.Mutex
	cancel context.CancelFunc // of the wait that goes on
	woken  bool
}

// watchers are the watches of a key, which are told what the store does not tell: that a group was removed or moved, or the key made
// or dropped.
type watchers struct {
	mu  sync.Mutex
	all map[*Watch]struct{}
}

func (w *watchers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.all {
		one.poke()
	}
}

func (w *Watch) poke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken = true
	if w.cancel != nil {
		w.cancel()
	}
}

// Watch begins to watch keys; end it with Close. It fails if too many clients wait, or for too many keys.
func (s *Set) Watch(names [][]byte) (*Watch, error) {
	if n := s.blocked.Add(1); n > int64(s.limits.Blocked) {
		s.blocked.Add(-1)
		return nil, refusedf("%d clients wait for entries, and no more are allowed to: try again later, or raise resp.limits.streams.blocked", n-1)
	}
	if n := s.watched.Add(int64(len(names))); n > int64(s.limits.Watched) {
		s.watched.Add(-int64(len(names)))
		s.blocked.Add(-1)
		return nil, refusedf("clients wait for entries of %d keys, and no more than %d are allowed: wait for fewer keys, or raise resp.limits.streams.watched",
			n-int64(len(names)), s.limits.Watched)
	}
	w := &Watch{set: s}
	for _, name := range names {
		k := s.acquire(name)
		w.keys = append(w.keys, k)
		k.watch.mu.Lock()
		if k.watch.all == nil {
			k.watch.all = map[*Watch]struct{}{}
		}
		k.watch.all[w] = struct{}{}
		k.watch.mu.Unlock()
	}
	return w, nil
}

// Waiting returns how many watches there are.
func (s *Set) Waiting() int { return int(s.blocked.Load()) }

// Close ends the watch.
func (w *Watch) Close() {
	for _, k := range w.keys {
		k.watch.mu.Lock()
		delete(k.watch.all, w)
		k.watch.mu.Unlock()
		k.release()
	}
	w.set.watched.Add(-int64(len(w.keys)))
	w.set.blocked.Add(-1)
}

// A Mark is where the streams of a watch end.
type Mark struct {
	at      []store.Position
	unknown bool // some key has no stream
}

// Mark returns where the streams end, before one looks what is in them.
func (w *Watch) Mark(ctx context.Context) (m Mark, err error) {
	w.mu.Lock()
	w.woken = false
	w.mu.Unlock()
	for _, k := range w.keys {
		_, err := k.locked(ctx, func(k *key) (*change, error) {
			if k.stream == nil {
				m.unknown = true
				return nil, nil
			}
			m.at = append(m.at, store.Position{Partition: k.part, Offset: k.bounds.Next})
			return nil, nil
		})
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

// unknownWait is how long a wait for a key without a stream lasts: one that is made elsewhere is noticed then.
const unknownWait = time.Second

// Wait waits until there is something behind the mark, or something else has happened at the keys, or the context ends, which is the only error. It may return without
// anything having happened.
func (w *Watch) Wait(ctx context.Context, m Mark) error {
	one, cancel := context.WithCancel(ctx)
	if m.unknown {
		one, cancel = context.WithTimeout(ctx, unknownWait)
	}
	defer cancel()
	w.mu.Lock()
	if w.woken {
		w.mu.Unlock()
		return nil
	}
	w.cancel = cancel
	w.mu.Unlock()
	if len(m.at) == 0 {
		<-one.Done()
	} else if err := w.set.store.Wait(one, m.at...); err != nil && one.Err() == nil {
		return err
	}
	return ctx.Err()
}
