package mqtt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store"
)

// maxClientID bounds client identifiers, which become keys of the store. The protocol asks for 23 (§3.1.3.1).
const maxClientID = 1024

// connect takes the CONNECT.
func (t *turn) connect(f packet.Frame) error {
	c, b := t.c, t.c.broker
	v, ok := packet.ConnectVersion(f)
	if c.version = v; !ok {
		if c.version = packet.V311; v > packet.V5 {
			c.version = packet.V5
		}
		return broken(packet.UnsupportedProtocolVersion, "the protocol or its version is not supported: MQTT 3.1, 3.1.1 and 5.0 are")
	}
	p, err := f.Connect()
	if err != nil {
		return err
	}
	if c.version >= packet.V5 && p.Properties != nil {
		c.accept(p.Properties)
	}
	c.problem = !p.Properties.Has(packet.RequestProblemInfo) || p.Properties.RequestProblemInfo == 1
	if b.config.Server != "" {
		return t.redirect()
	}
	if err := b.admission.enter(b.now(), c.carrier.Closing); err != nil {
		return &leave{code: packet.ServerBusy, text: err.Error(), reason: engine.ReasonTooMany, cause: err}
	}
	if err := c.identify(p); err != nil {
		return err
	}
	if p.Properties.Has(packet.AuthMethod) {
		return t.beginExchange(p)
	}
	id, err := b.login(c, p)
	if err != nil {
		return err
	}
	return t.establish(p, id, nil)
}

// redirect tells the client to go to another server (§4.11).
func (t *turn) redirect() error {
	return &leave{
		code: packet.UseAnotherServer, text: "another server serves here", reason: engine.ReasonDenied,
		properties: (&packet.Properties{ServerReference: t.c.broker.config.Server}).Set(packet.ServerReference),
	}
}

// identify checks the client identifier, or makes one (§3.1.3.1).
func (c *conn) identify(p *packet.ConnectPacket) error {
	switch {
	case len(p.ClientID) > maxClientID:
		return broken(packet.ClientIdentifierNotValid, "the client identifier has %d bytes, at most %d are allowed", len(p.ClientID), maxClientID)
	case p.ClientID != "":
		return nil
	case p.Version < packet.V5 && !p.CleanStart:
		return broken(packet.ClientIdentifierNotValid, "a session that is kept needs a client identifier")
	}
	p.ClientID = "spate-" + rand.Text()
	c.flags |= flagAssigned
	return nil
}

// login finds out who the client is: by its certificate, by name and password or a token, or, while authentication is not configured, anybody on this machine.
func (b *Broker) login(c *conn, p *packet.ConnectPacket) (auth.Identity, error) {
	a := b.auth
	if a == nil {
		c.flags |= flagOpen
		return auth.Identity{}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.limits.AuthTimeout)
	defer cancel()
	from := c.origin()
	id, err := a.Open(from, c.carrier.Listener().Addr())
	if err == nil {
		return id, nil
	}
	if p.HasUsername || p.HasPassword {
		id, err = a.Credentials(ctx, from, p.Username, auth.NewSecret(string(p.Password)))
	} else if state := c.carrier.TLS(); state != nil && len(state.VerifiedChains) > 0 {
		id, err = a.Certificate(ctx, from, state)
	}
	if err != nil {
		return auth.Identity{}, loginFailed(err)
	}
	return id, nil
}

// loginFailed says why, in the words of CONNACK.
func loginFailed(err error) *leave {
	code := packet.BadUserNameOrPassword
	switch {
	case errors.Is(err, auth.ErrBusy), errors.Is(err, auth.ErrUnavailable), errors.Is(err, auth.ErrClosed):
		code = packet.ServerUnavailable
	case errors.Is(err, auth.ErrNotAuthenticated):
		code = packet.NotAuthorized
	case errors.Is(err, auth.ErrTooManyTries):
		code = packet.ConnectionRateExceeded
	}
	return refused(code, err)
}

func (c *conn) origin() auth.Origin {
	return auth.Origin{Door: "mqtt", Addr: c.carrier.Remote().Addr()}
}

// authorize decides about an action on a topic.
func (b *Broker) authorize(c *conn, action auth.Action, topic []byte) error {
	if action == auth.ActionPublish && b.auth.CanPublish(c.id, string(topic)) {
		return nil
	}
	return b.auth.Authorize(c.origin(), c.id, action, string(topic))
}

// establish gives the client its session and tells it so.
func (t *turn) establish(p *packet.ConnectPacket, id auth.Identity, said *packet.Properties) error {
	c, b := t.c, t.c.broker
	if err := c.become(p, id); err != nil {
		return err
	}
	k := b.stripe(p.ClientID)
	k.Lock()
	s, present, ousted, err := b.claim(c, p)
	if err == nil {
		if err = t.welcome(s, p, present, said); err != nil && c.session == nil {
			b.abandon(s)
			if c.epoch != 0 { // it was told that the client is connected
				b.opts.Devices.Disconnected(c.device(s), "the client could not be told that it is connected")
			}
		}
	}
	if ousted != nil && c.epoch == 0 { // else it is known that a later connection has begun
		b.departed(ousted, ousted.session, engine.ReasonTakenOver)
	}
	k.Unlock()
	if err != nil {
		return err
	}
	if present && b.told != nil && c.epoch != 0 {
		b.told.Resumed(c.device(s), s.toDevices)
	}
	// What was on its way to its delivery while the session's own subscriptions came back may be noted by a backlog only, and be missed by a session that takes itself for up to date.
	if present && !b.delivered(c) {
		return nil
	}
	s.pump(c)
	return nil
}

