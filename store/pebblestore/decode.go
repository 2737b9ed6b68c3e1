package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Why a block or a record cannot be read.
var (
	errChecksum = errors.New("its checksum does not match")
	errCut      = errors.New("it is cut short")
	errVersion  = errors.New("its version is not known")
)

// damage is what Pebble says of a file that is damaged, in one line: below it there is a note of its own about itself.
type damage struct{ error }

// Error implements error.
func (d damage) Error() string {
	text, _, _ := strings.Cut(d.error.Error(), "\n")
	return text
}

// Unwrap returns the error of Pebble.
func (d damage) Unwrap() error { return d.error }

// A blockReader walks over the records of a block.
type blockReader struct {
	seed        uint32
	count       int    // records left
	offset      uint64 // of the record that was read last
	end         uint64 // offset after it
	before      uint64 // bytes of the partition before the record that was read last
	length      int    // of that record
	firstAppend int64
	table       []byte
	bodies      []byte
	unchecked   bool // the bytes come from memory, where they were encoded by ourselves
}

// open checks the head of a block.
func (r *blockReader) open(id logID, first uint64, value []byte) error {
	*r = blockReader{seed: seedOf(id), end: first}
	if len(value) == 0 {
		return errCut
	}
	if value[0] != blockVersion {
		return fmt.Errorf("%w: %d", errVersion, value[0])
	}
	at := 1
	count, ok := uvarint(value, &at)
	before, ok2 := uvarint(value, &at)
	if !ok || !ok2 || len(value)-at < 8 || count > uint64(len(value)) {
		return errCut
	}
	r.firstAppend = int64(binary.BigEndian.Uint64(value[at:]))
	at += 8
	from, bodies := at, uint64(0)
	for range count {
		_, ok := uvarint(value, &at)
		n, ok2 := uvarint(value, &at)
		if !ok || !ok2 || n > uint64(len(value)) {
			return errCut
		}
		bodies += n
	}
	if len(value)-at < crcLen {
		return errCut
	}
	if binary.LittleEndian.Uint32(value[at:]) != sumRecord(r.seed, first, value[:at]) {
		return fmt.Errorf("the head of its block is damaged: %w", errChecksum)
	}
	r.count, r.before, r.table, r.bodies = int(count), before, value[from:at], value[at+crcLen:]
	if uint64(len(r.bodies)) != bodies {
		return errCut
	}
	return nil
}

// next goes to the next record and returns its bytes, or nil at the end. The head was checked, so the table is well formed.
func (r *blockReader) next() []byte {
	if r.count == 0 {
		return nil
	}
	at := 0
	gap, _ := uvarint(r.table, &at)
	n, _ := uvarint(r.table, &at)
	r.before += uint64(r.length)
	r.table, r.length, r.count = r.table[at:], int(n), r.count-1
	r.offset = r.end + gap
	r.end = r.offset + 1
	body := r.bodies[:n:n]
	r.bodies = r.bodies[n:]
	return body
}

// check verifies a record that next returned.
func (r *blockReader) check(body []byte) error {
	if len(body) < crcLen {
		return errCut
	}
	if !r.unchecked && binary.LittleEndian.Uint32(body) != sumRecord(r.seed, r.offset, body[crcLen:]) {
		return errChecksum
	}
	return nil
}

// decode fills in an event and returns when it was appended. What the event points to lies in body.
func (r *blockReader) decode(body []byte, e *event.Event, headers *[]event.Header) (time.Time, error) {
	if err := r.check(body); err != nil {
		return time.Time{}, err
	}
	body = body[crcLen:]
	at := 1
	if len(body) == 0 || body[0]&^knownFlags != 0 {
		return time.Time{}, errVersion
	}
	flags := body[0]
	since, ok := uvarint(body, &at)
	if !ok || len(body)-at < len(e.ID) {
		return time.Time{}, errCut
	}
	at += copy(e.ID[:], body[at:])
	if !decodeTime(body, &at, flags, &e.Time) {
		return time.Time{}, errCut
	}
	if e.Subject, ok = text(body, &at); !ok {
		return time.Time{}, errCut
	}
	if e.Key, ok = text(body, &at); !ok {
		return time.Time{}, errCut
	}
	if flags&flagHeaders != 0 {
		if e.Headers, ok = decodeHeaders(body, &at, headers); !ok {
			return time.Time{}, errCut
		}
	}
	if at < len(body) {
		e.Data = body[at:]
	}
	return nanoTime(r.firstAppend + int64(since)), nil
}

