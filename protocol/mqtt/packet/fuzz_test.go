package packet

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"
)

// FuzzDecodeV3 and FuzzDecodeV5 read any bytes as a stream of packets: nothing panics, what is refused has a code, what
// is accepted is written so that it is read as the same again, and memory is bounded by the size of what arrived.
func FuzzDecodeV3(f *testing.F) { fuzzDecode(f, V311) }

// FuzzDecodeV5 is FuzzDecodeV3 for version 5.
func FuzzDecodeV5(f *testing.F) { fuzzDecode(f, V5) }

func fuzzDecode(f *testing.F, v Version) {
	for _, lenient := range []bool{false, true} {
		f.Add(byte(3), lenient, []byte(wire(0x10, connect5("\x11\x00\x00\x00\x3c\x26"+text("n")+text("v")))+wire(0xE0)))
		f.Add(byte(0), lenient, []byte(will5("t", "\x18\x00\x00\x00\x09")))
		f.Add(byte(1), lenient, []byte(wire(0x10, text("MQIsdp"), "\x03\xc6\x00\x3c", text("c"), text("t"), text("gone"), text("user"), text("password"))))
		f.Add(byte(2), lenient, []byte(wire(0x3b, text("a/b"), id7, "payload")+wire(0x62, id7)))
		f.Add(byte(0), lenient, []byte(wire(0x32, text("a/b"), id7, props("\x23\x00\x01\x02\x00\x00\x00\x05\x08"+text("r")), "payload")))
		f.Add(byte(0), lenient, []byte(wire(0x30, text(""), props("\x23\x00\x01\x0b\xff\x7f\x0b\x01"), "payload")))
		f.Add(byte(0), lenient, []byte(wire(0x82, id7, text("a/#"), "\x01", text("$share/g/+"), "\x02")))
		f.Add(byte(0), lenient, []byte(wire(0x82, id7, props("\x0b\x05"), text("a/#"), "\x2d")))
		f.Add(byte(0), lenient, []byte(wire(0xA2, id7, noProps, text("a"))+wire(0xB0, id7, noProps, "\x11")))
		f.Add(byte(0), lenient, []byte(wire(0x20, "\x00\x00", props("\x21\x00\x0a\x24\x01\x12"+text("id")))+wire(0x90, id7, noProps, "\x00\x87")))
		f.Add(byte(0), lenient, []byte(wire(0xF0, "\x18", props("\x15"+text("SCRAM-SHA-256")+"\x16"+text("n,,")))+wire(0xC0)+wire(0xD0)))
		f.Add(byte(0), lenient, []byte(wire(0x40, id7, "\x10", props("\x1f"+text("why")))+wire(0x50, id7)+wire(0x70, id7, "\x92")))
	}
	f.Fuzz(func(t *testing.T, cut byte, lenient bool, in []byte) {
		d, v := Decoder{Lenient: lenient}, v
		for len(in) > 0 {
			// The head alone says the same as the whole, or that more is needed.
			if _, n, err := d.Split(in[:min(int(cut), len(in))], 1<<20); err == nil && n > len(in) {
				t.Fatalf("a packet of %d bytes in %d", n, len(in))
			}
			frame, n, err := d.Split(in, 1<<20)
			if err != nil {
				checkError(t, err)
				return
			}
			if n == 0 {
				return
			}
			if version, ok := ConnectVersion(frame); ok && frame.Type == Connect {
				v = version
			}
			checkDecode(t, frame, v)
			in = in[n:]
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || !refused.Code.Failed() || refused.Reason == "" {
		t.Fatalf("%#v is no error of this package", err)
	}
	if refused.Code != UnsupportedProtocolVersion && refused.Code != ClientIdentifierNotValid && !refused.Code.In(Disconnect) {
		t.Fatalf("%v cannot be said in a DISCONNECT", err)
	}
}

// checkDecode decodes a packet, and what is written from it once more.
func checkDecode(t *testing.T, f Frame, v Version) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := decode(f, v)
	runtime.ReadMemStats(&after)
	// A list of the shortest filters and pairs takes the most: 40 bytes for 3, and growing it twice that.
	if got, most := after.TotalAlloc-before.TotalAlloc, 64*uint64(len(f.Body))+16_384; got > most {
		t.Fatalf("%d bytes of %s allocated %d", len(f.Body), f.Type, got)
	}
	if err != nil {
		checkError(t, err)
		return
	}
	first := encode(f.Type, v, p)
	g, n, err := f.decoder.Split(first, 0)
	if err != nil || n != len(first) {
		t.Fatalf("%+v was written as % x: %d, %v", p, first, n, err)
	}
	q, err := decode(g, v)
	if err != nil {
		t.Fatalf("%+v was written as % x: %v", p, first, err)
	}
	if !reflect.DeepEqual(p, q) {
		t.Fatalf("%+v was read again as %+v", p, q)
	}
	if second := encode(f.Type, v, q); !bytes.Equal(first, second) {
		t.Fatalf("% x was written again as % x", first, second)
	}
}
