package packet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// wire is a packet with the given first byte and the length of its body.
func wire(first byte, body ...string) string {
	all := strings.Join(body, "")
	return string(appendVarint([]byte{first}, len(all))) + all
}

// text is a field with its length in front of it.
func text(s string) string { return string(appendText(nil, s)) }

// props are properties with their length in front of them.
func props(p ...string) string {
	all := strings.Join(p, "")
	return string(appendVarint(nil, len(all))) + all
}

// A refusal is a packet that is wrong in one thing.
type refusal struct {
	name    string
	v       Version
	in      string
	code    Code
	lenient bool // a lenient decoder lets it pass
}

const (
	noProps = "\x00"
	id7     = "\x00\x07"
)

// asRead reads one packet as a peer would.
func asRead(d Decoder, v Version, in string) (any, error) {
	f, n, err := d.Split([]byte(in), 0)
	switch {
	case err != nil && (n != 0 || f.Body != nil):
		return nil, errors.New("a packet and an error")
	case err != nil:
		return nil, err
	case n == 0:
		return nil, errors.New("more is needed")
	}
	return decode(f, v)
}

// checkRefusals reads each case strictly and leniently.
func checkRefusals(t *testing.T, d Decoder, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %s", c.v, c.name), func(t *testing.T) {
			for _, lenient := range []bool{false, true} {
				d.Lenient = lenient
				p, err := asRead(d, c.v, c.in)
				if lenient && c.lenient {
					if err != nil {
						t.Errorf("a lenient decoder refused it: %v", err)
					}
					continue
				}
				var refused *Error
				if !errors.As(err, &refused) {
					t.Fatalf("lenient %v: got %+v, %v, want %s", lenient, p, err, c.code)
				}
				if refused.Code != c.code {
					t.Errorf("lenient %v: %v, want %s", lenient, err, c.code)
				}
			}
		})
	}
}

func TestRefusedHeaders(t *testing.T) {
	checkRefusals(t, Decoder{}, []refusal{
		{"type 0", V5, wire(0x00), MalformedPacket, false},
		{"QoS 3", V5, wire(0x36, text("t"), id7, noProps), MalformedPacket, false},
		{"QoS 3 before the length", V5, "\x36", MalformedPacket, false},
		{"DUP with QoS 0", V5, wire(0x38, text("t"), noProps), MalformedPacket, true},
		{"flags of CONNECT", V5, wire(0x11, connect5()), MalformedPacket, true},
		{"flags of CONNACK", V5, wire(0x21, "\x00\x00", noProps), MalformedPacket, true},
		{"flags of PUBACK", V5, wire(0x42, id7), MalformedPacket, true},
		{"flags of PUBREC", V5, wire(0x52, id7), MalformedPacket, true},
		{"flags of PUBREL", V5, wire(0x60, id7), MalformedPacket, true},
		{"DUP of PUBREL", V311, wire(0x6A, id7), MalformedPacket, true},
		{"flags of PUBCOMP", V311, wire(0x71, id7), MalformedPacket, true},
		{"flags of SUBSCRIBE", V311, wire(0x80, id7, text("f"), "\x00"), MalformedPacket, true},
		{"DUP of SUBSCRIBE", V5, wire(0x8A, id7, noProps, text("f"), "\x00"), MalformedPacket, true},
		{"flags of SUBACK", V311, wire(0x91, id7, "\x00"), MalformedPacket, true},
		{"flags of UNSUBSCRIBE", V311, wire(0xA3, id7, text("f")), MalformedPacket, true},
		{"flags of UNSUBACK", V311, wire(0xB2, id7), MalformedPacket, true},
		{"flags of PINGREQ", V311, wire(0xC1), MalformedPacket, true},
		{"flags of PINGRESP", V311, wire(0xD8), MalformedPacket, true},
		{"flags of DISCONNECT", V5, wire(0xE4), MalformedPacket, true},
		{"flags of AUTH", V5, wire(0xF1), MalformedPacket, true},
		{"a fifth byte of length", V5, "\x30\x80\x80\x80\x80\x01", MalformedPacket, false},
		{"four bytes of length that go on", V5, "\x30\xff\xff\xff\xff", MalformedPacket, false},
		{"a length of 0 in two bytes", V5, "\xc0\x80\x00", MalformedPacket, false},
		{"a length of 2 in three bytes", V5, "\x40\x82\x80\x00\x00\x07", MalformedPacket, false},
		{"PINGREQ with a body", V5, wire(0xC0, "x"), MalformedPacket, false},
		{"PINGRESP with a body", V5, wire(0xD0, "x"), MalformedPacket, false},
	})
	// What only a server sends is refused by one.
	checkRefusals(t, Decoder{Server: true}, []refusal{
		{"CONNACK", V5, wire(0x20, "\x00\x00", noProps), ProtocolError, false},
		{"SUBACK", V5, wire(0x90, id7, noProps, "\x00"), ProtocolError, false},
		{"UNSUBACK", V311, wire(0xB0, id7), ProtocolError, false},
		{"PINGRESP", V311, wire(0xD0), ProtocolError, false},
		{"subscription identifier", V5, wire(0x30, text("t"), props("\x0b\x01")), ProtocolError, false},
	})
	// In 3.1 these are sent again with DUP (3.1 §2.1).
	for _, in := range []string{wire(0x6A, id7), wire(0x8A, id7, text("f"), "\x00"), wire(0xAA, id7, text("f"))} {
		if _, err := asRead(Decoder{}, V31, in); err != nil {
			t.Errorf("3.1 % x: %v", in, err)
		}
	}
}

