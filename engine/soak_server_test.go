package engine_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/engine"
)

// soakProtocol does with a connection what its first byte says:
//
//	E  echo             e  the same, but it may be killed
//	Q  a farewell of as many bytes as the length of the request's line
//	S  subscribe, with the policy that the next byte says; s may be killed
//	P  panic            B  block for a second, or until the connection closes
type soakProtocol struct{ k *soak }

func (*soakProtocol) Name() string { return "soak" }

func (p *soakProtocol) Open(c *engine.Conn) engine.Session {
	s := &soakSession{k: p.k, c: c}
	p.k.hub.add(&p.k.hub.open, s)
	return s
}

type soakSession struct {
	k      *soak
	c      *engine.Conn
	policy engine.Overflow
	mode   byte
	mortal atomic.Bool
	busy   atomic.Bool
	seen   atomic.Int32 // mode, for Describe
	closed atomic.Bool
}

func (s *soakSession) Serve(c *engine.Conn, in []byte) (n int, err error) {
	if s.busy.Swap(true) || s.closed.Load() {
		s.k.t.Error("two methods of a session run at the same time, or after Close")
	}
	defer s.busy.Store(false)
	if s.mode == 0 {
		s.mode = in[0]
		s.mortal.Store(s.mode >= 'a' && s.mode <= 'z')
		s.seen.Store(int32(s.mode))
		in, n = in[1:], 1
	}
	switch s.mode | 0x20 {
	case 'e':
		return n + len(in), echoSomehow(c, in)
	case 'q':
		line, _, ok := bytes.Cut(in, []byte("\n"))
		if !ok {
			return n, nil
		}
		_, _ = c.Write(bytes.Repeat([]byte("q"), len(line)*100))
		return n + len(line) + 1, engine.Because(engine.ReasonQuit, nil)
	case 's':
		if len(in) > 0 && s.policy == 0 {
			s.policy = engine.Overflow(in[0] - '0')
			s.k.hub.add(&s.k.hub.subscribed, s)
		}
		return n + len(in), nil
	case 'p':
		panic("as told")
	case 'b':
		select {
		case <-c.Context().Done():
		case <-time.After(time.Second):
		}
		return n + len(in), nil
	}
	return n, errors.New("no such mode")
}

// echoSomehow answers with p, in one of the ways that there are.
func echoSomehow(c *engine.Conn, p []byte) error {
	var err error
	switch rand.IntN(4) {
	case 0:
		_, err = c.WriteThrough(p)
	case 1:
		err = c.Push(p, engine.Block)
	case 2:
		half := len(p) / 2
		if _, err = c.Write(p[:half]); err == nil {
			c.Flush()
			_, err = c.WriteThrough(p[half:])
		}
	default:
		_, err = c.Write(p)
	}
	if rand.IntN(50) == 0 {
		<-time.After(time.Duration(rand.IntN(3)) * time.Millisecond)
	}
	return err
}

func (s *soakSession) Close(c *engine.Conn, why error) {
	if s.busy.Load() || s.closed.Swap(true) || engine.ReasonOf(why, engine.ReasonNone) == engine.ReasonNone {
		s.k.t.Errorf("a session was closed while it serves, twice, or for no reason: %v", why)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, engine.ErrClosed) {
		s.k.t.Errorf("writing from Close returned %v", err)
	}
	c.Close(engine.ReasonQuit, nil) // only the first counts
	s.k.hub.remove(s)
}

func (s *soakSession) Describe() (user, detail string) { return "", string(s.seen.Load()) }

// hub knows the sessions that are open, and those that are subscribed.
type hub struct {
	mu               sync.Mutex
	open, subscribed map[*soakSession]bool
}

func (h *hub) add(to *map[*soakSession]bool, s *soakSession) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *to == nil {
		*to = map[*soakSession]bool{}
	}
	(*to)[s] = true
}

func (h *hub) remove(s *soakSession) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, s)
	delete(h.subscribed, s)
}

func (h *hub) all() []*soakSession {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*soakSession
	for s := range h.subscribed {
		all = append(all, s)
	}
	return all
}

func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}
