package xstream

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spate-io/spate/event"
)

// The headers of an event that an entry was made of. HeaderEntry says how the fields are written in the data, HeaderID which ID was
// given to which key; without it the ID follows from where the event is stored.
const (
	HeaderEntry = "redis-entry"
	HeaderID    = "redis-id"
)

// How fields are written.
const (
	entryData   = "data"   // the value of the one field, which is called data
	entryJSON   = "json"   // an object of strings
	entryBinary = "binary" // each name and each value behind its length, a varint
)

const contentType = "content-type"

// The headers of most entries, which all of them share.
var (
	dataHeaders   = []event.Header{{Name: HeaderEntry, Value: entryData}}
	jsonHeaders   = []event.Header{{Name: HeaderEntry, Value: entryJSON}, {Name: contentType, Value: "application/json"}}
	binaryHeaders = []event.Header{{Name: HeaderEntry, Value: entryBinary}, {Name: contentType, Value: "application/octet-stream"}}
)

// encode makes the data and the headers of an event of fields, which are names and values in turn.
func encode(fields [][]byte) ([]byte, []event.Header) {
	size := 2
	for _, f := range fields {
		size += len(f) + 4
	}
	switch {
	case len(fields) == 2 && string(fields[0]) == "data":
		return slices.Clone(fields[1]), dataHeaders
	case plain(fields):
		return appendJSON(make([]byte, 0, size), fields), jsonHeaders
	}
	data := make([]byte, 0, size)
	for _, f := range fields {
		data = append(binary.AppendUvarint(data, uint64(len(f))), f...)
	}
	return data, binaryHeaders
}

// plain tells whether a JSON object can hold the fields: they are text, and no name is there twice.
func plain(fields [][]byte) bool {
	const few = 16
	var names map[string]struct{}
	if len(fields) > 2*few {
		names = make(map[string]struct{}, len(fields)/2)
	}
	for i, f := range fields {
		if !utf8.Valid(f) {
			return false
		}
		if i%2 == 1 {
			continue
		}
		if names != nil {
			names[string(f)] = struct{}{}
			continue
		}
		for j := 0; j < i; j += 2 {
			if string(fields[j]) == string(f) {
				return false
			}
		}
	}
	return names == nil || len(names) == len(fields)/2
}

func appendJSON(dst []byte, fields [][]byte) []byte {
	dst = append(dst, '{')
	for i := 0; i < len(fields); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, fields[i])
		dst = append(dst, ':')
		dst = appendString(dst, fields[i+1])
	}
	return append(dst, '}')
}

// appendString copies what needs no escape in one piece: byte by byte, it was a seventeenth of the CPU of an XADD.
func appendString(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, b := range text {
		escaped := b == '"' || b == '\\'
		if !escaped && b >= ' ' && b != 0x7f {
			continue
		}
		dst = append(dst, text[from:i]...)
		if from = i + 1; escaped {
			dst = append(dst, '\\', b)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}

// Fields returns the fields of an event as an entry, names and values in turn. Some of them point into the event.
func Fields(e *event.Event) [][]byte {
	var fields [][]byte
	ok := false
	switch e.Header(HeaderEntry) {
	case entryData:
		fields, ok = [][]byte{[]byte("data"), e.Data}, true
	case entryJSON:
		fields, ok = parseJSON(e.Data)
	case entryBinary:
		fields, ok = parseBinary(e.Data)
	}
	if ok {
		return fields
	}
	return foreign(e)
}

// foreign are the fields of an event that came from elsewhere, or that only claims to be an entry.
func foreign(e *event.Event) [][]byte {
	fields := [][]byte{[]byte("data"), e.Data, []byte("id"), []byte(e.ID.String()), []byte("time"), e.Time.UTC().AppendFormat(nil, time.RFC3339Nano)}
	if e.Key != "" {
		fields = append(fields, []byte("key"), []byte(e.Key))
	}
	for _, h := range e.Headers {
		fields = append(fields, []byte("header:"+h.Name), []byte(h.Value))
	}
	return fields
}

func parseBinary(data []byte) (fields [][]byte, ok bool) {
	for len(data) > 0 {
		n, used := binary.Uvarint(data)
		if used <= 0 || n > uint64(len(data)-used) {
			return nil, false
		}
		data = data[used:]
		fields = append(fields, data[:n:n])
		data = data[n:]
	}
	return fields, len(fields) > 0 && len(fields)%2 == 0
}

// parseJSON reads back what appendJSON has written, and nothing else.
func parseJSON(data []byte) (fields [][]byte, ok bool) {
	rest, ok := strip(data, '{')
	for ok {
		var text []byte
		if text, rest, ok = parseString(rest); !ok {
			break
		}
		fields = append(fields, text)
		between := byte(',')
		if len(fields)%2 == 1 {
			between = ':'
		} else if len(rest) == 1 && rest[0] == '}' {
			return fields, true
		}
		rest, ok = strip(rest, between)
	}
	return nil, false
}

func strip(data []byte, b byte) ([]byte, bool) {
	if len(data) == 0 || data[0] != b {
		return nil, false
	}
	return data[1:], true
}

// parseString reads one string, which is a part of data if nothing in it is escaped.
func parseString(data []byte) (text, rest []byte, ok bool) {
	if data, ok = strip(data, '"'); !ok {
		return nil, nil, false
	}
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			return data[:i:i], data[i+1:], true
		case '\\':
			return parseEscaped(data, i)
		}
	}
	return nil, nil, false
}

// parseEscaped goes on where the first backslash is.
func parseEscaped(data []byte, i int) (text, rest []byte, ok bool) {
	text = append(text, data[:i]...)
	for ; i < len(data); i++ {
		switch b := data[i]; b {
		case '"':
			return text, data[i+1:], true
		case '\\':
			if i++; i == len(data) {
				return nil, nil, false
			}
			if data[i] != 'u' {
				text = append(text, data[i])
				continue
			}
			if i+4 >= len(data) {
				return nil, nil, false
			}
			text = append(text, unhex(data[i+3])<<4|unhex(data[i+4]))
			i += 4
		default:
			text = append(text, b)
		}
	}
	return nil, nil, false
}

func unhex(b byte) byte { return byte(max(strings.IndexByte("0123456789abcdef", b), 0)) }

// headersWithID adds the ID that was given to the headers of an event. The key is beside it: a handler that publishes what it gets
// elsewhere, headers and all, gives no ID there.
func headersWithID(headers []event.Header, id ID, key string) []event.Header {
	return append(slices.Clip(headers), event.Header{Name: HeaderID, Value: id.String() + " " + key})
}

// givenID returns the ID in the headers.
func givenID(e *event.Event) (ID, bool) {
	for i := len(e.Headers) - 1; i > 0; i-- {
		if e.Headers[i].Name == HeaderID {
			id, key, _ := strings.Cut(e.Headers[i].Value, " ")
			if key != e.Subject {
				return ID{}, false
			}
			return ParseID([]byte(id), 0)
		}
	}
	return ID{}, false
}
