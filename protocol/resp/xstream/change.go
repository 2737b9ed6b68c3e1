package xstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/spate-io/spate/store"
)

// A change is what one command commits. One that is larger than a batch may be is committed in parts, each of which leaves
// things in order. It is made and submitted with the lock of its key, and waited for without.
type change struct {
	k              *key
	state          map[string][]byte // nil is a deletion
	batch          *store.Batch
	added, removed counts // by what is in state
	waits          sync.WaitGroup
	mu             sync.Mutex
	failed         error
}

func (k *key) change() *change {
	return &change{k: k, state: map[string][]byte{}, batch: &store.Batch{}}
}

// put writes a piece of state, and del removes one. The last word about a key is what is committed.
func (c *change) put(key string, data []byte) {
	c.state[key] = data
	c.limit()
}

func (c *change) del(key string) {
	c.state[key] = nil
	c.limit()
}

// puts is put of something that is counted and new. It fails if there are too many.
func (c *change) puts(kind int, key string, data []byte) error {
	if !c.k.set.census.reserve(c.k.home.Load(), kind) {
		return c.k.set.tooMany(kind)
	}
	c.added[kind]++
	c.put(key, data)
	return nil
}

// dels is del of something that is counted.
func (c *change) dels(kind int, key string) {
	c.removed[kind]++
	c.del(key)
}

// remove takes a record out.
func (c *change) remove(offset uint64) {
	c.k.ids.Lock()
	if c.k.gone == nil {
		c.k.gone = map[uint64]struct{}{}
	}
	c.k.gone[offset] = struct{}{}
	c.k.ids.Unlock()
	c.batch.Removes = append(c.batch.Removes, store.Position{Partition: c.k.part, Offset: offset})
	if m := c.k.strange.Load(); m != nil {
		if _, ok := (*m)[offset]; ok {
			c.del(c.k.stateKey(stateStrange, offset))
		}
	}
	c.limit()
}

// limit submits what would become too large.
func (c *change) limit() {
	if len(c.state)+c.batch.Operations() >= c.k.set.most {
		c.submit()
	}
}

// submit hands over what there is.
func (c *change) submit() {
	b := c.batch
	for key, data := range c.state {
		if data == nil {
			b.Deletes = append(b.Deletes, key)
		} else {
			b.Puts = append(b.Puts, store.Put{Key: key, Data: data})
		}
	}
	if b.Operations() == 0 {
		return
	}
	added, removed := c.added, c.removed
	c.batch, c.state, c.added, c.removed = &store.Batch{}, map[string][]byte{}, counts{}, counts{}
	k, h := c.k, c.k.home.Load()
	k.retain()
	k.flight.Add(1)
	c.waits.Add(1)
	done := func(err error) {
		k.set.census.committed(h, added, removed, err)
		if err != nil {
			k.broken.Store(true)
			c.mu.Lock()
			c.failed = errors.Join(c.failed, fmt.Errorf("storing a change of the stream at key %.80q: %w", k.name, err))
			c.mu.Unlock()
		}
		k.left(b.Removes, err)
		k.flight.Done()
		k.release()
		c.waits.Done()
	}
	if !k.hand(func() { k.set.store.Submit(b, done) }) {
		done(errMoved)
	}
}

// errMoved means that the stream of a key was removed or changed while a command was at work.
var errMoved = errors.New("the stream that holds it has just been changed or removed: try again")

// hand calls submit, and tells whether it has: not if the stream of the key is another one by now. One that is removed meanwhile is removed
// after that, so nothing of an old stream reaches a new one.
func (k *key) hand(submit func()) (same bool) {
	k.set.log.Capture(func() {
		if same = k.set.log.Changes() == k.changes; !same {
			found, _ := k.set.streamOf(k.name)
			same = found == k.stream
		}
		if same {
			submit()
		}
	})
	return same
}

// left forgets records that have been removed, or, after an error, have not.
func (k *key) left(removed []store.Position, err error) {
	if len(removed) == 0 {
		return
	}
	if x := k.index; x != nil && err == nil {
		x.drop(removed)
	}
	k.ids.Lock()
	defer k.ids.Unlock()
	for _, at := range removed {
		delete(k.gone, at.Offset)
	}
}

