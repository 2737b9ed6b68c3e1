package packet

import (
	"encoding/binary"
)

// An OutPublish is a PUBLISH to be written whole.
type OutPublish struct {
	Topic      string
	Payload    []byte
	ID         uint16 // for QoS 1 and 2
	QoS        byte
	Dup        bool // for QoS 1 and 2
	Retain     bool
	Properties *Properties // nil if there are none
}

// AppendPublish appends a PUBLISH.
func AppendPublish(dst []byte, v Version, p *OutPublish) []byte {
	properties, size := section{}, textSize(p.Topic)+len(p.Payload)
	if p.QoS > 0 {
		size += 2
	}
	if v >= V5 {
		properties = sectionOf(p.Properties, masks[Publish])
		size += properties.total()
	}
	dst, ok := appendHead(dst, Publish, publishFlags(p.QoS, p.Dup, p.Retain), size)
	if !ok {
		return dst
	}
	dst = appendText(dst, p.Topic)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.ID)
	}
	if v >= V5 {
		dst = properties.append(dst)
	}
	return append(dst, p.Payload...)
}

func publishFlags(qos byte, dup, retain bool) byte {
	flags := qos & 3 << 1
	if dup && qos > 0 {
		flags |= 8
	}
	if retain {
		flags |= 1
	}
	return flags
}

// A PublishHead is what differs between the subscribers of one message. The message is encoded once, into a shared
// body that is followed by nothing:
//
//	body := AppendSharedProperties(nil, properties)
//	shared := len(body)
//	body = append(body, payload...)
//
// and each subscriber is sent a head and the body, in this order and with nothing in between:
//
//	head := AppendPublishHead(nil, PublishHead{Version: V5, Topic: topic, Shared: shared, Payload: len(payload), …})
//	conn.Write(head, body)           // version 5
//	conn.Write(head, body[shared:])  // versions before 5, which have no properties
type PublishHead struct {
	Version Version
	Topic   string // may be empty if there is a topic alias that the subscriber knows
	QoS     byte
	Dup     bool // for QoS 1 and 2
	Retain  bool
	ID      uint16 // for QoS 1 and 2

	TopicAlias      uint16   // 0: none
	MessageExpiry   uint32   // the seconds that are left; 0: the message does not expire
	SubscriptionIDs []uint32 // of the subscriptions that match

	Shared  int // the length of the shared properties
	Payload int // the length of the payload
}

// sharedProperties are those that are the same for all subscribers.
const sharedProperties = 1<<PayloadFormat | 1<<ContentType | 1<<ResponseTopic | 1<<CorrelationData | 1<<User

// AppendSharedProperties appends those properties of a message that are the same for all its subscribers: payload
// format, content type, response topic, correlation data and user properties. It is no whole packet: see [PublishHead].
func AppendSharedProperties(dst []byte, p *Properties) []byte {
	return sectionOf(p, sharedProperties).appendRows(dst)
}

// own is the size of the properties in the head itself.
func (h *PublishHead) own() int {
	size := idsSize(h.SubscriptionIDs)
	if h.TopicAlias != 0 {
		size += 3
	}
	if h.MessageExpiry != 0 {
		size += 5
	}
	return size
}

// remaining is the remaining length of the packet.
func (h *PublishHead) remaining() int {
	size := textSize(h.Topic) + h.Payload
	if h.QoS > 0 {
		size += 2
	}
	if h.Version >= V5 {
		properties := h.own() + h.Shared
		size += varintSize(properties) + properties
	}
	return size
}

// Size is the size of the whole packet, head and body, as the maximum packet size of a client counts it.
func (h *PublishHead) Size() int {
	remaining := h.remaining()
	return 1 + varintSize(remaining) + remaining
}

// AppendPublishHead appends the part of a PUBLISH that comes before the shared body.
func AppendPublishHead(dst []byte, h PublishHead) []byte {
	dst, ok := appendHead(dst, Publish, publishFlags(h.QoS, h.Dup, h.Retain), h.remaining())
	if !ok {
		return dst
	}
	dst = appendText(dst, h.Topic)
	if h.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, h.ID)
	}
	if h.Version < V5 {
		return dst
	}
	dst = appendVarint(dst, h.own()+h.Shared)
	if h.MessageExpiry != 0 {
		dst = binary.BigEndian.AppendUint32(append(dst, byte(MessageExpiry)), h.MessageExpiry)
	}
	if h.TopicAlias != 0 {
		dst = binary.BigEndian.AppendUint16(append(dst, byte(TopicAlias)), h.TopicAlias)
	}
	return appendIDs(dst, h.SubscriptionIDs)
}
