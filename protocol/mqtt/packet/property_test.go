package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// specified is table 2-4 of §2.2.2.2 once more, as it is printed there: the type of the value, and the packets.
var specified = []struct {
	id      PropertyID
	kind    string
	packets string
}{
	{0x01, "byte", "PUBLISH, will"},
	{0x02, "four", "PUBLISH, will"},
	{0x03, "text", "PUBLISH, will"},
	{0x08, "text", "PUBLISH, will"},
	{0x09, "data", "PUBLISH, will"},
	{0x0B, "var", "PUBLISH, SUBSCRIBE"},
	{0x11, "four", "CONNECT, CONNACK, DISCONNECT"},
	{0x12, "text", "CONNACK"},
	{0x13, "two", "CONNACK"},
	{0x15, "text", "CONNECT, CONNACK, AUTH"},
	{0x16, "data", "CONNECT, CONNACK, AUTH"},
	{0x17, "byte", "CONNECT"},
	{0x18, "four", "will"},
	{0x19, "byte", "CONNECT"},
	{0x1A, "text", "CONNACK"},
	{0x1C, "text", "CONNACK, DISCONNECT"},
	{0x1F, "text", "CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH"},
	{0x21, "two", "CONNECT, CONNACK"},
	{0x22, "two", "CONNECT, CONNACK"},
	{0x23, "two", "PUBLISH"},
	{0x24, "byte", "CONNACK"},
	{0x25, "byte", "CONNACK"},
	{0x26, "pair", "CONNECT, CONNACK, PUBLISH, will, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH"},
	{0x27, "four", "CONNECT, CONNACK"},
	{0x28, "byte", "CONNACK"},
	{0x29, "byte", "CONNACK"},
	{0x2A, "byte", "CONNACK"},
}

// values are, by type, an encoded value and how it looks when its last byte is missing or wrong.
var values = map[string]struct{ good, bad string }{
	"byte": {"\x01", ""},
	"two":  {"\x00\x01", "\x01"},
	"four": {"\x00\x00\x00\x01", "\x00\x00\x01"},
	"var":  {"\x01", "\x80"},
	"text": {"\x00\x01t", "\x00\x02t"},
	"data": {"\x00\x01\xff", "\x00\x02d"},
	"pair": {"\x00\x01n\x00\x01v", "\x00\x01n\x00\x02v"},
}

// carriers are, by name, packets with properties.
var carriers = map[string]func(properties string) string{
	"CONNECT":     func(p string) string { return wire(0x10, connect5(p)) },
	"will":        func(p string) string { return will5("t", p) },
	"CONNACK":     func(p string) string { return wire(0x20, "\x00\x00", props(p)) },
	"PUBLISH":     func(p string) string { return wire(0x30, text("t"), props(p)) },
	"PUBACK":      func(p string) string { return wire(0x40, id7, "\x00", props(p)) },
	"PUBREC":      func(p string) string { return wire(0x50, id7, "\x00", props(p)) },
	"PUBREL":      func(p string) string { return wire(0x62, id7, "\x00", props(p)) },
	"PUBCOMP":     func(p string) string { return wire(0x70, id7, "\x00", props(p)) },
	"SUBSCRIBE":   func(p string) string { return wire(0x82, id7, props(p), text("f"), "\x00") },
	"SUBACK":      func(p string) string { return wire(0x90, id7, props(p), "\x00") },
	"UNSUBSCRIBE": func(p string) string { return wire(0xA2, id7, props(p), text("f")) },
	"UNSUBACK":    func(p string) string { return wire(0xB0, id7, props(p), "\x00") },
	"DISCONNECT":  func(p string) string { return wire(0xE0, "\x00", props(p)) },
	"AUTH":        func(p string) string { return wire(0xF0, "\x18", props(p)) },
}

// readProperty reads a packet with such properties and returns the code, Success if it was accepted.
func readProperty(carrier, properties string) Code {
	_, err := asRead(Decoder{}, V5, carriers[carrier](properties))
	var refused *Error
	switch {
	case err == nil:
		return Success
	case errors.As(err, &refused):
		return refused.Code
	}
	return UnspecifiedError
}

// Every property is accepted where the specification has it and nowhere else, once unless it may repeat, and whole.
func TestPropertyTable(t *testing.T) {
	for carrier := range carriers {
		in := func(packets string) bool { return strings.Contains(" "+packets+",", " "+carrier+",") }
		method := ""
		if carrier == "AUTH" || carrier == "CONNECT" || carrier == "CONNACK" {
			method = "\x15" + text("m")
		}
		known := map[PropertyID]bool{}
		for _, s := range specified {
			known[s.id] = true
			one := string(rune(s.id)) + values[s.kind].good
			rest := method
			if s.id == AuthMethod {
				rest = ""
			}
			want, twice := MalformedPacket, MalformedPacket
			if in(s.packets) {
				want, twice = Success, ProtocolError
				if s.id == User || s.id == SubscriptionIDs && carrier == "PUBLISH" {
					twice = Success
				}
				if got := readProperty(carrier, rest+string(rune(s.id))+values[s.kind].bad); got != MalformedPacket {
					t.Errorf("%s with half a %s: %s", carrier, s.id, got)
				}
			}
			if got := readProperty(carrier, rest+one); got != want {
				t.Errorf("%s with %s: %s, want %s", carrier, s.id, got, want)
			}
			if got := readProperty(carrier, rest+one+one); got != twice {
				t.Errorf("%s with %s twice: %s, want %s", carrier, s.id, got, twice)
			}
			if s.kind == "text" || s.kind == "pair" {
				bad := string(rune(s.id)) + strings.NewReplacer("t", "\xff", "v", "\x00").Replace(values[s.kind].good)
				if got := readProperty(carrier, rest+bad); got != MalformedPacket {
					t.Errorf("%s with a %s that is no UTF-8: %s", carrier, s.id, got)
				}
			}
		}
		for id := range 256 {
			if !known[PropertyID(id)] {
				if got := readProperty(carrier, method+string([]byte{byte(id), 0})); got != MalformedPacket {
					t.Errorf("%s with property %d, which does not exist: %s", carrier, id, got)
				}
			}
		}
	}
}

// Numbers have bounds, and both ends of them are accepted.
func TestPropertyBounds(t *testing.T) {
	number := func(size int, n uint32) string {
		return string(binary.BigEndian.AppendUint32(nil, n)[4-size:])
	}
	for _, c := range []struct {
		carrier string
		id      PropertyID
		size    int
		good    []uint32
		bad     []uint32
		code    Code
	}{
		{"PUBLISH", PayloadFormat, 1, []uint32{0, 1}, []uint32{2, 255}, ProtocolError},
		{"will", PayloadFormat, 1, []uint32{0, 1}, []uint32{2, 255}, ProtocolError},
		{"PUBLISH", MessageExpiry, 4, []uint32{0, 1<<32 - 1}, nil, 0},
		{"PUBLISH", TopicAlias, 2, []uint32{1, 65_535}, []uint32{0}, TopicAliasInvalid},
		{"CONNECT", SessionExpiry, 4, []uint32{0, 1<<32 - 1}, nil, 0},
		{"CONNECT", ReceiveMaximum, 2, []uint32{1, 65_535}, []uint32{0}, ProtocolError},
		{"CONNACK", ReceiveMaximum, 2, []uint32{1, 65_535}, []uint32{0}, ProtocolError},
		{"CONNECT", MaximumPacketSize, 4, []uint32{1, 1<<32 - 1}, []uint32{0}, ProtocolError},
		{"CONNACK", MaximumPacketSize, 4, []uint32{1, 1<<32 - 1}, []uint32{0}, ProtocolError},
		{"CONNECT", TopicAliasMaximum, 2, []uint32{0, 65_535}, nil, 0},
		{"CONNECT", RequestProblemInfo, 1, []uint32{0, 1}, []uint32{2}, ProtocolError},
		{"CONNECT", RequestResponseInfo, 1, []uint32{0, 1}, []uint32{2}, ProtocolError},
		{"CONNACK", MaximumQoS, 1, []uint32{0, 1}, []uint32{2}, ProtocolError},
		{"CONNACK", RetainAvailable, 1, []uint32{0, 1}, []uint32{2}, ProtocolError},
		{"CONNACK", WildcardAvailable, 1, []uint32{0, 1}, []uint32{2}, ProtocolError},
		{"CONNACK", SubscriptionIDsAvailable, 1, []uint32{0, 1}, []uint32{2}, ProtocolError},
		{"CONNACK", SharedAvailable, 1, []uint32{0, 1}, []uint32{2}, ProtocolError},
		{"CONNACK", ServerKeepAlive, 2, []uint32{0, 65_535}, nil, 0},
		{"will", WillDelay, 4, []uint32{0, 1<<32 - 1}, nil, 0},
	} {
		for _, n := range c.good {
			if got := readProperty(c.carrier, string(rune(c.id))+number(c.size, n)); got != Success {
				t.Errorf("%s with %s %d: %s", c.carrier, c.id, n, got)
			}
		}
		for _, n := range c.bad {
			if got := readProperty(c.carrier, string(rune(c.id))+number(c.size, n)); got != c.code {
				t.Errorf("%s with %s %d: %s, want %s", c.carrier, c.id, n, got, c.code)
			}
		}
	}
	for _, carrier := range []string{"SUBSCRIBE", "PUBLISH"} {
		if got := readProperty(carrier, "\x0b\xff\xff\xff\x7f"); got != Success {
			t.Errorf("%s with the largest subscription identifier: %s", carrier, got)
		}
		if got := readProperty(carrier, "\x0b\x00"); got != ProtocolError {
			t.Errorf("%s with subscription identifier 0: %s", carrier, got)
		}
	}
}

