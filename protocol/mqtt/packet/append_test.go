package packet

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// What no length can say is cut or not written; it never becomes another packet.
func TestAppendTooLong(t *testing.T) {
	long := strings.Repeat("x", maxField-1) + "ä" // whose last character does not fit
	p, err := asRead(Decoder{}, V5, string(AppendDisconnect(nil, V5, UnspecifiedError, (&Properties{ReasonString: long}).Set(ReasonString))))
	if err != nil || p.(*DisconnectPacket).Properties.ReasonString != long[:maxField-1] {
		t.Errorf("a reason string of 65 536 bytes: %v", err)
	}
	data := make([]byte, maxField+1)
	p, err = asRead(Decoder{}, V5, string(AppendConnect(nil, &ConnectPacket{Version: V5, HasPassword: true, Password: data})))
	if err != nil || len(p.(*ConnectPacket).Password) != maxField {
		t.Errorf("a password of 65 536 bytes: %v", err)
	}
	p, err = asRead(Decoder{}, V5, string(AppendSubscribe(nil, V5, &SubscribePacket{ID: 1, Properties: &Properties{SubscriptionIDs: []uint32{1<<32 - 1}}, Filters: []Subscription{{Filter: "f"}}})))
	if err != nil || p.(*SubscribePacket).Properties.SubscriptionIDs[0] != MaxRemainingLength {
		t.Errorf("a subscription identifier that does not exist: %v", err)
	}

	before := []byte("before")
	pairs := make([]UserProperty, 2100)
	for i := range pairs {
		pairs[i] = UserProperty{long, long}
	}
	huge := &Properties{User: pairs}
	for name, got := range map[string][]byte{
		"CONNECT":     AppendConnect(before, &ConnectPacket{Version: V5, Properties: huge}),
		"CONNACK":     AppendConnack(before, V5, false, Success, huge),
		"PUBLISH":     AppendPublish(before, V5, &OutPublish{Topic: "t", Properties: huge}),
		"head":        AppendPublishHead(before, PublishHead{Version: V5, Topic: "t", Payload: MaxRemainingLength - 3}),
		"PUBACK":      AppendAck(before, V5, Puback, 1, Success, huge),
		"SUBSCRIBE":   AppendSubscribe(before, V5, &SubscribePacket{Properties: huge}),
		"SUBACK":      AppendSuback(before, V5, 1, nil, huge),
		"UNSUBSCRIBE": AppendUnsubscribe(before, V5, &UnsubscribePacket{Properties: huge}),
		"UNSUBACK":    AppendUnsuback(before, V5, 1, nil, huge),
		"DISCONNECT":  AppendDisconnect(before, V5, Success, huge),
		"AUTH":        AppendAuth(before, Success, huge),
	} {
		if string(got) != "before" {
			t.Errorf("%s of more than 268 435 455 bytes: %d bytes were written", name, len(got)-len(before))
		}
	}
	if got := AppendPublishHead(nil, PublishHead{Version: V5, Topic: "t", Payload: MaxRemainingLength - 4}); len(got) != 9 {
		t.Errorf("the head of the largest packet has %d bytes", len(got))
	}
}

// Versions before 5 have no properties, fewer codes, and fewer packets.
func TestAppendBefore5(t *testing.T) {
	p := (&Properties{ReasonString: "why"}).Set(ReasonString)
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"CONNACK", AppendConnack(nil, V311, true, Success, p), "\x20\x02\x01\x00"},
		{"CONNACK of 3.1", AppendConnack(nil, V31, true, Success, p), "\x20\x02\x00\x00"},
		{"CONNACK refused", AppendConnack(nil, V311, true, NotAuthorized, p), "\x20\x02\x00\x05"},
		{"PUBACK", AppendAck(nil, V311, Puback, 7, NotAuthorized, p), "\x40\x02\x00\x07"},
		{"PUBREL", AppendAck(nil, V311, Pubrel, 7, Success, nil), "\x62\x02\x00\x07"},
		{"SUBACK", AppendSuback(nil, V311, 7, []Code{GrantedQoS2, NotAuthorized}, p), "\x90\x04\x00\x07\x02\x80"},
		{"UNSUBACK", AppendUnsuback(nil, V311, 7, []Code{NoSubscriptionExisted}, p), "\xb0\x02\x00\x07"},
		{"DISCONNECT of a server", AppendDisconnect(nil, V311, ServerShuttingDown, p), ""},
		{"DISCONNECT of a client", AppendDisconnect(nil, V311, NormalDisconnection, p), "\xe0\x00"},
		{"SUBSCRIBE", AppendSubscribe(nil, V311, &SubscribePacket{7, p, []Subscription{{"f", 1, true, true, 2}}}), "\x82\x06\x00\x07\x00\x01f\x01"},
		{"PUBLISH", AppendPublish(nil, V311, &OutPublish{Topic: "t", Payload: []byte("p"), Dup: true, Retain: true, Properties: p}), "\x31\x04\x00\x01tp"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: % x, want % x", c.name, c.got, c.want)
		}
	}
}

