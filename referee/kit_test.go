package referee

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	paho5 "github.com/eclipse/paho.golang/packets"
	paho3 "github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A codec reads one packet and writes it; what it reads is a pointer to a struct of its own.
type codec struct {
	read  func([]byte) (any, error)
	write func(any) []byte
}

// paho3 keeps the whole fixed header in its packets, so that what was read can be compared with what was written.
var mqtt3 = codec{
	read: func(b []byte) (any, error) { return paho3.ReadPacket(bytes.NewReader(b)) },
	write: func(p any) []byte {
		var b bytes.Buffer
		if err := p.(paho3.ControlPacket).Write(&b); err != nil {
			panic(err) // a buffer takes everything
		}
		return b.Bytes()
	},
}

var mqtt5 = codec{
	read: func(b []byte) (any, error) {
		p, err := paho5.ReadPacket(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return p.Content, nil
	},
	write: func(p any) []byte {
		var b bytes.Buffer
		if _, err := p.(io.WriterTo).WriteTo(&b); err != nil {
			panic(err)
		}
		return b.Bytes()
	},
}

// errPart is what ours says of a packet that is not there whole. The others wait for the rest.
var errPart = errors.New("more is needed")

// ours is the codec of Spate for one version.
func ours(v packet.Version) codec {
	return codec{
		read: func(b []byte) (any, error) {
			f, n, err := packet.Split(b, 0)
			if err == nil && n != len(b) {
				err = errPart
			}
			if err != nil {
				return nil, err
			}
			return decode(f, v)
		},
		write: func(p any) []byte { return encode(v, p) },
	}
}

type (
	ping     struct{ packet.Type }
	suback   struct{ packet.SubackPacket }
	unsuback struct{ packet.SubackPacket }
)

// decode reads the frame with the method of its type.
func decode(f packet.Frame, v packet.Version) (any, error) {
	switch f.Type {
	case packet.Connect:
		return f.Connect()
	case packet.Connack:
		return f.Connack(v)
	case packet.Publish:
		p, err := f.Publish(v)
		if err != nil {
			return nil, err
		}
		properties, err := p.Properties()
		return &packet.OutPublish{
			Topic: string(p.Topic), Payload: append([]byte{}, p.Payload...), ID: p.ID, QoS: p.QoS, Dup: p.Dup, Retain: p.Retain, Properties: properties,
		}, err
	case packet.Puback, packet.Pubrec, packet.Pubrel, packet.Pubcomp:
		p, err := f.Ack(v)
		return &p, err
	case packet.Subscribe:
		return f.Subscribe(v)
	case packet.Suback:
		p, err := f.Suback(v)
		if err != nil {
			return nil, err
		}
		return &suback{*p}, nil
	case packet.Unsubscribe:
		return f.Unsubscribe(v)
	case packet.Unsuback:
		p, err := f.Unsuback(v)
		if err != nil {
			return nil, err
		}
		return &unsuback{*p}, nil
	case packet.Disconnect:
		p, err := f.Disconnect(v)
		return &p, err
	case packet.Auth:
		p, err := f.Auth()
		return &p, err
	}
	return &ping{f.Type}, nil
}

func encode(v packet.Version, p any) []byte {
	switch p := p.(type) {
	case *packet.ConnectPacket:
		return packet.AppendConnect(nil, p)
	case *packet.ConnackPacket:
		return packet.AppendConnack(nil, v, p.SessionPresent, p.Code, p.Properties)
	case *packet.OutPublish:
		return packet.AppendPublish(nil, v, p)
	case *packet.AckPacket:
		return packet.AppendAck(nil, v, p.Type, p.ID, p.Code, p.Properties)
	case *packet.SubscribePacket:
		return packet.AppendSubscribe(nil, v, p)
	case *suback:
		return packet.AppendSuback(nil, v, p.ID, p.Codes, p.Properties)
	case *packet.UnsubscribePacket:
		return packet.AppendUnsubscribe(nil, v, p)
	case *unsuback:
		return packet.AppendUnsuback(nil, v, p.ID, p.Codes, p.Properties)
	case *packet.DisconnectPacket:
		return packet.AppendDisconnect(nil, v, p.Code, p.Properties)
	case *packet.AuthPacket:
		return packet.AppendAuth(nil, p.Code, p.Properties)
	case *ping:
		if p.Type == packet.Pingreq {
			return packet.AppendPingreq(nil)
		}
		return packet.AppendPingresp(nil)
	}
	panic(fmt.Sprintf("%T is no packet", p))
}

// A generator makes fields at random. None is empty: Paho does not know a text that is there and empty.
type generator struct{ *rand.Rand }

func (g generator) coin() bool { return g.IntN(2) == 0 }

func (g generator) text() string {
	runes := []rune("abcXYZ019 -_.:äß€😀\u007f")
	out := make([]rune, 1+g.size())
	for i := range out {
		out[i] = runes[g.IntN(len(runes))]
	}
	return string(out)
}

// size is small most of the time, and beyond one byte of length now and then.
func (g generator) size() int {
	switch g.IntN(50) {
	case 0:
		return 100 + g.IntN(60)
	case 1:
		return 16_300 + g.IntN(200)
	}
	return g.IntN(10)
}

func (g generator) topic() string { return g.text() + "/" + g.text() }

func (g generator) filter() string {
	return g.topic() + []string{"", "/#", "/+", "/+/x/#"}[g.IntN(4)]
}

func (g generator) bytes() []byte {
	b := make([]byte, 1+g.size())
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) id() uint16 { return uint16(1 + g.IntN(65_535)) }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }
