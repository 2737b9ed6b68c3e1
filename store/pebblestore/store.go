package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/task"
)

// A Store is a [store.Store] in a directory.
type Store struct {
	options Options
	dir     string
	fs      *guardFS
	tables  bool // were there before it was opened
	db      *pebble.DB
	lock    io.Closer
	queue   *queue
	tasks   task.Scope
	builder *builder
	failed  chan struct{} // closed by the first failure
	full    atomic.Pointer[error]
	ballast ballast
	stats   counters
	closing sync.RWMutex // read-locked by whoever uses db
	leaving atomic.Bool  // Close was called
	closed  atomic.Bool

	committed chan struct{}         // closed when nothing more is committed
	refused   chan struct{}         // closed when nothing more is answered
	underWay  atomic.Pointer[group] // at Pebble; who takes it out answers for it

	mu      sync.RWMutex
	visible map[store.Partition]*partition
	tail    tail
	waiters map[store.Partition]map[*waiter]struct{}
}

var _ store.Store = (*Store)(nil)

// start starts the goroutine that commits, and the one that answers once it cannot; Close waits for them.
func (s *Store) start() {
	ctx := context.Background()
	s.tasks.Go(ctx, "store: commit", func(context.Context) error {
		defer close(s.committed)
		s.run()
		return nil
	})
	s.tasks.Go(ctx, "store: refuse", func(context.Context) error {
		defer close(s.refused)
		s.refuse()
		return nil
	})
}

// Submit implements [store.Store]. After Close, and only then, it calls done itself.
func (s *Store) Submit(b *store.Batch, done func(error)) {
	size := b.Size()
	r := request{batch: b, done: done, size: size + requestOverhead, err: s.check(b, size)}
	if !s.queue.put(r) {
		done(store.ErrClosed)
	}
}

// check refuses what no store could take.
func (s *Store) check(b *store.Batch, size int) error {
	if n := b.Operations(); n > s.options.operations || size > maxBatch {
		return fmt.Errorf("a batch of %d operations and %d bytes, at most %d and %d are allowed: %w", n, size, s.options.operations, maxBatch, store.ErrTooLarge)
	}
	for i := range b.Puts {
		if len(b.Puts[i].Key) > maxKey {
			return tooLong("key", b.Puts[i].Key)
		}
	}
	for i := range b.Appends {
		if err := checkPartition(b.Appends[i].Partition); err != nil {
			return err
		}
	}
	for i := range b.Cursors {
		if err := checkPartition(b.Cursors[i].Partition); err != nil {
			return err
		}
		if len(b.Cursors[i].Consumer) > maxKey {
			return tooLong("name of a consumer", b.Cursors[i].Consumer)
		}
	}
	return nil
}

func checkPartition(p store.Partition) error {
	if p.Number < 0 || p.Number > maxPartition {
		return fmt.Errorf("partition %d of stream %.100q: a number must be between 0 and %d", p.Number, p.Stream, maxPartition)
	}
	if len(p.Stream) > maxKey {
		return tooLong("name of a stream", p.Stream)
	}
	return nil
}

func tooLong(what, text string) error {
	return fmt.Errorf("the %s %.40q… has %d bytes, at most %d are allowed: %w", what, text, len(text), maxKey, store.ErrTooLarge)
}

// Limits implements [store.Store].
func (s *Store) Limits() store.Limits {
	return store.Limits{Operations: s.options.operations, Bytes: maxBatch, Pending: s.options.Pending, Key: maxKey}
}

// Health implements [store.Store].
func (s *Store) Health() error {
	if err := s.queue.failure(); err != nil {
		return err
	}
	if err := s.full.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends all writing. What waits is answered by refuse. The order matters: when the fence begins to swallow writes, and before a second failure
// is passed on to nobody, hasFailed must say so, or a commit could count on what never reached the disk.
func (s *Store) fail(cause error) {
	err := fmt.Errorf("%w: %w", store.ErrFailed, cause)
	if !s.queue.fail(err) {
		return
	}
	close(s.failed)
	s.fs.fence(err)
	s.options.Logger.Error("the store has failed: nothing more is acknowledged until it is opened again", "directory", s.dir, "error", cause)
}

// hasFailed reports whether anything has.
func (s *Store) hasFailed() bool { return s.queue.failure() != nil }

// use keeps the store open until release is called.
func (s *Store) use(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.closing.RLock()
	if s.closed.Load() {
		s.closing.RUnlock()
		return nil, store.ErrClosed
	}
	return s.closing.RUnlock, nil
}

// Close implements [store.Store]. It returns why the store has failed, if it has.
func (s *Store) Close() error {
	if !s.queue.close() {
		return nil
	}
	s.leaving.Store(true)
	<-s.refused
	failure := s.queue.failure()
	s.closing.Lock()
	s.closed.Store(true)
	s.closing.Unlock()
	s.wakeAll()
	return errors.Join(failure, s.shut(failure != nil), s.lock.Close())
}

// shut closes Pebble. After a failure that may never finish; then it is left behind, fenced off from the disk.
func (s *Store) shut(failed bool) error {
	if !failed {
		<-s.committed
		return s.db.Close()
	}
	closed := make(chan struct{})
	s.tasks.Go(context.Background(), "store: close", func(context.Context) error {
		defer close(closed)
		<-s.committed
		_ = s.db.Close() // the failure is known
		return nil
	})
	timer := time.NewTimer(closeWithin)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		s.options.Logger.Warn("the failed store could not be closed: its memory is free when the process ends", "directory", s.dir)
	}
	return nil
}