// The shortest forms of version 5, which have no code and no property length.
func TestAppendShort(t *testing.T) {
	p := (&Properties{ReasonString: "y"}).Set(ReasonString)
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"PUBACK", AppendAck(nil, V5, Puback, 7, Success, nil), "\x40\x02\x00\x07"},
		{"PUBACK with a code", AppendAck(nil, V5, Puback, 7, NoMatchingSubscribers, nil), "\x40\x03\x00\x07\x10"},
		{"PUBREL with properties", AppendAck(nil, V5, Pubrel, 7, Success, p), "\x62\x08\x00\x07\x00\x04\x1f\x00\x01y"},
		{"DISCONNECT", AppendDisconnect(nil, V5, NormalDisconnection, nil), "\xe0\x00"},
		{"DISCONNECT with a code", AppendDisconnect(nil, V5, SessionTakenOver, nil), "\xe0\x01\x8e"},
		{"AUTH", AppendAuth(nil, Success, nil), "\xf0\x00"},
		{"PINGREQ", AppendPingreq(nil), "\xc0\x00"},
		{"PINGRESP", AppendPingresp(nil), "\xd0\x00"},
		{"CONNACK refused", AppendConnack(nil, V5, true, ServerBusy, nil), "\x20\x03\x00\x89\x00"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: % x, want % x", c.name, c.got, c.want)
		}
	}
}

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		code Code
		want byte
	}{
		{Success, 0},
		{UnsupportedProtocolVersion, 1},
		{ClientIdentifierNotValid, 2},
		{ServerUnavailable, 3},
		{ServerBusy, 3},
		{QuotaExceeded, 3},
		{ConnectionRateExceeded, 3},
		{MalformedPacket, 3},
		{BadUserNameOrPassword, 4},
		{NotAuthorized, 5},
		{Banned, 5},
		{BadAuthenticationMethod, 5},
	} {
		if got := c.code.V3(); got != c.want {
			t.Errorf("%s is %d in 3.1.1, want %d", c.code, got, c.want)
		}
	}
	for i, code := range codesV3 {
		if code.V3() != byte(i) {
			t.Errorf("return code %d is %s, which is %d", i, code, code.V3())
		}
	}
	for got, want := range map[string]string{
		ReceiveMaximumExceeded.String():       "Receive Maximum exceeded",
		Code(0x03).String():                   "reason code 0x03",
		Code(0xFF).String():                   "reason code 0xFF",
		Code(0xA3).String():                   "reason code 0xA3",
		Puback.String():                       "PUBACK",
		Type(0).String():                      "type 0",
		Type(16).String():                     "type 16",
		V31.String() + V311.String():          "3.13.1.1",
		V5.String() + Version(9).String():     "5.0level 9",
		TopicAlias.String():                   "topic alias",
		PropertyID(0x04).String():             "property 4",
		PropertyID(0x2B).String():             "property 43",
		PropertyID(0xFF).String():             "property 255",
		(&Error{ServerBusy, "why"}).Error():   "why (Server busy, 0x89)",
		malformed(Publish, "too bad").Error(): "PUBLISH: too bad (Malformed Packet, 0x81)",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Secrets stay out of logs, in whatever way a packet is written there.
func TestSecretsAreNotPrinted(t *testing.T) {
	p := &ConnectPacket{Version: V5, ClientID: "c", HasPassword: true, Password: []byte("hunter2"), Properties: (&Properties{AuthData: []byte("hunter3")}).Set(AuthData)}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "packet", p)
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "packet", p)
	fmt.Fprintf(&log, "%v %+v %s\n", p, p, p)
	for _, secret := range []string{"hunter", "aHVudGVy", "104 117 110 116 101 114", "68756e746572"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log:\n%s", secret, log.String())
		}
	}
}