// One packet cannot make its reader allocate thousands of times.
func TestPropertyLimits(t *testing.T) {
	for carrier := range carriers {
		method := ""
		if carrier == "AUTH" {
			method = "\x15" + text("m")
		}
		pair := "\x26" + text("") + text("")
		if got := readProperty(carrier, method+strings.Repeat(pair, MaxUserProperties)); got != Success {
			t.Errorf("%s with %d user properties: %s", carrier, MaxUserProperties, got)
		}
		if got := readProperty(carrier, method+strings.Repeat(pair, MaxUserProperties+1)); got != QuotaExceeded {
			t.Errorf("%s with one user property more: %s", carrier, got)
		}
	}
	if got := readProperty("PUBLISH", strings.Repeat("\x0b\x01", MaxSubscriptionIDs)); got != Success {
		t.Errorf("%d subscription identifiers: %s", MaxSubscriptionIDs, got)
	}
	if got := readProperty("PUBLISH", strings.Repeat("\x0b\x01", MaxSubscriptionIDs+1)); got != QuotaExceeded {
		t.Errorf("one subscription identifier more: %s", got)
	}
}

// Encoders write the properties that belong to the packet, of those that are present, and no others.
func TestPropertiesOfOthersAreLeftOut(t *testing.T) {
	all := &Properties{ResponseTopic: "r", AuthMethod: "m", SubscriptionIDs: []uint32{1}, User: []UserProperty{{"n", "v"}}, TopicAlias: 1, ReceiveMaximum: 1, MaximumPacketSize: 1}
	for id := range table {
		all.Set(PropertyID(id))
	}
	for _, s := range specified {
		if !all.Has(s.id) {
			t.Errorf("%s is not present", s.id)
		}
	}
	will := &Will{Topic: "t", Properties: all}
	for typ, p := range map[Type]any{
		Connect: &ConnectPacket{Version: V5, ClientID: "c", Will: will, Properties: all}, Connack: &ConnackPacket{Properties: all},
		Publish: &OutPublish{Topic: "t", Properties: all}, Puback: &AckPacket{ID: 1, Properties: all}, Pubrel: &AckPacket{ID: 1, Properties: all},
		Subscribe: &SubscribePacket{1, all, []Subscription{{Filter: "f"}}}, Suback: &SubackPacket{1, []Code{0}, all},
		Unsubscribe: &UnsubscribePacket{1, all, []string{"f"}}, Unsuback: &SubackPacket{1, []Code{0}, all},
		Disconnect: &DisconnectPacket{0, all}, Auth: &AuthPacket{ReAuthenticate, all},
	} {
		got, err := asRead(Decoder{}, V5, string(encode(typ, V5, p)))
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		// Every property that belongs there is there.
		for _, s := range specified {
			want := strings.Contains(" "+s.packets+",", " "+typ.String()+",")
			if has := propertiesOf(got).Has(s.id); has != want {
				t.Errorf("%s: has %s is %v", typ, s.id, has)
			}
		}
	}
	if got := fmt.Sprint((*Properties)(nil).Has(User), new(Properties).Has(User)); got != "false false" {
		t.Errorf("Has of nothing: %s", got)
	}
}

func propertiesOf(p any) *Properties {
	switch p := p.(type) {
	case *ConnectPacket:
		return p.Properties
	case *ConnackPacket:
		return p.Properties
	case *OutPublish:
		return p.Properties
	case *AckPacket:
		return p.Properties
	case *SubscribePacket:
		return p.Properties
	case *SubackPacket:
		return p.Properties
	case *UnsubscribePacket:
		return p.Properties
	case *DisconnectPacket:
		return p.Properties
	case *AuthPacket:
		return p.Properties
	}
	return nil
}
