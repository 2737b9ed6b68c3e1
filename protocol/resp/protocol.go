package resp

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp/xstream"
)

// A Protocol speaks RESP on the connections of any number of listeners. [New] makes one.
type Protocol struct {
	table    table
	bus      *bus.Bus
	streams  *xstream.Set // nil if the bus stores nothing
	auth     *auth.Auth   // nil: everybody may do everything
	overflow engine.Overflow
	limits   Limits
	log      *slog.Logger
	tracer   trace.Tracer // nil: none
	clock    func() time.Time
	version  string
	started  time.Time
	epoch    time.Time // for uptime

	requests sync.Pool // of *Request
	count    counters
	latency  latency
	pending  atomic.Int64 // holes in replies
	long     atomic.Int64 // bytes of long replies, see longReplies
}

// New returns a protocol with the built-in commands and those of the options. It fails if two have the same name, or
// one lacks what it needs.
func New(o Options) (*Protocol, error) {
	o = o.withDefaults()
	if o.Limits.Bulk > MaxRequest {
		return nil, fmt.Errorf("an argument of a request cannot have %d bytes: set Limits.Bulk to %d at most", o.Limits.Bulk, MaxRequest)
	}
	p := &Protocol{
		bus: o.Bus, auth: o.Auth, overflow: o.Overflow, limits: o.Limits,
		log: o.Logger, clock: o.Clock, version: o.Version, started: o.Clock(), epoch: time.Now(),
	}
	p.streams = xstream.New(xstream.Options{Bus: o.Bus, Create: o.CreateStreams, Clock: o.Clock, Limits: o.Limits.Streams})
	if traces(o.Tracer) {
		p.tracer = o.Tracer
	}
	p.requests.New = func() any { return &Request{proto: p} }
	var err error
	p.table, err = newTable(append(builtin(), o.Commands...))
	return p, err
}

// Name returns "resp".
func (p *Protocol) Name() string { return "resp" }

// Open makes the session of a connection, and logs it in if it comes with a client certificate, or if nobody needs to.
func (p *Protocol) Open(c *engine.Conn) engine.Session {
	s := &session{proto: p}
	s.enter(c)
	return s
}

// counters are the totals since the protocol was made. Each batch of requests adds to them once.
type counters struct {
	commands, errors, unknown, denied atomic.Uint64
}

// Stats are totals since the protocol was made.
type Stats struct {
	Commands uint64 // requests that were run
	Errors   uint64 // requests that were answered with an error, whatever the reason
	Unknown  uint64 // of those, for a command that does not exist
	Denied   uint64 // of those, for want of authentication or of a right
	// Latency tells how long requests that were run took, from when the engine handed over what had arrived to when the
	// reply was written. Requests that arrive together are answered together, and each counts as the whole: that is how
	// long its sender has waited here. It includes a wait for a peer that does not read its replies, and what a request
	// waits for those before it in a pipeline; it does not include the wait for a free worker or on the network.
	Latency []Bucket
	Time    time.Duration // the sum of all these times

	Waiting int // clients that wait in XREAD or XREADGROUP, now
	Pending int // events that were published or added, and wait for the disk, now
}

// Stats returns the counters.
func (p *Protocol) Stats() Stats {
	s := Stats{
		Commands: p.count.commands.Load(), Errors: p.count.errors.Load(),
		Unknown: p.count.unknown.Load(), Denied: p.count.denied.Load(),
	}
	s.Latency, s.Time = p.latency.read()
	s.Pending = int(p.pending.Load())
	if p.streams != nil {
		s.Waiting = p.streams.Waiting()
	}
	return s
}

// builtVersion is the version of this module that the binary was built from.
func builtVersion() string {
	const unknown = "devel"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	const module = "github.com/spate-io/spate"
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Version != "" {
			return m.Version
		}
	}
	return unknown
}
