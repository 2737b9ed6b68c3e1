package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/websocket"
	"github.com/spate-io/spate/task"
)

// wsPath is where pages speak JSON over a WebSocket; docs/websocket.md describes the messages.
const wsPath = apiPath + "ws"

// events is the endpoint of wsPath.
func (d *Door) events() websocket.Endpoint {
	return websocket.Endpoint{Name: "events", Open: d.openEvents}
}

// A wsSession is a page that speaks JSON.
type wsSession struct {
	door  *Door
	conn  *websocket.Conn
	said  uint64      // messages so far; used by the connection's task only, as more is
	known bool        // somebody is logged in, or nobody has to be
	more  *wsActivity // nil for those that have neither published nor subscribed

	mu     sync.Mutex // guards what follows, and orders answers against events
	id     auth.Identity
	judged uint64 // the generation of the access rules under which all live subscriptions were last found to be allowed
	told   uint32 // dropped messages that the client knows of
}

// A wsActivity is what a session needs that publishes or subscribes.
type wsActivity struct {
	flights chan struct{} // a token for each event on its way to the store
	client  *bus.Client
	live    map[string]wsLive // by filter; guarded by wsSession.mu

	scope  task.Scope // of the subscriptions that read streams
	ctx    context.Context
	cancel context.CancelFunc
	read   map[string]*context.CancelFunc // by filter; guarded by wsSession.mu
}

// A wsLive is a live subscription.
type wsLive struct {
	head   []byte // of its events
	policy engine.Overflow
}

// openEvents makes a session. Somebody who shows credentials with the request is logged in, or refused; others log in with their first
// message, since pages of browsers cannot send headers, and a token in a URL would be in logs and histories.
func (d *Door) openEvents(c *websocket.Conn, h *websocket.Handshake) (any, error) {
	s := &wsSession{door: d, conn: c, judged: d.opts.Auth.Generation()}
	if h.Request.URL.RawQuery != "" {
		return nil, refusal(problemf(kindRequest, "there are no parameters here: log in with a header or with the first message, and say the rest in messages"))
	}
	a, from := d.opts.Auth, s.origin()
	state, values := c.TLS(), h.Request.Header.Values("Authorization")
	var err error
	switch {
	case !a.Enabled():
		s.id, err = a.Open(from, c.Listener().Addr())
	case len(values) > 0:
		s.id, err = a.Header(h.Request.Context(), from, values)
	case state != nil && len(state.VerifiedChains) > 0:
		s.id, err = a.Certificate(h.Request.Context(), from, state)
	default:
		c.LimitMessage(firstMessage)
		return s, nil
	}
	if err != nil {
		return nil, refusal(problemOf(err))
	}
	s.known, h.Compress = true, true
	return s, nil
}

// refusal is a problem as a handshake is refused with it.
func refusal(p *problem) *websocket.Refusal {
	answer := &answer{header: http.Header{}}
	p.write(answer)
	answer.header.Del("Content-Type")
	return &websocket.Refusal{Status: answer.status, Text: p.detail, Header: answer.header}
}

func (s *wsSession) origin() auth.Origin {
	return auth.Origin{Door: s.conn.Listener().Name(), Addr: s.conn.Remote().Addr()}
}

// asCall is the session as the rest of the API knows who asks.
func (s *wsSession) asCall() *call {
	return &call{id: s.id, from: s.origin(), generation: s.door.opts.Auth.Generation()}
}

// activity returns what publishing and subscribing need.
func (s *wsSession) activity() *wsActivity {
	if s.more == nil {
		ctx, cancel := context.WithCancel(s.conn.Context())
		s.more = &wsActivity{flights: make(chan struct{}, maxFlights), live: map[string]wsLive{}, read: map[string]*context.CancelFunc{},
			ctx: ctx, cancel: cancel}
		s.more.client = s.door.opts.Bus.NewClient(s)
	}
	return s.more
}

// Describe returns the user.
func (s *wsSession) Describe() (user, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id.User(), ""
}

