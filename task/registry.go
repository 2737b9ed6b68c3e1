package task

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Registry lists live tasks. Give it to a context with WithRegistry: every task spawned under that context
// is listed from before its function is called until after it has returned. The zero Registry is ready; it
// must not be copied. All methods may be called from any goroutine.
//
// Cost: two short critical sections and one reading of the clock per task, about 120 ns, no allocation.
type Registry struct {
	lastID   atomic.Uint64
	failed   atomic.Uint64
	panicked atomic.Uint64
	shards   [registryShards]shard
}

type shard struct {
	mu   sync.Mutex
	head *node // newest first
	live int
	_    [40]byte // to a cache line of 64, so that two shards never share one
}

// Info is one live task in a Snapshot.
type Info struct {
	// ID is unique in its Registry; later tasks have larger ones. It is never 0.
	ID uint64
	// Parent is the ID of the nearest listed task whose context the task was spawned under, or 0.
	// The parent may have ended already.
	Parent uint64
	// Name is what the task was spawned with.
	Name string
	// Started is when it was admitted, and Age how long before the snapshot that was.
	Started time.Time
	Age     time.Duration
	// Canceled says that the task's context has ended and its function has not returned yet. A task that
	// stays so is what a shutdown is waiting for.
	Canceled bool
}

// Stats count the tasks of a Registry.
type Stats struct {
	// Live is how many are listed now; Started, how many ever were.
	Live, Started uint64
	// Failed is how many ended with an error, panics among them; Panicked, how many of those panicked.
	Failed, Panicked uint64
}

// WithRegistry returns a context under which spawned tasks are listed in r. A nil r ends the listing that an
// outer context asked for.
func WithRegistry(ctx context.Context, r *Registry) context.Context {
	return context.WithValue(ctx, registryKey{}, r)
}

// Snapshot returns the live tasks in the order in which they were started. Tasks that start or end meanwhile
// may or may not be among them.
//
// Cost: one allocation of 72 bytes and about 0.6 µs per live task, mostly sorting; a spawn waits for less than
// a sixteenth of that.
func (r *Registry) Snapshot() []Info {
	now := time.Now()
	infos := make([]Info, 0, r.Stats().Live)
	for i := range r.shards {
		infos = r.shards[i].appendTo(infos, now)
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.ID, b.ID) })
	return infos
}

// Stats returns the counts.
func (r *Registry) Stats() Stats {
	st := Stats{Started: r.lastID.Load(), Failed: r.failed.Load(), Panicked: r.panicked.Load()}
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.Lock()
		st.Live += uint64(sh.live)
		sh.mu.Unlock()
	}
	return st
}

func (sh *shard) appendTo(infos []Info, now time.Time) []Info {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for n := sh.head; n != nil; n = n.inRegistry.next {
		infos = append(infos, Info{
			ID: n.id, Parent: n.parentID, Name: n.name,
			Started: n.started, Age: max(0, now.Sub(n.started)), Canceled: n.Err() != nil,
		})
	}
	return infos
}

// add lists n in its registry, if it has one.
func (n *node) add() {
	r := n.registry
	if r == nil {
		return
	}
	n.id, n.started = r.lastID.Add(1), time.Now()
	for p := n.parent; p != nil && n.parentID == 0; p = p.parent {
		if p.registry == r {
			n.parentID = p.id
		}
	}
	sh := &r.shards[n.id%registryShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n.inRegistry.next = sh.head
	if sh.head != nil {
		sh.head.inRegistry.prev = n
	}
	sh.head = n
	sh.live++
}

// remove undoes add and counts how n ended.
func (n *node) remove(err error, panicked bool) {
	r := n.registry
	if r == nil {
		return
	}
	if err != nil {
		r.failed.Add(1)
		if panicked {
			r.panicked.Add(1)
		}
	}
	sh := &r.shards[n.id%registryShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if prev := n.inRegistry.prev; prev != nil {
		prev.inRegistry.next = n.inRegistry.next
	} else {
		sh.head = n.inRegistry.next
	}
	if next := n.inRegistry.next; next != nil {
		next.inRegistry.prev = n.inRegistry.prev
	}
	n.inRegistry = links{}
	sh.live--
}
