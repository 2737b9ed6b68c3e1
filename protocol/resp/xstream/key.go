package xstream

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// A key is what is kept in memory of a Redis stream. It is ahead of the store by what is being committed; if that fails, it is
// loaded anew.
type key struct {
	set  *Set
	name string
	refs int           // of those who use it; guarded by Set.mu
	idle *list.Element // in Set.idle, while refs is 0; guarded by Set.mu

	broken atomic.Bool          // a commit has failed: load again
	home   atomic.Pointer[home] // of stream; written under mu

	mu      sync.Mutex     // held while a command looks and decides, and until its change is submitted; never by done functions
	stream  *stream.Stream // that holds the entries; nil if there is none
	changes uint64         // of the log, when stream was looked up
	part    store.Partition
	own     bool           // nobody else is in the partition
	index   *index         // of a partition that is shared
	hash    mark           // of the name
	flight  sync.WaitGroup // commits under way; added to under mu only
	autos   sync.WaitGroup // of those, entries whose ID is not known yet

	meta
	entries  int64        // before meta.seen, for a shared partition only
	counted  bool         // entries is right, if the partition begins at low
	low      uint64       // where it began when the entries were counted
	seenLast ID           // of the records before meta.seen
	bounds   store.Bounds // when refresh was last called
	next     uint64       // where the next record will be once all that is under way is committed
	trimmed  uint64       // where the first record will be once the trims of XADD under way are committed
	groups   map[string]*group
	numbers  uint64 // of groups and consumers, the last one given

	strange atomic.Pointer[map[uint64]ID] // IDs of records, by offset, that do not follow from the record

	ids      sync.Mutex // of what follows; done functions take it
	last     ID
	assigned ID                  // the highest that was given, rather than followed from time and place
	gone     map[uint64]struct{} // offsets that are being removed

	watch watchers
}

// ready finds the stream of the key, and loads what is stored about it. Called with the lock.
func (k *key) ready(ctx context.Context) error {
	changes := k.set.log.Changes()
	if k.stream != nil && k.changes == changes && !k.broken.Load() {
		return nil
	}
	if err := k.set.survey(ctx); err != nil {
		return fmt.Errorf("counting the consumer groups that are stored: %w", err)
	}
	var found *stream.Stream
	var own bool
	k.set.log.Capture(func() { found, own = k.set.streamOf(k.name) }) // not while a stream is being changed
	if k.stream != nil && k.stream == found && !k.broken.Load() {
		k.changes = changes
		return nil
	}
	k.flight.Wait()
	k.broken.Store(false)
	k.stream = nil
	if found == nil {
		return nil
	}
	h := k.set.homeOf(found)
	k.home.Store(h)
	k.part, k.own, k.index = found.Partition(&event.Event{Subject: k.name}), own, nil
	if !own {
		k.index, k.hash = h.index(k.set, k.part), hashOf(k.name)
	}
	if err := k.load(ctx); err != nil {
		return fmt.Errorf("loading the stream at key %.80q: %w", k.name, err)
	}
	k.stream, k.changes = found, changes
	return nil
}

// establish makes a stream for the key.
func (k *key) establish(ctx context.Context) error {
	if !k.set.create {
		return Error("ERR no stream captures this key, and making streams for keys is not allowed here: create one with spate stream create")
	}
	c := stream.Config{Name: k.name, Subjects: []string{k.name}, Partitions: 1}
	_, err := k.set.log.Create(ctx, c)
	if errors.Is(err, stream.ErrExists) || errors.Is(err, stream.ErrConfig) {
		if err := k.ready(ctx); err != nil || k.stream != nil { // somebody else was faster
			return err
		}
		if errors.Is(err, stream.ErrExists) { // it would be a second stream, and the first is meant as a rule
			return Error("ERR the key is the name of a stream that does not capture it: a key is a subject; use one that the stream captures")
		}
		sum := sha256.Sum256([]byte(k.name))
		c.Name = "redis:" + hex.EncodeToString(sum[:16])
		_, err = k.set.log.Create(ctx, c)
	}
	if err != nil {
		return err
	}
	k.watch.wake()
	if err = k.ready(ctx); err == nil && k.stream == nil { // it was removed at once
		err = fmt.Errorf("making the stream at key %.80q: %w", k.name, errMoved)
	}
	return err
}

