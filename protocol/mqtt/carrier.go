package mqtt

import (
	"context"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/spate-io/spate/engine"
)

// A carrier takes packets to the client and says who that is: a connection of the engine, or a WebSocket on one.
type carrier interface {
	Push(p []byte, policy engine.Overflow) error
	PushParts(policy engine.Overflow, head, body []byte) error
	Write(p []byte) (int, error)
	WriteThrough(p []byte) (int, error)
	Congested() bool
	AwaitRoom() error
	Close(r engine.Reason, cause error)
	Closing() bool
	Context() context.Context
	SetKeepAlive(d time.Duration)
	Silence() (d time.Duration, known bool)
	Remote() netip.AddrPort
	RemoteString() string
	TLS() *tls.ConnectionState
	Listener() *engine.Listener
}

// wire is a connection of the engine as a carrier. It is one pointer, so that an interface holds it without memory of its own.
type wire struct{ *engine.Conn }

func (w wire) PushParts(policy engine.Overflow, head, body []byte) error {
	return w.Conn.PushParts(policy, head, body)
}