func (c *change) wait() error {
	c.waits.Wait()
	return c.failed
}

// meta is what is stored about a key, beside its entries and its groups.
type meta struct {
	exists     bool  // also without entries
	own        bool  // what added means
	added      int64 // entries ever; for a partition of the key's own, how many more than the offset of its end
	maxDeleted ID
	seen       uint64 // all records before it are counted, and the IDs of those that are strange are stored
}

const metaVersion = 1

// putMeta has what is known about the key stored.
func (c *change) putMeta() {
	k := c.k
	last, assigned := k.top()
	data := []byte{metaVersion, boolBit(k.meta.exists) | boolBit(k.own)<<1}
	data = binary.AppendVarint(data, k.meta.added)
	data = appendID(data, k.meta.maxDeleted)
	data = binary.AppendUvarint(data, k.meta.seen)
	data = appendID(data, k.seenLast)
	data = appendID(data, last)
	data = appendID(data, assigned)
	c.put(k.stateKey(stateMeta), data)
}

func boolBit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendID(dst []byte, id ID) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, id.Ms), id.Seq)
}

// A decoder reads what was stored. After an error everything is zero.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) uint() uint64 {
	n, used := binary.Uvarint(d.data)
	return d.took(n, used)
}

func (d *decoder) int() int64 {
	n, used := binary.Varint(d.data)
	return int64(d.took(uint64(n), used))
}

func (d *decoder) took(n uint64, used int) uint64 {
	if used <= 0 {
		d.bad, d.data = true, nil
		return 0
	}
	d.data = d.data[used:]
	return n
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.bad = true
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) id() ID {
	ms := d.uint()
	return ID{ms, d.uint()}
}

func (d *decoder) text() string {
	n := d.uint()
	if n > uint64(len(d.data)) {
		d.bad = true
		return ""
	}
	text := string(d.data[:n])
	d.data = d.data[n:]
	return text
}

var errState = errors.New("the stored state is of another version, or damaged")

// load reads what is stored about the key. Called with the lock.
func (k *key) load(ctx context.Context) error {
	k.meta, k.seenLast, k.next, k.trimmed, k.numbers, k.counted = meta{}, ID{}, 0, 0, 0, false
	k.groups = map[string]*group{}
	k.strange.Store(nil)
	last, assigned := ID{}, ID{}
	v, err := k.set.store.Get(ctx, k.stateKey(stateMeta))
	if err != nil {
		return err
	}
	if v.Revision != 0 {
		d := decoder{data: v.Data}
		version := d.byte()
		flags := d.byte()
		k.meta = meta{exists: flags&1 != 0, own: flags&2 != 0, added: d.int(), maxDeleted: d.id(), seen: d.uint()}
		k.seenLast, last, assigned = d.id(), d.id(), d.id()
		if d.bad || version != metaVersion {
			return errState
		}
		switch seen := int64(k.meta.seen); { // the filters of the stream may have been changed since
		case k.meta.own && !k.own:
			k.meta.added += seen
		case !k.meta.own && k.own:
			k.meta.added -= seen
		}
	}
	k.ids.Lock()
	k.last, k.assigned, k.gone = last, assigned, nil
	k.ids.Unlock()
	if err := k.loadStrange(ctx); err != nil {
		return err
	}
	return k.loadGroups(ctx)
}

// numbersOf returns the numbers at the end of the name of a piece of state.
func (k *key) numbersOf(kind, name string) (numbers []uint64) {
	rest := name[len(kind)+homeDigits+len(k.name)+2:]
	for ; len(rest) >= 8; rest = rest[8:] {
		numbers = append(numbers, binary.BigEndian.Uint64([]byte(rest[:8])))
	}
	return append(numbers, 0, 0, 0) // whoever takes too many gets zeros
}

func (k *key) loadStrange(ctx context.Context) error {
	found := map[uint64]ID{}
	err := k.set.eachState(ctx, k.stateKey(stateStrange), func(e store.Entry) error {
		d := decoder{data: e.Data}
		found[k.numbersOf(stateStrange, e.Key)[0]] = d.id()
		if d.bad {
			return errState
		}
		return nil
	})
	if len(found) > 0 {
		k.strange.Store(&found)
	}
	return err
}
