package pebblestore

import (
	"encoding/binary"

	"github.com/spate-io/spate/store"
)

// The first byte of a key says what it is. See doc.go.
const (
	kindCursor    = 'c'
	kindLost      = 'l' // in backups only
	kindNumber    = 'n'
	kindPartition = 'p'
	kindRevision  = 'q'
	kindRecords   = 'r'
	kindState     = 's'
	kindStream    = 't'
	kindVersion   = 'v'
)

// logID names a partition inside the store: the number of its stream, which is never used twice, and its own.
type logID struct {
	stream    uint32
	partition uint16
}

const blockKeyLen = 1 + 4 + 2 + 8

func appendBlockKey(dst []byte, id logID, first uint64) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, kindRecords), id.stream)
	dst = binary.BigEndian.AppendUint16(dst, id.partition)
	return binary.BigEndian.AppendUint64(dst, first)
}

func blockKey(id logID, first uint64) []byte {
	return appendBlockKey(make([]byte, 0, blockKeyLen), id, first)
}

// blockFirst returns the first offset in the key of a block.
func blockFirst(key []byte) uint64 {
	if len(key) != blockKeyLen {
		return 0
	}
	return binary.BigEndian.Uint64(key[blockKeyLen-8:])
}

func partitionKey(id logID) []byte {
	key := binary.BigEndian.AppendUint32([]byte{kindPartition}, id.stream)
	return binary.BigEndian.AppendUint16(key, id.partition)
}

func streamKey(name string) []byte { return append([]byte{kindStream}, name...) }

func stateKey(key string) []byte { return append([]byte{kindState}, key...) }

// streamRange bounds all keys of one kind that belong to a stream.
func streamRange(kind byte, stream uint32) (from, to []byte) {
	from = binary.BigEndian.AppendUint32([]byte{kind}, stream)
	return from, successor(from)
}

// successor returns the least key greater than all that begin with prefix. A prefix of our keys is never all 0xff.
func successor(prefix []byte) []byte {
	next := append([]byte(nil), prefix...)
	for i := len(next) - 1; i >= 0; i-- {
		next[i]++
		if next[i] != 0 {
			return next[:i+1]
		}
	}
	return nil
}

// cursorPrefix begins the keys of all cursors of a consumer.
func cursorPrefix(consumer string) []byte {
	key := binary.BigEndian.AppendUint16([]byte{kindCursor}, uint16(len(consumer)))
	return append(key, consumer...)
}

func cursorKey(id store.Cursor) []byte {
	key := append(cursorPrefix(id.Consumer), id.Stream...)
	return binary.BigEndian.AppendUint16(key, uint16(id.Number))
}

// parseCursorKey takes a key of a cursor apart.
func parseCursorKey(key []byte) (id store.Cursor, ok bool) {
	if len(key) < 5 {
		return id, false
	}
	n := int(binary.BigEndian.Uint16(key[1:]))
	rest := key[3:]
	if len(rest) < n+2 {
		return id, false
	}
	id.Consumer = string(rest[:n])
	id.Stream = string(rest[n : len(rest)-2])
	id.Number = int(binary.BigEndian.Uint16(rest[len(rest)-2:]))
	return id, true
}