// Drain waits for the answers to what was published.
func (s *wsSession) Drain(c *websocket.Conn) {
	if s.more == nil {
		return
	}
	for range cap(s.more.flights) {
		select {
		case s.more.flights <- struct{}{}:
		case <-c.Context().Done():
			return
		}
	}
}

// Close ends the subscriptions.
func (s *wsSession) Close(*websocket.Conn, error) {
	if s.more == nil {
		return
	}
	s.more.client.Close()
	s.more.cancel()
	_ = s.more.scope.Wait() // its tasks end with the context
}

// Message answers one message. What is wrong with one is said, and the session goes on, unless it is the login.
func (s *wsSession) Message(_ *websocket.Conn, kind websocket.Kind, data []byte) error {
	s.said++
	m, err := parseMessage(kind, data)
	m.number = s.said
	if !s.known && err == nil && m.kind != "auth" {
		err = problemf(kindAuth, `log in first: {"type":"auth","token":"…"}, or with "user" and "password"`)
	}
	if err == nil {
		err = s.handle(m)
	}
	if err == nil {
		return nil
	}
	s.fail(m, err)
	if !s.known {
		return engine.Because(engine.ReasonDenied, err)
	}
	return nil
}

// handle does what a message asks for.
func (s *wsSession) handle(m message) error {
	switch m.kind {
	case "auth":
		return s.login(m)
	case "subscribe":
		return s.subscribe(m)
	case "unsubscribe":
		return s.unsubscribe(m)
	case "publish":
		return s.publish(m)
	default: // a ping
		s.answer(m, "pong", nil)
		return nil
	}
}

// login finds out who sends the messages.
func (s *wsSession) login(m message) (err error) {
	a, from := s.door.opts.Auth, s.origin()
	token, user, password := m.text("token"), m.text("user"), m.text("password")
	var id auth.Identity
	switch {
	case s.known && a.Enabled():
		return problemf(kindRequest, "somebody is logged in already: connect again to be somebody else")
	case s.known:
		return problemf(kindRequest, "nobody has to log in here: authentication is not configured")
	case (token == "") == (user == ""):
		return problemf(kindRequest, `give either "token", or "user" and "password"`)
	case token != "":
		id, err = a.Token(context.Background(), from, auth.NewSecret(token))
	default:
		id, err = a.Password(context.Background(), from, user, auth.NewSecret(password))
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.id, s.judged = id, a.Generation()
	s.mu.Unlock()
	s.known = true
	s.conn.LimitMessage(0)
	s.answer(m, "ack", nil)
	return nil
}

// answer answers a message. The members are appended to it: `,"name":value`.
func (s *wsSession) answer(m message, kind string, members []byte) {
	_, _ = s.conn.Write(append(append(m.head(kind), members...), '}')) // fails only when the connection is gone
}

// push is answer where events wait for it: a page that does not read is disconnected rather than waited for.
func (s *wsSession) push(m message, kind string, members []byte) {
	_ = s.conn.Push(append(append(m.head(kind), members...), '}'), engine.Disconnect)
}

// fail says what was wrong with a message.
func (s *wsSession) fail(m message, err error) {
	s.answer(m, "error", s.problem(err))
}

// problem returns a problem as a member. What the server itself did wrong is logged.
func (s *wsSession) problem(err error) []byte {
	p := problemOf(err)
	if p.kind == kindInternal {
		s.door.opts.Logger.Error("a message failed", "conn", s.conn.ID(), "listener", s.conn.Listener().Name(), "error", err)
	}
	text, err := p.MarshalJSON()
	if err != nil {
		text = []byte("{}")
	}
	return append([]byte(`,"problem":`), text...)
}

// head begins the answer to a message: which it was, by its id and by its number.
func (m *message) head(kind string) []byte {
	b := append([]byte(`{"type":"`), kind...)
	b = append(b, '"')
	if len(m.id) > 0 {
		b = append(append(b, `,"id":`...), m.id...)
	}
	return strconv.AppendUint(append(b, `,"message":`...), m.number, 10)
}
