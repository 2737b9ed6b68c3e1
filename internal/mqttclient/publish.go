package mqttclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// ErrSessionLost is how a publish ends when the server does not have the session any more: whether the message arrived is not known.
var ErrSessionLost = errors.New("the server does not have the session any more, so whether the message arrived is not known; publish it again, at the risk of a second copy")

// A Message is an application message, to be published or received.
type Message struct {
	Topic      string
	Payload    []byte
	QoS        byte
	Retain     bool
	Dup        bool               // of a received message: it may have come before
	ID         uint16             // the packet identifier of a received message of QoS 1 and 2
	Properties *packet.Properties // of version 5; nil if there are none
}

// A Publishing is a message on its way to the server.
type Publishing struct {
	message  packet.OutPublish
	released bool // PUBREC has come, so PUBREL is what is sent again
	again    bool // PUBREL was sent on more than one connection
	quota    bool // it counts against the Receive Maximum of the connection
	done     chan struct{}
	code     packet.Code
	err      error
}

// finish needs the lock of the session.
func (p *Publishing) finish(err error, code packet.Code) {
	p.err, p.code = err, code
	close(p.done)
}

func (p *Publishing) finished() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Done is closed when the server has acknowledged the message, on whichever connection of its session.
func (p *Publishing) Done() <-chan struct{} { return p.done }

// Result is the reason code of the acknowledgement, once Done is closed.
func (p *Publishing) Result() (packet.Code, error) { return p.code, p.err }

// Publish publishes a message and waits until the server has acknowledged it as its QoS says. A code of failure is an error too.
func (c *Client) Publish(ctx context.Context, m Message) (packet.Code, error) {
	p, err := c.Start(ctx, m)
	if err != nil {
		return 0, err
	}
	return c.Wait(ctx, p)
}

// Wait waits for the acknowledgement of a message. If the connection ends before, the message stays in the session, and can be waited for again.
func (c *Client) Wait(ctx context.Context, p *Publishing) (packet.Code, error) {
	if !p.finished() {
		select {
		case <-p.done:
		case <-c.done:
			if !p.finished() { // else the acknowledgement was the last that came
				return 0, fmt.Errorf("publishing to %s: %w", p.message.Topic, c.Err())
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("publishing to %s: %w", p.message.Topic, context.Cause(ctx))
		}
	}
	if p.err == nil && p.code.Failed() {
		return p.code, fmt.Errorf("publishing to %s: 0x%02X %s", p.message.Topic, byte(p.code), p.code)
	}
	return p.code, p.err
}

// Start publishes a message and does not wait for the acknowledgement. It waits while as many messages are in flight as the server allows.
func (c *Client) Start(ctx context.Context, m Message) (*Publishing, error) {
	p := &Publishing{done: make(chan struct{}), message: packet.OutPublish{
		Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Properties: m.Properties,
	}}
	if m.QoS == 0 {
		err := c.send(packet.AppendPublish(nil, c.version, &p.message))
		p.finish(err, 0)
		return p, err
	}
	select {
	case c.quota <- struct{}{}:
	case <-c.done:
		return nil, fmt.Errorf("publishing to %s: %w", m.Topic, c.Err())
	case <-ctx.Done():
		return nil, fmt.Errorf("publishing to %s: %w", m.Topic, context.Cause(ctx))
	}
	// The order in the session is the order on the wire, so nobody else sends in between.
	c.sending.Lock()
	defer c.sending.Unlock()
	s := c.session
	s.mu.Lock()
	id, err := s.identifier()
	if err != nil {
		s.mu.Unlock()
		<-c.quota
		return nil, fmt.Errorf("publishing to %s: %w", m.Topic, err)
	}
	p.message.ID, p.quota = id, true
	s.sent = append(s.sent, p)
	b := packet.AppendPublish(nil, c.version, &p.message)
	s.mu.Unlock()
	if err := c.conn.Send(b); err != nil {
		return p, fmt.Errorf("publishing to %s: %w", m.Topic, err)
	}
	return p, nil
}

// acknowledged handles PUBACK, PUBREC and PUBCOMP.
func (c *Client) acknowledged(a packet.AckPacket) error {
	if c.session.acknowledged(a, c.quota) {
		return nil
	}
	code := packet.Success
	if !c.session.released(a.ID) {
		code = packet.PacketIdentifierNotFound
	}
	return c.sendAck(packet.Pubrel, a.ID, code)
}

// resend sends what the session holds, in order, as a server wants it from a client that is back [MQTT-4.4.0-1].
func (c *Client) resend(again []*Publishing) error {
	for _, p := range again {
		select {
		case c.quota <- struct{}{}:
			p.quota = true
		default:
			p.quota = false // more in flight than this connection allows: the server has them from the last one
		}
		if p.released {
			p.again = true
			if err := c.sendAck(packet.Pubrel, p.message.ID, packet.Success); err != nil {
				return err
			}
			continue
		}
		p.message.Dup = true
		if err := c.send(packet.AppendPublish(nil, c.version, &p.message)); err != nil {
			return err
		}
	}
	return nil
}
