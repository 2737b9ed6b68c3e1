package packet

const (
	// MaxRemainingLength is the largest remaining length that four bytes can say (§1.5.5).
	MaxRemainingLength = 268_435_455

	// MaxPacketSize is the largest packet that the protocol knows: type, four bytes of length, and what they count.
	MaxPacketSize = 1 + 4 + MaxRemainingLength

	// MaxUserProperties is how many user properties one packet may have. The protocol has no limit, but each costs
	// the one who decodes it an entry of 32 bytes for as few as five on the wire.
	MaxUserProperties = 100

	// MaxFilters is how many filters one SUBSCRIBE or UNSUBSCRIBE may have, each of which costs an allocation.
	MaxFilters = 1000

	// MaxSubscriptionIDs is how many subscription identifiers one PUBLISH to a client may have: one for each
	// subscription of the client that matches.
	MaxSubscriptionIDs = MaxFilters

	// maxField is the longest text or binary field that two bytes of length can say.
	maxField = 65_535

	// maxClientIDV31 is the longest client identifier of version 3.1; lenient decoders do not insist.
	maxClientIDV31 = 23
)
