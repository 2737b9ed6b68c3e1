package xstream

import (
	"container/list"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// Options configure a [Set]. The zero value lacks a bus.
type Options struct {
	// Bus delivers what is added, and knows the streams that capture it.
	Bus *bus.Bus
	// Create makes a stream for a key that none captures. Default: adding to such a key fails. Danger: whoever may publish can then
	// make streams, each of which stays until it is removed.
	Create bool
	// Clock tells the time of entries whose ID the server chooses, and how long entries are pending. Default [time.Now].
	Clock func() time.Time
	// Limits bound what peers can make the set hold.
	Limits Limits
}

// An Error is what a command is refused for, in Redis's words and with its code in front.
type Error string

func (e Error) Error() string { return string(e) }

// Why a command is refused.
const (
	ErrSmaller    = Error("ERR The ID specified in XADD is equal or smaller than the target stream top item")
	ErrNoSequence = Error("ERR Elements are too large to be stored") // which says that no sequence number is left for that time
	ErrExhausted  = Error("ERR The stream has exhausted the last possible ID, unable to add more items")
	ErrCount      = Error("ERR Insufficient memory, failed allocating transient memory, COUNT too high.")
	ErrNoKey      = Error("ERR no such key")
	ErrBusyGroup  = Error("BUSYGROUP Consumer Group name already exists")
	ErrNeedsKey   = Error("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.")
	ErrSetIDTop   = Error("ERR The ID specified in XSETID is smaller than the target stream top item")
	ErrSetIDAdded = Error("ERR The entries_added specified in XSETID is smaller than the target stream length")
	// ErrNoGroup is replied with the names of the group and the key, which depend on the command.
	ErrNoGroup = Error("NOGROUP")
)

// A Set is the Redis streams of a bus: every key is a subject. Its methods are safe for concurrent use.
type Set struct {
	bus    *bus.Bus
	log    *stream.Log
	store  store.Store
	create bool
	clock  func() time.Time
	limits Limits
	most   int // operations of one batch

	blocked, watched atomic.Int64 // clients, and the keys that they wait for

	mu       sync.Mutex // of what follows; held for moments, also by done functions and by the log
	keys     map[string]*key
	idle     list.List        // of *key: those that nobody uses, the one that was used last at the end
	homes    map[string]*home // by their identities
	garbage  []*garbage
	littered atomic.Bool // there may be garbage

	census    census
	surveyed  atomic.Bool
	surveying chan struct{} // a place for the one who does it
	sweeping  sync.Mutex

	shelf    shelf
	builders chan struct{} // a place for each who makes a block
}

// New returns the streams of a bus that stores what is published. It returns nil for a bus that does not.
func New(o Options) *Set {
	log := o.Bus.Streams()
	if log == nil {
		return nil
	}
	s := &Set{
		bus: o.Bus, log: log, store: log.Store(), create: o.Create, clock: o.Clock,
		limits: o.Limits.WithDefaults(), keys: map[string]*key{}, homes: map[string]*home{},
		surveying: make(chan struct{}, 1), builders: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	limits := s.store.Limits()
	s.limits.KeyLength = min(s.limits.KeyLength, limits.Key-stateKeyRoom)
	const most, room = 4096, 16
	s.most = max(1, min(most, limits.Operations)-room)
	s.census.most = counts{int64(s.limits.TotalGroups), int64(s.limits.TotalConsumers), int64(s.limits.TotalPending)}
	log.OnRemove(s.removed)
	return s
}

func (s *Set) now() int64 { return s.clock().UnixMilli() }

// acquire returns a key that stays in memory until it is released.
func (s *Set) acquire(name []byte) *key {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[string(name)]
	if k == nil {
		for len(s.keys) >= s.limits.Keys && s.idle.Len() > 0 { // what they are is in the store
			old := s.idle.Remove(s.idle.Front()).(*key)
			delete(s.keys, old.name)
		}
		k = &key{set: s, name: string(name)}
		s.keys[k.name] = k
	}
	s.use(k)
	return k
}

// use counts one more who uses a key. Called with the lock.
func (s *Set) use(k *key) {
	if k.refs++; k.idle != nil {
		s.idle.Remove(k.idle)
		k.idle = nil
	}
}

// retain is acquire for somebody who has the key.
func (k *key) retain() {
	k.set.mu.Lock()
	defer k.set.mu.Unlock()
	k.set.use(k)
}

func (k *key) release() {
	s := k.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.refs--; k.refs == 0 {
		k.idle = s.idle.PushBack(k)
	}
}

// with calls fn with a key that is locked, loaded and up to date, submits the change that it returns, and waits for that
// without the lock.
func (s *Set) with(ctx context.Context, name []byte, fn func(k *key) (*change, error)) error {
	if err := s.checkKey(name); err != nil {
		return err
	}
	s.sweep(ctx)
	k := s.acquire(name)
	defer k.release()
	c, err := k.locked(ctx, fn)
	if c != nil {
		if failed := c.wait(); err == nil {
			err = failed
		}
	}
	return err
}

func (k *key) locked(ctx context.Context, fn func(k *key) (*change, error)) (c *change, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ready(ctx); err != nil {
		return nil, err
	}
	if k.stream != nil {
		if err := k.refresh(ctx); err != nil {
			return nil, err
		}
	}
	c, err = fn(k)
	if c != nil {
		c.submit()
	}
	return c, err
}

// StoreError tells whether err is that of a store which takes nothing for now.
func StoreError(err error) bool {
	return errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrFailed)
}
