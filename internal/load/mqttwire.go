package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The packet types, in the upper half of a packet's first byte (MQTT 5.0, section 2.1.2).
const (
	mqttConnect    = 1 << 4
	mqttConnack    = 2 << 4
	mqttPublish    = 3 << 4
	mqttPuback     = 4 << 4
	mqttPubrec     = 5 << 4
	mqttPubrel     = 6<<4 | 2 // with the flags that it must have, like SUBSCRIBE
	mqttPubcomp    = 7 << 4
	mqttSubscribe  = 8<<4 | 2
	mqttSuback     = 9 << 4
	mqttDisconnect = 14 << 4
)

// mqttType is the part of the first byte that tells the type.
const mqttType = 0xf0

// The protocol levels, by which a CONNECT names its version.
const (
	mqtt311 = 4
	mqtt5   = 5
)

// mqttRefused is the first reason code that is an error.
const mqttRefused = 0x80

var (
	errNotMQTT      = errors.New("what came is not MQTT")
	errMQTTTooShort = fmt.Errorf("%w: a packet ends in the middle of a field", errNotMQTT)
)

// An mqttPacket is one that has arrived. Its body belongs to the buffer that it was read into.
type mqttPacket struct {
	first byte
	body  []byte
}

// nextMQTT returns the packet at the head of b and its length, or zero if it is not complete yet.
func nextMQTT(b []byte) (p mqttPacket, n int, err error) {
	length, shift := 0, 0
	for i := 1; i < len(b); i++ {
		length |= int(b[i]&0x7f) << shift
		shift += 7
		switch {
		case b[i] >= 0x80 && i == 4:
			return p, 0, fmt.Errorf("%w: a length has more than four bytes", errNotMQTT)
		case b[i] >= 0x80:
			continue
		case length > MaxReply:
			return p, 0, errLongReply
		case len(b)-i-1 < length:
			return p, 0, nil
		}
		return mqttPacket{b[0], b[i+1 : i+1+length]}, i + 1 + length, nil
	}
	return p, 0, nil
}

// appendVariable appends a variable byte integer.
func appendVariable(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func appendMQTTString[T string | []byte](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// An mqttLogin is what a CONNECT says.
type mqttLogin struct {
	version   byte
	client    string
	durable   uint32 // seconds that the session outlives the connection; zero means a clean session
	keepAlive uint16
	user      string
	password  []byte
}

func appendConnect(b []byte, l *mqttLogin) []byte {
	flags := byte(0)
	if l.durable == 0 {
		flags |= 1 << 1
	}
	if l.user != "" {
		flags |= 1 << 7
	}
	if l.password != nil {
		flags |= 1 << 6
	}
	body := append([]byte("\x00\x04MQTT"), l.version, flags)
	body = binary.BigEndian.AppendUint16(body, l.keepAlive)
	if l.version == mqtt5 {
		const sessionExpiry = 0x11
		if l.durable == 0 {
			body = append(body, 0)
		} else {
			body = binary.BigEndian.AppendUint32(append(body, 5, sessionExpiry), l.durable)
		}
	}
	body = appendMQTTString(body, l.client)
	if l.user != "" {
		body = appendMQTTString(body, l.user)
	}
	if l.password != nil {
		body = appendMQTTString(body, l.password)
	}
	return append(appendVariable(append(b, mqttConnect), len(body)), body...)
}

func appendSubscribe(b []byte, version byte, id uint16, filter string, qos byte) []byte {
	length := 2 + 2 + len(filter) + 1
	if version == mqtt5 {
		length++
	}
	b = binary.BigEndian.AppendUint16(appendVariable(append(b, mqttSubscribe), length), id)
	if version == mqtt5 {
		b = append(b, 0)
	}
	return append(appendMQTTString(b, filter), qos)
}

// appendPublish appends a PUBLISH up to its payload.
func appendPublish(b []byte, version byte, topic string, qos byte, id uint16, size int) []byte {
	length := 2 + len(topic) + size
	if qos > 0 {
		length += 2
	}
	if version == mqtt5 {
		length++
	}
	b = appendMQTTString(appendVariable(append(b, mqttPublish|qos<<1), length), topic)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	if version == mqtt5 {
		b = append(b, 0)
	}
	return b
}

// appendMQTTAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP that reports success.
func appendMQTTAck(b []byte, first byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, first, 2), id)
}

// publication takes a PUBLISH apart.
func (p mqttPacket) publication(version byte) (topic, payload []byte, id uint16, err error) {
	b := p.body
	if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
		return nil, nil, 0, errMQTTTooShort
	}
	n := int(binary.BigEndian.Uint16(b))
	topic, b = b[2:2+n], b[2+n:]
	if p.qos() > 0 {
		if len(b) < 2 {
			return nil, nil, 0, errMQTTTooShort
		}
		id, b = binary.BigEndian.Uint16(b), b[2:]
	}
	if version == mqtt5 {
		if _, b, err = mqttProperties(b); err != nil {
			return nil, nil, 0, err
		}
	}
	return topic, b, id, nil
}

func (p mqttPacket) qos() byte { return p.first >> 1 & 3 }

