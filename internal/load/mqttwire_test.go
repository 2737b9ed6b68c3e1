package load

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestMQTTPackets(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"connect 3.1.1", appendConnect(nil, &mqttLogin{version: 4, client: "a", keepAlive: 60}), "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"},
		{"connect 5", appendConnect(nil, &mqttLogin{version: 5, client: "a", durable: 9, user: "u", password: []byte("p")}),
			"\x10\x19\x00\x04MQTT\x05\xc0\x00\x00\x05\x11\x00\x00\x00\x09\x00\x01a\x00\x01u\x00\x01p"},
		{"subscribe 3.1.1", appendSubscribe(nil, 4, 1, "a/b", 2), "\x82\x08\x00\x01\x00\x03a/b\x02"},
		{"subscribe 5", appendSubscribe(nil, 5, 1, "a/b", 2), "\x82\x09\x00\x01\x00\x00\x03a/b\x02"},
		{"publish", append(appendPublish(nil, 4, "a", 0, 0, 2), "hi"...), "\x30\x05\x00\x01ahi"},
		{"publish 5, QoS 1", append(appendPublish(nil, 5, "a", 1, 258, 2), "hi"...), "\x32\x08\x00\x01a\x01\x02\x00hi"},
		{"acknowledgement", appendMQTTAck(nil, mqttPubrel, 258), "\x62\x02\x01\x02"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
		p, n, err := nextMQTT(append(c.got, 1, 2, 3))
		if err != nil || n != len(c.want) || p.first != c.want[0] || string(p.body) != c.want[2:] {
			t.Errorf("%s: read back as %x %q, %d bytes, %v", c.name, p.first, p.body, n, err)
		}
		for short := range c.got {
			if _, n, err := nextMQTT(c.got[:short]); n != 0 || err != nil {
				t.Errorf("%s: complete at %d of %d, %v", c.name, short, len(c.got), err)
			}
		}
	}
}

func TestMQTTPublication(t *testing.T) {
	for _, version := range []byte{mqtt311, mqtt5} {
		for qos := range byte(3) {
			b := append(appendPublish(nil, version, "a/b", qos, 7, 200), bytes.Repeat([]byte{'x'}, 200)...)
			p, n, err := nextMQTT(b)
			if n != len(b) || err != nil {
				t.Fatalf("%d of %d bytes, %v", n, len(b), err)
			}
			topic, payload, id, err := p.publication(version)
			if string(topic) != "a/b" || len(payload) != 200 || (id == 7) != (qos > 0) || p.qos() != qos || err != nil {
				t.Errorf("version %d, QoS %d: %q, %d bytes, identifier %d, %v", version, qos, topic, len(payload), id, err)
			}
		}
	}
	for _, body := range []string{"", "\x00", "\x00\x02a", "\x00\x01a\x00", "\x00\x01a\x00\x01", "\x00\x01a\x00\x01\x05", "\x00\x01a\x00\x01\xff\xff\xff\xff\xff"} {
		if _, _, _, err := (mqttPacket{mqttPublish | 2, []byte(body)}).publication(mqtt5); !errors.Is(err, errMQTTTooShort) {
			t.Errorf("%q: error %v", body, err)
		}
	}
}

func TestMQTTConnack(t *testing.T) {
	for _, c := range []struct {
		body    string
		version byte
		want    int
		err     bool
	}{
		{"\x00\x00", 4, 65535, false}, {"\x00\x00\x00", 5, 65535, false}, {"\x00\x00\x03\x21\x00\x14", 5, 20, false},
		{"\x00\x00\x1b\x11\x00\x00\x00\x01\x22\x00\x01\x25\x01\x12\x00\x02id\x26\x00\x01k\x00\x01v\x21\x00\x05\x2a\x01", 5, 5, false},
		{"\x00\x87\x00", 5, 0, true}, {"\x00", 4, 0, true}, {"\x00\x00", 5, 0, true}, {"\x00\x00\x01\x7f", 5, 0, true}, {"\x00\x00\x03\x26\x00\x01", 5, 0, true},
	} {
		got, err := (mqttPacket{mqttConnack, []byte(c.body)}).accepted(c.version)
		if (err != nil) != c.err || err == nil && got != c.want {
			t.Errorf("%q: %d, %v", c.body, got, err)
		}
	}
	for body, ok := range map[string]bool{"\x00\x01\x00\x01": true, "\x00\x01\x00\x00": false, "\x00\x01\x00\x87": false, "\x00\x01\x00": false, "\x00": false, "\x00\x01\x05\x01": false} {
		if err := (mqttPacket{mqttSuback, []byte(body)}).granted(mqtt5, 1); (err == nil) != ok {
			t.Errorf("SUBACK %q: error %v", body, err)
		}
	}
}

func TestWebSocketFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("abc"), n/3+1)[:n]
		b := frame(append([]byte("before"), payload...), len("before"), frameBinary)
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatalf("%d bytes: what stood before is gone", n)
		}
		b = b[len("before"):]
		head := len(b) - n
		for i := range payload {
			if b[head+i]^b[head-4+i&3] != payload[i] {
				t.Fatalf("%d bytes: byte %d is masked wrong", n, i)
			}
		}
		b[1] &^= 0x80
		plain := append(append([]byte(nil), b[:head-4]...), payload...) // as a server sends it
		opcode, got, length, err := nextFrame(append(plain, 1, 2))
		if opcode != frameBinary || !bytes.Equal(got, payload) || length != len(plain) || err != nil {
			t.Errorf("%d bytes: read back %d bytes of opcode %d, %v", n, len(got), opcode, err)
		}
		for short := range min(len(plain), 20) {
			if _, _, n, err := nextFrame(plain[:short]); n != 0 || err != nil {
				t.Errorf("complete at %d of %d, %v", short, len(plain), err)
			}
		}
	}
	stream, out, rest, err := unframe(nil, nil, []byte("\x82\x02ab\x89\x01p\x8a\x00\x00\x01c\x82\x05x"))
	if string(stream) != "abc" || len(out) != 7 || out[0] != 0x80|framePong || string(rest) != "\x82\x05x" || err != nil {
		t.Errorf("stream %q, output %q, rest %q, %v", stream, out, rest, err)
	}
	for text, want := range map[string]error{
		"\x82\x80abcd": errNotWebSocket, "\xc2\x01a": errNotWebSocket, "\x81\x01a": errNotWebSocket, "\x88\x02\x03\xe8": errClosedByFrame,
		"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff": errFrameTooLong,
	} {
		if _, _, _, err := unframe(nil, nil, []byte(text)); !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", text, err, want)
		}
	}
}

func TestUpgraded(t *testing.T) {
	reply := func(status, accept, protocol string) string {
		return fmt.Sprintf("HTTP/1.1 %s\r\nsec-websocket-accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n", status, accept, protocol)
	}
	good := reply("101 Switching Protocols", webSocketAccept, "mqtt")
	if n, err := upgraded([]byte(good + "more")); n != len(good) || err != nil {
		t.Errorf("%d of %d bytes, %v", n, len(good), err)
	}
	if n, err := upgraded([]byte(good[:len(good)-1])); n != 0 || err != nil {
		t.Errorf("complete too early: %d, %v", n, err)
	}
	for _, bad := range []string{
		reply("200 OK", webSocketAccept, "mqtt"), reply("101 x", "other", "mqtt"), reply("101 x", webSocketAccept, ""), "nonsense\r\n\r\n",
		string(bytes.Repeat([]byte{'x'}, maxUpgradeReply+1)),
	} {
		if _, err := upgraded([]byte(bad)); !errors.Is(err, errNotUpgraded) {
			t.Errorf("%.40q: error %v", bad, err)
		}
	}
}

func TestMQTTTopics(t *testing.T) {
	for _, c := range []struct{ pattern, first, idle, every string }{
		{"bench/{}", "bench/1", "bench/idle1", "bench/+"}, {"a/x{}/b", "a/x1/b", "a/xidle1/b", "a/+/b"}, {"all", "all/1", "all/idle1", "all"},
	} {
		if first, idle, every := topicOf(c.pattern, "", 1), topicOf(c.pattern, "idle", 1), everyTopic(c.pattern); first != c.first || idle != c.idle || every != c.every {
			t.Errorf("%s: %q, %q, %q", c.pattern, first, idle, every)
		}
	}
	for text, want := range map[string]mqttAddress{
		"mqtt://h": {"h:1883", ""}, "mqtt://[::1]:5/": {"[::1]:5", ""}, "ws://h/mqtt": {"h:80", "/mqtt"}, "ws://h:8080": {"h:8080", "/mqtt"},
	} {
		if got, err := parseMQTTURL(text); got != want || err != nil {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestParseResident(t *testing.T) {
	got, err := parseResident("Name:\tspate\nVmPeak:\t  999 kB\nVmRSS:\t    6904 kB\nThreads:\t5\n")
	if err != nil || got != 6904<<10 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, status := range []string{"", "VmRSS:\t5\n", "VmRSS:\tx kB\n"} {
		if got, err := parseResident(status); err == nil {
			t.Errorf("%q gives %d", status, got)
		}
	}
}

func FuzzMQTT(f *testing.F) {
	f.Add([]byte("\x20\x06\x00\x00\x03\x21\x00\x14"))
	f.Add([]byte("\x32\x08\x00\x01a\x01\x02\x00hi"))
	f.Add([]byte("\x82\x02ab\x89\x01p"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, n, err := nextMQTT(b)
		if n < 0 || n > len(b) || err != nil && n != 0 {
			t.Fatalf("length %d of %d, %v", n, len(b), err)
		}
		for _, version := range []byte{mqtt311, mqtt5} {
			_, _ = p.accepted(version)
			_ = p.granted(version, 1)
			if _, payload, _, err := p.publication(version); err == nil && len(payload) > len(p.body) {
				t.Fatalf("a payload of %d bytes in %d", len(payload), len(p.body))
			}
		}
		_, _, _ = p.ack()
		if _, _, rest, _ := unframe(nil, nil, b); len(rest) > len(b) {
			t.Fatalf("%d of %d bytes are left", len(rest), len(b))
		}
	})
}
