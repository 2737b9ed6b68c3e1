package mqttclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// received puts a message where Receive takes it from.
func (c *Client) received(f packet.Frame) error {
	p, err := f.Publish(c.version)
	if err != nil {
		return err
	}
	m := &Message{Topic: string(p.Topic), Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, Dup: p.Dup, ID: p.ID} // the frame owns its bytes
	if m.Properties, err = p.Properties(); err != nil {
		return err
	}
	if alias, ok := p.TopicAlias(); ok {
		if m.Topic != "" {
			c.aliases[alias] = m.Topic
		}
		m.Topic = c.aliases[alias]
	}
	if m.Topic == "" {
		return errors.New("the server sent a topic alias that it has not defined")
	}
	if m.QoS == 2 && c.session.seen(m.ID) {
		return c.sendAck(packet.Pubrec, m.ID, packet.Success)
	}
	select {
	case c.inbox <- m:
		return nil
	case <-c.closing: // it will come again, if it is to be acknowledged
		return nil
	}
}

// Receive returns the next message, and acknowledges it unless Options.ManualAck is set. When the connection has ended, the messages that had arrived
// are not returned any more.
func (c *Client) Receive(ctx context.Context) (*Message, error) {
	select {
	case <-c.done: // the server will send again what is in the inbox
		return nil, fmt.Errorf("receiving: %w", c.Err())
	default:
	}
	select {
	case m := <-c.inbox:
		if c.options.ManualAck {
			return m, nil
		}
		// If acknowledging fails, the connection has ended: of QoS 1, the server will send the message again.
		_ = c.Ack(m, packet.Success)
		return m, nil
	case <-c.done:
		return nil, fmt.Errorf("receiving: %w", c.Err())
	case <-ctx.Done():
		return nil, fmt.Errorf("receiving: %w", context.Cause(ctx))
	}
}

// Ack acknowledges a message, with a code of failure if it is not wanted.
func (c *Client) Ack(m *Message, code packet.Code) error {
	switch m.QoS {
	case 1:
		return c.sendAck(packet.Puback, m.ID, code)
	case 2:
		if !code.Failed() {
			c.session.take(m.ID)
		}
		return c.sendAck(packet.Pubrec, m.ID, code)
	}
	return nil
}
