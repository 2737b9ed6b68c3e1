package packet

// A UserProperty is a name and a value, which the protocol gives no meaning. Names may repeat, and the order is kept.
type UserProperty struct{ Name, Value string }

// Properties are the properties of one packet of version 5, of any type. A field counts when the packet has it: ask
// [Properties.Has], and say so with [Properties.Set]. SubscriptionIDs and User count when they are not empty.
type Properties struct {
	PayloadFormat            byte     // 1: the payload is UTF-8 text; 0: it is bytes
	MessageExpiry            uint32   // seconds
	ContentType              string   // of the payload
	ResponseTopic            string   // where a response is awaited
	CorrelationData          []byte   // by which a response is known
	SubscriptionIDs          []uint32 // one in SUBSCRIBE; in PUBLISH those of all subscriptions that match
	SessionExpiry            uint32   // seconds; 0xFFFFFFFF: never
	AssignedClientID         string
	ServerKeepAlive          uint16 // seconds
	AuthMethod               string
	AuthData                 []byte `json:"-"`
	RequestProblemInfo       byte   // 0: no reason strings and user properties but in PUBLISH, CONNACK and DISCONNECT
	WillDelay                uint32 // seconds
	RequestResponseInfo      byte   // 1: the CONNACK may have a ResponseInfo
	ResponseInfo             string
	ServerReference          string // which server to use instead
	ReasonString             string // for people
	ReceiveMaximum           uint16 // QoS 1 and 2 messages in flight
	TopicAliasMaximum        uint16
	TopicAlias               uint16
	MaximumQoS               byte
	RetainAvailable          byte
	User                     []UserProperty
	MaximumPacketSize        uint32 // bytes
	WildcardAvailable        byte
	SubscriptionIDsAvailable byte
	SharedAvailable          byte

	present uint64 // bit id for the property id
}

// Has says whether p has the property. A nil p has none.
func (p *Properties) Has(id PropertyID) bool {
	return p != nil && p.mask()&(1<<(id&63)) != 0
}

// Set marks properties as present and returns p. SubscriptionIDs and User need no mark.
func (p *Properties) Set(ids ...PropertyID) *Properties {
	for _, id := range ids {
		p.present |= 1 << (id & 63) &^ repeatable
	}
	return p
}

// repeatable are the properties that count when they are not empty.
const repeatable = 1<<SubscriptionIDs | 1<<User

// mask is the set of properties that are present.
func (p *Properties) mask() uint64 {
	m := p.present
	if len(p.SubscriptionIDs) > 0 {
		m |= 1 << SubscriptionIDs
	}
	if len(p.User) > 0 {
		m |= 1 << User
	}
	return m
}

// field returns a pointer to the field of id, or nil. Its type says how the field is encoded; a pointer in an
// interface costs no allocation.
func (p *Properties) field(id PropertyID) any {
	switch id {
	case PayloadFormat:
		return &p.PayloadFormat
	case MessageExpiry:
		return &p.MessageExpiry
	case ContentType:
		return &p.ContentType
	case ResponseTopic:
		return &p.ResponseTopic
	case CorrelationData:
		return &p.CorrelationData
	case SubscriptionIDs:
		return &p.SubscriptionIDs
	case SessionExpiry:
		return &p.SessionExpiry
	case AssignedClientID:
		return &p.AssignedClientID
	case ServerKeepAlive:
		return &p.ServerKeepAlive
	case AuthMethod:
		return &p.AuthMethod
	case AuthData:
		return &p.AuthData
	case WillDelay:
		return &p.WillDelay
	case ResponseInfo:
		return &p.ResponseInfo
	case ServerReference:
		return &p.ServerReference
	case ReasonString:
		return &p.ReasonString
	case ReceiveMaximum:
		return &p.ReceiveMaximum
	case TopicAliasMaximum:
		return &p.TopicAliasMaximum
	case TopicAlias:
		return &p.TopicAlias
	case User:
		return &p.User
	case MaximumPacketSize:
		return &p.MaximumPacketSize
	}
	return p.flag(id)
}

// flag returns a pointer to the field of id if it is one of those with the value 0 or 1, or nil.
func (p *Properties) flag(id PropertyID) any {
	switch id {
	case RequestProblemInfo:
		return &p.RequestProblemInfo
	case RequestResponseInfo:
		return &p.RequestResponseInfo
	case MaximumQoS:
		return &p.MaximumQoS
	case RetainAvailable:
		return &p.RetainAvailable
	case WildcardAvailable:
		return &p.WildcardAvailable
	case SubscriptionIDsAvailable:
		return &p.SubscriptionIDsAvailable
	case SharedAvailable:
		return &p.SharedAvailable
	}
	return nil
}
