package xstream

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// ID is what an entry is called: milliseconds since 1970, and a number within the millisecond. The zero value comes before all entries.
type ID struct{ Ms, Seq uint64 }

// MaxID is the last possible ID.
var MaxID = ID{math.MaxUint64, math.MaxUint64}

// Compare returns -1, 0 or +1 as id comes before other, is it, or comes after it.
func (id ID) Compare(other ID) int {
	if c := cmp.Compare(id.Ms, other.Ms); c != 0 {
		return c
	}
	return cmp.Compare(id.Seq, other.Seq)
}

// Less tells whether id comes before other.
func (id ID) Less(other ID) bool { return id.Compare(other) < 0 }

// IsZero reports whether id is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// Next returns the ID after id. It is false for the last one.
func (id ID) Next() (ID, bool) {
	switch {
	case id.Seq < math.MaxUint64:
		return ID{id.Ms, id.Seq + 1}, true
	case id.Ms < math.MaxUint64:
		return ID{id.Ms + 1, 0}, true
	}
	return id, false
}

// Prev returns the ID before id. It is false for the first one.
func (id ID) Prev() (ID, bool) {
	switch {
	case id.Seq > 0:
		return ID{id.Ms, id.Seq - 1}, true
	case id.Ms > 0:
		return ID{id.Ms - 1, math.MaxUint64}, true
	}
	return id, false
}

// Append appends the text, "1526919030474-55".
func (id ID) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, id.Ms, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id.Seq, 10)
}

// String returns the text.
func (id ID) String() string { return string(id.Append(nil)) }

// Partial is an ID as it is written in a request, of which a part may be left to the server.
type Partial struct {
	ID
	AutoSeq bool // "1526919030474-*"
	Auto    bool // "*"
}

// ParseID reads "1526919030474-55", or "1526919030474", for which the second number is missing.
func ParseID(text []byte, missing uint64) (ID, bool) {
	p, ok := parse(text, missing, false)
	return p.ID, ok
}

// ParsePartial reads what XADD takes for an ID.
func ParsePartial(text []byte) (Partial, bool) {
	if string(text) == "*" {
		return Partial{Auto: true}, true
	}
	return parse(text, 0, true)
}

// idLength is the longest text that is read as an ID, as in Redis.
const idLength = 127

func parse(text []byte, missing uint64, auto bool) (p Partial, ok bool) {
	if len(text) > idLength {
		return p, false
	}
	ms, seq, both := strings.Cut(string(text), "-")
	if p.Ms, ok = number(ms); !ok {
		return p, false
	}
	switch {
	case !both:
		p.Seq = missing
	case auto && seq == "*":
		p.AutoSeq = true
	default:
		p.Seq, ok = number(seq)
	}
	return p, ok
}

// number reads a number as C's strtoull does in the base 10, short of wrapping around: Redis takes "007" and "+7".
func number(text string) (uint64, bool) {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, 64)
	return n, err == nil
}
