package referee

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// seeded makes a generator whose seed is in the log of a failure.
func seeded(t *testing.T) generator {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return generator{rand.New(rand.NewPCG(seed, 0))}
}

// Of every packet of version 3.1 and 3.1.1, both codecs write the same bytes and read the same from them.
func TestAgreeV3(t *testing.T) {
	g := seeded(t)
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		for typ := packet.Connect; typ <= packet.Disconnect; typ++ {
			for range 500 {
				our, their := g.pair3(typ, v)
				a, b := ours(v).write(our), mqtt3.write(their)
				if !bytes.Equal(a, b) {
					t.Fatalf("%s %s %+v\n ours % x\ntheir % x", v, typ, our, a, b)
				}
				readsAs(t, ours(v), b, our)
				readsAs(t, mqtt3, a, their)
			}
		}
	}
}

// Of every packet of version 5, each codec reads what the other has written. The bytes may differ: the order of
// properties is free, and what has its default may be left out.
func TestAgreeV5(t *testing.T) {
	g := seeded(t)
	for typ := packet.Connect; typ <= packet.Auth; typ++ {
		for range 500 {
			our, their := g.pair5(typ)
			readsAs(t, ours(packet.V5), mqtt5.write(their), our)
			if wire := ours(packet.V5).write(our); !bytes.Equal(wire, pahoRefuses) {
				readsAs(t, mqtt5, wire, their)
			}
		}
	}
}

// readsAs checks that the codec reads the bytes as that packet.
func readsAs(t *testing.T, c codec, b []byte, want any) {
	t.Helper()
	got, err := c.read(b)
	if err != nil {
		t.Fatalf("% x: %v, want %+v", b, err, want)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("% x\n got %+v\nwant %+v", b, got, want)
	}
}
