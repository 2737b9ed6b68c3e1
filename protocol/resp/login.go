package resp

import (
	"context"
	"errors"
	"fmt"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
)

// TokenUser is the user name with which AUTH and HELLO take a bearer token (a JWT) in place of a password. No user can
// have it: a name does not begin with $. With the name of its user, a token is taken as well.
const TokenUser = auth.TokenUser

// defaultUser is who AUTH with a password alone means, and how somebody without a name is shown, as in Redis.
const defaultUser = "default"

const doorName = "resp"

// What AUTH says, word for word as in Redis.
const (
	errNoPassword = Error("ERR AUTH <password> called without any password configured for the default user. " +
		"Are you sure your configuration is correct?")
	errHelloAuth = Error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> " +
		"option can be used to authenticate the client and select the RESP protocol version at the same time")
)

func origin(c *engine.Conn) auth.Origin {
	return auth.Origin{Door: doorName, Addr: c.Remote().Addr()}
}

// enter gives a connection the identity that it has before it says anything: of its client certificate, or of anybody
// while authentication is not configured; otherwise it is a guest.
func (s *session) enter(c *engine.Conn) {
	s.id, s.judged = auth.Identity{}, 0
	s.set(stateGuest|stateOpen|stateExpires, false)
	a := s.proto.auth
	if a == nil {
		s.set(stateOpen, true)
		return
	}
	generation := a.Generation()
	if id, err := a.Open(origin(c), c.Listener().Addr()); err == nil {
		s.become(id, generation)
		return
	}
	if state := c.TLS(); state != nil && len(state.VerifiedChains) > 0 {
		if id, err := a.Certificate(connContext{c}, origin(c), state); err == nil {
			s.become(id, generation)
			return
		}
	}
	s.judged = generation
	s.set(stateGuest, true)
}

// become makes id the one who the connection belongs to. The generation was read before id was made.
func (s *session) become(id auth.Identity, generation uint64) {
	s.id, s.judged = id, generation
	s.set(stateGuest, false)
	s.set(stateOpen, id.Method() == auth.MethodOpen)
	s.set(stateExpires, !id.Expires().IsZero())
	if d := s.more.Load(); d != nil || id.User() != "" {
		s.rename(func(d *details) { d.user = id.User() })
	}
	if s.checkSubscriptions(generation) != nil {
		s.subscriber().judge(id, 0) // they were allowed to somebody else: each message is asked about
	}
}

// stillWelcome decides again about a connection whose identity has ended, or whose rights may have changed.
func (s *session) stillWelcome(c *engine.Conn) error {
	a := s.proto.auth
	if a == nil {
		return nil
	}
	generation := a.Generation()
	if generation == s.judged && !s.is(stateExpires) {
		return nil
	}
	if s.is(stateGuest) {
		s.judged = generation
		return nil
	}
	err := a.Refresh(s.id)
	if err == nil && generation != s.judged {
		err = s.checkSubscriptions(generation)
	}
	if err != nil {
		_, _ = c.WriteThrough([]byte("-" + errNoAuth + "\r\n")) // the last word; whether it arrives changes nothing
		return engine.Because(engine.ReasonDenied, err)
	}
	s.judged = generation
	return nil
}

// authorize decides about an action and has a denial counted and written to the audit log.
func (r *Request) authorize(action auth.Action, target string) error {
	if r.sess.is(stateOpen) {
		return nil
	}
	return r.proto.auth.Authorize(origin(r.conn), r.sess.id, action, target)
}

// deny replies that err denies something: with text if it is for want of a right.
func (r *Request) deny(err error, text Error) {
	r.tally.denied++
	if !errors.Is(err, auth.ErrForbidden) {
		text = errNoAuth
	}
	r.fail(string(text))
}

// login is the common part of AUTH and HELLO.
func (r *Request) login(ctx context.Context, user string, password []byte) error {
	a := r.proto.auth
	if a == nil || !a.Enabled() {
		if user == defaultUser {
			return nil // whose password is not asked for
		}
		return errWrongPass
	}
	generation := a.Generation()
	id, err := a.Credentials(ctx, origin(r.conn), user, auth.NewSecret(string(password)))
	switch {
	case errors.Is(err, auth.ErrDenied):
		return errWrongPass
	case err != nil:
		return err
	}
	r.sess.become(id, generation)
	return nil
}

func runAuth(ctx context.Context, r *Request) error {
	switch len(r.args) {
	case 2:
		if a := r.proto.auth; a == nil || !a.Enabled() {
			return errNoPassword
		}
		return r.login(ctx, defaultUser, r.args[1])
	case 3:
		return r.login(ctx, string(r.args[1]), r.args[2])
	}
	return errSyntax
}

// hello is what HELLO asks for.
type hello struct {
	version  int64
	user     []byte // nil without AUTH
	password []byte
	name     []byte // nil without SETNAME
}

func runHello(ctx context.Context, r *Request) error {
	h, err := r.parseHello()
	if err != nil {
		return err
	}
	if h.user != nil {
		if err := r.login(ctx, string(h.user), h.password); err != nil {
			return err
		}
	}
	if r.sess.is(stateGuest) {
		return errHelloAuth
	}
	if h.name != nil {
		r.setName(h.name)
	}
	if h.version != 0 {
		r.speak(h.version == 3)
	}
	r.greet()
	return nil
}

func (r *Request) parseHello() (h hello, err error) {
	if len(r.args) == 1 {
		return h, nil
	}
	if h.version, err = r.Int(1); err != nil {
		return h, Error("ERR Protocol version is not an integer or out of range")
	}
	if h.version != 2 && h.version != 3 {
		return h, Error("NOPROTO unsupported protocol version")
	}
	for i := 2; i < len(r.args); i++ {
		more := len(r.args) - 1 - i
		switch {
		case more >= 2 && sameFold(r.args[i], "auth"):
			h.user, h.password = notNil(r.args[i+1]), r.args[i+2]
			i += 2
		case more >= 1 && sameFold(r.args[i], "setname"):
			h.name = notNil(r.args[i+1])
			if err := r.checkName("Client names", h.name); err != nil {
				return h, err
			}
			i++
		default:
			return h, Error(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", cut(r.args[i], len(r.args[i]))))
		}
	}
	return h, nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// speak changes the version of the protocol.
func (r *Request) speak(resp3 bool) {
	r.resp3 = resp3
	r.sess.set(stateRESP3, resp3)
	if sub := r.sess.subscriber(); sub != nil {
		sub.speak(resp3)
	}
}

// greet replies what HELLO tells about the server. Its name and version are those of Redis because clients decide by
// them what the server can do.
func (r *Request) greet() {
	r.Map(7)
	r.pair("server", "redis")
	r.pair("version", redisVersion)
	r.BulkString("proto")
	r.Integer(2 + int64(boolBit(r.resp3)))
	r.BulkString("id")
	r.Integer(int64(r.conn.ID()))
	r.pair("mode", "standalone")
	r.pair("role", "master")
	r.BulkString("modules")
	r.Array(0)
}

func boolBit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func runWhoAmI(_ context.Context, r *Request) error {
	r.BulkString(userName(r.sess.id.User()))
	return nil
}

// userName is how a user is shown: those without a name are Redis's default user.
func userName(user string) string {
	if user == "" {
		return defaultUser
	}
	return user
}
