package pebblestore

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/spate-io/spate/event"
)

// blockVersion is the first byte of a block.
const blockVersion = 1

// Flags of a record.
const (
	flagNoTime   = 1 << iota // the event has the zero time
	flagWideTime             // its time is beyond what 64 bits of nanoseconds hold
	flagHeaders              // it has headers
	knownFlags   = flagNoTime | flagWideTime | flagHeaders
)

// The range of times that are stored in 8 bytes.
const (
	minNanoSecond = -1 << 33
	maxNanoSecond = 1 << 33
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A block is a run of records of one partition, encoded, as it is stored.
type block struct {
	first, end uint64 // offsets of the first record and after the last
	records    int
	value      []byte
	of         *partition
	older      *block // in the tail, of all partitions
	newer      *block
}

// size is what the block takes in memory.
func (b *block) size() int { return cap(b.value) + blockOverhead }

// A blockBuilder encodes records into blocks.
type blockBuilder struct {
	id          logID
	seed        uint32 // checksum of id
	first, end  uint64
	count       int
	before      uint64 // bytes of the partition before the block
	firstAppend int64
	table       []byte
	bodies      []byte
}

// start begins a block at an offset.
func (b *blockBuilder) start(id logID, first, before uint64, now int64) {
	b.id, b.seed = id, seedOf(id)
	b.first, b.end, b.before, b.firstAppend = first, first, before, now
	b.count, b.table, b.bodies = 0, b.table[:0], b.bodies[:0]
}

func (b *blockBuilder) full() bool { return b.count >= blockRecords || len(b.bodies) >= blockBytes }

// add appends a record at an offset not before the end, and returns how many bytes it takes.
func (b *blockBuilder) add(offset uint64, now int64, e *event.Event) int {
	from := len(b.bodies)
	b.bodies = append(b.bodies, 0, 0, 0, 0)
	b.bodies = appendBody(b.bodies, uint64(now-b.firstAppend), e)
	body := b.bodies[from:]
	binary.LittleEndian.PutUint32(body, sumRecord(b.seed, offset, body[crcLen:]))
	b.addRaw(offset, len(body))
	return len(body)
}

// addRaw enters a record of n bytes, whose body was appended already, into the table.
func (b *blockBuilder) addRaw(offset uint64, n int) {
	b.table = binary.AppendUvarint(b.table, offset-b.end)
	b.table = binary.AppendUvarint(b.table, uint64(n))
	b.end = offset + 1
	b.count++
}

// finish returns the block, which shares no memory with the builder.
func (b *blockBuilder) finish() *block {
	const fixed = 1 + 2*binary.MaxVarintLen64 + 8 + crcLen
	value := make([]byte, 0, fixed+len(b.table)+len(b.bodies))
	value = append(value, blockVersion)
	value = binary.AppendUvarint(value, uint64(b.count))
	value = binary.AppendUvarint(value, b.before)
	value = binary.BigEndian.AppendUint64(value, uint64(b.firstAppend))
	value = append(value, b.table...)
	value = binary.LittleEndian.AppendUint32(value, sumRecord(b.seed, b.first, value))
	value = append(value, b.bodies...)
	return &block{first: b.first, end: b.end, records: b.count, value: value}
}

const crcLen = 4

// seedOf is the checksum of a partition's identity, so that a record that got into another one is noticed.
func seedOf(id logID) uint32 {
	var b [6]byte
	binary.BigEndian.PutUint32(b[:], id.stream)
	binary.BigEndian.PutUint16(b[4:], id.partition)
	return crc32.Checksum(b[:], castagnoli)
}

// sumRecord is the checksum of a record, or of the head of a block, at an offset.
func sumRecord(seed uint32, offset uint64, p []byte) uint32 {
	return crc32.Update(seed^uint32(offset)^uint32(offset>>32), castagnoli, p)
}

// appendBody encodes an event.
func appendBody(dst []byte, sinceFirst uint64, e *event.Event) []byte {
	flags, seconds := byte(0), e.Time.Unix()
	switch {
	case e.Time.IsZero():
		flags = flagNoTime
	case seconds < minNanoSecond || seconds > maxNanoSecond:
		flags = flagWideTime
	}
	if len(e.Headers) > 0 {
		flags |= flagHeaders
	}
	dst = binary.AppendUvarint(append(dst, flags), sinceFirst)
	dst = append(dst, e.ID[:]...)
	switch {
	case flags&flagWideTime != 0:
		dst = binary.BigEndian.AppendUint64(dst, uint64(seconds))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.Time.Nanosecond()))
	case flags&flagNoTime == 0:
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.Time.UnixNano()))
	}
	dst = appendString(dst, e.Subject)
	dst = appendString(dst, e.Key)
	if flags&flagHeaders != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(e.Headers)))
		for i := range e.Headers {
			dst = appendString(dst, e.Headers[i].Name)
			dst = appendString(dst, e.Headers[i].Value)
		}
	}
	return append(dst, e.Data...)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// nanoTime is the time of the clock as it is stored.
func nanoTime(n int64) time.Time { return time.Unix(0, n).UTC() }