// connect5 is the body of a CONNECT of version 5 with some properties.
func connect5(p ...string) string {
	return text("MQTT") + "\x05\x02\x00\x3c" + props(p...) + text("c")
}

// will5 is a CONNECT of version 5 with a will of such properties and topic.
func will5(topic string, p ...string) string {
	return wire(0x10, text("MQTT"), "\x05\x06\x00\x3c", noProps, text("c"), props(p...), text(topic), text("gone"))
}

func TestRefusedConnect(t *testing.T) {
	head5, head311, head31 := text("MQTT")+"\x05", text("MQTT")+"\x04", text("MQIsdp")+"\x03"
	checkRefusals(t, Decoder{}, []refusal{
		{"another name", V5, wire(0x10, text("MQTX"), "\x05\x02\x00\x3c", noProps, text("c")), UnsupportedProtocolVersion, false},
		{"no name", V5, wire(0x10, text(""), "\x05\x02\x00\x3c", noProps, text("c")), UnsupportedProtocolVersion, false},
		{"level 6", V5, wire(0x10, text("MQTT"), "\x06\x02\x00\x3c", noProps, text("c")), UnsupportedProtocolVersion, false},
		{"level 3 of MQTT", V311, wire(0x10, text("MQTT"), "\x03\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, false},
		{"level 4 of MQIsdp", V311, wire(0x10, text("MQIsdp"), "\x04\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, false},
		{"a bridge", V311, wire(0x10, text("MQTT"), "\x84\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, true},
		{"a bridge", V31, wire(0x10, text("MQIsdp"), "\x83\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, true},
		{"a bridge of level 6", V5, wire(0x10, text("MQTT"), "\x86\x02\x00\x3c", text("c")), UnsupportedProtocolVersion, false},
		{"empty", V5, wire(0x10), MalformedPacket, false},
		{"the name cut off", V5, wire(0x10, "\x00\x04MQT"), MalformedPacket, false},
		{"the reserved flag", V5, wire(0x10, head5, "\x03\x00\x3c", noProps, text("c")), MalformedPacket, true},
		{"the reserved flag", V311, wire(0x10, head311, "\x03\x00\x3c", text("c")), MalformedPacket, true},
		{"will QoS without a will", V5, wire(0x10, head5, "\x0a\x00\x3c", noProps, text("c")), MalformedPacket, true},
		{"will retain without a will", V311, wire(0x10, head311, "\x22\x00\x3c", text("c")), MalformedPacket, true},
		{"will QoS 3", V5, wire(0x10, head5, "\x1e\x00\x3c", noProps, text("c"), noProps, text("t"), text("")), MalformedPacket, false},
		{"a password without a user name", V311, wire(0x10, head311, "\x42\x00\x3c", text("c"), text("p")), MalformedPacket, true},
		{"an empty client identifier for a session", V311, wire(0x10, head311, "\x00\x00\x3c", text("")), ClientIdentifierNotValid, false},
		{"an empty client identifier", V31, wire(0x10, head31, "\x02\x00\x3c", text("")), ClientIdentifierNotValid, true},
		{"an empty client identifier for a session", V31, wire(0x10, head31, "\x00\x00\x3c", text("")), ClientIdentifierNotValid, false},
		{"24 bytes of client identifier", V31, wire(0x10, head31, "\x02\x00\x3c", text(strings.Repeat("c", 24))), ClientIdentifierNotValid, true},
		{"client identifier not UTF-8", V5, wire(0x10, head5, "\x02\x00\x3c", noProps, text("c\xff")), MalformedPacket, false},
		{"client identifier with U+0000", V311, wire(0x10, head311, "\x02\x00\x3c", text("c\x00")), MalformedPacket, false},
		{"client identifier with a surrogate", V311, wire(0x10, head311, "\x02\x00\x3c", text("\xed\xa0\x80")), MalformedPacket, false},
		{"client identifier cut off", V311, wire(0x10, head311, "\x02\x00\x3c", "\x00\x02c"), MalformedPacket, false},
		{"user name missing", V5, wire(0x10, head5, "\x82\x00\x3c", noProps, text("c")), MalformedPacket, false},
		{"user name not UTF-8", V5, wire(0x10, head5, "\x82\x00\x3c", noProps, text("c"), text("\xc0\x80")), MalformedPacket, false},
		{"password missing", V5, wire(0x10, head5, "\x42\x00\x3c", noProps, text("c")), MalformedPacket, false},
		{"bytes left over", V5, wire(0x10, connect5(), "x"), MalformedPacket, false},
		{"user name without its flag", V311, wire(0x10, head311, "\x02\x00\x3c", text("c"), text("u")), MalformedPacket, false},
		{"property length missing", V5, wire(0x10, head5, "\x02\x00\x3c"), MalformedPacket, false},
		{"property length too long", V5, wire(0x10, head5, "\x02\x00\x3c\x09", text("c")), MalformedPacket, false},
		{"property length not minimal", V5, wire(0x10, head5, "\x02\x00\x3c\x80\x00", text("c")), MalformedPacket, false},
		{"authentication data without method", V5, wire(0x10, connect5("\x16"+text("d"))), ProtocolError, false},
		{"will topic with a wildcard", V5, will5("t/#"), TopicNameInvalid, false},
		{"will topic empty", V5, will5(""), TopicNameInvalid, false},
		{"will topic not UTF-8", V5, will5("t\x80"), MalformedPacket, false},
		{"a property of PUBLISH in the will", V5, will5("t", "\x23\x00\x01"), MalformedPacket, false},
		{"a property of CONNECT in the will", V5, will5("t", "\x11\x00\x00\x00\x01"), MalformedPacket, false},
		{"a property of the will in CONNECT", V5, wire(0x10, connect5("\x18\x00\x00\x00\x01")), MalformedPacket, false},
		{"will payload cut off", V5, wire(0x10, head5, "\x06\x00\x3c", noProps, text("c"), noProps, text("t"), "\x00\x02p"), MalformedPacket, false},
	})
}

func TestRefusedPublish(t *testing.T) {
	checkRefusals(t, Decoder{}, []refusal{
		{"empty", V311, wire(0x30), MalformedPacket, false},
		{"topic cut off", V311, wire(0x30, "\x00\x05abcd"), MalformedPacket, false},
		{"topic longer than the packet", V5, wire(0x30, "\xff\xffab"), MalformedPacket, false},
		{"topic empty", V311, wire(0x30, text("")), ProtocolError, false},
		{"topic empty without alias", V5, wire(0x30, text(""), noProps), ProtocolError, false},
		{"topic with +", V5, wire(0x30, text("a/+"), noProps), TopicNameInvalid, false},
		{"topic with #", V311, wire(0x30, text("ä/#")), TopicNameInvalid, false},
		{"topic not UTF-8", V5, wire(0x30, text("a\xc3"), noProps), MalformedPacket, false},
		{"topic overlong", V311, wire(0x30, text("a\xc0\xaf")), MalformedPacket, false},
		{"topic with a surrogate", V311, wire(0x30, text("\xed\xbf\xbf")), MalformedPacket, false},
		{"topic with U+0000", V311, wire(0x30, text("a\x00b")), MalformedPacket, false},
		{"topic with U+0000 after a wildcard", V311, wire(0x30, text("#\x00b")), MalformedPacket, false},
		{"topic with U+0000 after others", V311, wire(0x30, text("ä\x00b")), MalformedPacket, false},
		{"packet identifier missing", V311, wire(0x32, text("t")), MalformedPacket, false},
		{"packet identifier cut off", V311, wire(0x32, text("t"), "\x00"), MalformedPacket, false},
		{"packet identifier 0", V311, wire(0x32, text("t"), "\x00\x00"), ProtocolError, false},
		{"packet identifier 0", V5, wire(0x34, text("t"), "\x00\x00", noProps), ProtocolError, false},
		{"property length missing", V5, wire(0x30, text("t")), MalformedPacket, false},
		{"property length too long", V5, wire(0x30, text("t"), "\x02\x01"), MalformedPacket, false},
		{"property length that goes on", V5, wire(0x30, text("t"), "\xff\xff\xff\xff"), MalformedPacket, false},
		{"property length cut off", V5, wire(0x30, text("t"), "\xff"), MalformedPacket, false},
		{"topic alias 0", V5, wire(0x30, text("t"), props("\x23\x00\x00")), TopicAliasInvalid, false},
		{"subscription identifier 0", V5, wire(0x30, text("t"), props("\x0b\x00")), ProtocolError, false},
		{"subscription identifier not minimal", V5, wire(0x30, text("t"), props("\x0b\x81\x00")), MalformedPacket, false},
		{"subscription identifier that goes on", V5, wire(0x30, text("t"), props("\x0b\xff\xff\xff\xff")), MalformedPacket, false},
		{"response topic with a wildcard", V5, wire(0x30, text("t"), props("\x08"+text("r/+"))), ProtocolError, false},
		{"response topic empty", V5, wire(0x30, text("t"), props("\x08"+text(""))), ProtocolError, false},
		{"a property beyond the length", V5, wire(0x30, text("t"), "\x04\x03\x00\x09abcdefghi"), MalformedPacket, false},
	})
}

func TestRefusedAcks(t *testing.T) {
	var cases []refusal
	for _, first := range []byte{0x40, 0x50, 0x62, 0x70} {
		name := Type(first>>4).String() + " "
		for _, v := range []Version{V311, V5} {
			cases = append(cases, []refusal{
				{name + "empty", v, wire(first), MalformedPacket, false},
				{name + "cut off", v, wire(first, "\x00"), MalformedPacket, false},
				{name + "identifier 0", v, wire(first, "\x00\x00"), ProtocolError, false},
			}...)
		}
		cases = append(cases, []refusal{
			{name + "a reason code", V311, wire(first, id7, "\x00"), MalformedPacket, false},
			{name + "a code of others", V5, wire(first, id7, "\x8e"), ProtocolError, true},
			{name + "a code that does not exist", V5, wire(first, id7, "\x03"), ProtocolError, true},
			{name + "properties cut off", V5, wire(first, id7, "\x00\x04"), MalformedPacket, false},
			{name + "a property of others", V5, wire(first, id7, "\x00", props("\x23\x00\x01")), MalformedPacket, false},
			{name + "bytes left over", V5, wire(first, id7, "\x00", noProps, "x"), MalformedPacket, false},
		}...)
	}
	checkRefusals(t, Decoder{}, cases)
}

func TestRefusedSubscriptions(t *testing.T) {
	checkRefusals(t, Decoder{}, []refusal{
		{"SUBSCRIBE empty", V311, wire(0x82), MalformedPacket, false},
		{"SUBSCRIBE identifier 0", V311, wire(0x82, "\x00\x00", text("f"), "\x00"), ProtocolError, false},
		{"SUBSCRIBE no filter", V311, wire(0x82, id7), ProtocolError, false},
		{"SUBSCRIBE no filter", V5, wire(0x82, id7, noProps), ProtocolError, false},
		{"SUBSCRIBE empty filter", V5, wire(0x82, id7, noProps, text(""), "\x00"), MalformedPacket, false},
		{"SUBSCRIBE no properties", V5, wire(0x82, id7), MalformedPacket, false},
		{"SUBSCRIBE filter not UTF-8", V311, wire(0x82, id7, text("\xff"), "\x00"), MalformedPacket, false},
		{"SUBSCRIBE filter with U+0000", V311, wire(0x82, id7, text("a/\x00/#"), "\x00"), MalformedPacket, false},
		{"SUBSCRIBE filter cut off", V311, wire(0x82, id7, "\x00\x02a"), MalformedPacket, false},
		{"SUBSCRIBE options missing", V311, wire(0x82, id7, text("f")), MalformedPacket, false},
		{"SUBSCRIBE second filter cut off", V311, wire(0x82, id7, text("f"), "\x00", "\x00"), MalformedPacket, false},
		{"SUBSCRIBE wildcard in a level", V5, wire(0x82, id7, noProps, text("a+/b"), "\x00"), TopicFilterInvalid, true},
		{"SUBSCRIBE # in the middle", V311, wire(0x82, id7, text("a/#/b"), "\x00"), TopicFilterInvalid, true},
		{"SUBSCRIBE share without a filter", V5, wire(0x82, id7, noProps, text("$share/g"), "\x00"), TopicFilterInvalid, true},
		{"SUBSCRIBE share without a name", V5, wire(0x82, id7, noProps, text("$share//f"), "\x00"), TopicFilterInvalid, true},
		{"SUBSCRIBE share with a wildcard", V5, wire(0x82, id7, noProps, text("$share/+/f"), "\x00"), TopicFilterInvalid, true},
		{"SUBSCRIBE QoS 3", V311, wire(0x82, id7, text("f"), "\x03"), ProtocolError, false},
		{"SUBSCRIBE QoS 3", V5, wire(0x82, id7, noProps, text("f"), "\x03"), ProtocolError, false},
		{"SUBSCRIBE reserved bits", V311, wire(0x82, id7, text("f"), "\x04"), MalformedPacket, true},
		{"SUBSCRIBE reserved bits", V5, wire(0x82, id7, noProps, text("f"), "\x40"), MalformedPacket, true},
		{"SUBSCRIBE retain handling 3", V5, wire(0x82, id7, noProps, text("f"), "\x30"), ProtocolError, false},
		{"SUBSCRIBE no-local of a share", V5, wire(0x82, id7, noProps, text("$share/g/f"), "\x04"), ProtocolError, true},
		{"SUBSCRIBE two subscription identifiers", V5, wire(0x82, id7, props("\x0b\x01\x0b\x02"), text("f"), "\x00"), ProtocolError, false},
		{"SUBSCRIBE too many filters", V311, wire(0x82, id7, strings.Repeat(text("f")+"\x00", MaxFilters+1)), QuotaExceeded, false},
		{"UNSUBSCRIBE empty", V311, wire(0xA2), MalformedPacket, false},
		{"UNSUBSCRIBE identifier 0", V311, wire(0xA2, "\x00\x00", text("f")), ProtocolError, false},
		{"UNSUBSCRIBE no filter", V311, wire(0xA2, id7), ProtocolError, false},
		{"UNSUBSCRIBE no filter", V5, wire(0xA2, id7, noProps), ProtocolError, false},
		{"UNSUBSCRIBE no properties", V5, wire(0xA2, id7), MalformedPacket, false},
		{"UNSUBSCRIBE empty filter", V5, wire(0xA2, id7, noProps, text("")), MalformedPacket, false},
		{"UNSUBSCRIBE filter cut off", V5, wire(0xA2, id7, noProps, "\x00\x02a"), MalformedPacket, false},
		{"UNSUBSCRIBE filter not UTF-8", V5, wire(0xA2, id7, noProps, text("\xf5\x80\x80\x80")), MalformedPacket, false},
		{"UNSUBSCRIBE wildcard in a level", V311, wire(0xA2, id7, text("a#")), TopicFilterInvalid, true},
		{"UNSUBSCRIBE a property of SUBSCRIBE", V5, wire(0xA2, id7, props("\x0b\x01"), text("f")), MalformedPacket, false},
		{"UNSUBSCRIBE too many filters", V311, wire(0xA2, id7, strings.Repeat(text("f"), MaxFilters+1)), QuotaExceeded, false},
		{"SUBACK no code", V311, wire(0x90, id7), ProtocolError, false},
		{"SUBACK no code", V5, wire(0x90, id7, noProps), ProtocolError, false},
		{"SUBACK a code of version 5", V311, wire(0x90, id7, "\x87"), ProtocolError, false},
		{"SUBACK a code of others", V5, wire(0x90, id7, noProps, "\x8e"), ProtocolError, true},
		{"SUBACK identifier 0", V5, wire(0x90, "\x00\x00", noProps, "\x00"), ProtocolError, false},
		{"SUBACK too many codes", V5, wire(0x90, id7, noProps, strings.Repeat("\x00", MaxFilters+1)), ProtocolError, false},
		{"UNSUBACK a code", V311, wire(0xB0, id7, "\x00"), MalformedPacket, false},
		{"UNSUBACK no code", V5, wire(0xB0, id7, noProps), ProtocolError, false},
		{"UNSUBACK a code of others", V5, wire(0xB0, id7, noProps, "\x01"), ProtocolError, true},
	})
}

func TestRefusedOthers(t *testing.T) {
	checkRefusals(t, Decoder{}, []refusal{
		{"CONNACK empty", V311, wire(0x20), MalformedPacket, false},
		{"CONNACK cut off", V311, wire(0x20, "\x00"), MalformedPacket, false},
		{"CONNACK reserved flags", V311, wire(0x20, "\x02\x00"), MalformedPacket, false},
		{"CONNACK return code 6", V311, wire(0x20, "\x00\x06"), MalformedPacket, false},
		{"CONNACK session present and refused", V311, wire(0x20, "\x01\x05"), ProtocolError, false},
		{"CONNACK properties", V311, wire(0x20, "\x00\x00", noProps), MalformedPacket, false},
		{"CONNACK no properties", V5, wire(0x20, "\x00\x00"), MalformedPacket, false},
		{"CONNACK reserved flags", V5, wire(0x20, "\x80\x00", noProps), MalformedPacket, false},
		{"CONNACK a code of others", V5, wire(0x20, "\x00\x8e", noProps), ProtocolError, true},
		{"CONNACK session present and refused", V5, wire(0x20, "\x01\x87", noProps), ProtocolError, false},
		{"DISCONNECT with a body", V311, wire(0xE0, "\x00"), MalformedPacket, false},
		{"DISCONNECT a code of others", V5, wire(0xE0, "\x01"), ProtocolError, true},
		{"DISCONNECT bytes left over", V5, wire(0xE0, "\x00", noProps, "x"), MalformedPacket, false},
		{"DISCONNECT a property of others", V5, wire(0xE0, "\x00", props("\x21\x00\x01")), MalformedPacket, false},
		{"AUTH a code of others", V5, wire(0xF0, "\x04", props("\x15"+text("m"))), ProtocolError, true},
		{"AUTH no method", V5, wire(0xF0, "\x18", noProps), ProtocolError, false},
		{"AUTH no properties", V5, wire(0xF0, "\x18"), ProtocolError, false},
		{"AUTH data without method", V5, wire(0xF0, "\x18", props("\x16"+text("d"))), ProtocolError, false},
	})
	f := Frame{Type: Puback, Body: []byte{0, 1}}
	if _, err := f.Publish(V5); err == nil {
		t.Error("a PUBACK was read as a PUBLISH")
	}
	if _, err := (Frame{Type: Suback, Body: []byte{0, 1}}).Ack(V5); err == nil {
		t.Error("a SUBACK was read as a PUBACK")
	}
}
