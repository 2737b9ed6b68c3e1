package mqtt

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A conn is one connection of a client: what is not part of its session, and ends with it.
type conn struct {
	broker  *Broker
	carrier carrier
	decoder packet.Decoder
	version packet.Version // 0 until the CONNECT
	flags   connFlags
	problem bool // reason strings and user properties are wanted
	session *session
	epoch   uint64 // of the device's connection; 0 is no device
	since   int64  // when the client was let in, in Unix milliseconds; set before the session has the connection
	id      auth.Identity
	judged  uint64    // the auth generation under which everything was last found to be allowed
	more    *connMore // used by the connection's task only
	takes   *takes    // set before the session has the connection; then under its lock
	acks    *acks     // nil until something waits for the disk
	ahead   *ahead    // nil until the first retained message

	described atomic.Pointer[session] // for who lists connections
}

// connMore is what few connections need.
type connMore struct {
	aliases  map[uint16]string // topics that the client has named
	exchange *exchange         // an enhanced authentication under way
	method   string            // the authentication method of the CONNECT
}

// takes are the bounds of what a client of version 5 takes, if it has set some.
type takes struct {
	packet  int // the largest packet; 0 is any
	aliases outAliases
}

type connFlags uint8

const (
	flagExpires  connFlags = 1 << iota // the identity ends at some time
	flagOpen                           // no access rule is asked
	flagAssigned                       // the client identifier was made by the server
)

func (c *conn) is(f connFlags) bool { return c.flags&f != 0 }

// details returns the details, made when they are first needed.
func (c *conn) details() *connMore {
	if c.more == nil {
		c.more = &connMore{}
	}
	return c.more
}

// serve takes every complete packet of in, and answers with as few writes and commits as it can: one each, usually.
func (c *conn) serve(in []byte) (used int, err error) {
	c.awaitAcks()
	t := c.broker.turns.Get().(*turn)
	t.begin(c)
	defer t.end()
	if err := c.stillWelcome(); err != nil {
		return 0, c.fail(t, err)
	}
	for used < len(in) && !c.carrier.Closing() {
		f, n, err := c.decoder.Split(in[used:], c.packetLimit())
		if err != nil {
			return used, c.fail(t, err)
		}
		if n == 0 {
			break
		}
		used += n
		if err := t.take(f); err != nil {
			return used, c.fail(t, err)
		}
		if err := t.room(); err != nil {
			t.submit() // what was taken is stored: the client may be gone, but not its messages
			return used, err
		}
	}
	return used, t.finish()
}

// packetLimit is how large a packet may be: small, as long as nobody knows who sends it.
func (c *conn) packetLimit() int {
	if c.session == nil {
		return c.broker.limits.ConnectSize
	}
	return c.broker.limits.PacketSize
}

// A leave is the end of a connection that the client is told of.
type leave struct {
	code   packet.Code
	text   string
	reason engine.Reason
	cause  error

	properties *packet.Properties // in place of the text
}

func (l *leave) Error() string {
	if l.cause != nil {
		return l.cause.Error()
	}
	return l.text
}

// Unwrap returns the cause.
func (l *leave) Unwrap() error { return l.cause }

// broken is the end of a connection whose client breaks the protocol.
func broken(code packet.Code, format string, args ...any) error {
	return &leave{code: code, text: fmt.Sprintf(format, args...), reason: engine.ReasonProtocol}
}

// refused is the end of a connection whose client may not do what it does.
func refused(code packet.Code, cause error) *leave {
	return &leave{code: code, text: cause.Error(), reason: engine.ReasonDenied, cause: cause}
}

var errQuit = errors.New("the client has disconnected")

// fail sends what was answered so far, and returns why the connection ends, for the engine, which asks for the farewell.
func (c *conn) fail(t *turn, err error) error {
	_ = t.finish()
	if errors.Is(err, errQuit) {
		return engine.Because(engine.ReasonQuit, nil)
	}
	var malformed *packet.Error
	var l *leave
	switch {
	case errors.As(err, &malformed):
		reason := engine.ReasonProtocol
		if malformed.Code == packet.PacketTooLarge {
			reason = engine.ReasonTooLarge
		}
		l = &leave{code: malformed.Code, text: malformed.Reason, reason: reason, cause: malformed}
	case !errors.As(err, &l):
		l = &leave{code: packet.UnspecifiedError, text: "the server failed", reason: engine.ReasonInternal, cause: err}
	}
	return engine.Because(l.reason, l)
}

// farewell is the last packet: it tells the client why the server ends the connection, if its version can be told [MQTT-4.13.2-1].
func (c *conn) farewell(why *engine.CloseError) []byte {
	var l *leave
	if !errors.As(why.Err, &l) {
		code, told := farewells[why.Reason]
		if !told || c.session == nil {
			return nil
		}
		l = &leave{code: code, text: why.Reason.String()}
	}
	p := l.properties
	if p == nil && c.problem && l.text != "" {
		p = (&packet.Properties{ReasonString: clip(l.text)}).Set(packet.ReasonString)
	}
	said := c.lastPacket(l.code, p)
	if p != nil && !c.fits(len(said)) {
		said = c.lastPacket(l.code, nil) // the code alone [MQTT-3.2.2-19], [MQTT-3.14.2-3]
	}
	if !c.fits(len(said)) {
		return nil
	}
	return said
}

