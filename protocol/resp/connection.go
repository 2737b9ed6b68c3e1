package resp

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/spate-io/spate/engine"
)

// runReset takes the connection back to where it began.
func runReset(_ context.Context, r *Request) error {
	s := r.sess
	s.unsubscribeAll()
	r.speak(false)
	s.set(stateDB*(databases-1), false)
	if s.more.Load() != nil {
		s.rename(func(d *details) { d.user, d.name = "", "" })
	}
	s.enter(r.conn)
	r.Simple("RESET")
	return nil
}

// errQuit ends a connection whose client wants it.
var errQuit = engine.Because(engine.ReasonQuit, nil)

func runQuit(_ context.Context, r *Request) error {
	r.OK()
	return errQuit
}

func runPing(_ context.Context, r *Request) error {
	switch {
	case len(r.args) > 2:
		return Error("ERR wrong number of arguments for 'ping' command")
	case r.sess.is(stateSubscribed) && !r.resp3:
		r.Array(2)
		r.BulkString("pong")
		if len(r.args) == 2 {
			r.Bulk(r.args[1])
		} else {
			r.BulkString("")
		}
	case len(r.args) == 2:
		r.Bulk(r.args[1])
	default:
		r.want--
		r.out = append(r.out, "+PONG\r\n"...)
	}
	return nil
}

func runEcho(_ context.Context, r *Request) error {
	r.Bulk(r.args[1])
	return nil
}

func runTime(_ context.Context, r *Request) error {
	now := r.proto.clock()
	r.Array(2)
	r.BulkString(strconv.FormatInt(now.Unix(), 10))
	r.BulkString(strconv.FormatInt(int64(now.Nanosecond())/int64(time.Microsecond), 10))
	return nil
}

func runSelect(_ context.Context, r *Request) error {
	n, err := r.Int(1)
	switch {
	case err != nil:
		return err
	case n < math.MinInt32 || n > math.MaxInt32:
		return Error("ERR value is out of range, value must between -2147483648 and 2147483647")
	case n < 0 || n >= databases:
		return Error("ERR DB index is out of range")
	}
	r.sess.set(stateDB*(databases-1), false)
	r.sess.set(stateDB*uint32(n), true)
	r.OK()
	return nil
}

// runWeb ends a connection of a web page that was talked into sending an HTTP request here: its body could be requests.
// Redis does the same.
func runWeb(_ context.Context, r *Request) error {
	return engine.Because(engine.ReasonProtocol, errors.New("an HTTP request came to the RESP port: a web page may be attacking the server"))
}
