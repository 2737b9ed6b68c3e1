package packet

// A ConnackPacket is a CONNACK (§3.2).
type ConnackPacket struct {
	SessionPresent bool
	Code           Code        // of a version before 5: the code that says the same
	Properties     *Properties // nil if there are none
}

// Connack decodes a CONNACK.
func (f Frame) Connack(v Version) (*ConnackPacket, error) {
	r, err := f.open(Connack, v)
	if err != nil {
		return nil, err
	}
	p := new(ConnackPacket)
	flags := r.byte("the flags")
	if v != V31 { // which has no flags, but a reserved byte
		p.SessionPresent = flags&1 != 0
	}
	if v >= V5 {
		p.Code = r.code(f.decoder.Lenient)
		p.Properties = r.properties()
	} else if code := r.byte("the return code"); int(code) < len(codesV3) {
		p.Code = codesV3[code]
	} else {
		r.fail(malformed(Connack, "its return code does not exist"))
	}
	if r.err == nil && v != V31 && flags > 1 {
		r.fail(malformed(Connack, "its reserved flags are set"))
	}
	if r.err == nil && p.SessionPresent && p.Code != Success {
		r.fail(protocolError(Connack, "it has a session present, but refuses the connection"))
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// AppendConnack appends a CONNACK. With a code other than Success the session is never present [MQTT-3.2.2-6].
func AppendConnack(dst []byte, v Version, sessionPresent bool, code Code, p *Properties) []byte {
	var flags byte
	if sessionPresent && code == Success && v != V31 {
		flags = 1
	}
	if v < V5 {
		return append(dst, byte(Connack)<<4, 2, flags, code.V3())
	}
	properties := sectionOf(p, masks[Connack])
	dst, ok := appendHead(dst, Connack, 0, 2+properties.total())
	if !ok {
		return dst
	}
	return properties.append(append(dst, flags, byte(code)))
}
