package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/task"
)

// Host is whatever has a node: an application, or a [Node] itself.
type Host interface {
	// Node returns the node, always the same. It is nil if there is none, and then all that needs it is [ErrNoHost].
	Node() *Node
}

// ErrNoHost means that an application has no node, since it could not be made.
var ErrNoHost = errors.New("there is no node: the options of the application are wrong, as its Run says")

// nodeOf returns the node of a host.
func nodeOf(h Host) (*Node, error) {
	if n := h.Node(); n != nil {
		return n, nil
	}
	return nil, ErrNoHost
}

// NodeOptions configures a [Node].
type NodeOptions struct {
	// Bus is what events travel on. Required.
	Bus *Bus
	// Consumers is the durable handlers, on the streams of the bus. Default: a set of the node's own, if the bus has streams. The node runs it.
	Consumers *consumer.Set
	// Middleware is put around every handler, live handler and responder, the first one outermost. Default: none.
	Middleware []Middleware
	// Logger is told of live events that could not be handled and of streams that are made. Default: nobody is.
	Logger *slog.Logger
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
	// Grace is how long handlers may go on after Run's context has ended, before theirs end. Default [consumer.DefaultGrace].
	Grace time.Duration
	// Abort ends what Grace allows when it ends. Default: never.
	Abort context.Context
}

// Node runs handlers, live handlers and responders on a bus. Its methods are safe for concurrent use.
type Node struct {
	opts    NodeOptions
	replies replies

	mu     sync.Mutex
	live   []*liveHandler
	errs   []error // of what was added, for Run
	scope  *task.Scope
	ctx    context.Context // of Run, while it runs
	hard   context.Context // of handlers
	ran    bool
	closed bool
}

// NewNode returns a node to which handlers can be added. They work from [Node.Run] on.
func NewNode(o NodeOptions) *Node {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Grace <= 0 {
		o.Grace = consumer.DefaultGrace
	}
	if o.Abort == nil {
		o.Abort = context.Background()
	}
	if b := o.Bus; o.Consumers == nil && b.Streams() != nil {
		o.Consumers = consumer.NewSet(consumer.Options{
			Log: b.Streams(), Prepare: b.Prepare, Reserve: b.Reserve, Deliver: b.DeliverStored, Logger: o.Logger, Clock: o.Clock, Grace: o.Grace, Abort: o.Abort,
		})
	}
	return &Node{opts: o}
}

// Node returns n, which makes it a [Host].
func (n *Node) Node() *Node { return n }

// Bus returns what events travel on.
func (n *Node) Bus() *Bus { return n.opts.Bus }

// Consumers returns the durable handlers, to look at and to manage. It is nil if nothing can be stored.
func (n *Node) Consumers() *consumer.Set { return n.opts.Consumers }

// Err returns what was wrong with handlers that could not be added. [Node.Run] returns it too.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(n.errs...)
}

// refuse keeps an error of an addition for Run.
func (n *Node) refuse(what, name string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s %q: %w", what, name, err)
	if n == nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ran { // later ones are only their caller's: they would pile up
		n.errs = append(n.errs, err)
	}
	return err
}

// ErrRan means that a node was run a second time, or that a handler was added to one that has ended.
var ErrRan = errors.New("the node has been run already")

// Run runs all handlers until the context ends. Then nothing new is taken up, what is being handled, and what waits in queues, is finished
// within Grace; what could not be committed by then is given up, and is its error. It waits for handlers that go on after their contexts have ended: [Node.Busy]
// says which. It may be called once. If a handler could not be added, it returns why, at once.
func (n *Node) Run(ctx context.Context) error {
	if err := n.Err(); err != nil {
		n.end()
		return err
	}
	ctx, stop := context.WithCancel(WithNode(ctx, n))
	defer stop()
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := n.begin(ctx, hard, stop); err != nil {
		return err
	}
	<-ctx.Done()
	grace := time.AfterFunc(n.opts.Grace, cancel)
	defer grace.Stop()
	defer context.AfterFunc(n.opts.Abort, cancel)()
	n.end()
	err := n.scope.Wait()
	n.replies.close()
	return err
}

// end has live handlers take up nothing more.
func (n *Node) end() {
	n.mu.Lock()
	n.closed = true
	live := n.live
	n.mu.Unlock()
	for _, l := range live {
		l.queue.Close()
	}
}

// Busy says what is being handled now, a sentence for each consumer, live handler and responder that handles anything.
func (n *Node) Busy() []string {
	var all []string
	if set := n.opts.Consumers; set != nil {
		all = set.Busy()
	}
	for _, l := range n.Live() {
		if l.Busy > 0 {
			all = append(all, fmt.Sprintf("the live handler %q of %q handles %d events", l.Name, l.Filter, l.Busy))
		}
	}
	return all
}

// LiveInfo is what there is to know about a live handler or a responder.
type LiveInfo struct {
	Name    string `json:"name"`
	Filter  string `json:"filter"`
	Queued  int    `json:"queued"`  // events that wait
	Busy    int    `json:"busy"`    // events that are being handled
	Dropped uint64 `json:"dropped"` // events that were lost because the queue was full
}

// Live returns the live handlers and responders, in the order in which they were added.
func (n *Node) Live() []LiveInfo {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]LiveInfo, len(n.live))
	for i, l := range n.live {
		all[i] = LiveInfo{Name: l.name, Filter: l.filter, Dropped: l.queue.Dropped()}
		all[i].Queued, all[i].Busy = l.busy()
	}
	return all
}

// begin starts everything. If the consumers cannot run, the node does not either.
func (n *Node) begin(ctx, hard context.Context, stop func()) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ran {
		return ErrRan
	}
	n.ran, n.ctx, n.hard = true, ctx, hard
	n.scope = &task.Scope{Policy: task.KeepGoing}
	if set := n.opts.Consumers; set != nil {
		n.scope.Go(context.WithoutCancel(ctx), "consumers", func(context.Context) error {
			defer stop()
			return set.Run(ctx)
		})
	}
	for _, l := range n.live {
		n.startLocked(l)
	}
	return nil
}

// add enters a live handler, and starts it if the node runs.
func (n *Node) add(l *liveHandler) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrRan
	}
	n.live = append(n.live, l)
	if n.scope != nil {
		n.startLocked(l)
	}
	return nil
}

func (n *Node) startLocked(l *liveHandler) {
	hard := n.hard
	n.scope.Go(context.WithoutCancel(n.ctx), l.kind+" "+l.name, func(context.Context) error {
		l.run(hard)
		return nil
	})
}
