package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A ConnectPacket is a CONNECT (§3.1).
type ConnectPacket struct {
	Version     Version
	Bridge      bool // the client is a bridge of mosquitto: it set bit 7 of the level. Lenient decoders only
	CleanStart  bool // in versions before 5: clean session
	KeepAlive   uint16
	ClientID    string
	HasUsername bool
	HasPassword bool
	Username    string
	Password    []byte      `json:"-"`
	Will        *Will       // nil if there is none
	Properties  *Properties // nil if there are none
}

// String says who connects, for logs: it shows no password and nothing else that the client wants to keep.
func (p *ConnectPacket) String() string {
	return fmt.Sprintf("CONNECT of version %s, client identifier %q", p.Version, p.ClientID)
}

// A Will is the message that the server publishes when the client is gone.
type Will struct {
	Topic      string
	Payload    []byte
	QoS        byte
	Retain     bool
	Properties *Properties // nil if there are none
}

// The flags of a CONNECT (§3.1.2.3).
const (
	flagCleanStart = 1 << 1
	flagWill       = 1 << 2
	maskWillQoS    = 3 << 3
	flagWillRetain = 1 << 5
	flagPassword   = 1 << 6
	flagUsername   = 1 << 7
	bridgeBit      = 0x80
)

// ConnectVersion reads only the protocol name and level of a CONNECT, and says in which version to answer it, and
// whether it is a version that [Frame.Connect] can read. It makes sense of any bytes: an answer in 3.1.1 is what an
// unknown client is most likely to understand.
func ConnectVersion(f Frame) (v Version, supported bool) {
	r := reader{rest: f.Body, packet: Connect}
	v, _, supported = r.level(f.decoder.Lenient)
	return v, supported && f.Type == Connect
}

// level reads the protocol name and level.
func (r *reader) level(lenient bool) (v Version, bridge, supported bool) {
	name := r.binary("the protocol name")
	level := r.byte("the protocol level")
	if r.err != nil {
		return V311, false, false
	}
	if bridge = lenient && level&bridgeBit != 0; bridge {
		level &^= bridgeBit
	}
	switch {
	case string(name) == "MQIsdp":
		return V31, bridge, level == byte(V31)
	case string(name) == "MQTT" && level >= byte(V5) && level < bridgeBit:
		return V5, bridge, level == byte(V5)
	case string(name) == "MQTT":
		return V311, bridge, level == byte(V311)
	}
	return V311, bridge, false
}

