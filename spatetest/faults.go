package spatetest

import (
	"github.com/spate-io/spate/store"
)

// beforeCommit and afterCommit are called by the store around each commit.
func (n *Node) beforeCommit(b *store.Batch) error {
	n.crashIf(&n.before, b) // a crash refuses the batch by itself
	n.mu.Lock()
	match := n.refuse.match
	n.mu.Unlock()
	if match == nil || !match(b) {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse.left--; n.refuse.left == 0 {
		n.refuse.match = nil
	}
	return n.refuse.err
}

// refusal is commits that are to fail.
type refusal struct {
	left  int
	match func(*store.Batch) bool
	err   error
}

func (n *Node) afterCommit(b *store.Batch) {
	n.record.commit(b)
	n.crashIf(&n.after, b)
}

// crashIf crashes if that was planned for such a batch. The plan is made by the test and looked at by the store, and called without a lock.
func (n *Node) crashIf(plan *func(*store.Batch) bool, b *store.Batch) {
	n.mu.Lock()
	match := *plan
	n.mu.Unlock()
	if match == nil || !match(b) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	*plan = nil
	n.crashLocked()
}

// crashLocked ends this life, unless it has ended.
func (n *Node) crashLocked() {
	if n.life == nil || n.life.hasCrashed() {
		return
	}
	n.store = n.store.Reopen()
	close(n.life.crashed)
}

// Crash crashes the node now, and returns when it runs again.
func (n *Node) Crash() {
	n.t.Helper()
	n.mu.Lock()
	n.crashLocked()
	n.mu.Unlock()
	n.recovered()
}

// recovered returns when the node lives.
func (n *Node) recovered() {
	n.t.Helper()
	ctx, cancel := n.patient()
	defer cancel()
	if _, err := n.alive(ctx); err != nil {
		n.t.Fatalf("after a crash: %v", err)
	}
}

// CrashBefore crashes the node just before the next commit for which match returns true; nil is any commit. Nothing of the batch is kept.
// Match is called from a goroutine of the store and must not block.
func (n *Node) CrashBefore(match func(*store.Batch) bool) { n.plan(&n.before, match) }

// CrashAfter crashes the node just after the next commit for which match returns true, before anybody is told of it; nil is any commit. The batch
// is kept. Match is called from a goroutine of the store and must not block.
func (n *Node) CrashAfter(match func(*store.Batch) bool) { n.plan(&n.after, match) }

func (n *Node) plan(which *func(*store.Batch) bool, match func(*store.Batch) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*which = orAny(match)
}

func orAny(match func(*store.Batch) bool) func(*store.Batch) bool {
	if match == nil {
		return func(*store.Batch) bool { return true }
	}
	return match
}

// Appends returns a match for [Node.CrashBefore], [Node.CrashAfter] and [Node.FailCommits]: a commit that stores an event whose subject the filter matches.
func (n *Node) Appends(filter string) func(*store.Batch) bool {
	n.t.Helper()
	f := n.filter(filter)
	return func(b *store.Batch) bool {
		for i := range b.Appends {
			if f.Match(b.Appends[i].Event.Subject) {
				return true
			}
		}
		return false
	}
}

// FailCommits makes the next count commits for which match returns true fail with an error; nil is any commit. Nothing of them is kept, and others
// work. A consumer whose commit fails begins again from its last one after a pause. Match is called from a goroutine of the store and must not block.
func (n *Node) FailCommits(count int, match func(*store.Batch) bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = refusal{left: max(1, count), match: orAny(match), err: err}
}

// FailDisk makes the store behave as after a write or an fsync that failed: nothing is taken any more, until [Node.Crash].
func (n *Node) FailDisk(err error) {
	n.t.Helper()
	n.disk().Fail(err)
}

// FillDisk says whether the disk is full. While it is, nothing can be stored, and everything can be read.
func (n *Node) FillDisk(full bool) {
	n.t.Helper()
	n.disk().SetFull(full)
}

// Corrupt makes a record fail its checksum from now on.
func (n *Node) Corrupt(at store.Position) {
	n.t.Helper()
	if !n.disk().Corrupt(at) {
		n.t.Fatalf("there is no record at offset %d of partition %d of the stream %q", at.Offset, at.Number, at.Stream)
	}
}

// disk returns the store of a life that has begun.
func (n *Node) disk() faulty {
	n.t.Helper()
	n.recovered()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.store
}

// faulty is what can be made to fail.
type faulty interface {
	Fail(err error)
	SetFull(full bool)
	Corrupt(at store.Position) bool
}
