package task

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"
)

// A node is what a running task is to its scope, to its registry and to its children: it is the context that
// the task's function gets, and so the way by which children find their parent. The fields above the lists
// never change once the task runs, because contexts derived from it may be read at any time.
type node struct {
	context.Context // ends when the function returns, or by cancel
	cancel          context.CancelCauseFunc
	name            string
	scope           *Scope
	parent          *node
	inline          bool // the body of Scope.Run: runs on its caller's goroutine and takes no slot
	registry        *Registry
	id, parentID    uint64
	started         time.Time

	canceled atomic.Bool // by its own Cancel, so that its end is no failure of the scope

	inScope    links // guarded by scope.mu
	inRegistry links // guarded by the lock of the registry's shard
}

// links are a node's place in an intrusive list: adding and removing cost no allocation and no search.
type links struct{ prev, next *node }

// keys under which a context answers with its innermost node and its registry.
type (
	nodeKey     struct{}
	registryKey struct{}
)

// prepare makes n a task of s under ctx, not yet admitted.
func (n *node) prepare(ctx context.Context, s *Scope, name string) {
	n.name, n.scope = name, s
	n.parent, _ = ctx.Value(nodeKey{}).(*node)
	n.registry, _ = ctx.Value(registryKey{}).(*Registry)
	n.Context, n.cancel = context.WithCancelCause(ctx)
}

// Value answers for the package's own keys at once, so that finding parent and registry does not walk
// through every context above.
func (n *node) Value(key any) any {
	switch key.(type) {
	case nodeKey:
		return n
	case registryKey:
		return n.registry
	}
	return n.Context.Value(key)
}

// String keeps fmt from reading the fields while they are in use.
func (n *node) String() string { return "task " + strconv.Quote(n.name) }

// running reports whether the goroutine that holds ctx is running n: n itself, or the body of a Scope.Run in it.
func running(ctx context.Context, n *node) bool {
	at, _ := ctx.Value(nodeKey{}).(*node)
	for at != nil && at.inline {
		at = at.parent
	}
	return at == n
}

// holdsSlot reports whether ctx belongs to a task of s, or to something below one.
func holdsSlot(ctx context.Context, s *Scope) bool {
	at, _ := ctx.Value(nodeKey{}).(*node)
	for ; at != nil; at = at.parent {
		if at.scope == s && !at.inline {
			return true
		}
	}
	return false
}
