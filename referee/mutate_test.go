package referee

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// mutate changes a packet at one to three places of its body, or its flags, and makes its length right again.
func (g generator) mutate(wire []byte) []byte {
	head := 1
	for wire[head] >= 0x80 {
		head++
	}
	first, body := wire[0], append([]byte{}, wire[head+1:]...)
	for range 1 + g.IntN(3) {
		at := 0
		if len(body) > 0 {
			at = g.IntN(min(len(body), 40)) // what is not payload comes first
		}
		switch g.IntN(6) {
		case 0:
			first ^= byte(1 << g.IntN(4))
		case 1:
			body = body[:at]
		case 2:
			body = append(body[:at:at], append([]byte{byte(g.Uint32())}, body[at:]...)...)
		case 3:
			if at < len(body) {
				body = append(body[:at:at], body[at+1:]...)
			}
		default:
			if at < len(body) {
				body[at] = pick(g, 0, 1, 2, 3, '+', '#', 0x7F, 0x80, 0xFF, body[at]+1, body[at]^0x20, byte(g.Uint32()))
			}
		}
	}
	wire = append([]byte{first}, length(len(body))...)
	return append(wire, body...)
}

// length is a variable byte integer.
func length(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// pahoRefuses is the one packet that Spate reads and Paho does not: a DISCONNECT whose reason code is left out, which
// stands for 0x00 (§3.14.2.1).
var pahoRefuses = []byte{0xE0, 0}

// Packets that were changed at random are read by both codecs as the same, or refused by both, or what Spate refuses
// and Paho does not is in the list. Paho refuses nothing that Spate accepts, but pahoRefuses.
func TestMutations(t *testing.T) {
	g := seeded(t)
	for typ := packet.Connect; typ <= packet.Auth; typ++ {
		for range 1000 {
			_, their := g.pair5(typ)
			compare(t, packet.V5, mqtt5, g.mutate(mqtt5.write(their)))
			if typ != packet.Auth {
				_, their := g.pair3(typ, packet.V311)
				compare(t, packet.V311, mqtt3, g.mutate(mqtt3.write(their)))
			}
		}
	}
}

func compare(t *testing.T, v packet.Version, theirs codec, wire []byte) {
	t.Helper()
	if f, _, err := packet.Split(wire, 0); err == nil && f.Type == packet.Connect {
		if version, _ := packet.ConnectVersion(f); version != v {
			return // each of the referees reads one form only, whatever the level is
		}
	}
	if v == packet.V5 && bytes.Equal(wire, pahoRefuses) {
		return
	}
	our, err := ours(v).read(wire)
	their, theirErr := readSafely(theirs, wire)
	switch {
	case err != nil && theirErr != nil:
	case err != nil:
		var refused *packet.Error
		if !errors.As(err, &refused) || !listed(v, refused.Reason) {
			t.Errorf("%s % x\nPaho reads %+v\nSpate refuses: %v", v, wire, their, err)
		}
	case theirErr != nil:
		t.Errorf("%s % x\nSpate reads %+v\nPaho refuses: %v", v, wire, our, theirErr)
	default:
		// The same packet, if what we write of it is read by Paho as what it has read itself.
		written := ours(v).write(our)
		again, err := readSafely(theirs, written)
		if v == packet.V5 && bytes.Equal(written, pahoRefuses) {
			return
		}
		if err != nil || !reflect.DeepEqual(again, their) {
			t.Errorf("%s % x\nPaho reads %+v\nSpate reads %+v, which Paho reads as %+v, %v", v, wire, their, our, again, err)
		}
	}
}

// readSafely takes a panic of a referee for a refusal.
func readSafely(c codec, wire []byte) (p any, err error) {
	defer func() {
		if e := recover(); e != nil {
			err = errors.New("it panics")
		}
	}()
	return c.read(wire)
}

// listed says whether the reason is one of the list.
func listed(v packet.Version, reason string) bool {
	for _, r := range refusals {
		if r.v == v && strings.Contains(reason, r.reason) {
			return true
		}
	}
	return false
}
