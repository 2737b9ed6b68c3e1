package packet

// A PublishPacket is a PUBLISH (§3.3) as it was received. Topic, Payload and RawProperties are parts of the buffer that
// was split: what is kept longer must be copied.
type PublishPacket struct {
	Topic         []byte // may be empty if there is a topic alias
	Payload       []byte
	RawProperties []byte // encoded, without their length; empty in versions before 5
	ID            uint16 // 0 for QoS 0
	QoS           byte
	Dup           bool
	Retain        bool

	present uint64 // the properties, by bit
	alias   uint16
	expiry  uint32
}

// Publish decodes a PUBLISH and checks all of it, the properties too. It allocates nothing.
func (f Frame) Publish(v Version) (PublishPacket, error) {
	r, err := f.open(Publish, v)
	if err != nil {
		return PublishPacket{}, err
	}
	p := PublishPacket{QoS: f.Flags >> 1 & 3, Retain: f.Flags&1 != 0}
	p.Dup = f.Flags&8 != 0 && p.QoS > 0
	p.Topic = r.topic("the topic")
	if p.QoS > 0 {
		p.ID = r.id()
	}
	if v >= V5 {
		p.RawProperties = r.section()
		if r.err == nil && len(p.RawProperties) > 0 {
			r.err = p.scan(f.decoder.Server)
		}
	}
	if len(p.Topic) == 0 && p.alias == 0 && r.err == nil {
		r.err = protocolError(Publish, "the topic is empty, and there is no topic alias")
	}
	if r.err != nil {
		return PublishPacket{}, r.err
	}
	p.Payload = r.rest
	return p, nil
}

// scan checks the properties and notes those that can be asked for without decoding.
func (p *PublishPacket) scan(server bool) error {
	s := scanner{raw: p.RawProperties, packet: Publish, in: atPublish}
	for s.next() {
		switch s.id {
		case TopicAlias:
			p.alias = uint16(s.number)
		case MessageExpiry:
			p.expiry = s.number
		}
	}
	p.present = s.seen
	if s.err == nil && server && p.Has(SubscriptionIDs) {
		return protocolError(Publish, "it has a subscription identifier, which only a server sends")
	}
	return s.err
}

// HasProperties says whether there is any property.
func (p *PublishPacket) HasProperties() bool { return len(p.RawProperties) > 0 }

// Has says whether there is the property, without decoding it.
func (p *PublishPacket) Has(id PropertyID) bool { return p.present&(1<<(id&63)) != 0 }

// TopicAlias returns the topic alias, if there is one.
func (p *PublishPacket) TopicAlias() (alias uint16, ok bool) { return p.alias, p.Has(TopicAlias) }

// MessageExpiry returns the seconds after which the message expires, if it does.
func (p *PublishPacket) MessageExpiry() (seconds uint32, ok bool) {
	return p.expiry, p.Has(MessageExpiry)
}

// Properties decodes the properties into a copy, nil if there are none. The error is nil if p comes from
// [Frame.Publish] and the buffer is as it was.
func (p *PublishPacket) Properties() (*Properties, error) {
	return readProperties(p.RawProperties, Publish, atPublish)
}