// exists tells whether Redis would have the key.
func (k *key) exists() bool { return k.stream != nil && (k.meta.exists || k.added() != 0) }

// added is how many entries the stream ever had.
func (k *key) added() int64 {
	if k.own {
		return int64(k.bounds.Next) + k.meta.added
	}
	return k.meta.added
}

// length is how many entries it has.
func (k *key) length() int64 {
	if !k.own {
		return k.entries
	}
	k.ids.Lock()
	defer k.ids.Unlock()
	n := int64(k.bounds.Count)
	for offset := range k.gone {
		if offset >= k.bounds.First && offset < k.bounds.Next {
			n--
		}
	}
	return max(n, 0)
}

// idOf returns the ID of a record.
func (k *key) idOf(r *store.Record) ID {
	if m := k.strange.Load(); m != nil {
		if id, ok := (*m)[r.Offset]; ok {
			return id
		}
	}
	return plainID(r)
}

// plainID is the ID that was given, or else the time of the record and its offset: both only ever grow.
func plainID(r *store.Record) ID {
	if id, ok := givenID(r.Event); ok {
		return id
	}
	return ID{uint64(max(r.Appended.UnixMilli(), 0)), r.Offset}
}

// top returns the last ID that was generated and the highest that was given.
func (k *key) top() (last, assigned ID) {
	k.ids.Lock()
	defer k.ids.Unlock()
	return k.last, k.assigned
}

func (k *key) raise(last ID) {
	k.ids.Lock()
	defer k.ids.Unlock()
	if k.last.Less(last) {
		k.last = last
	}
}

// refresh looks what others have put into the partition. Called with the lock.
func (k *key) refresh(ctx context.Context) (err error) {
	if k.bounds, err = k.set.store.Bounds(ctx, k.part); err != nil {
		return err
	}
	k.next = max(k.next, k.bounds.Next)
	k.meta.seen = max(k.meta.seen, k.bounds.First)
	if !k.own && (!k.counted || k.bounds.First > k.low) {
		if err := k.recount(ctx); err != nil {
			return err
		}
	}
	if k.bounds.Next == k.meta.seen {
		return nil
	}
	if k.own {
		jumped, err := k.jump(ctx)
		if err != nil || jumped {
			return err
		}
	}
	return k.catchUp(ctx)
}

// jump passes over new records whose IDs are all known to follow from the records. It reports whether that is so.
func (k *key) jump(ctx context.Context) (bool, error) {
	records, err := k.set.store.Read(ctx, store.Position{Partition: k.part, Offset: k.meta.seen}, store.ReadOptions{Records: 1})
	if err != nil {
		return false, err
	}
	_, assigned := k.top()
	if len(records) > 0 && plainMs(&records[0]) <= assigned.Ms {
		return false, nil
	}
	err = k.scanBack(ctx, k.bounds.Next, k.meta.seen, 1, func(r *store.Record) bool {
		k.seenLast = k.idOf(r)
		return false
	})
	k.raise(k.seenLast)
	k.meta.seen = k.bounds.Next
	return true, err
}

func plainMs(r *store.Record) uint64 { return uint64(max(r.Appended.UnixMilli(), 0)) }

