package packet

// An UnsubscribePacket is an UNSUBSCRIBE (§3.10).
type UnsubscribePacket struct {
	ID         uint16
	Properties *Properties // nil if there are none
	Filters    []string
}

// Unsubscribe decodes an UNSUBSCRIBE. Of filters with a wildcard in a wrong place it says what [Frame.Subscribe] says.
func (f Frame) Unsubscribe(v Version) (*UnsubscribePacket, error) {
	r, err := f.open(Unsubscribe, v)
	if err != nil {
		return nil, err
	}
	p := &UnsubscribePacket{ID: r.id()}
	if v >= V5 {
		p.Properties = r.properties()
	}
	for len(r.rest) > 0 {
		if filter := r.filter(f.decoder.Lenient, len(p.Filters)); r.err == nil {
			p.Filters = append(p.Filters, filter)
		}
	}
	if len(p.Filters) == 0 {
		r.fail(protocolError(Unsubscribe, "it has no filter"))
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// AppendUnsubscribe appends an UNSUBSCRIBE.
func AppendUnsubscribe(dst []byte, v Version, p *UnsubscribePacket) []byte {
	size := 0
	for _, filter := range p.Filters {
		size += textSize(filter)
	}
	dst, ok := appendRequest(dst, v, Unsubscribe, p.ID, p.Properties, size)
	if !ok {
		return dst
	}
	for _, filter := range p.Filters {
		dst = appendText(dst, filter)
	}
	return dst
}
