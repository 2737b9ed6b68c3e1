package mqttclient

import (
	"context"
	"fmt"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// Subscribe subscribes and returns the server's code for each filter. A code of failure is an error too.
func (c *Client) Subscribe(ctx context.Context, filters ...packet.Subscription) ([]packet.Code, error) {
	return c.SubscribeWith(ctx, nil, filters...)
}

// SubscribeWith is Subscribe with properties, of version 5.
func (c *Client) SubscribeWith(ctx context.Context, p *packet.Properties, filters ...packet.Subscription) ([]packet.Code, error) {
	names := make([]string, len(filters))
	for i, f := range filters {
		names[i] = f.Filter
	}
	return c.request(ctx, "subscribing to", names, packet.Frame.Suback, func(id uint16) []byte {
		return packet.AppendSubscribe(nil, c.version, &packet.SubscribePacket{ID: id, Properties: p, Filters: filters})
	})
}

// Unsubscribe unsubscribes and returns the server's code for each filter; version 3.1.1 has none.
func (c *Client) Unsubscribe(ctx context.Context, filters ...string) ([]packet.Code, error) {
	return c.request(ctx, "unsubscribing from", filters, packet.Frame.Unsuback, func(id uint16) []byte {
		return packet.AppendUnsubscribe(nil, c.version, &packet.UnsubscribePacket{ID: id, Filters: filters})
	})
}

// request sends a request and waits for its answer.
func (c *Client) request(ctx context.Context, doing string, filters []string, decode func(packet.Frame, packet.Version) (*packet.SubackPacket, error), encode func(id uint16) []byte) ([]packet.Code, error) {
	fail := func(err error) ([]packet.Code, error) { return nil, fmt.Errorf("%s %q: %w", doing, filters, err) }
	id, answer, err := c.session.ask()
	if err != nil {
		return fail(err)
	}
	defer c.session.forget(id)
	if err := c.send(encode(id)); err != nil {
		return fail(err)
	}
	var f packet.Frame
	select {
	case f = <-answer:
	case <-c.done:
		select {
		case f = <-answer: // the last that came
		default:
			return fail(c.Err())
		}
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
	ack, err := decode(f, c.version)
	if err != nil {
		return fail(err)
	}
	for i, code := range ack.Codes {
		if code.Failed() && i < len(filters) {
			return ack.Codes, fmt.Errorf("%s %q: 0x%02X %s", doing, filters[i], byte(code), code)
		}
	}
	return ack.Codes, nil
}
