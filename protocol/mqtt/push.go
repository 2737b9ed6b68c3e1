package mqtt

import (
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// How a message of QoS 0 without anything of the subscriber's own is written, for version 3 and 5: once for all subscribers.
var frames = [2]*bus.Format{
	{Encode: func(dst []byte, m *bus.Message) []byte { return appendWhole(dst, packet.V311, m) }},
	{Encode: func(dst []byte, m *bus.Message) []byte { return appendWhole(dst, packet.V5, m) }},
}

// bodies is what follows the head of each subscriber in version 5: shared properties and payload.
var bodies = &bus.Format{Encode: func(dst []byte, m *bus.Message) []byte {
	return append(packet.AppendSharedProperties(dst, properties(m.Event())), m.Data()...)
}}

// appendWhole appends a PUBLISH of QoS 0.
func appendWhole(dst []byte, v packet.Version, m *bus.Message) []byte {
	h := packet.PublishHead{Version: v, Topic: m.Subject(), Payload: len(m.Data())}
	if v < packet.V5 || len(m.Headers()) == 0 {
		return append(packet.AppendPublishHead(dst, h), m.Data()...)
	}
	body := m.Frame(bodies)
	h.Shared = len(body) - len(m.Data())
	h.MessageExpiry = left(m)
	return append(packet.AppendPublishHead(dst, h), body...)
}

// left returns the seconds until a live message expires, at least one, since it is being delivered now.
func left(m *bus.Message) uint32 {
	e := m.Event()
	n, expired := expiry(e, e.Time)
	if expired {
		return 1
	}
	return n
}

// An outgoing is what the window says of a message that is sent.
type outgoing struct {
	id  uint16
	qos byte
	dup bool
	// expiry is what is left of the life of a message that has waited; live ones know it themselves.
	expiry uint32
}

// push sends a message: a head of its own, and the body that all subscribers share.
func (c *conn) push(d *dispatch, o outgoing, policy engine.Overflow) error {
	h := packet.PublishHead{
		Version: c.version, Topic: d.subject(), QoS: o.qos, Dup: o.dup, Retain: d.retainFlag(), ID: o.id, SubscriptionIDs: d.ids,
		MessageExpiry: o.expiry, Payload: len(d.data()),
	}
	body := d.data()
	if c.version >= packet.V5 {
		body = d.body(&h)
	}
	if !c.fits(h.Size()) {
		return errTooLarge
	}
	alias, fresh := c.alias(&h)
	var store [256]byte
	err := c.carrier.PushParts(policy, packet.AppendPublishHead(store[:0], h), body)
	if err != nil && fresh {
		c.takes.aliases.forget(d.subject(), alias)
	}
	return err
}

// body returns shared properties and payload for version 5, and completes the head.
func (d *dispatch) body(h *packet.PublishHead) []byte {
	if d.message == nil {
		shared := packet.AppendSharedProperties(nil, properties(d.event))
		h.Shared = len(shared)
		return append(shared, d.event.Data...)
	}
	if len(d.message.Headers()) == 0 {
		return d.message.Data()
	}
	body := d.message.Frame(bodies)
	h.Shared = len(body) - h.Payload
	h.MessageExpiry = left(d.message)
	return body
}

// fits tells whether the client takes packets of that size [MQTT-3.1.2-24].
func (c *conn) fits(size int) bool {
	if c.takes == nil || c.takes.packet == 0 || size <= c.takes.packet {
		return true
	}
	c.broker.count.tooLarge.Add(1)
	return false
}

// outAliases are the topics that the client was told short names of.
type outAliases struct {
	most  int
	known map[string]uint16
}

func (c *conn) aliasing() bool { return c.takes != nil && c.takes.aliases.most > 0 }

// alias gives the topic of a message its short name, if it has one or there is one left.
func (c *conn) alias(h *packet.PublishHead) (alias uint16, fresh bool) {
	const worth = 4 // the alias itself takes three bytes
	if !c.aliasing() || len(h.Topic) < worth {
		return 0, false
	}
	a := &c.takes.aliases
	if n, known := a.known[h.Topic]; known {
		h.Topic, h.TopicAlias = "", n
		return n, false
	}
	if len(a.known) >= a.most {
		return 0, false
	}
	if a.known == nil {
		a.known = map[string]uint16{}
	}
	h.TopicAlias = uint16(len(a.known) + 1)
	if most := c.takes.packet; most > 0 && h.Size() > most { // with the alias it is too large
		h.TopicAlias = 0
		return 0, false
	}
	a.known[copied(h.Topic)] = h.TopicAlias
	return h.TopicAlias, true
}

// forget takes the last name back: the client has not heard of it.
func (a *outAliases) forget(topic string, alias uint16) {
	if a.known[topic] == alias {
		delete(a.known, topic)
	}
}
