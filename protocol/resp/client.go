package resp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spate-io/spate/engine"
)

func runClientID(_ context.Context, r *Request) error {
	r.Integer(int64(r.conn.ID()))
	return nil
}

func runClientGetName(_ context.Context, r *Request) error {
	if _, name := r.sess.Describe(); name != "" {
		r.BulkString(name)
	} else {
		r.Null()
	}
	return nil
}

func runClientSetName(_ context.Context, r *Request) error {
	if err := r.checkName("Client names", r.args[2]); err != nil {
		return err
	}
	r.setName(r.args[2])
	r.OK()
	return nil
}

func (r *Request) setName(name []byte) {
	if len(name) == 0 && r.sess.more.Load() == nil {
		return
	}
	r.sess.rename(func(d *details) { d.name = string(name) })
}

func runClientSetInfo(_ context.Context, r *Request) error {
	value := r.args[3]
	switch {
	case sameFold(r.args[2], "lib-name"):
		if err := r.checkName("lib-name", value); err != nil {
			return err
		}
		r.sess.rename(func(d *details) { d.libName = string(value) })
	case sameFold(r.args[2], "lib-ver"):
		if err := r.checkName("lib-ver", value); err != nil {
			return err
		}
		r.sess.rename(func(d *details) { d.libVers = string(value) })
	default:
		return Error(fmt.Sprintf("ERR Unrecognized option '%s'", cut(r.args[2], len(r.args[2]))))
	}
	r.OK()
	return nil
}

// checkName refuses names that would break the list of clients, as Redis does, and those that are too long to keep.
func (r *Request) checkName(what string, name []byte) error {
	for _, b := range name {
		if b < '!' || b > '~' {
			return Error("ERR " + what + " cannot contain spaces, newlines or special characters.")
		}
	}
	if most := r.proto.limits.NameLength; len(name) > most {
		return Error(fmt.Sprintf("ERR %s cannot be longer than %d bytes.", what, most))
	}
	return nil
}

func runClientInfo(_ context.Context, r *Request) error {
	r.Plain(string(appendClient(nil, r.conn, r.sess)) + "\n")
	return nil
}

// peers calls yield for every connection of the engine that speaks this protocol.
func (r *Request) peers(yield func(*engine.Conn, *session) bool) {
	for c := range r.conn.Engine().Connections {
		if s, ok := c.Session().(*session); ok && !c.Closing() && !yield(c, s) {
			return
		}
	}
}

func runClientList(_ context.Context, r *Request) error {
	match, err := r.listFilter()
	if err != nil {
		return err
	}
	var found []*engine.Conn
	for c, s := range r.peers {
		if match(c, s) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *engine.Conn) int { return cmp.Compare(a.ID(), b.ID()) })
	var list body
	defer list.release()
	for _, c := range found {
		s, ok := c.Session().(*session)
		if !ok {
			continue
		}
		line := append(appendClient(nil, c, s), '\n')
		if err := list.reserve(r.proto, len(line)); err != nil {
			return Error(fmt.Sprintf("ERR the reply would be too long: %s. Ask for some of the connections, with CLIENT LIST ID or CLIENT LIST TYPE", err))
		}
		list.b = append(list.b, line...)
	}
	r.long(list.b)
	return nil
}

// listFilter reads what CLIENT LIST is limited to.
func (r *Request) listFilter() (match func(*engine.Conn, *session) bool, err error) {
	switch {
	case len(r.args) == 2:
		return func(*engine.Conn, *session) bool { return true }, nil
	case len(r.args) == 4 && sameFold(r.args[2], "type"):
		return clientType(r.args[3])
	case len(r.args) > 3 && sameFold(r.args[2], "id"):
		ids := make(map[uint64]bool, len(r.args)-3)
		for i := 3; i < len(r.args); i++ {
			id, err := r.Int(i)
			if err != nil {
				return nil, Error("ERR Invalid client ID")
			}
			ids[uint64(id)] = true
		}
		return func(c *engine.Conn, _ *session) bool { return ids[c.ID()] }, nil
	}
	return nil, errSyntax
}

// clientType returns what tells whether a client is of the named type. There are no replicas and no master here.
func clientType(name []byte) (match func(*engine.Conn, *session) bool, err error) {
	switch {
	case sameFold(name, "normal"):
		return func(_ *engine.Conn, s *session) bool { return !s.is(stateSubscribed) }, nil
	case sameFold(name, "pubsub"):
		return func(_ *engine.Conn, s *session) bool { return s.is(stateSubscribed) }, nil
	case sameFold(name, "master"), sameFold(name, "replica"), sameFold(name, "slave"):
		return func(*engine.Conn, *session) bool { return false }, nil
	}
	return nil, Error(fmt.Sprintf("ERR Unknown client type '%s'", cut(name, len(name))))
}

