package packet

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// samples are packets of every type and version, some of each with properties.
func samples(t *testing.T, n int) (wires [][]byte, versions []Version) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for _, v := range []Version{V31, V311, V5} {
		for typ := Connect; typ <= Auth; typ++ {
			for i := 0; i < n && (typ != Auth || v == V5); {
				wire := encode(typ, v, g.packet(typ, v))
				if len(wire) > 400 { // the loops over every offset are quadratic
					continue
				}
				wires, versions = append(wires, wire), append(versions, v)
				i++
			}
		}
	}
	return wires, versions
}

// A packet that ends early is not yet there; one whose length says less than it has is malformed or another packet,
// and nothing panics.
func TestTruncation(t *testing.T) {
	wires, versions := samples(t, 20)
	for i, wire := range wires {
		for cut := range wire {
			f, n, err := Split(wire[:cut], 0)
			if n != 0 || err != nil || !reflect.DeepEqual(f, Frame{}) {
				t.Fatalf("% x cut at %d: %+v, %d, %v", wire, cut, f, n, err)
			}
		}
		whole, _, err := Split(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range whole.Body {
			f := whole
			f.Body = whole.Body[:cut:cut]
			got, err := decode(f, versions[i])
			var refused *Error
			if err != nil && (!errors.As(err, &refused) || refused.Code == Success) {
				t.Fatalf("% x: %v", f.Body, err)
			}
			if err == nil && versions[i] != V31 && shortened(whole.Type, versions[i]) && cut < len(whole.Body) {
				t.Fatalf("%s % x cut at %d of %d was accepted: %+v", whole.Type, whole.Body, cut, len(whole.Body), got)
			}
		}
	}
}

// shortened says whether every packet of the type is malformed when its end is missing. Others end with a payload, or
// a list, or a field that may be left out.
func shortened(t Type, v Version) bool {
	return t == Connect || t == Connack || t == Unsuback && v < V5 || (received|released)&t.set() != 0 && v < V5
}

// What has been decoded is a copy, but for what says that it borrows.
func TestNothingAliases(t *testing.T) {
	wires, versions := samples(t, 50)
	for i, wire := range wires {
		f, _, err := Split(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(f, versions[i])
		if err != nil {
			t.Fatal(err)
		}
		again := encode(f.Type, versions[i], got)
		for j := range wire {
			wire[j] ^= 0x55
		}
		if after := encode(f.Type, versions[i], got); !bytes.Equal(after, again) {
			t.Fatalf("%s changed with the buffer:\n% x\n% x", f.Type, again, after)
		}
	}
	// And a PUBLISH borrows, so that it costs nothing.
	in := []byte(wire(0x30, text("t"), props("\x03"+text("x")), "payload"))
	f, _, _ := Split(in, 0)
	p, err := f.Publish(V5)
	if err != nil {
		t.Fatal(err)
	}
	for j := range in {
		in[j] = 'z'
	}
	if got := string(p.Topic) + string(p.RawProperties) + string(p.Payload); strings.Trim(got, "z") != "" {
		t.Errorf("%q is a copy", got)
	}
	if cap(p.Topic) != 1 || cap(f.Body) != len(f.Body) {
		t.Error("appending to a part of the buffer would write over the rest of it")
	}
}

func TestSplitLimit(t *testing.T) {
	in := []byte(wire(0x30, text("t"), strings.Repeat("x", 100)))
	for _, c := range []struct {
		limit, have int
		code        Code
		n           int
	}{
		{len(in), len(in), Success, len(in)},
		{len(in) - 1, len(in), PacketTooLarge, 0},
		{len(in) - 1, 2, PacketTooLarge, 0}, // as soon as the length is there
		{len(in) - 1, 1, Success, 0},
		{1, 2, PacketTooLarge, 0},
		{0, len(in), Success, len(in)},
		{-1, len(in), Success, len(in)},
	} {
		f, n, err := Split(in[:c.have], c.limit)
		var refused *Error
		if errors.As(err, &refused) != (c.code != Success) || refused != nil && refused.Code != c.code || n != c.n {
			t.Errorf("limit %d, %d bytes: %+v, %d, %v", c.limit, c.have, f, n, err)
		}
	}
	// The largest length that there is, of which nothing more has arrived.
	if _, n, err := Split([]byte("\x30\xff\xff\xff\x7f"), 0); n != 0 || err != nil {
		t.Errorf("the largest packet: %d, %v", n, err)
	}
	if _, _, err := Split([]byte("\x30\xff\xff\xff\x7f"), MaxPacketSize-1); err == nil {
		t.Error("the largest packet is below a smaller limit")
	}
}

func TestVarint(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, MaxRemainingLength} {
		b := appendVarint(nil, n)
		if value, size := varint(append(b, 1)); value != n || size != len(b) || size != varintSize(n) {
			t.Errorf("%d: % x is read as %d of %d bytes", n, b, value, size)
		}
		for cut := range b {
			if _, size := varint(b[:cut]); size != 0 {
				t.Errorf("%d cut at %d: size %d", n, cut, size)
			}
		}
	}
}

// The broker learns in which form to answer a CONNECT that it cannot read.
func TestConnectVersion(t *testing.T) {
	for _, c := range []struct {
		in        string
		lenient   bool
		want      Version
		supported bool
	}{
		{text("MQTT") + "\x05", false, V5, true},
		{text("MQTT") + "\x04", false, V311, true},
		{text("MQIsdp") + "\x03", false, V31, true},
		{text("MQTT") + "\x06", false, V5, false},
		{text("MQTT") + "\x03", false, V311, false},
		{text("MQTT") + "\x84", false, V311, false},
		{text("MQTT") + "\x84", true, V311, true},
		{text("MQIsdp") + "\x83", true, V31, true},
		{text("MQIsdp") + "\x04", false, V31, false},
		{text("HTTP") + "\x05", false, V311, false},
		{text("MQTT"), false, V311, false},
		{"\x00\x09MQTT", false, V311, false},
		{"", false, V311, false},
	} {
		f := Frame{Type: Connect, Body: []byte(c.in), decoder: Decoder{Lenient: c.lenient}}
		if v, ok := ConnectVersion(f); v != c.want || ok != c.supported {
			t.Errorf("%q: %s %v, want %s %v", c.in, v, ok, c.want, c.supported)
		}
	}
}

// What a lenient decoder lets pass is not passed on.
func TestLenient(t *testing.T) {
	d := Decoder{Lenient: true}
	p, err := asRead(d, V5, wire(0x38, text("t"), noProps))
	if err != nil || p.(*OutPublish).Dup {
		t.Errorf("DUP with QoS 0: %+v, %v", p, err)
	}
	p, err = asRead(d, V5, wire(0x82, id7, noProps, text("$share/g/f"), "\xc5"))
	if err != nil || !reflect.DeepEqual(p.(*SubscribePacket).Filters, []Subscription{{Filter: "$share/g/f", QoS: 1}}) {
		t.Errorf("no-local of a share: %+v, %v", p, err)
	}
	p, err = asRead(d, V311, wire(0x10, text("MQTT"), "\x04\x02\x00\x3c", text("c")))
	if err != nil || p.(*ConnectPacket).Bridge {
		t.Errorf("no bridge: %+v, %v", p, err)
	}
	p, err = asRead(d, V311, wire(0x10, text("MQTT"), "\x84\x2b\x00\x3c", text("c")))
	if err != nil || !reflect.DeepEqual(p, &ConnectPacket{Version: V311, Bridge: true, CleanStart: true, KeepAlive: 60, ClientID: "c"}) {
		t.Errorf("a bridge: %+v, %v", p, err)
	}
}

// What is just within its limits is accepted by a strict decoder.
func TestLimitsAreInclusive(t *testing.T) {
	for name, c := range map[string]struct {
		v  Version
		in string
	}{
		"client identifier of 3.1":                 {V31, wire(0x10, text("MQIsdp"), "\x03\x02\x00\x3c", text(strings.Repeat("c", maxClientIDV31)))},
		"empty client identifier of 3.1.1":         {V311, wire(0x10, text("MQTT"), "\x04\x02\x00\x3c", text(""))},
		"empty client identifier of 5":             {V5, wire(0x10, text("MQTT"), "\x05\x00\x00\x3c", noProps, text(""))},
		"password without a user name in 5":        {V5, wire(0x10, text("MQTT"), "\x05\x42\x00\x3c", noProps, text("c"), text("p"))},
		"a topic that is as long as its length is": {V5, wire(0x30, text(strings.Repeat("t", maxField)), noProps)},
		"filters":                       {V311, wire(0x82, id7, strings.Repeat(text("f")+"\x00", MaxFilters))},
		"filters of UNSUBSCRIBE":        {V311, wire(0xA2, id7, strings.Repeat(text("f"), MaxFilters))},
		"codes":                         {V311, wire(0x90, id7, strings.Repeat("\x00", MaxFilters))},
		"a reserved byte of 3.1":        {V31, wire(0x20, "\x7f\x00")},
		"a topic alias without a topic": {V5, wire(0x30, text(""), props("\x23\x00\x01"))},
		"no payload":                    {V311, wire(0x30, text("t"))},
		"properties of length 0":        {V5, wire(0x40, id7, "\x00", noProps)},
		"AUTH without a body":           {V5, wire(0xF0)},
		"DISCONNECT with a code":        {V5, wire(0xE0, "\x04")},
		"$share alone is a filter":      {V5, wire(0x82, id7, noProps, text("$share"), "\x04")},
	} {
		if _, err := asRead(Decoder{}, c.v, c.in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
