package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"strings"

	"github.com/spate-io/spate/event"
)

// A resume token says where to go on in each partition of a stream. It is the id of a server-sent event: a version, four bytes that
// tell names apart, the eight random bytes of the stream's ID, the number of partitions and the offset in each, as unsigned varints, in base64url
// without padding. With 8 partitions it takes about 50 characters. It is no secret and no proof: it is only where to read.
const tokenVersion = 2

// tokenHead is how many bytes come before the numbers.
const tokenHead = 1 + 4 + 8

// maxToken is the length of the longest token that can be right.
const maxToken = (tokenHead+binary.MaxVarintLen64*(1+1024))*4/3 + 4

func appendToken(to []byte, name string, id event.ID, offsets []uint64) []byte {
	raw := make([]byte, 0, tokenHead+4+4*len(offsets))
	raw = append(raw, tokenVersion)
	raw = binary.BigEndian.AppendUint32(raw, nameSum(name))
	raw = append(raw, id[8:]...)
	raw = binary.AppendUvarint(raw, uint64(len(offsets)))
	for _, n := range offsets {
		raw = binary.AppendUvarint(raw, n)
	}
	return base64.RawURLEncoding.AppendEncode(to, raw)
}

// parseToken reads a token of a stream with that many partitions.
func parseToken(text, name string, id event.ID, partitions int) ([]uint64, *problem) {
	broken := problemf(kindPlace, "the Last-Event-ID %.60q is no resume token of this server: leave it out to begin anew", text)
	if len(text) > maxToken || strings.ContainsAny(text, "\r\n") { // which base64 would pass over
		return nil, broken
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < tokenHead || raw[0] != tokenVersion {
		return nil, broken
	}
	if binary.BigEndian.Uint32(raw[1:]) != nameSum(name) {
		return nil, problemf(kindPlace, "the Last-Event-ID is of another stream than %.80q: leave it out to begin anew", name)
	}
	if !bytes.Equal(raw[5:tokenHead], id[8:]) {
		return nil, replaced(name)
	}
	count, raw, ok := uvarint(raw[tokenHead:])
	if !ok || count != uint64(partitions) { // which cannot be changed
		return nil, broken
	}
	offsets := make([]uint64, partitions)
	for i := range offsets {
		if offsets[i], raw, ok = uvarint(raw); !ok {
			return nil, broken
		}
	}
	if len(raw) > 0 {
		return nil, broken
	}
	return offsets, nil
}

// replaced says that a place is of a stream that is no longer there: its offsets would stand for other events today.
func replaced(name string) *problem {
	return problemf(kindGone, "the stream %.80q was removed, and created again, since the place to go on from was given out: leave the Last-Event-ID out to begin anew", name)
}

// uvarint reads a number that is written in its shortest form.
func uvarint(raw []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(raw)
	if size <= 0 || size > 1 && raw[size-1] == 0 {
		return 0, nil, false
	}
	return n, raw[size:], true
}

func nameSum(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()
}
