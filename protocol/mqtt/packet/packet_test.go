package packet

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// decode reads a frame with the method of its type.
func decode(f Frame, v Version) (any, error) {
	switch f.Type {
	case Connect:
		return f.Connect()
	case Connack:
		return f.Connack(v)
	case Publish:
		p, err := f.Publish(v)
		if err != nil {
			return nil, err
		}
		properties, err := p.Properties()
		return &OutPublish{string(p.Topic), append([]byte{}, p.Payload...), p.ID, p.QoS, p.Dup, p.Retain, properties}, err
	case Puback, Pubrec, Pubrel, Pubcomp:
		p, err := f.Ack(v)
		return &p, err
	case Subscribe:
		return f.Subscribe(v)
	case Suback:
		return f.Suback(v)
	case Unsubscribe:
		return f.Unsubscribe(v)
	case Unsuback:
		return f.Unsuback(v)
	case Disconnect:
		p, err := f.Disconnect(v)
		return &p, err
	case Auth:
		p, err := f.Auth()
		return &p, err
	}
	return nil, nil // PINGREQ and PINGRESP, which are nothing but a fixed header
}

// encode writes what decode has read.
func encode(t Type, v Version, p any) []byte {
	switch p := p.(type) {
	case *ConnectPacket:
		return AppendConnect(nil, p)
	case *ConnackPacket:
		return AppendConnack(nil, v, p.SessionPresent, p.Code, p.Properties)
	case *OutPublish:
		return AppendPublish(nil, v, p)
	case *AckPacket:
		return AppendAck(nil, v, t, p.ID, p.Code, p.Properties)
	case *SubscribePacket:
		return AppendSubscribe(nil, v, p)
	case *SubackPacket:
		if t == Suback {
			return AppendSuback(nil, v, p.ID, p.Codes, p.Properties)
		}
		return AppendUnsuback(nil, v, p.ID, p.Codes, p.Properties)
	case *UnsubscribePacket:
		return AppendUnsubscribe(nil, v, p)
	case *DisconnectPacket:
		return AppendDisconnect(nil, v, p.Code, p.Properties)
	case *AuthPacket:
		return AppendAuth(nil, p.Code, p.Properties)
	}
	if t == Pingreq {
		return AppendPingreq(nil)
	}
	return AppendPingresp(nil)
}

// Whatever is written is read back as it was, from packets of every type with random contents.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for _, v := range []Version{V31, V311, V5} {
		for typ := Connect; typ <= Auth; typ++ {
			if typ == Auth && v != V5 {
				continue
			}
			for range 500 {
				want := g.packet(typ, v)
				wire := encode(typ, v, want)
				f, n, err := Split(append(wire, "next"...), 0)
				if err != nil || n != len(wire) || f.Type != typ {
					t.Fatalf("%s %s %+v: Split gave %s, %d of %d bytes, %v", v, typ, want, f.Type, n, len(wire), err)
				}
				got, err := decode(f, v)
				if err != nil {
					t.Fatalf("%s %s %+v: %v", v, typ, want, err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%s %s:\n got %+v\nwant %+v", v, typ, got, want)
				}
			}
		}
	}
}
