package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// A Work is what is asked of the server.
type Work interface {
	// Session returns the requests and replies of connection number conn.
	Session(conn int) Session
}

// A Session makes the requests of one connection and recognizes their replies.
// Append and Reply may be called from two goroutines, each from one.
type Session interface {
	// Append appends the next request to b, and returns its class.
	Append(b []byte) ([]byte, Class)
	// Reply looks for the reply to the oldest unanswered request at the head
	// of b and returns its length, or zero if it is not complete yet. An error
	// says that it is not the reply that was due; if a length comes with it,
	// the session can go on behind it.
	Reply(b []byte) (n int, err error)
}

// A Class tells apart requests whose latency is counted apart.
type Class uint8

// The classes.
const (
	Ordinary Class = iota
	Blocking       // requests that were asked to block in the server
	classes
)

// Options say what a run does. Address and Work are required.
type Options struct {
	// Network is "tcp" (default) or "unix".
	Network string
	// Address is the server's.
	Address string
	// TLS is used for every connection when it is set.
	TLS *tls.Config
	// Work is what is asked.
	Work Work
	// Conns is the number of connections. Default 1.
	Conns int
	// Pipeline is the number of requests that are under way at the same time
	// on one connection. Default 1.
	Pipeline int
	// Rate is the number of requests in a second, over all connections; zero
	// means as many as the server answers (closed-loop).
	Rate float64
	// Warmup is how long requests are made before measuring. Default 0.
	Warmup time.Duration
	// Duration is how long to measure. Default 10 s.
	Duration time.Duration
	// Plain asks for goroutines instead of epoll also where epoll would do.
	Plain bool
	// Prepare, if set, is called with each connection before the load begins,
	// from several goroutines; it may block.
	Prepare func(conn int, c net.Conn) error
	// PID is the process whose CPU time is measured; zero means none.
	PID int
	// Progress, if set, is called about once in a second.
	Progress func(Progress)

	progressEvery time.Duration // for tests; a second
}

// Progress is how far a run has got.
type Progress struct {
	Measuring bool          // false while warming up
	Elapsed   time.Duration // since measuring, or warming up, began
	Requests  uint64        // answered since measuring began
	Errors    uint64
}

// Result is what a run measured.
type Result struct {
	Elapsed    time.Duration
	Requests   uint64 // answered while measuring
	Errors     uint64 // wrong replies and broken connections, warm-up included
	FirstError error
	// Unanswered are the requests that were due and not answered at the end, and
	// Oldest is how long the first of them had waited. In an open-loop run each
	// counts as a latency; in a closed-loop run, where as many as may be are always
	// under way, they count for the maximum alone.
	Unanswered uint64
	Oldest     time.Duration
	Late       uint64 // of an open-loop run: left over a millisecond late by the generator's own fault
	CPU        time.Duration
	Latency    [classes]Histogram
}

// Rate returns the requests answered per second.
func (r *Result) Rate() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// CPUPerRequest returns the server's CPU time for one request, or zero if it
// was not measured.
func (r *Result) CPUPerRequest() time.Duration {
	if r.Requests == 0 {
		return 0
	}
	return time.Duration(float64(r.CPU) / float64(r.Requests))
}

// The errors of options that cannot be.
var (
	errNoAddress = errors.New("no address to connect to")
	errNoWork    = errors.New("no work to do")
	errTooMany   = fmt.Errorf("at most %d connections and %d requests under way on each", MaxConns, MaxPipeline)
	errTooFast   = fmt.Errorf("at most %d requests per second", MaxRate)
	errNegative  = errors.New("a number or duration is negative")
	errAllBroken = errors.New("every connection is broken")
	errLeftOver  = errors.New("the server sent more than was asked for")
	errLongReply = fmt.Errorf("a reply is longer than %d bytes", MaxReply)
)

// ErrPeerClosed says that the server closed a connection that was in use.
var ErrPeerClosed = errors.New("the server closed the connection")

// ErrBeforeReply says that a run failed before the server had answered anything,
// so that it may speak something else.
var ErrBeforeReply = errors.New("before any reply")

// withDefaults checks o and fills in what was left out.
func (o Options) withDefaults() (Options, error) {
	o.Network = cmp.Or(o.Network, "tcp")
	o.Conns = cmp.Or(o.Conns, 1)
	o.Pipeline = cmp.Or(o.Pipeline, 1)
	o.Duration = cmp.Or(o.Duration, 10*time.Second)
	o.progressEvery = cmp.Or(o.progressEvery, time.Second)
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	switch {
	case o.Address == "":
		return o, errNoAddress
	case o.Work == nil:
		return o, errNoWork
	case o.Conns < 0 || o.Pipeline < 0 || o.Rate < 0 || o.Warmup < 0 || o.Duration < 0:
		return o, errNegative
	case o.Conns > MaxConns || o.Pipeline > MaxPipeline:
		return o, errTooMany
	case o.Rate > MaxRate:
		return o, errTooFast
	}
	return o, nil
}

// Run connects, makes requests until the time is over or ctx ends, and returns
// what it measured. An error means that nothing could be measured; errors of
// single requests are counted in the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("preparing the load: %w", err)
	}
	conns, err := Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	m := newMeter(&o)
	if !o.Plain && o.TLS == nil && pollable() {
		err = runPoll(ctx, &o, conns, m)
	} else {
		err = runPlain(ctx, &o, conns, m)
	}
	if err != nil {
		return nil, err
	}
	return m.result()
}