// become notes who the client is.
func (c *conn) become(p *packet.ConnectPacket, id auth.Identity) error {
	a := c.broker.auth
	if a == nil {
		c.flags |= flagOpen
		return nil
	}
	c.judged = a.Generation()
	id, err := a.WithClient(c.origin(), id, p.ClientID)
	if err != nil {
		return refused(packet.ClientIdentifierNotValid, err)
	}
	c.id = id
	c.flags &^= flagOpen | flagExpires
	if id.Method() == auth.MethodOpen {
		c.flags |= flagOpen
	}
	if !id.Expires().IsZero() {
		c.flags |= flagExpires
	}
	return nil
}

// welcome tells the client that it is connected; everything else that is sent comes after that.
func (t *turn) welcome(s *session, p *packet.ConnectPacket, present bool, said *packet.Properties) error {
	c, b := t.c, t.c.broker
	keepAlive := c.keepAlive(p)
	ack := b.grants(c, s, p, said)
	if d := b.opts.Devices; d != nil {
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		var err error
		session := c.device(s)
		session.Resumed, session.KeepAlive = present, keepAlive
		if c.epoch, err = d.Connected(ctx, session); err != nil {
			switch {
			case errors.Is(err, device.ErrUnknown):
				return refused(packet.NotAuthorized, err)
			case !errors.Is(err, store.ErrFull):
				b.log.Error("a client cannot connect, since the registry of devices fails", "client", describe(s.id), "error", err)
				return &leave{code: packet.ServerUnavailable, text: "the registry of devices fails", reason: engine.ReasonInternal, cause: err}
			}
			b.log.Warn("a device is connected and not shown as such: the disk is full", "client", describe(s.id))
		}
	}
	c.carrier.SetKeepAlive(keepAlive * 3 / 2)
	connack := packet.AppendConnack(nil, c.version, present, packet.Success, ack)
	if !c.fits(len(connack)) {
		return &leave{code: packet.PacketTooLarge, text: "the CONNACK is larger than what the client takes", reason: engine.ReasonTooLarge}
	}
	if p.Will == nil {
		if err := b.outdateWill(s.id); err != nil {
			return err
		}
	}
	b.count.connects.Add(1)
	return s.attach(c, p, func() error { return c.carrier.Push(connack, engine.Disconnect) })
}

// keepAlive is how often the client is to be heard.
func (c *conn) keepAlive(p *packet.ConnectPacket) time.Duration {
	asked, most := time.Duration(p.KeepAlive)*time.Second, c.broker.limits.KeepAlive
	if most > 0 && c.version >= packet.V5 && (asked == 0 || asked > most) {
		return most
	}
	return asked
}

// accept notes what the client takes.
func (c *conn) accept(p *packet.Properties) {
	aliases := min(int(p.TopicAliasMaximum), c.broker.limits.TopicAliases)
	if aliases > 0 || p.Has(packet.MaximumPacketSize) {
		c.takes = &takes{packet: int(p.MaximumPacketSize), aliases: outAliases{most: aliases}}
	}
}

// grants are the properties of the CONNACK (§3.2.2.3).
func (b *Broker) grants(c *conn, s *session, p *packet.ConnectPacket, said *packet.Properties) *packet.Properties {
	if c.version < packet.V5 {
		return nil
	}
	ack := said
	if ack == nil {
		ack = &packet.Properties{}
	}
	ack.ReceiveMaximum, ack.MaximumPacketSize = uint16(b.limits.Receive), uint32(b.limits.PacketSize)
	ack.TopicAliasMaximum = uint16(b.limits.TopicAliases)
	ack.Set(packet.ReceiveMaximum, packet.MaximumPacketSize, packet.TopicAliasMaximum)
	if b.store == nil {
		ack.Set(packet.RetainAvailable)
	}
	if c.is(flagAssigned) {
		ack.AssignedClientID = p.ClientID
		ack.Set(packet.AssignedClientID)
	}
	if granted := s.expiry(); granted != expiryAsked(p.Properties) {
		ack.SessionExpiry = granted
		ack.Set(packet.SessionExpiry)
	}
	if k := c.keepAlive(p); k != time.Duration(p.KeepAlive)*time.Second {
		ack.ServerKeepAlive = uint16(k / time.Second)
		ack.Set(packet.ServerKeepAlive)
	}
	return ack
}

// device describes the connection.
func (c *conn) device(s *session) device.Session {
	return device.Session{
		ID: s.id, Assigned: c.is(flagAssigned), User: c.id.User(), Remote: c.carrier.RemoteString(), Protocol: "mqtt " + c.version.String(), Epoch: c.epoch, At: c.broker.now(),
	}
}

// disconnect takes the client's good-bye (§3.14).
func (t *turn) disconnect(f packet.Frame) error {
	c := t.c
	p, err := f.Disconnect(c.version)
	if err != nil {
		return err
	}
	s := c.session
	if p.Properties.Has(packet.SessionExpiry) {
		if s.expiry() == 0 && p.Properties.SessionExpiry != 0 {
			return broken(packet.ProtocolError, "the session cannot be made to outlive the connection when that ends")
		}
		s.setExpiry(p.Properties.SessionExpiry)
	}
	if p.Code == packet.NormalDisconnection { // with any other code the will is published [MQTT-3.1.2-8]
		c.broker.discardWill(c)
	}
	return errQuit
}

func describe(id string) string { return fmt.Sprintf("%.64q", id) }

// expiryAsked is the Session Expiry Interval of a CONNECT of version 5.
func expiryAsked(p *packet.Properties) uint32 {
	if !p.Has(packet.SessionExpiry) {
		return 0
	}
	return p.SessionExpiry
}
