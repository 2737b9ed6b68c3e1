package packet

import (
	"math/rand/v2"
	"strings"
)

// A generator makes packets at random which are as the specification wants them.
type generator struct{ *rand.Rand }

func (g generator) coin() bool { return g.IntN(2) == 0 }

func (g generator) text() string {
	const letters = "aZ09 -/ä€\u0001\u007f😀+#"
	runes := []rune(letters)
	var b strings.Builder
	for range g.size() {
		b.WriteRune(runes[g.IntN(len(runes))])
	}
	return b.String()
}

// size is small most of the time, and around the sizes where lengths take one more byte now and then.
func (g generator) size() int {
	switch n := g.IntN(2000); {
	case n == 0:
		return 16_370 + g.IntN(30)
	case n < 40:
		return 120 + g.IntN(20)
	}
	return g.IntN(12)
}

func (g generator) topic() string {
	return "t" + strings.NewReplacer("+", "", "#", "").Replace(g.text())
}

func (g generator) filter() string {
	filter := g.topic()
	if g.coin() {
		filter += "/+/x"
	}
	if g.coin() {
		filter += "/#"
	}
	return filter
}

func (g generator) bytes() []byte {
	b := make([]byte, g.size())
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) id() uint16 { return uint16(1 + g.IntN(65_535)) }

// properties makes some of the properties that a packet may have.
func (g generator) properties(v Version, in set) *Properties {
	if v < V5 || g.IntN(4) == 0 {
		return nil
	}
	p := new(Properties)
	for id, row := range table {
		if row.in&in != 0 && g.coin() {
			g.property(p, PropertyID(id), row.many&in != 0)
		}
	}
	if p.Has(AuthData) && !p.Has(AuthMethod) {
		g.property(p, AuthMethod, false)
	}
	if p.mask() == 0 {
		return nil
	}
	return p
}

func (g generator) property(p *Properties, id PropertyID, many bool) {
	row := table[id]
	number := row.min + uint32(g.Uint64N(uint64(row.max-row.min)+1))
	p.present |= 1 << id &^ repeatable
	switch field := p.field(id).(type) {
	case *byte:
		*field = byte(number)
	case *uint16:
		*field = max(uint16(row.min), uint16(number))
	case *uint32:
		*field = number
	case *string:
		*field = g.topic()
	case *[]byte:
		*field = g.bytes()
	case *[]uint32:
		*field = []uint32{number}
		for many && g.coin() {
			*field = append(*field, row.min+g.Uint32N(row.max))
		}
	case *[]UserProperty:
		*field = []UserProperty{{g.text(), g.text()}}
		for g.coin() {
			*field = append(*field, UserProperty{g.text(), g.text()})
		}
	}
}

// code makes a reason code that the packet may have.
func (g generator) code(t Type, v Version) Code {
	for {
		code := Code(g.IntN(len(codes)))
		switch {
		case !code.In(t):
		case v >= V5:
			return code
		case t == Connack:
			return codesV3[g.IntN(len(codesV3))]
		case t == Suback && code.Failed():
			return UnspecifiedError
		case t == Suback:
			return code
		default:
			return Success
		}
	}
}

// packet makes a packet of type t, as decode returns it.
func (g generator) packet(t Type, v Version) any {
	properties := g.properties(v, t.set())
	switch t {
	case Connect:
		return g.connect(v, properties)
	case Connack:
		code := g.code(t, v)
		return &ConnackPacket{v != V31 && code == Success && g.coin(), code, properties}
	case Publish:
		return g.publish(v, properties)
	case Puback, Pubrec, Pubrel, Pubcomp:
		return &AckPacket{t, g.id(), g.code(t, v), properties}
	case Subscribe:
		return g.subscribe(v, properties)
	case Suback, Unsuback:
		p := &SubackPacket{ID: g.id(), Properties: properties}
		for t == Suback || v >= V5 {
			p.Codes = append(p.Codes, g.code(t, v))
			if g.coin() {
				break
			}
		}
		return p
	case Unsubscribe:
		p := &UnsubscribePacket{g.id(), properties, []string{g.filter()}}
		for g.coin() {
			p.Filters = append(p.Filters, g.filter())
		}
		return p
	case Disconnect:
		return &DisconnectPacket{g.code(t, v), properties}
	case Auth:
		p := &AuthPacket{g.code(t, v), properties}
		if p.Properties != nil || p.Code != Success {
			p.Properties = g.properties(v, 0)
			if p.Properties == nil {
				p.Properties = new(Properties)
			}
			g.property(p.Properties, AuthMethod, false)
		}
		return p
	}
	return nil
}

func (g generator) connect(v Version, properties *Properties) *ConnectPacket {
	p := &ConnectPacket{
		Version: v, CleanStart: g.coin(), KeepAlive: uint16(g.Uint32()), ClientID: "c" + g.text(),
		HasUsername: g.coin(), Properties: properties,
	}
	if v == V31 {
		p.ClientID = p.ClientID[:1]
	}
	if p.HasUsername {
		p.Username = g.text()
	}
	if p.HasPassword = g.coin() && (v == V5 || p.HasUsername); p.HasPassword {
		p.Password = g.bytes()
	}
	if g.coin() {
		p.Will = &Will{g.topic(), g.bytes(), byte(g.IntN(3)), g.coin(), g.properties(v, isWill)}
	}
	return p
}

func (g generator) publish(v Version, properties *Properties) *OutPublish {
	p := &OutPublish{Topic: g.topic(), Payload: g.bytes(), QoS: byte(g.IntN(3)), Retain: g.coin(), Properties: properties}
	if p.QoS > 0 {
		p.ID, p.Dup = g.id(), g.coin()
	}
	if properties.Has(TopicAlias) && g.coin() {
		p.Topic = ""
	}
	return p
}

func (g generator) subscribe(v Version, properties *Properties) *SubscribePacket {
	p := &SubscribePacket{ID: g.id(), Properties: properties}
	for len(p.Filters) == 0 || g.coin() {
		s := Subscription{Filter: g.filter(), QoS: byte(g.IntN(3))}
		if v >= V5 {
			s.NoLocal, s.RetainAsPublished, s.RetainHandling = g.coin(), g.coin(), byte(g.IntN(3))
		}
		p.Filters = append(p.Filters, s)
	}
	return p
}