// lastPacket is a DISCONNECT, or a CONNACK that refuses, where there is one. Version 3 has none for a CONNECT that does not follow the format
// [MQTT-3.1.4-1 of 3.1.1].
func (c *conn) lastPacket(code packet.Code, p *packet.Properties) []byte {
	switch {
	case c.session != nil && c.version >= packet.V5:
		return packet.AppendDisconnect(nil, c.version, code, p)
	case c.session == nil && c.version < packet.V5 && (code == packet.MalformedPacket || code == packet.ProtocolError || code == packet.TopicNameInvalid):
		return nil
	case c.session == nil && c.version != 0:
		return packet.AppendConnack(nil, c.version, false, code, p)
	}
	return nil
}

// farewells are the codes for what the engine decides.
var farewells = map[engine.Reason]packet.Code{
	engine.ReasonKeepAlive:      packet.KeepAliveTimeout,
	engine.ReasonIdleTimeout:    packet.KeepAliveTimeout,
	engine.ReasonTooLarge:       packet.PacketTooLarge,
	engine.ReasonShutdown:       packet.ServerShuttingDown,
	engine.ReasonRequestTimeout: packet.MalformedPacket,
	engine.ReasonDenied:         packet.NotAuthorized,
	engine.ReasonTakenOver:      packet.SessionTakenOver,
	engine.ReasonInternal:       packet.UnspecifiedError,
	engine.ReasonPanic:          packet.UnspecifiedError,
}

// clip bounds what a client is told.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// closed is told once that the connection has ended.
func (c *conn) closed(why error) {
	c.endExchange()
	if c.session != nil {
		c.broker.detach(c, why)
	}
}

// Describe returns the user and the client identifier, for the list of connections.
func (c *conn) Describe() (user, detail string) {
	s := c.described.Load()
	if s == nil {
		return "", ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	user, _ = s.ownerLocked()
	return user, s.id
}

// stillWelcome decides again about a client whose identity may have ended, or whose rights may have changed.
func (c *conn) stillWelcome() error {
	a := c.broker.auth
	if a == nil || c.session == nil {
		return nil
	}
	generation := a.Generation()
	if generation == c.judged && !c.is(flagExpires) {
		return nil
	}
	if err := a.Refresh(c.id); err != nil {
		return refused(packet.NotAuthorized, err)
	}
	c.judged = generation
	return nil
}

// awaitAcks has a client wait that has sent more than can be answered now, since too much waits for the disk: it is not read for as long.
func (c *conn) awaitAcks() {
	if c.acks != nil && c.acks.held.Load() >= maxAnswers {
		c.acks.await(&c.acks.held, maxAnswers, c.carrier.Context().Done())
	}
}

// acks are the acknowledgements of a connection that wait for commits: they leave in the order of what they acknowledge [MQTT-4.6.0-2].
type acks struct {
	mu      sync.Mutex
	waiting atomic.Int32 // messages that are received and not acknowledged yet
	held    atomic.Int32 // answers of all kinds
	head    *ackGroup
	tail    *ackGroup
	freed   chan struct{} // closed when some have left, if somebody waits
}

// An ackGroup is what answers one commit.
type ackGroup struct {
	next  *ackGroup
	bytes []byte
	count int32 // messages
	held  int32 // answers
	ready bool
}

// add enters a group, behind those of before.
func (a *acks) add(g *ackGroup) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting.Add(g.count)
	a.held.Add(g.held)
	if a.tail == nil {
		a.head, a.tail = g, g
		return
	}
	a.tail.next, a.tail = g, g
}

// count returns how many messages wait.
func (a *acks) count() int32 {
	if a == nil {
		return 0
	}
	return a.waiting.Load()
}

// empty tells whether nothing waits, so that an acknowledgement may leave at once.
func (a *acks) empty() bool {
	if a == nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.head == nil
}

// settle says what a group sends, and sends all that may leave now.
func (a *acks) settle(g *ackGroup, bytes []byte, to carrier) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g.bytes, g.ready = bytes, true
	for a.head != nil && a.head.ready {
		_ = to.Push(a.head.bytes, engine.Disconnect)
		a.waiting.Add(-a.head.count)
		a.held.Add(-a.head.held)
		if a.head = a.head.next; a.head == nil {
			a.tail = nil
		}
	}
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}

// wait waits until fewer than most messages wait for their acknowledgement.
func (a *acks) wait(most int32, until <-chan struct{}) {
	if a != nil {
		a.await(&a.waiting, most, until)
	}
}

// await waits until n is less than most.
func (a *acks) await(n *atomic.Int32, most int32, until <-chan struct{}) {
	for n.Load() >= most {
		a.mu.Lock()
		if n.Load() < most {
			a.mu.Unlock()
			return
		}
		if a.freed == nil {
			a.freed = make(chan struct{})
		}
		freed := a.freed
		a.mu.Unlock()
		select {
		case <-freed:
		case <-until:
			return
		}
	}
}
