package websocket

import (
	"errors"
	"sync/atomic"

	"github.com/spate-io/spate/engine"
)

// A Conn is a connection that has become a WebSocket. It is an [engine.Conn] whose writing methods send messages. Its methods may be
// called from any goroutine at any time, also after it is closed; see the package comment for what a session may do when.
//
// While it waits it is this struct, its session and the engine's own: no goroutine, no buffer.
type Conn struct {
	*engine.Conn
	ep       atomic.Pointer[endpoint] // nil until the handshake is done
	stream   Session                  // one of the two is set before ep
	messages Messages
	deflate  bool    // compression was agreed on
	most     int32   // bytes of a message, if that is less than the limit; 0 is the limit
	in       decoder // used by the connection's task only
}

// A Session is the state of a byte stream that WebSockets carry: the payloads of binary messages, one after the other, wherever the
// messages begin and end. It is to a Conn what [engine.Session] is to an engine.Conn, and may have the methods of [engine.Drainer] and
// [engine.Fareweller], with a *Conn, and of [engine.Describer].
type Session interface {
	// Serve handles what is complete at the head of in and returns the number of bytes that it took. What is left is offered again, with
	// more behind it. The bytes of in are valid until Serve returns. An error closes the connection, with the reason that it carries (see
	// [engine.Because]); what was written before is delivered.
	Serve(c *Conn, in []byte) (n int, err error)

	// Close releases what the session holds. It is called exactly once, after the last Serve. The connection takes no more messages.
	Close(c *Conn, why error)
}

// Messages is the state of a protocol that wants whole messages. It may have the same methods more as a [Session].
type Messages interface {
	// Message handles a message. Text is UTF-8. The data is valid until Message returns. Errors are as those of Session.Serve.
	Message(c *Conn, kind Kind, data []byte) error

	// Close is that of [Session].
	Close(c *Conn, why error)
}

// A Kind is the kind of a message.
type Kind byte

// The kinds of messages.
const (
	Text   = Kind(opText)
	Binary = Kind(opBinary)
)

// What sessions have, or may have: see [Session].
type (
	closer     interface{ Close(c *Conn, why error) }
	drainer    interface{ Drain(c *Conn) }
	fareweller interface {
		Farewell(c *Conn, why *engine.CloseError) []byte
	}
)

// limits are those of the endpoint.
func (c *Conn) limits() *Limits { return &c.ep.Load().limits }

// LimitMessage bounds the messages that follow below Limits.Message, until the client is known; 0 ends that. It is for the connection's task.
func (c *Conn) LimitMessage(n int) { c.most = int32(n) }

// maxMessage bounds messages and frames.
func (c *Conn) maxMessage() int {
	if most := c.limits().Message; c.most == 0 || most < int(c.most) {
		return most
	}
	return int(c.most)
}

// kind is the kind of the messages that the writing methods send.
func (c *Conn) kind() Kind {
	if c.messages != nil {
		return Text
	}
	return Binary
}

// session returns what the endpoint has made; nil before the handshake.
func (c *Conn) session() any {
	switch {
	case c.messages != nil:
		return c.messages
	case c.stream != nil:
		return c.stream
	}
	return nil
}

// A carrier is a Conn as the engine sees it. The methods of both have the same names.
type carrier Conn

var (
	_ engine.Carrier    = (*carrier)(nil)
	_ engine.Fareweller = (*carrier)(nil)
	_ engine.Drainer    = (*carrier)(nil)
	_ engine.Describer  = (*carrier)(nil)
)

// Serve is not called: the engine calls Carry.
func (s *carrier) Serve(*engine.Conn, []byte) (int, error) { return 0, engine.ErrClosed }

// Carry takes the handshake and the frames off what has arrived.
func (s *carrier) Carry(_ *engine.Conn, in []byte) (rest []byte, finished bool, err error) {
	c := (*Conn)(s)
	if c.ep.Load() == nil {
		n, err := c.shake(in)
		if n == 0 || err != nil {
			return in, false, err
		}
		in = in[n:]
	}
	return c.decode(in)
}

// Close ends the session.
func (s *carrier) Close(_ *engine.Conn, why error) {
	c := (*Conn)(s)
	if inner, ok := c.session().(closer); ok {
		inner.Close(c, why)
	}
}

// Drain lets the session say its own good-bye.
func (s *carrier) Drain(*engine.Conn) {
	c := (*Conn)(s)
	if d, ok := c.session().(drainer); ok {
		d.Drain(c)
	}
}

// Farewell returns the Close frame: the answer to the client's, or one of our own that says why.
func (s *carrier) Farewell(_ *engine.Conn, why *engine.CloseError) []byte {
	c := (*Conn)(s)
	if c.ep.Load() == nil {
		return nil // it never became a WebSocket, and has been told why
	}
	var last []byte
	if c.in.closed { // by the client
		return appendClose(last, c.in.code, "")
	}
	if f, ok := c.session().(fareweller); ok {
		if said := f.Farewell(c, why); len(said) > 0 {
			last = append(appendHead(last, opcode(c.kind()), false, len(said)), said...)
		}
	}
	if v, ok := errors.AsType[*violation](why.Err); ok {
		return appendClose(last, v.code, v.text)
	}
	return appendClose(last, codeOf(why.Reason), why.Reason.String())
}

// Describe returns the user, and the endpoint with what the session says of itself.
func (s *carrier) Describe() (user, detail string) {
	c := (*Conn)(s)
	ep := c.ep.Load()
	if ep == nil {
		return "", ""
	}
	detail = ep.Name
	if d, ok := c.session().(engine.Describer); ok {
		var more string
		if user, more = d.Describe(); more != "" {
			detail += " " + more
		}
	}
	return user, detail
}
