package packet

// A DisconnectPacket is a DISCONNECT (§3.14).
type DisconnectPacket struct {
	Code       Code        // NormalDisconnection in versions before 5
	Properties *Properties // nil if there are none
}

// Disconnect decodes a DISCONNECT.
func (f Frame) Disconnect(v Version) (DisconnectPacket, error) {
	code, properties, err := f.reason(Disconnect, v)
	return DisconnectPacket{code, properties}, err
}

// An AuthPacket is an AUTH (§3.15), which exists since version 5.
type AuthPacket struct {
	Code       Code
	Properties *Properties // nil only if the packet has no body: otherwise there is an AuthMethod
}

// Auth decodes an AUTH. In versions before 5 the type is reserved: whoever has such a connection refuses the frame.
func (f Frame) Auth() (AuthPacket, error) {
	code, properties, err := f.reason(Auth, V5)
	if err == nil && len(f.Body) > 0 && !properties.Has(AuthMethod) {
		return AuthPacket{}, protocolError(Auth, "it has no authentication method")
	}
	return AuthPacket{code, properties}, err
}

// reason reads a body that is a reason code and properties, both of which may be left out.
func (f Frame) reason(t Type, v Version) (Code, *Properties, error) {
	r, err := f.open(t, v)
	if err != nil {
		return 0, nil, err
	}
	if v < V5 || len(r.rest) == 0 {
		return Success, nil, r.end()
	}
	var properties *Properties
	code := r.code(f.decoder.Lenient)
	if len(r.rest) > 0 {
		properties = r.properties()
	}
	return code, properties, r.end()
}

// AppendDisconnect appends a DISCONNECT. In versions before 5 only a client sends one, and only with NormalDisconnection;
// with another code dst is returned as it is.
func AppendDisconnect(dst []byte, v Version, code Code, p *Properties) []byte {
	if v < V5 {
		if code != NormalDisconnection {
			return dst
		}
		return append(dst, byte(Disconnect)<<4, 0)
	}
	return appendReason(dst, Disconnect, code, p)
}

// AppendAuth appends an AUTH.
func AppendAuth(dst []byte, code Code, p *Properties) []byte { return appendReason(dst, Auth, code, p) }

func appendReason(dst []byte, t Type, code Code, p *Properties) []byte {
	properties := sectionOf(p, masks[t])
	size := 0
	if properties.size > 0 {
		size = 1 + properties.total()
	} else if code != Success {
		size = 1
	}
	dst, ok := appendHead(dst, t, 0, size)
	if !ok {
		return dst
	}
	if size > 0 {
		dst = append(dst, byte(code))
	}
	if size > 1 {
		dst = properties.append(dst)
	}
	return dst
}

// AppendPingreq appends a PINGREQ.
func AppendPingreq(dst []byte) []byte { return append(dst, byte(Pingreq)<<4, 0) }

// AppendPingresp appends a PINGRESP.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(Pingresp)<<4, 0) }
