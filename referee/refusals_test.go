package referee

import (
	"errors"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

const (
	v311 = packet.V311
	v5   = packet.V5
)

// A refusal is what Spate refuses and Paho reads: the words of the refusal, the clause (of the specification of version 5
// unless it says 3.1.1), and a packet of each version in which Paho reads it.
type refusal struct {
	reason string
	clause string
	v      packet.Version
	in     string
}

// The beginnings of packets.
const (
	connect311 = "\x00\x04MQTT\x04"
	connect5   = "\x00\x04MQTT\x05"
	id7        = "\x00\x07"
)

// refusals is the list. What is too short for Paho for 3.1.1 is filled with zeros by it.
var refusals = []refusal{
	{"the reserved flags of its first byte are wrong", "[MQTT-2.1.3-1]", v5, "\x42\x02" + id7},
	{"the reserved flags of its first byte are wrong", "[MQTT-2.2.2-2 of 3.1.1]", v311, "\x60\x02" + id7},
	{"QoS 3 does not exist", "[MQTT-3.3.1-4]", v5, "\x36\x06\x00\x01t" + id7 + "\x00"},
	{"QoS 3 does not exist", "[MQTT-3.3.1-4 of 3.1.1]", v311, "\x36\x05\x00\x01t" + id7},
	{"DUP is set, but QoS is 0", "[MQTT-3.3.1-2]", v5, "\x38\x04\x00\x01t\x00"},
	{"DUP is set, but QoS is 0", "[MQTT-3.3.1-2 of 3.1.1]", v311, "\x38\x03\x00\x01t"},
	{"the remaining length is not a variable byte integer in its shortest form", "[MQTT-1.5.5-1]", v5, "\xc0\x80\x00"},
	{"the remaining length is not a variable byte integer in its shortest form", "§2.2.3 of 3.1.1", v311, "\xc0\x80\x00"},
	{"the property length is missing, or is not a variable byte integer in its shortest form", "[MQTT-1.5.5-1]", v5, "\x30\x05\x00\x01t\x80\x00"},
	{"it has a body", "§3.12, §3.13", v5, "\xc0\x01x"},
	{"it has a body", "§3.12, §3.13 of 3.1.1", v311, "\xd0\x01x"},
	{"there are bytes after its last field", "§3.4.3", v5, "\x40\x05" + id7 + "\x00\x00x"},
	{"there are bytes after its last field", "§3.4 of 3.1.1", v311, "\x40\x03" + id7 + "x"},
	{"it ends within the properties", "§2.2.2.1", v5, "\x30\x05\x00\x01t\x05\x0b"},
	{"it ends within", "§1.5.3 of 3.1.1", v311, "\x40\x01\x00"},
	{"it ends within a filter", "§1.5.4", v5, "\xa2\x04" + id7 + "\x00\x00"},
	{"the packet identifier is 0", "[MQTT-2.2.1-3]", v5, "\x40\x02\x00\x00"},
	{"the packet identifier is 0", "[MQTT-2.3.1-1 of 3.1.1]", v311, "\x40\x02\x00\x00"},
	{"is not valid UTF-8, or contains U+0000", "[MQTT-1.5.4-1] [MQTT-1.5.4-2]", v5, "\x30\x05\x00\x02t\xff\x00"},
	{"is not valid UTF-8, or contains U+0000", "[MQTT-1.5.3-1] [MQTT-1.5.3-2] of 3.1.1", v311, "\x30\x04\x00\x02t\x00"},
	{"the topic contains a wildcard", "[MQTT-3.3.2-2]", v5, "\x30\x05\x00\x02t#\x00"},
	{"the topic contains a wildcard", "[MQTT-3.3.2-2 of 3.1.1]", v311, "\x30\x04\x00\x02t+"},
	{"the topic is empty, and there is no topic alias", "§3.3.2.1", v5, "\x30\x03\x00\x00\x00"},
	{"the topic is empty, and there is no topic alias", "[MQTT-4.7.3-1 of 3.1.1]", v311, "\x30\x02\x00\x00"},
	{"the topic alias has the value 0", "[MQTT-3.3.2-8]", v5, "\x30\x07\x00\x01t\x03\x23\x00\x00"},
	{"is there twice", "§3.3.2.3 and the like of every packet", v5, "\x30\x08\x00\x01t\x04\x01\x00\x01\x00"},
	{"which does not exist", "§3.2.2.3 and the like of every packet", v5, "\x30\x06\x00\x01t\x02\x01\x02"},
	{"it has a property that does not belong to it", "§2.2.2.2, of a will", v5, "\x10\x17" + connect5 + "\x06\x00\x00\x00\x00\x01c\x02\x17\x01\x00\x01t\x00\x01p"},
	{"the subscription identifier is cut off, or not in its shortest form", "[MQTT-1.5.5-1]", v5, "\x30\x07\x00\x01t\x03\x0b\x81\x00"},
	{"the response topic is no topic name", "[MQTT-3.3.2-14]", v5, "\x30\x08\x00\x01t\x04\x08\x00\x01+"},
	{"it has more than 100 user properties", "a limit of ours", v5, "\x30\xfe\x03\x00\x01t\xf9\x03" + strings.Repeat("\x26\x00\x00\x00\x00", 101)},
	{"it has more than 1000 filters", "a limit of ours", v311, "\xa2\xbd\x17" + id7 + strings.Repeat("\x00\x01f", 1001)},
	{"it has more than 1000 filters", "a limit of ours", v5, "\xa2\xbe\x17" + id7 + "\x00" + strings.Repeat("\x00\x01f", 1001)},
	{"its protocol name and level are none of", "[MQTT-3.1.2-1] [MQTT-3.1.2-2]", v5, "\x10\x0e\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x01c"},
	{"its protocol name and level are none of", "[MQTT-3.1.2-1] [MQTT-3.1.2-2] of 3.1.1", v311, "\x10\x0d\x00\x04MQTX\x04\x02\x00\x00\x00\x01c"},
	{"the reserved flag is set", "[MQTT-3.1.2-3]", v5, "\x10\x0e" + connect5 + "\x03\x00\x00\x00\x00\x01c"},
	{"the reserved flag is set", "[MQTT-3.1.2-3 of 3.1.1]", v311, "\x10\x0d" + connect311 + "\x03\x00\x00\x00\x01c"},
	{"it has a QoS or a retain flag for a will, but no will", "[MQTT-3.1.2-11] [MQTT-3.1.2-13]", v5, "\x10\x0e" + connect5 + "\x22\x00\x00\x00\x00\x01c"},
	{"it has a QoS or a retain flag for a will, but no will", "[MQTT-3.1.2-13] [MQTT-3.1.2-15] of 3.1.1", v311, "\x10\x0d" + connect311 + "\x0a\x00\x00\x00\x01c"},
	{"the QoS of the will is 3", "[MQTT-3.1.2-12]", v5, "\x10\x15" + connect5 + "\x1e\x00\x00\x00\x00\x01c\x00\x00\x01t\x00\x01p"},
	{"the QoS of the will is 3", "[MQTT-3.1.2-14 of 3.1.1]", v311, "\x10\x13" + connect311 + "\x1e\x00\x00\x00\x01c\x00\x01t\x00\x01p"},
	{"the topic of the will is empty", "[MQTT-4.7.3-1]", v5, "\x10\x14" + connect5 + "\x06\x00\x00\x00\x00\x01c\x00\x00\x00\x00\x01p"},
	{"the topic of the will is empty", "[MQTT-4.7.3-1 of 3.1.1]", v311, "\x10\x12" + connect311 + "\x06\x00\x00\x00\x01c\x00\x00\x00\x01p"},
	{"the topic of the will contains a wildcard", "[MQTT-4.7.0-1]", v5, "\x10\x15" + connect5 + "\x06\x00\x00\x00\x00\x01c\x00\x00\x01#\x00\x01p"},
	{"the topic of the will contains a wildcard", "[MQTT-4.7.1-1 of 3.1.1]", v311, "\x10\x13" + connect311 + "\x06\x00\x00\x00\x01c\x00\x01#\x00\x01p"},
	{"it has a password, but no user name", "[MQTT-3.1.2-22 of 3.1.1]", v311, "\x10\x10" + connect311 + "\x42\x00\x00\x00\x01c\x00\x01p"},
	{"the client identifier is empty", "[MQTT-3.1.3-7 of 3.1.1]", v311, "\x10\x0c" + connect311 + "\x00\x00\x00\x00\x00"},
	{"it has authentication data, but no authentication method", "§3.1.2.11.10", v5, "\x10\x12" + connect5 + "\x02\x00\x00\x04\x16\x00\x01d\x00\x01c"},
	{"it has no authentication method", "§3.15.2.2.2", v5, "\xf0\x02\x18\x00"},
	{"its reserved flags are set", "[MQTT-3.2.2-1]", v5, "\x20\x03\x02\x00\x00"},
	{"its reserved flags are set", "[MQTT-3.2.2-1 of 3.1.1]", v311, "\x20\x02\x02\x00"},
	{"it has a session present, but refuses the connection", "[MQTT-3.2.2-6]", v5, "\x20\x03\x01\x87\x00"},
	{"it has a session present, but refuses the connection", "[MQTT-3.2.2-4 of 3.1.1]", v311, "\x20\x02\x01\x05"},
	{"its return code does not exist", "§3.2.2.3 of 3.1.1", v311, "\x20\x02\x00\x06"},
	{"its reason code is not one of this packet", "[MQTT-3.4.2-1] and the like of every packet", v5, "\x40\x03" + id7 + "\x8e"},
	{"its reason code is not one of this packet", "[MQTT-3.9.3-2 of 3.1.1]", v311, "\x90\x03" + id7 + "\x03"},
	{"its return code is not one of version 3.1.1", "[MQTT-3.9.3-2 of 3.1.1]", v311, "\x90\x03" + id7 + "\x87"},
	{"it has no reason code", "[MQTT-3.8.4-6]", v5, "\x90\x03" + id7 + "\x00"},
	{"it has no reason code", "[MQTT-3.8.4-5 of 3.1.1]", v311, "\x90\x02" + id7},
	{"it has no filter", "[MQTT-3.8.3-2] [MQTT-3.10.3-2]", v5, "\x82\x03" + id7 + "\x00"},
	{"it has no filter", "[MQTT-3.8.3-3] [MQTT-3.10.3-2] of 3.1.1", v311, "\xa2\x02" + id7},
	{"a filter is empty", "[MQTT-4.7.3-1]", v5, "\x82\x06" + id7 + "\x00\x00\x00\x00"},
	{"a filter is empty", "[MQTT-4.7.3-1 of 3.1.1]", v311, "\x82\x05" + id7 + "\x00\x00\x00"},
	{"a filter has a wildcard in a wrong place", "[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1]", v5, "\x82\x08" + id7 + "\x00\x00\x02a#\x00"},
	{"a filter has a wildcard in a wrong place", "[MQTT-4.7.1-2] [MQTT-4.7.1-3] of 3.1.1", v311, "\x82\x07" + id7 + "\x00\x02+a\x00"},
	{"the QoS of a filter is 3", "§3.8.3.1", v5, "\x82\x07" + id7 + "\x00\x00\x01f\x03"},
	{"the QoS of a filter is 3", "[MQTT-3-8.3-4 of 3.1.1]", v311, "\x82\x06" + id7 + "\x00\x01f\x03"},
	{"the retain handling of a filter is 3", "§3.8.3.1", v5, "\x82\x07" + id7 + "\x00\x00\x01f\x30"},
	{"no-local is set on a shared subscription", "[MQTT-3.8.3-4]", v5, "\x82\x10" + id7 + "\x00\x00\x0a$share/g/f\x04"},
	{"the reserved bits of an option are set", "[MQTT-3.8.3-5]", v5, "\x82\x07" + id7 + "\x00\x00\x01f\x40"},
	{"the reserved bits of an option are set", "[MQTT-3-8.3-4 of 3.1.1]", v311, "\x82\x06" + id7 + "\x00\x01f\x04"},
}

// Every row of the list is as it says: Paho reads the packet, and Spate refuses it with those words.
func TestRefusals(t *testing.T) {
	for _, r := range refusals {
		theirs := mqtt5
		if r.v == v311 {
			theirs = mqtt3
		}
		if _, err := readSafely(theirs, []byte(r.in)); err != nil {
			t.Errorf("%s %s: Paho refuses % .40x too: %v", r.v, r.reason, r.in, err)
		}
		var refused *packet.Error
		if _, err := ours(r.v).read([]byte(r.in)); !errors.As(err, &refused) || !strings.Contains(refused.Reason, r.reason) {
			t.Errorf("%s %s: Spate says %v of % .40x", r.v, r.reason, err, r.in)
		}
		if r.clause == "" {
			t.Errorf("%s %s: no clause", r.v, r.reason)
		}
	}
}