// catchUp looks at every new record, and notes the ID of those for which it does not follow from the record.
func (k *key) catchUp(ctx context.Context) error {
	from := k.meta.seen
	if !k.own {
		if passed, err := k.pass(ctx); err != nil || passed {
			return err
		}
	}
	found := map[uint64]ID{}
	last, n := k.seenLast, int64(0)
	err := k.scan(ctx, from, k.bounds.Next, func(r *store.Record) bool {
		id := plainID(r)
		if !last.Less(id) {
			id, _ = last.Next()
			found[r.Offset] = id
		}
		last = id
		n++
		return true
	})
	if err != nil {
		return err
	}
	k.seenLast = last
	if !k.own {
		k.meta.added += n
		k.entries += n
	}
	k.meta.seen = k.bounds.Next
	k.raise(k.seenLast)
	switch {
	case len(found) > 0:
		return k.note(found)
	case !k.own && n >= checkpoint:
		c := k.change()
		c.putMeta()
		c.submit()
	}
	return nil
}

// pass counts the new records of a shared partition without reading them, if their IDs are all known to follow from the records. It reports
// whether that is so.
func (k *key) pass(ctx context.Context) (bool, error) {
	from, n, given := k.meta.seen, int64(0), false
	first, last := uint64(0), uint64(0)
	err := k.eachMark(ctx, from, k.bounds.Next, func(offset uint64, isGiven bool) bool {
		if n == 0 {
			first = offset
		}
		last, given = offset, given || isGiven
		n++
		return true
	})
	if err != nil || given {
		return false, err
	}
	if n > 0 {
		r, err := k.first(ctx, first, k.bounds.Next)
		if err != nil || r == nil || r.Offset != first || !k.seenLast.Less(plainID(r)) {
			return false, err
		}
		if r, err = k.first(ctx, last, k.bounds.Next); err != nil || r == nil || r.Offset != last {
			return false, err
		}
		k.seenLast = plainID(r)
	}
	k.meta.added += n
	k.entries += n
	k.meta.seen = k.bounds.Next
	k.raise(k.seenLast)
	if n >= checkpoint {
		c := k.change()
		c.putMeta()
		c.submit()
	}
	return true, nil
}

// note stores IDs before anybody sees them.
func (k *key) note(found map[uint64]ID) error {
	all := map[uint64]ID{}
	if m := k.strange.Load(); m != nil {
		maps.Copy(all, *m)
	}
	maps.Copy(all, found)
	c := k.change()
	for offset, id := range found {
		c.put(k.stateKey(stateStrange, offset), appendID(nil, id))
	}
	c.putMeta()
	c.submit()
	k.strange.Store(&all)
	return c.wait()
}

// recount counts the entries of a shared partition, when it was loaded, or retention has removed some.
func (k *key) recount(ctx context.Context) error {
	k.index.trimmed(k.bounds.First)
	n := int64(0)
	err := k.eachMark(ctx, k.bounds.First, k.meta.seen, func(offset uint64, _ bool) bool {
		if !k.leaving(offset) {
			n++
		}
		return true
	})
	if err == nil {
		k.entries, k.low, k.counted = n, k.bounds.First, true
	}
	return err
}

// State in the store is kept under names that begin with what it is, then the home of the key, "/", the key, a NUL, and numbers.
const (
	stateGroup    = "redis/group/"
	stateConsumer = "redis/consumer/"
	statePending  = "redis/pending/"
	stateMeta     = "redis/key/"
	stateStrange  = "redis/id/"
)

// stateKinds returns all of them; first those that are counted, in the order of their kinds.
func stateKinds() [5]string {
	return [...]string{kindGroup: stateGroup, kindConsumer: stateConsumer, kindPending: statePending, kinds: stateMeta, kinds + 1: stateStrange}
}

func (k *key) stateKey(kind string, numbers ...uint64) string {
	const digits = 8
	id := k.home.Load().id
	var b strings.Builder
	b.Grow(len(kind) + len(id) + len(k.name) + 2 + len(numbers)*digits)
	b.WriteString(kind)
	b.WriteString(id)
	b.WriteByte('/')
	b.WriteString(k.name)
	b.WriteByte(0)
	for _, n := range numbers {
		var buf [8]byte
		for i := range buf {
			buf[i] = byte(n >> (56 - 8*i))
		}
		b.Write(buf[:])
	}
	return b.String()
}
