package packet

import "fmt"

// A Code is a reason code of MQTT 5 (§2.4). Earlier versions say less: see [Code.V3]. Codes from 0x80 on are failures.
type Code byte

// The reason codes.
const (
	Success                             Code = 0x00
	NormalDisconnection                 Code = 0x00 // Success, in a DISCONNECT
	GrantedQoS0                         Code = 0x00 // Success, in a SUBACK
	GrantedQoS1                         Code = 0x01
	GrantedQoS2                         Code = 0x02
	DisconnectWithWillMessage           Code = 0x04
	NoMatchingSubscribers               Code = 0x10
	NoSubscriptionExisted               Code = 0x11
	ContinueAuthentication              Code = 0x18
	ReAuthenticate                      Code = 0x19
	UnspecifiedError                    Code = 0x80
	MalformedPacket                     Code = 0x81
	ProtocolError                       Code = 0x82
	ImplementationSpecificError         Code = 0x83
	UnsupportedProtocolVersion          Code = 0x84
	ClientIdentifierNotValid            Code = 0x85
	BadUserNameOrPassword               Code = 0x86
	NotAuthorized                       Code = 0x87
	ServerUnavailable                   Code = 0x88
	ServerBusy                          Code = 0x89
	Banned                              Code = 0x8A
	ServerShuttingDown                  Code = 0x8B
	BadAuthenticationMethod             Code = 0x8C
	KeepAliveTimeout                    Code = 0x8D
	SessionTakenOver                    Code = 0x8E
	TopicFilterInvalid                  Code = 0x8F
	TopicNameInvalid                    Code = 0x90
	PacketIdentifierInUse               Code = 0x91
	PacketIdentifierNotFound            Code = 0x92
	ReceiveMaximumExceeded              Code = 0x93
	TopicAliasInvalid                   Code = 0x94
	PacketTooLarge                      Code = 0x95
	MessageRateTooHigh                  Code = 0x96
	QuotaExceeded                       Code = 0x97
	AdministrativeAction                Code = 0x98
	PayloadFormatInvalid                Code = 0x99
	RetainNotSupported                  Code = 0x9A
	QoSNotSupported                     Code = 0x9B
	UseAnotherServer                    Code = 0x9C
	ServerMoved                         Code = 0x9D
	SharedSubscriptionsNotSupported     Code = 0x9E
	ConnectionRateExceeded              Code = 0x9F
	MaximumConnectTime                  Code = 0xA0
	SubscriptionIdentifiersNotSupported Code = 0xA1
	WildcardSubscriptionsNotSupported   Code = 0xA2
)

// The packets that carry a code, for the table.
const (
	connack    = set(1) << Connack
	received   = set(1)<<Puback | 1<<Pubrec
	released   = set(1)<<Pubrel | 1<<Pubcomp
	suback     = set(1) << Suback
	unsuback   = set(1) << Unsuback
	disconnect = set(1) << Disconnect
	auth       = set(1) << Auth
)

