package packet

import "strconv"

// A PropertyID names a property of MQTT 5 (§2.2.2.2).
type PropertyID byte

// The properties. Each is a field of [Properties] of the same name.
const (
	PayloadFormat            PropertyID = 0x01
	MessageExpiry            PropertyID = 0x02
	ContentType              PropertyID = 0x03
	ResponseTopic            PropertyID = 0x08
	CorrelationData          PropertyID = 0x09
	SubscriptionIDs          PropertyID = 0x0B
	SessionExpiry            PropertyID = 0x11
	AssignedClientID         PropertyID = 0x12
	ServerKeepAlive          PropertyID = 0x13
	AuthMethod               PropertyID = 0x15
	AuthData                 PropertyID = 0x16
	RequestProblemInfo       PropertyID = 0x17
	WillDelay                PropertyID = 0x18
	RequestResponseInfo      PropertyID = 0x19
	ResponseInfo             PropertyID = 0x1A
	ServerReference          PropertyID = 0x1C
	ReasonString             PropertyID = 0x1F
	ReceiveMaximum           PropertyID = 0x21
	TopicAliasMaximum        PropertyID = 0x22
	TopicAlias               PropertyID = 0x23
	MaximumQoS               PropertyID = 0x24
	RetainAvailable          PropertyID = 0x25
	User                     PropertyID = 0x26
	MaximumPacketSize        PropertyID = 0x27
	WildcardAvailable        PropertyID = 0x28
	SubscriptionIDsAvailable PropertyID = 0x29
	SharedAvailable          PropertyID = 0x2A
)

// String returns the name as the specification writes it, without capitals.
func (id PropertyID) String() string {
	if int(id) < len(table) && table[id].name != "" {
		return table[id].name
	}
	return "property " + strconv.Itoa(int(id))
}

// A kind is the type of a property's value.
type kind byte

const (
	kindByte   kind = iota + 1 // a byte
	kindShort                  // a two byte integer
	kindLong                   // a four byte integer
	kindVar                    // a variable byte integer
	kindText                   // a UTF-8 encoded string
	kindTopic                  // one that is a topic name
	kindBinary                 // binary data
	kindPair                   // a UTF-8 string pair
)

// A property is a row of the table: its type, the packets that it may be in, those of them in which it may be more than once,
// and the bounds of a number. A number beyond them is refused with the code, which is Protocol Error unless told.
type property struct {
	name     string
	kind     kind
	in, many set
	min, max uint32
	code     Code
}

// Sets of packets, for the table.
const (
	atConnect   = set(1) << Connect
	atPublish   = set(1) << Publish
	atMessage   = atPublish | isWill
	atSubscribe = set(1) << Subscribe
	atAuth      = atConnect | connack | auth
	atSession   = atConnect | connack
	atReply     = connack | received | released | suback | unsuback | disconnect | auth
	everywhere  = atReply | atConnect | atMessage | atSubscribe | 1<<Unsubscribe
)

const anyNumber = 1<<32 - 1

// table is table 2-4 of §2.2.2.2, and the bounds that are given where the packets are described.
var table = [...]property{
	PayloadFormat:            {name: "payload format indicator", kind: kindByte, in: atMessage, max: 1},
	MessageExpiry:            {name: "message expiry interval", kind: kindLong, in: atMessage, max: anyNumber},
	ContentType:              {name: "content type", kind: kindText, in: atMessage},
	ResponseTopic:            {name: "response topic", kind: kindTopic, in: atMessage},
	CorrelationData:          {name: "correlation data", kind: kindBinary, in: atMessage},
	SubscriptionIDs:          {name: "subscription identifier", kind: kindVar, in: atPublish | atSubscribe, many: atPublish, min: 1, max: MaxRemainingLength},
	SessionExpiry:            {name: "session expiry interval", kind: kindLong, in: atSession | disconnect, max: anyNumber},
	AssignedClientID:         {name: "assigned client identifier", kind: kindText, in: connack},
	ServerKeepAlive:          {name: "server keep alive", kind: kindShort, in: connack, max: anyNumber},
	AuthMethod:               {name: "authentication method", kind: kindText, in: atAuth},
	AuthData:                 {name: "authentication data", kind: kindBinary, in: atAuth},
	RequestProblemInfo:       {name: "request problem information", kind: kindByte, in: atConnect, max: 1},
	WillDelay:                {name: "will delay interval", kind: kindLong, in: isWill, max: anyNumber},
	RequestResponseInfo:      {name: "request response information", kind: kindByte, in: atConnect, max: 1},
	ResponseInfo:             {name: "response information", kind: kindText, in: connack},
	ServerReference:          {name: "server reference", kind: kindText, in: connack | disconnect},
	ReasonString:             {name: "reason string", kind: kindText, in: atReply},
	ReceiveMaximum:           {name: "receive maximum", kind: kindShort, in: atSession, min: 1, max: anyNumber},
	TopicAliasMaximum:        {name: "topic alias maximum", kind: kindShort, in: atSession, max: anyNumber},
	TopicAlias:               {name: "topic alias", kind: kindShort, in: atPublish, min: 1, max: anyNumber, code: TopicAliasInvalid},
	MaximumQoS:               {name: "maximum QoS", kind: kindByte, in: connack, max: 1},
	RetainAvailable:          {name: "retain available", kind: kindByte, in: connack, max: 1},
	User:                     {name: "user property", kind: kindPair, in: everywhere, many: everywhere},
	MaximumPacketSize:        {name: "maximum packet size", kind: kindLong, in: atSession, min: 1, max: anyNumber},
	WildcardAvailable:        {name: "wildcard subscription available", kind: kindByte, in: connack, max: 1},
	SubscriptionIDsAvailable: {name: "subscription identifier available", kind: kindByte, in: connack, max: 1},
	SharedAvailable:          {name: "shared subscription available", kind: kindByte, in: connack, max: 1},
}
