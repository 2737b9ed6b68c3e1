package resp

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/task"
)

// A parking is a connection whose client waits in XREAD or XREADGROUP. Serve has returned, so that the engine goes on reading, and
// notices when the client hangs up, or is to be drained or killed. A goroutine of the session waits in its place; what the client
// sends meanwhile is held, and served by that goroutine once the reply is sent.
type parking struct {
	wait    func(ctx context.Context, r *Request) error // makes the reply
	release func()                                      // gives up what was taken to wait
	name    *command
}

// held is what is kept of a connection that waits, or has waited and left a part of a request here.
type held struct {
	running sync.WaitGroup // the goroutine that waits

	mu     sync.Mutex
	bytes  []byte
	parked bool
	cancel context.CancelFunc // ends the wait
}

// park has a goroutine go on where Serve stops.
func (s *session) park(c *engine.Conn, p *parking, rest []byte) {
	h := &s.details().held
	ctx, cancel := context.WithCancel(c.Context())
	h.mu.Lock()
	h.parked, h.cancel = true, cancel
	h.bytes = append([]byte(nil), rest...)
	h.mu.Unlock()
	s.set(stateHeld, true)
	h.running.Go(func() {
		defer cancel()
		returned := false
		defer func() {
			if !returned {
				s.caught(c, recover())
			}
		}()
		s.unpark(ctx, c, h, p)
		returned = true
	})
}

// caught ends the connection of a command that panicked, or called runtime.Goexit.
func (s *session) caught(c *engine.Conn, p any) {
	if p == nil {
		p = task.ErrGoexit
	}
	c.Logger().Error("a handler panicked; its connection is closed", "doing", "serving requests that had to wait", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	c.Close(engine.ReasonPanic, fmt.Errorf("panic while serving requests that had to wait: %v", p))
}

// unpark waits, replies, and serves what was held, until there is nothing left to do.
func (s *session) unpark(ctx context.Context, c *engine.Conn, h *held, p *parking) {
	for p != nil {
		s.reply(ctx, c, p)
		var in []byte
		for p = nil; p == nil && ctx.Err() == nil; {
			h.mu.Lock()
			if len(h.bytes) == len(in) { // nothing new
				h.parked = false
				s.set(stateHeld, len(in) > 0)
				h.mu.Unlock()
				return
			}
			in = h.bytes
			h.mu.Unlock()
			used, next, err := s.serve(c, in)
			if err != nil {
				c.Close(engine.ReasonOf(err, engine.ReasonProtocol), err)
				return
			}
			h.mu.Lock()
			h.bytes = h.bytes[used:]
			in = in[used:]
			h.mu.Unlock()
			p = next
		}
	}
}

// reply waits for the reply of one command, and sends it.
func (s *session) reply(ctx context.Context, c *engine.Conn, p *parking) {
	release := sync.OnceFunc(p.release) // before the reply is sent: who has got it waits no longer
	defer release()
	r := s.proto.begin(s, c)
	defer r.end()
	r.cmd, r.want = p.name, 1
	r.resp3 = s.is(stateRESP3)
	r.running = true
	err := p.wait(ctx, r)
	release()
	r.running = false
	if err != nil {
		r.fail(string(storeError(err)))
	}
}

// hold takes bytes that come while the client waits, or behind a part of a request that came then.
func (s *session) hold(c *engine.Conn, in []byte) (int, error) {
	h := &s.details().held
	h.mu.Lock()
	if most := c.Engine().MessageLimit(); len(h.bytes)+len(in) > most {
		h.mu.Unlock()
		return 0, engine.Because(engine.ReasonTooLarge, fmt.Errorf("more than %d bytes of requests behind one that waits", most))
	}
	h.bytes = append(h.bytes, in...)
	parked, all := h.parked, h.bytes
	h.mu.Unlock()
	if parked {
		return len(in), nil
	}
	used, p, err := s.serve(c, all)
	if p != nil {
		s.park(c, p, all[used:])
		return len(in), err
	}
	h.bytes = all[used:]
	s.set(stateHeld, len(h.bytes) > 0)
	return len(in), err
}

// leave ends the wait, and waits for its goroutine.
func (s *session) leave() {
	d := s.more.Load()
	if d == nil {
		return
	}
	d.held.mu.Lock()
	cancel := d.held.cancel
	d.held.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	d.held.running.Wait()
}
