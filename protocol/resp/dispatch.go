package resp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
)

// run finds the command of the request, asks whether it may run, and runs it. An error ends the connection.
func (r *Request) run() error {
	r.mark, r.want = len(r.out), 1
	if !r.find() {
		return nil
	}
	state := r.sess.state.Load()
	r.resp3 = state&stateRESP3 != 0
	if state&(stateGuest|stateOpen|stateSubscribed) != stateOpen && !r.allowed(state) {
		return nil
	}
	if r.sess.last.Load() != r.cmd.number {
		r.sess.last.Store(r.cmd.number)
	}
	if r.cmd.Flags&Blocking != 0 {
		_ = r.flush() // a command that waits on a broken connection is told by its context
	}
	if len(r.holes) > 0 && r.cmd.Flags&async == 0 {
		r.fill()
		r.mark = len(r.out)
	}
	r.tally.commands++
	var err error
	if r.proto.tracer != nil {
		err = r.traced()
	} else {
		err = r.call(connContext{r.conn})
	}
	if err == nil && r.want == 0 {
		return nil
	}
	return r.settle(err)
}

// call runs the command.
func (r *Request) call(ctx context.Context) error {
	r.running = true
	err := r.cmd.Run(ctx, r)
	r.running = false
	return err
}

// find sets the command, or replies that there is none, or none with that many arguments.
func (r *Request) find() bool {
	c := r.proto.table.find(r.args[0])
	if c == nil {
		return r.unknown()
	}
	if c.subs != nil && len(r.args) > 1 {
		parent := c
		if c = parent.subs.find(r.args[1]); c == nil {
			r.miss()
			r.fail(fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", cut(r.args[1], shownArgs), strings.ToUpper(parent.name)))
			return false
		}
	}
	if !c.takes(len(r.args)) {
		r.fail("ERR wrong number of arguments for '" + c.full + "' command")
		return false
	}
	r.cmd = c
	return true
}

// unknown replies as Redis does, which repeats the beginning of the request.
func (r *Request) unknown() bool {
	r.miss()
	var shown strings.Builder
	for _, arg := range r.args[1:] {
		if shown.Len() >= shownArgs {
			break
		}
		fmt.Fprintf(&shown, "'%s' ", cut(arg, shownArgs-shown.Len()))
	}
	r.fail(fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cut(r.args[0], shownArgs), shown.String()))
	return false
}

// miss notes a command that does not exist.
func (r *Request) miss() {
	r.tally.unknown++
	r.sess.last.Store(0)
}

// cut is what C's %.*s prints of text: n bytes at most, and nothing from a NUL on.
func cut(text []byte, n int) []byte {
	text = text[:min(n, len(text))]
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	return text
}

// allowed asks whether the command may run in the state of the connection, and replies if not.
func (r *Request) allowed(state uint32) bool {
	flags := r.cmd.Flags
	if state&stateGuest != 0 && flags&Guest == 0 {
		r.tally.denied++
		r.fail(string(errNoAuth))
		return false
	}
	if flags&Admin != 0 && state&stateOpen == 0 {
		if err := r.authorize(auth.ActionAdmin, strings.ToUpper(r.cmd.full)); err != nil {
			r.deny(err, Error("NOPERM this user has no permissions to run the '"+r.cmd.full+"' command"))
			return false
		}
	}
	if state&stateSubscribed != 0 && state&stateRESP3 == 0 && flags&Anytime == 0 {
		r.fail("ERR Can't execute '" + r.cmd.full + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
		return false
	}
	return true
}

// settle makes a reply of what a command returned, if what it replied is not a reply already. It returns what ends the
// connection.
func (r *Request) settle(err error) error {
	if err != nil {
		return r.refuse(err)
	}
	if len(r.out) == r.mark && r.want == 1 {
		r.OK()
		return nil
	}
	r.proto.log.Error("a command made no proper reply; the client got an error in its place",
		slog.String("command", r.cmd.full), slog.Int("elements_missing", r.want))
	r.fail("ERR internal error: the reply of '" + r.cmd.full + "' has the wrong number of elements")
	return nil
}

// refuse makes a reply of an error, unless it ends the connection.
func (r *Request) refuse(err error) error {
	if _, ok := errors.AsType[*engine.CloseError](err); ok {
		return err
	}
	if text, ok := errors.AsType[Error](err); ok {
		r.fail(string(text))
	} else {
		r.fail("ERR " + err.Error())
	}
	return nil
}