// ack takes a PUBACK, PUBREC, PUBREL or PUBCOMP apart.
func (p mqttPacket) ack() (id uint16, reason byte, err error) {
	if len(p.body) < 2 {
		return 0, 0, errMQTTTooShort
	}
	if len(p.body) > 2 {
		reason = p.body[2]
	}
	return binary.BigEndian.Uint16(p.body), reason, nil
}

// accepted returns how many messages may be under way to the server, as its CONNACK says.
func (p mqttPacket) accepted(version byte) (inflight int, err error) {
	if p.first&mqttType != mqttConnack {
		return 0, fmt.Errorf("CONNECT was answered with a packet of type %d", p.first>>4)
	}
	if len(p.body) < 2 {
		return 0, errMQTTTooShort
	}
	if code := p.body[1]; code != 0 {
		return 0, MQTTRefusal{code}
	}
	inflight = 1<<16 - 1
	if version != mqtt5 {
		return inflight, nil
	}
	properties, _, err := mqttProperties(p.body[2:])
	if err != nil {
		return 0, err
	}
	granted, found, err := receiveMaximum(properties)
	if found {
		inflight = granted
	}
	return inflight, err
}

// granted checks a SUBACK.
func (p mqttPacket) granted(version, qos byte) error {
	b := p.body
	if p.first&mqttType != mqttSuback {
		return fmt.Errorf("SUBSCRIBE was answered with a packet of type %d", p.first>>4)
	}
	if len(b) < 3 {
		return errMQTTTooShort
	}
	b = b[2:]
	if version == mqtt5 {
		var err error
		if _, b, err = mqttProperties(b); err != nil {
			return err
		}
	}
	switch {
	case len(b) != 1:
		return fmt.Errorf("%w: a SUBACK has %d codes for one filter", errNotMQTT, len(b))
	case b[0] >= mqttRefused:
		return fmt.Errorf("SUBSCRIBE was refused: %s", mqttReason(b[0]))
	case b[0] != qos:
		return fmt.Errorf("the server granted QoS %d where %d was asked for", b[0], qos)
	}
	return nil
}

// An MQTTRefusal is the answer to a CONNECT that a server does not accept.
type MQTTRefusal struct{ Code byte }

// Error implements error.
func (r MQTTRefusal) Error() string { return "CONNECT was refused: " + mqttReason(r.Code) }

// Identity tells whether it is because of who connects, or did not say who it is.
func (r MQTTRefusal) Identity() bool {
	return r.Code == 0x04 || r.Code == 0x05 || r.Code == 0x86 || r.Code == 0x87
}

// mqttProperties splits b behind the properties at its head.
func mqttProperties(b []byte) (properties, rest []byte, err error) {
	n, shift := 0, 0
	for i, v := range b {
		n |= int(v&0x7f) << shift
		shift += 7
		if v >= 0x80 && i < 3 {
			continue
		}
		if v >= 0x80 || len(b)-i-1 < n {
			break
		}
		return b[i+1 : i+1+n], b[i+1+n:], nil
	}
	return nil, nil, errMQTTTooShort
}

// receiveMaximum looks for that property among those of a CONNACK.
func receiveMaximum(b []byte) (granted int, found bool, err error) {
	for len(b) > 0 {
		n := 1 + propertyLength(b[0], b[1:])
		if n <= 1 || n > len(b) {
			return 0, false, fmt.Errorf("%w: property %#x of a CONNACK", errNotMQTT, b[0])
		}
		if b[0] == 0x21 {
			return int(binary.BigEndian.Uint16(b[1:])), true, nil
		}
		b = b[n:]
	}
	return 0, false, nil
}

// propertyLength returns the length of the value of a property that a CONNACK may have, or zero for another.
func propertyLength(id byte, value []byte) int {
	text := func(at int) int {
		if len(value) < at+2 {
			return at + 2
		}
		return at + 2 + int(binary.BigEndian.Uint16(value[at:]))
	}
	switch id {
	case 0x24, 0x25, 0x28, 0x29, 0x2a: // maximum QoS, what is available
		return 1
	case 0x13, 0x21, 0x22: // server keep-alive, receive maximum, topic alias maximum
		return 2
	case 0x11, 0x27: // session expiry, maximum packet size
		return 4
	case 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f: // assigned identifier, authentication, response information, server reference, reason
		return text(0)
	case 0x26: // user property
		return text(text(0))
	}
	return 0
}

// mqttReason says what a reason code of MQTT 5 means, or a return code of 3.1.1, for those that bench may meet.
func mqttReason(code byte) string {
	meaning := map[byte]string{
		0x01: "unacceptable protocol version", 0x02: "client identifier rejected", 0x03: "server unavailable",
		0x04: "bad user name or password", 0x05: "not authorized",
		0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x83: "implementation specific error",
		0x84: "unsupported protocol version", 0x85: "client identifier not valid", 0x86: "bad user name or password",
		0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy", 0x8b: "server shutting down",
		0x8d: "keep alive timeout", 0x8e: "session taken over", 0x8f: "topic filter invalid", 0x90: "topic name invalid",
		0x93: "receive maximum exceeded", 0x95: "packet too large", 0x96: "message rate too high", 0x97: "quota exceeded",
		0x98: "administrative action", 0x9b: "QoS not supported", 0x9f: "connection rate exceeded",
	}[code]
	if meaning == "" {
		meaning = "of unknown meaning"
	}
	return fmt.Sprintf("reason code %#02x, %s", code, meaning)
}