// appendClient appends the line about one client. What Redis knows about its buffers, and we do not, is zero.
func appendClient(dst []byte, c *engine.Conn, s *session) []byte {
	info := c.Info()
	var d details
	if more := s.more.Load(); more != nil {
		more.mu.Lock()
		d.user, d.name, d.libName, d.libVers = more.user, more.name, more.libName, more.libVers
		more.mu.Unlock()
		d.channels.Store(more.channels.Load())
		d.patterns.Store(more.patterns.Load())
	}
	state := s.state.Load()
	flags := ""
	if state&stateSubscribed != 0 {
		flags += "P"
	}
	if !c.Remote().IsValid() {
		flags += "U"
	}
	if flags == "" {
		flags = "N"
	}
	return fmt.Appendf(dst, "id=%d addr=%s laddr=%s fd=-1 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=0 multi=-1 "+
		"qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=%d omem=%d tot-mem=%d events=r cmd=%s user=%s redir=-1 resp=%d "+
		"lib-name=%s lib-ver=%s",
		c.ID(), remoteAddr(c), localAddr(c), d.name, int64(info.Age.Seconds()), int64(info.Idle.Seconds()), flags,
		state/stateDB%databases, d.channels.Load(), d.patterns.Load(), boolBit(info.Waiting > 0), info.Waiting, info.Waiting,
		s.proto.commandName(s.last.Load()), userName(d.user), 2+boolBit(state&stateRESP3 != 0), d.libName, d.libVers)
}

// remoteAddr and localAddr are the ends of the connection as Redis writes them; a Unix socket is path:0 at both.
func remoteAddr(c *engine.Conn) string {
	if c.Remote().IsValid() {
		return c.Remote().String()
	}
	return localAddr(c)
}

func localAddr(c *engine.Conn) string {
	addr := c.Listener().Addr()
	if addr.Network() == "unix" {
		return addr.String() + ":0"
	}
	return addr.String()
}

func (p *Protocol) commandName(number uint32) string {
	if number == 0 {
		return "NULL"
	}
	return p.table.all[number-1].full
}

func runClientKill(_ context.Context, r *Request) error {
	if len(r.args) == 3 {
		return r.killAddress(string(r.args[2]))
	}
	match, err := r.killFilter()
	if err != nil {
		return err
	}
	n := 0
	for c, s := range r.peers {
		if match(c, s) {
			r.kill(c)
			n++
		}
	}
	r.Integer(int64(n))
	return r.suicide()
}

// killAddress is the old form, which ends the one client with that address.
func (r *Request) killAddress(addr string) error {
	for c := range r.peers {
		if remoteAddr(c) == addr {
			r.kill(c)
			r.OK()
			return r.suicide()
		}
	}
	return Error("ERR No such client")
}

// kill ends a connection; this one itself only after the reply, by suicide.
func (r *Request) kill(c *engine.Conn) {
	if c == r.conn {
		r.sess.set(stateCaller, true)
		return
	}
	c.Close(engine.ReasonKilled, fmt.Errorf("CLIENT KILL by connection %d, user %s", r.conn.ID(), userName(r.sess.id.User())))
}

// suicide ends this connection if kill was asked to. Its own reply is still delivered.
func (r *Request) suicide() error {
	if !r.sess.is(stateCaller) {
		return nil
	}
	return engine.Because(engine.ReasonQuit, fmt.Errorf("CLIENT KILL by the connection itself"))
}

// killFilter reads the options of the new form, all of which a client must meet.
func (r *Request) killFilter() (match func(*engine.Conn, *session) bool, err error) {
	tests := []func(*engine.Conn, *session) bool{}
	skipMe := true
	for i := 2; i < len(r.args); i += 2 {
		if i+1 == len(r.args) {
			return nil, errSyntax
		}
		if sameFold(r.args[i], "skipme") {
			skipMe = sameFold(r.args[i+1], "yes")
			if !skipMe && !sameFold(r.args[i+1], "no") {
				return nil, errSyntax
			}
			continue
		}
		test, err := r.killTest(i)
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	return func(c *engine.Conn, s *session) bool {
		if skipMe && c == r.conn {
			return false
		}
		for _, test := range tests {
			if !test(c, s) {
				return false
			}
		}
		return true
	}, nil
}

// killTest reads the option at i and its value.
func (r *Request) killTest(i int) (test func(*engine.Conn, *session) bool, err error) {
	value := string(r.args[i+1])
	switch option := strings.ToLower(string(r.args[i])); option {
	case "id":
		id, err := r.Int(i + 1)
		if err != nil || id < 1 {
			return nil, Error("ERR client-id should be greater than 0")
		}
		return func(c *engine.Conn, _ *session) bool { return c.ID() == uint64(id) }, nil
	case "type":
		return clientType(r.args[i+1])
	case "addr":
		return func(c *engine.Conn, _ *session) bool { return remoteAddr(c) == value }, nil
	case "laddr":
		return func(c *engine.Conn, _ *session) bool { return localAddr(c) == value }, nil
	case "user":
		if a := r.proto.auth; (a == nil || !a.Enabled()) && value != defaultUser {
			return nil, Error(fmt.Sprintf("ERR No such user '%s'", value))
		}
		return func(_ *engine.Conn, s *session) bool { user, _ := s.Describe(); return userName(user) == value }, nil
	case "maxage":
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, Error("ERR maxage is not an integer or out of range")
		}
		return func(c *engine.Conn, _ *session) bool { return c.Info().Age.Seconds() >= float64(seconds) }, nil
	}
	return nil, errSyntax
}
