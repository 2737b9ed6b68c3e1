package mqtt

import (
	"encoding/binary"
	"time"

	"github.com/spate-io/spate/event"
)

// A retained message is stored under its topic as: version 1, ID, time in Unix milliseconds, number of headers, headers, data. Numbers are varints, texts have their length
// before them.
const retainedVersion = 1

func encodeRetained(e *event.Event) []byte {
	b := make([]byte, 0, e.Size())
	b = append(b, retainedVersion)
	b = append(b, e.ID[:]...)
	b = binary.AppendVarint(b, e.Time.UnixMilli())
	b = binary.AppendUvarint(b, uint64(len(e.Headers)))
	for _, h := range e.Headers {
		b = appendText(appendText(b, h.Name), h.Value)
	}
	return append(b, e.Data...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeRetained is the opposite. The event has a copy of nothing: what the store returns may be kept.
func decodeRetained(topic string, b []byte) (*event.Event, error) {
	r := reader{b: b}
	if r.byte() != retainedVersion || len(r.b) < len(event.ID{}) {
		return nil, errRetained
	}
	e := &event.Event{Subject: topic}
	r.b = r.b[copy(e.ID[:], r.b):]
	e.Time = time.UnixMilli(r.varint()).UTC()
	for n := r.uvarint(); n > 0 && r.ok(); n-- {
		e.Headers = append(e.Headers, event.Header{Name: r.text(), Value: r.text()})
	}
	if !r.ok() {
		return nil, errRetained
	}
	e.Data = r.b
	return e, nil
}

// A reader takes things off bytes. After the first that is not there, it has none.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) ok() bool { return !r.bad }

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}
