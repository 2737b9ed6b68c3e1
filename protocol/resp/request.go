package resp

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp/wire"
)

// A Request is one request and the reply to it. It, and the arguments, are good until the command's Run returns; a
// task that goes on longer takes copies.
type Request struct {
	proto *Protocol
	sess  *session
	conn  *engine.Conn
	cmd   *command
	args  [][]byte
	out   []byte // replies to this and earlier requests of the batch

	mark    int  // where the reply to this request begins in out
	want    int  // elements that the reply still lacks
	resp3   bool // how to write it
	running bool // a command runs; true after it has panicked
	limits  wire.Limits
	tally   tally
	holes   []hole         // in out: replies that wait for the disk
	stored  sync.WaitGroup // counts what they wait for
	parking *parking       // the command waits, and the requests behind it do
	spare   []byte         // what out was before the holes were filled
	began   time.Duration  // when the batch did, as Protocol.uptime
	timed   uint64         // commands of the tally that are in the histogram already
}

// tally is what a batch adds to the counters.
type tally struct{ commands, errors, unknown, denied uint64 }

// begin lends a request for one batch.
func (p *Protocol) begin(s *session, c *engine.Conn) *Request {
	r := p.requests.Get().(*Request)
	r.sess, r.conn = s, c
	r.limits = p.wireLimits(c)
	r.began = p.uptime()
	return r
}

// wireLimits are those of every request on the connection, but for guests.
func (p *Protocol) wireLimits(c *engine.Conn) wire.Limits {
	total := min(c.Engine().MessageLimit()-1, MaxRequest) // as many as the limit are too many for the engine
	longest := total
	if p.limits.Bulk > 0 {
		longest = min(total, p.limits.Bulk)
	}
	return wire.Limits{Args: p.limits.Args, Bulk: longest, Total: total}
}

// end sends the replies and gives the request back. After a panic the replies to the requests before it are sent
// all the same, and the request is not used again: whoever panicked may still hold it.
func (r *Request) end() {
	if r.running {
		r.out = r.out[:r.mark]
	}
	_ = r.flush() // the engine knows already when the connection has broken
	r.answered()
	p := r.proto
	p.count.commands.Add(r.tally.commands)
	if r.tally.errors > 0 {
		p.count.errors.Add(r.tally.errors)
		p.count.unknown.Add(r.tally.unknown)
		p.count.denied.Add(r.tally.denied)
	}
	if r.running {
		return
	}
	args, out := r.args, r.out
	clear(args[:cap(args)])
	if cap(args) > argsKept {
		args = nil
	}
	if cap(out) > replyKept {
		out = nil
	}
	*r = Request{proto: p, args: args[:0], out: out[:0], holes: r.holes[:0], spare: r.kept()}
	p.requests.Put(r)
}

// flush sends the replies so far.
func (r *Request) flush() error {
	r.fill()
	if len(r.out) == 0 {
		return nil
	}
	_, err := r.conn.WriteThrough(r.out)
	r.out, r.mark = r.out[:0], 0
	r.answered()
	return err
}

// next reads the next request of the batch. An error is the end of the connection, and its reply is written.
func (r *Request) next(in []byte) (n int, err error) {
	r.limits.Guest = r.sess.is(stateGuest)
	r.args, n, err = r.sess.reader.Next(in, r.args[:0], &r.limits)
	if err != nil {
		r.tally.errors++
		r.out = wire.Fault(r.out, "ERR "+err.Error())
		return 0, engine.Because(engine.ReasonProtocol, err)
	}
	return n, nil
}

// Name returns the name of the command in lower case, with that of a subcommand: "client|list".
func (r *Request) Name() string { return r.cmd.full }

// Len returns the number of arguments, of which the first is the name of the command.
func (r *Request) Len() int { return len(r.args) }

// Arg returns an argument. It points into the read buffer: it is good until Run returns and must not be changed.
func (r *Request) Arg(i int) []byte { return r.args[i] }

// Text returns a copy of an argument.
func (r *Request) Text(i int) string { return string(r.args[i]) }

// Int reads an argument as a decimal integer, as strictly as Redis does. The error is the one that Redis replies.
func (r *Request) Int(i int) (int64, error) {
	text := r.args[i]
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || text[0] == '+' || len(text) > 1 && (text[0] == '0' || text[0] == '-' && text[1] == '0') {
		return 0, errNotInteger
	}
	return n, nil
}

// Float reads an argument as a number that is not NaN. The error is the one that Redis replies.
func (r *Request) Float(i int) (float64, error) {
	f, err := strconv.ParseFloat(string(r.args[i]), 64)
	if err != nil || math.IsNaN(f) {
		return 0, errNotFloat
	}
	return f, nil
}

// Identity returns who sent the request. It is nobody while Options.Auth is nil.
func (r *Request) Identity() auth.Identity { return r.sess.id }

// Conn returns the connection, for its address and for what is to be pushed to it later.
func (r *Request) Conn() *engine.Conn { return r.conn }

// RESP3 tells whether the client speaks version 3. Replies are written accordingly whether one asks or not.
func (r *Request) RESP3() bool { return r.sess.is(stateRESP3) }

// connContext is the context of a connection, made when somebody asks for something that needs it: a connection that
// only ever runs commands that do not block never has one. It is one pointer, so passing it allocates nothing.
type connContext struct{ conn *engine.Conn }

func (c connContext) Deadline() (time.Time, bool) { return c.conn.Context().Deadline() }
func (c connContext) Done() <-chan struct{}       { return c.conn.Context().Done() }
func (c connContext) Err() error                  { return c.conn.Context().Err() }
func (c connContext) Value(key any) any           { return c.conn.Context().Value(key) }

var _ context.Context = connContext{}