// Connect decodes a CONNECT. The code of the error is UnsupportedProtocolVersion when the name or level is unknown, and
// ClientIdentifierNotValid when the version does not allow the client identifier; see [ConnectVersion] for the answer.
func (f Frame) Connect() (*ConnectPacket, error) {
	r, err := f.open(Connect, V5)
	if err != nil {
		return nil, err
	}
	p := new(ConnectPacket)
	var supported bool
	p.Version, p.Bridge, supported = r.level(f.decoder.Lenient)
	if r.err == nil && !supported {
		return nil, refused(Connect, UnsupportedProtocolVersion, "its protocol name and level are none of MQIsdp 3, MQTT 4 and MQTT 5")
	}
	flags := r.byte("the flags")
	p.KeepAlive = r.uint16("the keep alive")
	if r.err == nil {
		r.err = checkConnectFlags(flags, p.Version, f.decoder.Lenient)
	}
	if p.Version == V5 {
		p.Properties = r.properties()
	}
	p.CleanStart = flags&flagCleanStart != 0
	p.ClientID = string(r.text("the client identifier"))
	if flags&flagWill != 0 {
		p.Will = r.will(flags, p.Version)
	}
	if p.HasUsername = flags&flagUsername != 0; p.HasUsername {
		p.Username = string(r.text("the user name"))
	}
	if p.HasPassword = flags&flagPassword != 0; p.HasPassword {
		p.Password = bytes.Clone(r.binary("the password"))
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := p.checkClientID(f.decoder.Lenient); err != nil {
		return nil, err
	}
	return p, nil
}

func checkConnectFlags(flags byte, v Version, lenient bool) error {
	switch {
	case flags&maskWillQoS == maskWillQoS:
		return malformed(Connect, "the QoS of the will is 3")
	case lenient:
		return nil
	case flags&1 != 0:
		return malformed(Connect, "the reserved flag is set")
	case flags&flagWill == 0 && flags&(maskWillQoS|flagWillRetain) != 0:
		return malformed(Connect, "it has a QoS or a retain flag for a will, but no will")
	case v != V5 && flags&flagPassword != 0 && flags&flagUsername == 0:
		return malformed(Connect, "it has a password, but no user name")
	}
	return nil
}

// checkClientID checks what depends on the version: in 3.1 a client identifier has 1 to 23 bytes; in 3.1.1 it may be
// empty for a session that ends with the connection [MQTT-3.1.3-7 of 3.1.1].
func (p *ConnectPacket) checkClientID(lenient bool) error {
	n := len(p.ClientID)
	switch {
	case p.Version == V5 || n > 0 && (p.Version == V311 || n <= maxClientIDV31 || lenient):
		return nil
	case n > 0:
		return refused(Connect, ClientIdentifierNotValid, "the client identifier is longer than the 23 bytes of version 3.1")
	case p.CleanStart && (p.Version == V311 || lenient):
		return nil
	}
	return refused(Connect, ClientIdentifierNotValid, "the client identifier is empty")
}

func (r *reader) will(flags byte, v Version) *Will {
	w := &Will{QoS: flags >> 3 & 3, Retain: flags&flagWillRetain != 0}
	if v == V5 {
		w.Properties = r.propertiesIn(isWill)
	}
	topic := r.topic("the topic of the will")
	if len(topic) == 0 && r.err == nil {
		r.fail(refused(Connect, TopicNameInvalid, "the topic of the will is empty"))
	}
	w.Topic = string(topic)
	w.Payload = bytes.Clone(r.binary("the payload of the will"))
	return w
}

// AppendConnect appends a CONNECT.
func AppendConnect(dst []byte, p *ConnectPacket) []byte {
	name, level := "MQTT", byte(p.Version)
	if p.Version == V31 {
		name = "MQIsdp"
	}
	if p.Bridge {
		level |= bridgeBit
	}
	properties, size := section{}, textSize(name)+1+1+2
	if p.Version >= V5 {
		properties = sectionOf(p.Properties, masks[Connect])
		size += properties.total()
	}
	size += p.payloadSize()
	dst, ok := appendHead(dst, Connect, 0, size)
	if !ok {
		return dst
	}
	dst = append(appendText(dst, name), level, p.flags())
	dst = binary.BigEndian.AppendUint16(dst, p.KeepAlive)
	if p.Version >= V5 {
		dst = properties.append(dst)
	}
	return p.appendPayload(dst)
}

func (p *ConnectPacket) flags() (flags byte) {
	if p.CleanStart {
		flags |= flagCleanStart
	}
	if p.HasUsername {
		flags |= flagUsername
	}
	if p.HasPassword {
		flags |= flagPassword
	}
	if w := p.Will; w != nil {
		flags |= flagWill | w.QoS&3<<3
		if w.Retain {
			flags |= flagWillRetain
		}
	}
	return flags
}

func (p *ConnectPacket) payloadSize() int {
	size := textSize(p.ClientID)
	if w := p.Will; w != nil {
		if p.Version >= V5 {
			size += sectionOf(w.Properties, masks[0]).total()
		}
		size += textSize(w.Topic) + binarySize(w.Payload)
	}
	if p.HasUsername {
		size += textSize(p.Username)
	}
	if p.HasPassword {
		size += binarySize(p.Password)
	}
	return size
}

func (p *ConnectPacket) appendPayload(dst []byte) []byte {
	dst = appendText(dst, p.ClientID)
	if w := p.Will; w != nil {
		if p.Version >= V5 {
			dst = sectionOf(w.Properties, masks[0]).append(dst)
		}
		dst = appendBinary(appendText(dst, w.Topic), w.Payload)
	}
	if p.HasUsername {
		dst = appendText(dst, p.Username)
	}
	if p.HasPassword {
		dst = appendBinary(dst, p.Password)
	}
	return dst
}
