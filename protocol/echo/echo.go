package echo

import "github.com/spate-io/spate/engine"

// Protocol answers each connection with its own bytes. The zero value is
// ready.
type Protocol struct{}

// Name returns "echo".
func (Protocol) Name() string { return "echo" }

// Open returns the session, which has no state.
func (Protocol) Open(*engine.Conn) engine.Session { return session{} }

type session struct{}

func (session) Serve(c *engine.Conn, in []byte) (int, error) {
	_, err := c.WriteThrough(in)
	return len(in), err
}

func (session) Close(*engine.Conn, error) {}
