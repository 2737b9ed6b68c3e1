package referee

import (
	paho5 "github.com/eclipse/paho.golang/packets"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// property5 sets one property at random, to the same value on both sides.
func (g generator) property5(id packet.PropertyID, our *packet.Properties, their *paho5.Properties) {
	flag, short, long, text, data := byte(g.IntN(2)), g.id(), 1+g.Uint32()>>1, g.text(), g.bytes()
	our.Set(id)
	switch id {
	case packet.PayloadFormat:
		our.PayloadFormat, their.PayloadFormat = flag, &flag
	case packet.MessageExpiry:
		our.MessageExpiry, their.MessageExpiry = long, &long
	case packet.ContentType:
		our.ContentType, their.ContentType = text, text
	case packet.ResponseTopic:
		our.ResponseTopic, their.ResponseTopic = text, text
	case packet.CorrelationData:
		our.CorrelationData, their.CorrelationData = data, data
	case packet.SubscriptionIDs:
		n := 1 + g.IntN(packet.MaxRemainingLength)
		our.SubscriptionIDs, their.SubscriptionIdentifier = []uint32{uint32(n)}, &n
	case packet.SessionExpiry:
		our.SessionExpiry, their.SessionExpiryInterval = long, &long
	case packet.AssignedClientID:
		our.AssignedClientID, their.AssignedClientID = text, text
	case packet.ServerKeepAlive:
		our.ServerKeepAlive, their.ServerKeepAlive = short, &short
	case packet.AuthMethod:
		our.AuthMethod, their.AuthMethod = text, text
	case packet.AuthData:
		our.AuthData, their.AuthData = data, data
	case packet.WillDelay:
		our.WillDelay, their.WillDelayInterval = long, &long
	case packet.ResponseInfo:
		our.ResponseInfo, their.ResponseInfo = text, text
	case packet.ServerReference:
		our.ServerReference, their.ServerReference = text, text
	case packet.ReasonString:
		our.ReasonString, their.ReasonString = text, text
	case packet.ReceiveMaximum:
		our.ReceiveMaximum, their.ReceiveMaximum = short, &short
	case packet.TopicAliasMaximum:
		our.TopicAliasMaximum, their.TopicAliasMaximum = short, &short
	case packet.TopicAlias:
		our.TopicAlias, their.TopicAlias = short, &short
	case packet.MaximumPacketSize:
		our.MaximumPacketSize, their.MaximumPacketSize = long, &long
	case packet.User:
		for len(our.User) == 0 || g.coin() {
			name, value := g.text(), g.text()
			our.User, their.User = append(our.User, packet.UserProperty{Name: name, Value: value}), append(their.User, paho5.User{Key: name, Value: value})
		}
	default:
		flag5(id, flag, our, their)
	}
}

// flag5 sets one of the properties that are 0 or 1.
func flag5(id packet.PropertyID, flag byte, our *packet.Properties, their *paho5.Properties) {
	switch id {
	case packet.RequestProblemInfo:
		our.RequestProblemInfo, their.RequestProblemInfo = flag, &flag
	case packet.RequestResponseInfo:
		our.RequestResponseInfo, their.RequestResponseInfo = flag, &flag
	case packet.MaximumQoS:
		our.MaximumQoS, their.MaximumQOS = flag, &flag
	case packet.RetainAvailable:
		our.RetainAvailable, their.RetainAvailable = flag, &flag
	case packet.WildcardAvailable:
		our.WildcardAvailable, their.WildcardSubAvailable = flag, &flag
	case packet.SubscriptionIDsAvailable:
		our.SubscriptionIDsAvailable, their.SubIDAvailable = flag, &flag
	case packet.SharedAvailable:
		our.SharedAvailable, their.SharedSubAvailable = flag, &flag
	default:
		panic("no such property")
	}
}

// willOnly are the properties of a will, which Paho's table of CONNECT has among those of the CONNECT itself.
var willOnly = map[packet.PropertyID]bool{
	packet.PayloadFormat: true, packet.MessageExpiry: true, packet.ContentType: true, packet.ResponseTopic: true, packet.CorrelationData: true, packet.WillDelay: true,
}

// properties5 makes some of the properties that Paho's table has for the packet.
func (g generator) properties5(t packet.Type, will bool) (*packet.Properties, *paho5.Properties) {
	our, their := new(packet.Properties), new(paho5.Properties)
	method, empty := false, true
	for id := packet.PropertyID(1); id < 128; id++ {
		if !paho5.ValidateID(byte(t), byte(id)) || t == packet.Connect && id != packet.User && willOnly[id] != will || g.coin() {
			continue
		}
		if id == packet.AuthMethod {
			method = true
		}
		if id == packet.AuthData && !method {
			continue
		}
		g.property5(id, our, their)
		empty = false
	}
	if t == packet.Auth && !method {
		g.property5(packet.AuthMethod, our, their)
		empty = false
	}
	if empty {
		return nil, their
	}
	return our, their
}

// pair5 makes one packet of version 5 at random, in both codecs' structs.
func (g generator) pair5(t packet.Type) (our, their any) {
	properties, theirs := g.properties5(t, false)
	id, code := g.id(), g.code(t)
	switch t {
	case packet.Connect:
		return g.connect5(properties, theirs)
	case packet.Connack:
		present := code == packet.Success && g.coin()
		return &packet.ConnackPacket{SessionPresent: present, Code: code, Properties: properties},
			&paho5.Connack{Properties: theirs, ReasonCode: byte(code), SessionPresent: present}
	case packet.Publish:
		p := &packet.OutPublish{Topic: g.topic(), Payload: g.bytes(), QoS: byte(g.IntN(3)), Retain: g.coin(), Properties: properties}
		if p.QoS > 0 {
			p.ID, p.Dup = id, g.coin()
		}
		return p, &paho5.Publish{Payload: p.Payload, Topic: p.Topic, Properties: theirs, PacketID: p.ID, QoS: p.QoS, Duplicate: p.Dup, Retain: p.Retain}
	case packet.Puback:
		return &packet.AckPacket{Type: t, ID: id, Code: code, Properties: properties}, &paho5.Puback{Properties: theirs, PacketID: id, ReasonCode: byte(code)}
	case packet.Pubrec:
		return &packet.AckPacket{Type: t, ID: id, Code: code, Properties: properties}, &paho5.Pubrec{Properties: theirs, PacketID: id, ReasonCode: byte(code)}
	case packet.Pubrel:
		return &packet.AckPacket{Type: t, ID: id, Code: code, Properties: properties}, &paho5.Pubrel{Properties: theirs, PacketID: id, ReasonCode: byte(code)}
	case packet.Pubcomp:
		return &packet.AckPacket{Type: t, ID: id, Code: code, Properties: properties}, &paho5.Pubcomp{Properties: theirs, PacketID: id, ReasonCode: byte(code)}
	case packet.Subscribe:
		return g.subscribe5(properties, theirs)
	case packet.Unsubscribe:
		filters := []string{g.filter()}
		for g.coin() {
			filters = append(filters, g.filter())
		}
		return &packet.UnsubscribePacket{ID: id, Properties: properties, Filters: filters}, &paho5.Unsubscribe{Topics: filters, Properties: theirs, PacketID: id}
	case packet.Suback, packet.Unsuback:
		codes, bytes := []packet.Code{code}, []byte{byte(code)}
		for g.coin() {
			code = g.code(t)
			codes, bytes = append(codes, code), append(bytes, byte(code))
		}
		p := packet.SubackPacket{ID: id, Codes: codes, Properties: properties}
		if t == packet.Suback {
			return &suback{p}, &paho5.Suback{Properties: theirs, Reasons: bytes, PacketID: id}
		}
		return &unsuback{p}, &paho5.Unsuback{Properties: theirs, Reasons: bytes, PacketID: id}
	case packet.Disconnect:
		return &packet.DisconnectPacket{Code: code, Properties: properties}, &paho5.Disconnect{Properties: theirs, ReasonCode: byte(code)}
	case packet.Auth:
		return &packet.AuthPacket{Code: code, Properties: properties}, &paho5.Auth{Properties: theirs, ReasonCode: byte(code)}
	case packet.Pingreq:
		return &ping{t}, &paho5.Pingreq{}
	}
	return &ping{t}, &paho5.Pingresp{}
}

// code is one of the reason codes of the packet.
func (g generator) code(t packet.Type) packet.Code {
	for {
		code := packet.Code(g.IntN(256))
		if code.In(t) || t == packet.Publish || t == packet.Connect || t == packet.Subscribe || t == packet.Unsubscribe || t == packet.Pingreq || t == packet.Pingresp {
			return code
		}
	}
}

func (g generator) connect5(properties *packet.Properties, theirs *paho5.Properties) (*packet.ConnectPacket, *paho5.Connect) {
	our := &packet.ConnectPacket{Version: packet.V5, CleanStart: g.coin(), KeepAlive: g.id(), ClientID: g.text(), Properties: properties}
	their := &paho5.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, CleanStart: our.CleanStart, KeepAlive: our.KeepAlive, ClientID: our.ClientID, Properties: theirs}
	if g.coin() {
		our.HasUsername, our.Username = true, g.text()
		their.UsernameFlag, their.Username = true, our.Username
	}
	if g.coin() {
		our.HasPassword, our.Password = true, g.bytes()
		their.PasswordFlag, their.Password = true, our.Password
	}
	if g.coin() {
		w := &packet.Will{Topic: g.topic(), Payload: g.bytes(), QoS: byte(g.IntN(3)), Retain: g.coin()}
		// Paho writes only those properties of a will that its CONNECT has, so the others are for one direction: see TestWill.
		our.Will = w
		their.WillFlag, their.WillTopic, their.WillMessage, their.WillQOS, their.WillRetain = true, w.Topic, w.Payload, w.QoS, w.Retain
		their.WillProperties = &paho5.Properties{}
		if g.coin() {
			w.Properties = new(packet.Properties)
			g.property5(packet.WillDelay, w.Properties, their.WillProperties)
			g.property5(packet.User, w.Properties, their.WillProperties)
		}
	}
	return our, their
}

func (g generator) subscribe5(properties *packet.Properties, theirs *paho5.Properties) (*packet.SubscribePacket, *paho5.Subscribe) {
	our := &packet.SubscribePacket{ID: g.id(), Properties: properties}
	their := &paho5.Subscribe{PacketID: our.ID, Properties: theirs}
	for len(our.Filters) == 0 || g.coin() {
		s := packet.Subscription{Filter: g.filter(), QoS: byte(g.IntN(3)), NoLocal: g.coin(), RetainAsPublished: g.coin(), RetainHandling: byte(g.IntN(3))}
		our.Filters = append(our.Filters, s)
		their.Subscriptions = append(their.Subscriptions, paho5.SubOptions{
			Topic: s.Filter, QoS: s.QoS, NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished, RetainHandling: s.RetainHandling,
		})
	}
	return our, their
}
