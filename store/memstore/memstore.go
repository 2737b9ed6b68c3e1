package memstore

import (
	"sync"

	"github.com/spate-io/spate/store"
)

// A Store keeps everything in memory. Make it with [New] or [Restore], and close it.
type Store struct {
	options Options
	running sync.WaitGroup // the goroutine that commits

	mu      sync.Mutex
	wake    *sync.Cond    // on mu: something to commit, room for more, or the end
	queue   []submission  // what waits to be committed
	pending int           // bytes of it
	closed  bool          // nothing more is accepted
	crashed bool          // nothing more is committed
	ended   bool          // everything was answered
	changed chan struct{} // closed and replaced by every commit, and by the end
	data    *data
	faults  faults
}

// A submission is a batch that waits.
type submission struct {
	batch *store.Batch
	done  func(error)
	size  int
	late  bool // submitted after Close, when earlier ones still waited
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(options Options) *Store { return start(options.withDefaults(), newData()) }

func start(options Options, d *data) *Store {
	s := &Store{options: options, data: d, changed: make(chan struct{})}
	s.wake = sync.NewCond(&s.mu)
	s.running.Go(s.run)
	return s
}

// Reopen ends the store as a crash would, and returns a new one with exactly what was committed. What had not been committed, and
// what is asked of the old store from now on, is answered with [store.ErrClosed]. It works on a closed store too, does not
// wait, and may be called from the hooks. The new store has the same options, and none of the faults.
func (s *Store) Reopen() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed = true
	s.endLocked()
	return start(s.options, s.data.dump().load())
}

// Close implements [store.Store]. Closing again changes nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	s.endLocked()
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

func (s *Store) endLocked() {
	s.closed = true
	s.wake.Broadcast()
	s.signalLocked()
}

// signalLocked wakes everybody in Wait.
func (s *Store) signalLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Limits implements [store.Store].
func (s *Store) Limits() store.Limits { return s.options.Limits }

// Health implements [store.Store].
func (s *Store) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.health()
}