// codes is the table of §2.4: what each code is called, and which packets may carry it.
var codes = [...]struct {
	name string
	in   set
}{
	Success:                             {"Success", connack | received | released | suback | unsuback | disconnect | auth},
	GrantedQoS1:                         {"Granted QoS 1", suback},
	GrantedQoS2:                         {"Granted QoS 2", suback},
	DisconnectWithWillMessage:           {"Disconnect with Will Message", disconnect},
	NoMatchingSubscribers:               {"No matching subscribers", received},
	NoSubscriptionExisted:               {"No subscription existed", unsuback},
	ContinueAuthentication:              {"Continue authentication", auth},
	ReAuthenticate:                      {"Re-authenticate", auth},
	UnspecifiedError:                    {"Unspecified error", connack | received | suback | unsuback | disconnect},
	MalformedPacket:                     {"Malformed Packet", connack | disconnect},
	ProtocolError:                       {"Protocol Error", connack | disconnect},
	ImplementationSpecificError:         {"Implementation specific error", connack | received | suback | unsuback | disconnect},
	UnsupportedProtocolVersion:          {"Unsupported Protocol Version", connack},
	ClientIdentifierNotValid:            {"Client Identifier not valid", connack},
	BadUserNameOrPassword:               {"Bad User Name or Password", connack},
	NotAuthorized:                       {"Not authorized", connack | received | suback | unsuback | disconnect},
	ServerUnavailable:                   {"Server unavailable", connack},
	ServerBusy:                          {"Server busy", connack | disconnect},
	Banned:                              {"Banned", connack},
	ServerShuttingDown:                  {"Server shutting down", disconnect},
	BadAuthenticationMethod:             {"Bad authentication method", connack | disconnect},
	KeepAliveTimeout:                    {"Keep Alive timeout", disconnect},
	SessionTakenOver:                    {"Session taken over", disconnect},
	TopicFilterInvalid:                  {"Topic Filter invalid", suback | unsuback | disconnect},
	TopicNameInvalid:                    {"Topic Name invalid", connack | received | disconnect},
	PacketIdentifierInUse:               {"Packet Identifier in use", received | suback | unsuback},
	PacketIdentifierNotFound:            {"Packet Identifier not found", released},
	ReceiveMaximumExceeded:              {"Receive Maximum exceeded", disconnect},
	TopicAliasInvalid:                   {"Topic Alias invalid", disconnect},
	PacketTooLarge:                      {"Packet too large", connack | disconnect},
	MessageRateTooHigh:                  {"Message rate too high", disconnect},
	QuotaExceeded:                       {"Quota exceeded", connack | received | suback | disconnect},
	AdministrativeAction:                {"Administrative action", disconnect},
	PayloadFormatInvalid:                {"Payload format invalid", connack | received | disconnect},
	RetainNotSupported:                  {"Retain not supported", connack | disconnect},
	QoSNotSupported:                     {"QoS not supported", connack | disconnect},
	UseAnotherServer:                    {"Use another server", connack | disconnect},
	ServerMoved:                         {"Server moved", connack | disconnect},
	SharedSubscriptionsNotSupported:     {"Shared Subscriptions not supported", suback | disconnect},
	ConnectionRateExceeded:              {"Connection rate exceeded", connack | disconnect},
	MaximumConnectTime:                  {"Maximum connect time", disconnect},
	SubscriptionIdentifiersNotSupported: {"Subscription Identifiers not supported", suback | disconnect},
	WildcardSubscriptionsNotSupported:   {"Wildcard Subscriptions not supported", suback | disconnect},
}

// String returns the name as §2.4 writes it.
func (c Code) String() string {
	if int(c) < len(codes) && codes[c].name != "" {
		return codes[c].name
	}
	return fmt.Sprintf("reason code 0x%02X", byte(c))
}

// Failed says whether c is a failure.
func (c Code) Failed() bool { return c >= 0x80 }

// In says whether a packet of type t may carry c.
func (c Code) In(t Type) bool { return int(c) < len(codes) && codes[c].in&t.set() != 0 }

// V3 is the return code that says c best in a CONNACK of version 3.1 or 3.1.1 (3.1.1 §3.2.2.3). What that version has
// no word for is 3, Server unavailable: a client of it gives up for good after the others.
func (c Code) V3() byte {
	switch c {
	case Success:
		return 0
	case UnsupportedProtocolVersion:
		return 1
	case ClientIdentifierNotValid:
		return 2
	case BadUserNameOrPassword:
		return 4
	case NotAuthorized, Banned, BadAuthenticationMethod:
		return 5
	}
	return 3
}

// codesV3 are the return codes of a CONNACK of version 3.1 and 3.1.1, as reason codes.
var codesV3 = [...]Code{
	Success, UnsupportedProtocolVersion, ClientIdentifierNotValid, ServerUnavailable, BadUserNameOrPassword, NotAuthorized,
}
