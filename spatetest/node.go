package spatetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
)

// A Node is an App in memory that runs until the test ends. Make it with [New].
type Node struct {
	t       testing.TB
	opts    Options
	end     chan struct{} // closed when the test ends
	running sync.WaitGroup
	record  record

	mu     sync.Mutex
	store  *memstore.Store
	life   *life
	before func(*store.Batch) bool // when to crash
	after  func(*store.Batch) bool
	refuse refusal
	failed error // why there is no further life
}

// A life is the time between two crashes.
type life struct {
	app     *spate.App
	store   *memstore.Store
	cancel  context.CancelFunc
	over    chan error    // of Run
	crashed chan struct{} // closed by the crash
	next    chan struct{} // closed when the next life has begun, or cannot
}

// New runs a node until the test ends. There may be at most one Options.
func New(t testing.TB, options ...Options) *Node {
	t.Helper()
	if len(options) > 1 {
		t.Fatal("spatetest.New takes at most one Options")
	}
	n := &Node{t: t, end: make(chan struct{})}
	if len(options) == 1 {
		n.opts = options[0]
	}
	n.opts = n.opts.withDefaults(t)
	n.record.changed = make(chan struct{})
	n.store = memstore.New(memstore.Options{
		Clock: n.opts.App.Clock, Limits: n.opts.Limits, BeforeCommit: n.beforeCommit, AfterCommit: n.afterCommit,
	})
	first, err := n.begin(n.store)
	if err != nil {
		_ = n.store.Close() // of a store in memory it has no error
		t.Fatalf("the node does not start: %v", err)
	}
	n.mu.Lock()
	n.life = first
	n.mu.Unlock()
	n.running.Go(func() { n.keep(first) })
	t.Cleanup(n.stop)
	n.await(first)
	return n
}

// await waits until the consumers run, so that a fault of the store does not hit an App that is only beginning.
func (n *Node) await(l *life) {
	n.t.Helper()
	ctx, cancel := n.patient()
	defer cancel()
	for {
		changed := n.record.more()
		err := l.works(ctx)
		if err == nil {
			return
		}
		_, dead := n.alive(ctx)
		if waited := pause(ctx, changed); waited != nil || dead != nil {
			n.t.Fatalf("waiting for the node to run: %v", errors.Join(dead, waited, err))
		}
	}
}

// begin makes an App on what the store holds, and runs it.
func (n *Node) begin(s *memstore.Store) (*life, error) {
	o := n.opts.App
	o.Store = s
	l := &life{app: n.opts.Make(o), store: s, over: make(chan error, 1), crashed: make(chan struct{}), next: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	err := n.prepare(l.app)
	if err != nil {
		cancel()
		return nil, errors.Join(err, l.app.Close())
	}
	n.running.Go(func() { l.over <- l.app.Run(ctx) })
	return l, nil
}

func (n *Node) prepare(app *spate.App) error {
	if app.Bus() == nil || app.Consumers() == nil {
		return app.Run(context.Background()) // says what is wrong with the options
	}
	listener := app.Bus().NewClient(live{n, app})
	if _, err := listener.Subscribe("#"); err != nil {
		return err
	}
	return n.opts.Setup(app)
}

// keep gives the node one life after the other, until the test ends.
func (n *Node) keep(l *life) {
	for l != nil {
		select {
		case <-n.end:
			l.cancel()
			if err := <-l.over; err != nil {
				n.t.Errorf("the node did not end well: %v", err)
			}
			return
		case err := <-l.over:
			n.t.Errorf("the node ended by itself: %v", err)
			n.fail(l, fmt.Errorf("the node ended by itself: %w", err))
			return
		case <-l.crashed:
			_ = l.store.Close() // answers what was still to be committed
			l.cancel()
			<-l.over //nolint:errcheck // what cannot be finished on a store that crashed is what the test is about
			l = n.again(l)
		}
	}
}

// again begins the life after a crash.
func (n *Node) again(old *life) *life {
	n.mu.Lock()
	s := n.store
	n.mu.Unlock()
	l, err := n.begin(s)
	if err != nil {
		n.t.Errorf("the node does not start again after a crash: %v", err)
		n.fail(old, err)
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.life = l
	close(old.next)
	return l
}

func (n *Node) fail(l *life, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failed = err
	close(l.next)
}

// works says what is still to begin, or nothing.
func (l *life) works(ctx context.Context) error {
	if _, err := l.app.Streams().Get(consumer.RedriveStream); err != nil {
		return err
	}
	all, err := l.app.Consumers().List(ctx)
	for _, c := range all {
		if !c.Running && !c.Paused && c.Error == "" {
			return fmt.Errorf("the consumer %q does not run", c.Name)
		}
	}
	return err
}

// stop ends the node with the test.
func (n *Node) stop() {
	close(n.end)
	n.running.Wait()
	n.mu.Lock()
	s := n.store
	n.mu.Unlock()
	if err := s.Close(); err != nil {
		n.t.Errorf("closing the store: %v", err)
	}
}

// App returns the App of this life. After a crash there is another one.
func (n *Node) App() *spate.App {
	l, err := n.alive(n.t.Context())
	if err != nil {
		n.t.Errorf("there is no App: %v", err)
		return n.last().app
	}
	return l.app
}

func (n *Node) last() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// alive waits for a life that has not crashed.
func (n *Node) alive(ctx context.Context) (*life, error) {
	for {
		n.mu.Lock()
		l, failed := n.life, n.failed
		n.mu.Unlock()
		if failed != nil {
			return nil, failed
		}
		select {
		case <-l.crashed:
		default:
			return l, nil
		}
		select {
		case <-l.next:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the node to start again after a crash: %w", context.Cause(ctx))
		}
	}
}

// patient returns a context for what must happen soon.
func (n *Node) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(n.t.Context(), n.opts.Patience, fmt.Errorf("it has not happened within %v", n.opts.Patience))
}

// pause waits for something to be committed or published, or for a moment, since not everything that is waited for makes a commit.
func pause(ctx context.Context, changed <-chan struct{}) error {
	const moment = 20 * time.Millisecond
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