func decodeTime(body []byte, at *int, flags byte, t *time.Time) bool {
	if flags&flagNoTime != 0 {
		return true
	}
	if len(body)-*at < 8 {
		return false
	}
	n := int64(binary.BigEndian.Uint64(body[*at:]))
	*at += 8
	if flags&flagWideTime == 0 {
		*t = nanoTime(n)
		return true
	}
	if len(body)-*at < 4 {
		return false
	}
	*t = time.Unix(n, int64(binary.BigEndian.Uint32(body[*at:]))).UTC()
	*at += 4
	return true
}

// decodeHeaders appends to all, which the events of a block share, and returns its own part of it.
func decodeHeaders(body []byte, at *int, all *[]event.Header) ([]event.Header, bool) {
	n, ok := uvarint(body, at)
	if !ok || n > uint64(len(body)-*at)/2 {
		return nil, false
	}
	from := len(*all)
	for range n {
		var h event.Header
		if h.Name, ok = text(body, at); !ok {
			return nil, false
		}
		if h.Value, ok = text(body, at); !ok {
			return nil, false
		}
		*all = append(*all, h)
	}
	to := len(*all)
	return (*all)[from:to:to], true
}

// uvarint reads a number. Most fit into one byte.
func uvarint(p []byte, at *int) (uint64, bool) {
	i := *at
	if i < len(p) && p[i] < 0x80 {
		*at = i + 1
		return uint64(p[i]), true
	}
	if i > len(p) {
		return 0, false
	}
	v, n := binary.Uvarint(p[i:])
	if n <= 0 {
		return 0, false
	}
	*at = i + n
	return v, true
}

// text reads a string that lies in p: blocks are never written to again, so strings may point into them.
func text(p []byte, at *int) (string, bool) {
	n, ok := uvarint(p, at)
	if !ok || n > uint64(len(p)-*at) {
		return "", false
	}
	s := p[*at : *at+int(n)]
	*at += int(n)
	return unsafe.String(unsafe.SliceData(s), len(s)), true
}

// A reading collects records until one of its bounds is reached.
type reading struct {
	records []store.Record
	left    int // records
	bytes   int
	at      store.Position
	end     uint64 // records at or after it are not durable yet
	dense   bool   // no record was removed, so that a gap is damage
	corrupt func(*store.CorruptError)
	err     *store.CorruptError
}

// full reports whether nothing more may be added, also because of an error.
func (r *reading) full() bool { return r.left == 0 || r.err != nil || r.at.Offset >= r.end }

// block adds the records of a block, from the offset on that the reading has come to. It returns an error if the head of the block is
// damaged, so that nothing in it can be found.
func (r *reading) block(id logID, first uint64, value []byte, trusted bool) error {
	var b blockReader
	if err := b.open(id, first, value); err != nil {
		return err
	}
	b.unchecked = trusted
	events, headers := []event.Event(nil), []event.Header(nil)
	for !r.full() {
		body := b.next()
		if body == nil {
			break
		}
		if b.offset < r.at.Offset {
			continue
		}
		if b.offset >= r.end || len(body) > r.bytes && len(r.records) > 0 {
			r.left = 0
			break
		}
		if len(events) == 0 {
			events = make([]event.Event, min(b.count+1, r.left))
		}
		appended, err := b.decode(body, &events[0], &headers)
		r.at.Offset = b.end
		if err != nil {
			events[0] = event.Event{}
			r.bad(b.offset, 1, err)
			continue
		}
		r.records = append(r.records, store.Record{Offset: b.offset, Appended: appended, Event: &events[0]})
		events, r.left, r.bytes = events[1:], r.left-1, r.bytes-len(body)
	}
	return nil
}

// bad reports records that cannot be read; it ends the reading unless it was told to go on.
func (r *reading) bad(from, count uint64, err error) {
	at := store.Position{Partition: r.at.Partition, Offset: from}
	e := &store.CorruptError{Position: at, Records: count, Err: err}
	if r.corrupt != nil {
		r.corrupt(e)
		return
	}
	r.err = e
}
