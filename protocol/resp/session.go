package resp

import (
	"sync"
	"sync/atomic"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp/wire"
)

// A session is what is kept of a connection while it waits: 64 bytes, and details for the few that need them.
type session struct {
	proto  *Protocol
	id     auth.Identity // the zero value for those who have yet to log in
	judged uint64        // the auth generation under which id was last found to be good
	reader wire.Reader
	more   atomic.Pointer[details]
	state  atomic.Uint32 // bits; written by the connection's own task only
	last   atomic.Uint32 // the last command, by its number in the table; 0 is none
}

// Bits of session.state.
const (
	stateGuest      uint32 = 1 << iota // has yet to authenticate
	stateOpen                          // no access rule is asked: everything is allowed
	stateExpires                       // the identity ends at some time
	stateRESP3                         // HELLO 3 was said
	stateSubscribed                    // has subscriptions
	stateCaller                        // a call of CLIENT KILL has ended this connection itself
	stateHeld                          // bytes go to details.held, see park.go
	stateDB                            // the first of four bits for the number of the database
)

// details are what most connections do not need.
type details struct {
	channels, patterns atomic.Int32 // subscriptions
	sub                *subscriber  // used by the connection's own task only
	held               held

	mu               sync.Mutex // guards what follows
	user, name       string
	libName, libVers string
}

// Serve answers every complete request of in with as few writes as possible: one, unless the answers are long.
func (s *session) Serve(c *engine.Conn, in []byte) (used int, err error) {
	if s.is(stateHeld) {
		return s.hold(c, in)
	}
	used, p, err := s.serve(c, in)
	if p != nil {
		s.park(c, p, in[used:])
		return len(in), err
	}
	return used, err
}

// serve answers requests until one has to wait.
func (s *session) serve(c *engine.Conn, in []byte) (used int, p *parking, err error) {
	if err := s.stillWelcome(c); err != nil {
		return 0, nil, err
	}
	r := s.proto.begin(s, c)
	defer r.end()
	for used < len(in) && !c.Closing() { // asked each time: the requests of a pipeline may be expensive, and nobody waits for them any more
		n, err := r.next(in[used:])
		if err != nil {
			return used, nil, err
		}
		if n == 0 {
			return used, nil, nil
		}
		used += n
		if len(r.args) == 0 {
			continue
		}
		if err := r.run(); err != nil {
			return used, nil, err
		}
		if r.parking != nil {
			return used, r.parking, nil
		}
		if (len(r.out) >= replyFlush || len(r.holes) >= holesMost) && r.flush() != nil {
			return used, nil, nil
		}
	}
	return used, nil, nil
}

// Close ends the wait for entries, and the subscriptions.
func (s *session) Close(*engine.Conn, error) {
	s.leave()
	s.unsubscribeAll()
}

// Describe returns the user and the client's name, for the list of connections.
func (s *session) Describe() (user, detail string) {
	d := s.more.Load()
	if d == nil {
		return "", ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.user, d.name
}

// is tells whether all of these bits are set.
func (s *session) is(bits uint32) bool { return s.state.Load()&bits == bits }

// set changes bits; the connection's own task calls it only.
func (s *session) set(bits uint32, on bool) {
	if on {
		s.state.Store(s.state.Load() | bits)
	} else {
		s.state.Store(s.state.Load() &^ bits)
	}
}

// details returns the details, made when they are first needed; the connection's own task calls it only.
func (s *session) details() *details {
	d := s.more.Load()
	if d == nil {
		d = &details{}
		s.more.Store(d)
	}
	return d
}

// rename changes one of the texts in the details.
func (s *session) rename(change func(d *details)) {
	d := s.details()
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}
