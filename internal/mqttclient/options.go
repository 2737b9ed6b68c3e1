package mqttclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// Options are how a client connects. The zero value is version 5, a clean start, and an identifier that the server assigns.
type Options struct {
	// Version is packet.V5 unless another is given.
	Version packet.Version

	// ClientID is empty for one that the server assigns, which is Client.ID afterwards.
	ClientID string

	// Resume goes on with the session that the server has (Clean Start 0). Without it, that one is dropped.
	Resume bool

	// Session is what this side holds of the session. Nil is an empty one.
	Session *Session

	// SessionExpiry is for how long the server keeps the session, in seconds. 0 is until the connection ends. Version 5 only: with
	// 3.1.1 a session lasts if Resume is set.
	SessionExpiry uint32

	// Username and Password are sent if they are not empty.
	Username string
	Password string

	// KeepAlive is how often the client pings, in whole seconds, and what it tells the server. 0 is never: the server then waits for ever.
	KeepAlive time.Duration

	// Will is published by the server when this client is gone without a word.
	Will *packet.Will

	// Properties are further properties of the CONNECT, in version 5.
	Properties *packet.Properties

	// ManualAck leaves acknowledging to the caller of Client.Ack.
	ManualAck bool

	// Buffer is how many messages wait for Receive before the client stops reading; 0 is 1024.
	Buffer int

	// TLS is for mqtts, as crypto/tls wants it.
	TLS *tls.Config

	// Dial makes the connection instead of what the scheme says: for WebSocket, for one, and for tests.
	Dial func(ctx context.Context, u *url.URL) (net.Conn, error)
}

// connect is the CONNECT that the options ask for.
func (o *Options) connect() *packet.ConnectPacket {
	p := &packet.ConnectPacket{
		Version:     o.Version,
		CleanStart:  !o.Resume,
		KeepAlive:   uint16(min(o.KeepAlive/time.Second, 65_535)),
		ClientID:    o.ClientID,
		HasUsername: o.Username != "",
		HasPassword: o.Password != "",
		Username:    o.Username,
		Password:    []byte(o.Password),
		Will:        o.Will,
	}
	if o.Version != packet.V5 {
		return p
	}
	p.Properties = &packet.Properties{}
	if o.Properties != nil {
		*p.Properties = *o.Properties
	}
	if o.SessionExpiry > 0 {
		p.Properties.SessionExpiry = o.SessionExpiry
		p.Properties.Set(packet.SessionExpiry)
	}
	return p
}

// A RefusedError is why the server did not take a CONNECT.
type RefusedError struct {
	Code   packet.Code
	Reason string // the server's sentence, in version 5
}

func (e *RefusedError) Error() string {
	return sentence("the server refuses the connection", e.Code, e.Reason)
}

// A DisconnectedError is why the server ended a connection, in version 5.
type DisconnectedError struct {
	Code       packet.Code
	Reason     string
	Properties *packet.Properties
}

func (e *DisconnectedError) Error() string {
	return sentence("the server ended the connection", e.Code, e.Reason)
}

func sentence(what string, code packet.Code, reason string) string {
	text := fmt.Sprintf("%s: 0x%02X %s", what, byte(code), code)
	if reason != "" {
		text += " (" + reason + ")"
	}
	return text
}

func reasonOf(p *packet.Properties) string {
	if p == nil {
		return ""
	}
	return p.ReasonString
}
