package referee

import (
	paho3 "github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// pair3 makes one packet of version 3.1 or 3.1.1 at random, in both codecs' structs.
func (g generator) pair3(t packet.Type, v packet.Version) (our, their any) {
	p := paho3.NewControlPacket(byte(t))
	switch p := p.(type) {
	case *paho3.ConnectPacket:
		return g.connect3(p, v), p
	case *paho3.ConnackPacket:
		code := pick(g, packet.Success, packet.UnsupportedProtocolVersion, packet.ClientIdentifierNotValid, packet.ServerUnavailable, packet.BadUserNameOrPassword, packet.NotAuthorized)
		p.ReturnCode, p.SessionPresent = code.V3(), v == packet.V311 && code == packet.Success && g.coin()
		return &packet.ConnackPacket{SessionPresent: p.SessionPresent, Code: code}, p
	case *paho3.PublishPacket:
		p.TopicName, p.Payload, p.Retain, p.Qos = g.topic(), g.bytes(), g.coin(), byte(g.IntN(3))
		if p.Qos > 0 {
			p.MessageID, p.Dup = g.id(), g.coin()
		}
		return &packet.OutPublish{Topic: p.TopicName, Payload: p.Payload, ID: p.MessageID, QoS: p.Qos, Dup: p.Dup, Retain: p.Retain}, p
	case *paho3.SubscribePacket:
		our := &packet.SubscribePacket{ID: g.id()}
		p.MessageID = our.ID
		for len(p.Topics) == 0 || g.coin() {
			s := packet.Subscription{Filter: g.filter(), QoS: byte(g.IntN(3))}
			our.Filters, p.Topics, p.Qoss = append(our.Filters, s), append(p.Topics, s.Filter), append(p.Qoss, s.QoS)
		}
		return our, p
	case *paho3.SubackPacket:
		our := &suback{packet.SubackPacket{ID: g.id()}}
		p.MessageID = our.ID
		for len(p.ReturnCodes) == 0 || g.coin() {
			code := pick(g, packet.GrantedQoS0, packet.GrantedQoS1, packet.GrantedQoS2, packet.UnspecifiedError)
			our.Codes, p.ReturnCodes = append(our.Codes, code), append(p.ReturnCodes, byte(code))
		}
		return our, p
	case *paho3.UnsubscribePacket:
		our := &packet.UnsubscribePacket{ID: g.id()}
		p.MessageID = our.ID
		for len(p.Topics) == 0 || g.coin() {
			our.Filters = append(our.Filters, g.filter())
			p.Topics = our.Filters
		}
		return our, p
	case *paho3.UnsubackPacket:
		p.MessageID = g.id()
		return &unsuback{packet.SubackPacket{ID: p.MessageID}}, p
	case *paho3.DisconnectPacket:
		return &packet.DisconnectPacket{}, p
	case *paho3.PingreqPacket, *paho3.PingrespPacket:
		return &ping{t}, p
	}
	id := g.id()
	switch p := p.(type) {
	case *paho3.PubackPacket:
		p.MessageID = id
	case *paho3.PubrecPacket:
		p.MessageID = id
	case *paho3.PubrelPacket:
		p.MessageID = id
	case *paho3.PubcompPacket:
		p.MessageID = id
	}
	return &packet.AckPacket{Type: t, ID: id}, p
}

func (g generator) connect3(p *paho3.ConnectPacket, v packet.Version) *packet.ConnectPacket {
	p.ProtocolName, p.ProtocolVersion, p.ClientIdentifier = "MQTT", 4, g.text()
	if v == packet.V31 {
		p.ProtocolName, p.ProtocolVersion, p.ClientIdentifier = "MQIsdp", 3, "client"
	}
	p.CleanSession, p.Keepalive = g.coin(), uint16(g.Uint32())
	our := &packet.ConnectPacket{Version: v, CleanStart: p.CleanSession, KeepAlive: p.Keepalive, ClientID: p.ClientIdentifier}
	if p.WillFlag = g.coin(); p.WillFlag {
		p.WillTopic, p.WillMessage, p.WillQos, p.WillRetain = g.topic(), g.bytes(), byte(g.IntN(3)), g.coin()
		our.Will = &packet.Will{Topic: p.WillTopic, Payload: p.WillMessage, QoS: p.WillQos, Retain: p.WillRetain}
	}
	if p.UsernameFlag = g.coin(); p.UsernameFlag {
		p.Username = g.text()
		our.HasUsername, our.Username = true, p.Username
	}
	if p.PasswordFlag = p.UsernameFlag && g.coin(); p.PasswordFlag {
		p.Password = g.bytes()
		our.HasPassword, our.Password = true, p.Password
	}
	return our
}
