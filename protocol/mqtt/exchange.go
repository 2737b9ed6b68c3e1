package mqtt

import (
	"context"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// An exchange is an enhanced authentication under way (§4.12): client-first has come with a CONNECT or an AUTH, and was answered.
type exchange struct {
	connect *packet.ConnectPacket // nil: the client is known and authenticates again
	scram   *auth.SCRAMExchange
}

// beginExchange takes the CONNECT of a client that authenticates by a method.
func (t *turn) beginExchange(p *packet.ConnectPacket) error {
	c := t.c
	if a := c.broker.auth; p.Properties.AuthMethod != auth.SCRAMSHA256 || a == nil || !a.HasSCRAM() {
		return &leave{code: packet.BadAuthenticationMethod, text: "the authentication method is not supported", reason: engine.ReasonDenied}
	}
	return t.first(&exchange{connect: p, scram: c.broker.auth.SCRAM(c.origin(), auth.Identity{})}, p.Properties)
}

// first takes the client's first message and answers it.
func (t *turn) first(x *exchange, p *packet.Properties) error {
	c := t.c
	ctx, cancel := context.WithTimeout(context.Background(), c.broker.limits.AuthTimeout)
	defer cancel()
	reply, err := x.scram.First(ctx, p.AuthData)
	if err != nil {
		return exchangeFailed(err)
	}
	c.details().exchange = x
	t.out = packet.AppendAuth(t.out, packet.ContinueAuthentication, scramProperties(reply))
	return nil
}

// exchangeFailed is how a login that failed is told: not authorized, as §4.12 has it.
func exchangeFailed(err error) error {
	l := loginFailed(err)
	if l.code == packet.BadUserNameOrPassword {
		l.code = packet.NotAuthorized
	}
	return l
}

func scramProperties(data []byte) *packet.Properties {
	return (&packet.Properties{AuthMethod: auth.SCRAMSHA256, AuthData: data}).Set(packet.AuthMethod, packet.AuthData)
}

// final takes the client's last message, and returns who it is and what to tell it.
func (t *turn) final(f packet.Frame) (x *exchange, id auth.Identity, reply []byte, err error) {
	c := t.c
	p, err := f.Auth()
	if err != nil {
		return nil, id, nil, err
	}
	if c.more != nil {
		x = c.more.exchange
	}
	if x == nil || p.Code != packet.ContinueAuthentication || p.Properties == nil || p.Properties.AuthMethod != auth.SCRAMSHA256 {
		return nil, id, nil, broken(packet.ProtocolError, "an AUTH that does not go on with what was begun")
	}
	c.more.exchange = nil
	ctx, cancel := context.WithTimeout(context.Background(), c.broker.limits.AuthTimeout)
	defer cancel()
	if reply, id, err = x.scram.Final(ctx, p.Properties.AuthData); err != nil {
		return nil, id, nil, exchangeFailed(err)
	}
	return x, id, reply, nil
}

// authenticate takes an AUTH before the client is known.
func (t *turn) authenticate(f packet.Frame) error {
	x, id, reply, err := t.final(f)
	if err != nil {
		return err
	}
	t.c.details().method = auth.SCRAMSHA256
	return t.establish(x.connect, id, scramProperties(reply))
}

// reauthenticate takes an AUTH of a client that is known (§4.12.1). What it does meanwhile it does as who it was.
func (t *turn) reauthenticate(f packet.Frame) error {
	c := t.c
	if c.version < packet.V5 || c.more == nil || c.more.method == "" {
		return broken(packet.ProtocolError, "an AUTH on a connection that did not begin with one")
	}
	p, err := f.Auth()
	if err != nil {
		return err
	}
	if p.Code == packet.ReAuthenticate {
		if p.Properties == nil || p.Properties.AuthMethod != c.more.method || c.more.exchange != nil {
			return broken(packet.ProtocolError, "an AUTH that begins anew with another method, or before the last one has ended")
		}
		return t.first(&exchange{scram: c.broker.auth.SCRAM(c.origin(), c.id)}, p.Properties)
	}
	_, id, reply, err := t.final(f)
	if err != nil {
		return err
	}
	if !c.session.identify(c, id) {
		return errQuit
	}
	t.out = packet.AppendAuth(t.out, packet.Success, scramProperties(reply))
	return nil
}

// endExchange forgets an exchange.
func (c *conn) endExchange() {
	if c.more != nil {
		c.more.exchange = nil
	}
}
