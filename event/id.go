package event

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// ID identifies an event: a UUID of version 7. Comparing the bytes, or the text, compares the
// times of creation. The zero ID identifies nothing.
type ID [16]byte

// textLength is the length of the text form, 8-4-4-4-12 hexadecimal digits.
const textLength = 36

// dashes are the places of the hyphens in the text form.
var dashes = [4]int{8, 13, 18, 23}

// IsZero reports whether id is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// Time returns when the ID was made, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// Compare returns -1, 0 or +1 as id was made before, is, or was made after other.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// String returns the text form in lower case.
func (id ID) String() string {
	var buf [textLength]byte
	b, _ := id.AppendText(buf[:0])
	return string(b)
}

// AppendText appends the text form; the error is always nil.
func (id ID) AppendText(dst []byte) ([]byte, error) {
	from := 0
	for _, to := range [4]int{4, 6, 8, 10} {
		dst = hex.AppendEncode(dst, id[from:to])
		dst = append(dst, '-')
		from = to
	}
	return hex.AppendEncode(dst, id[from:]), nil
}

// MarshalText returns the text form; the error is always nil.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText is [ParseID] into id.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// ParseID reads the text form, in either case. A UUID of another version is refused, because it would
// not sort by time.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != textLength {
		return ID{}, badID(text)
	}
	digits := make([]byte, 0, 2*len(id))
	from := 0
	for _, dash := range dashes {
		if text[dash] != '-' {
			return ID{}, badID(text)
		}
		digits = append(digits, text[from:dash]...)
		from = dash + 1
	}
	digits = append(digits, text[from:]...)
	if _, err := hex.Decode(id[:], digits); err != nil || id[6]>>4 != 7 || id[8]>>6 != 2 {
		return ID{}, badID(text)
	}
	return id, nil
}

func badID(text string) error {
	return fmt.Errorf("event ID %.40q is not a UUID of version 7 such as 01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d", text)
}

// counterBits is the width of the counter that orders IDs of one millisecond. A new millisecond
// starts it at random in its lower half, so at least 524 288 IDs fit before it carries into
// the time, which then runs ahead by a millisecond until the clock has caught up (RFC 9562, 6.2).
const counterBits = 20

// Generator makes IDs. The zero value works; a Generator must not be copied. It is safe for concurrent use and
// costs one compare-and-swap and two or three calls (about 60 ns, most of it reading the clock).
type Generator struct {
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
	// Rand returns 64 random bits. Default the generator of math/rand/v2, which is seeded by the
	// system and fast; IDs are not secrets.
	Rand func() uint64

	// state is the last time in milliseconds (44 bits, until the year 2527) and counter.
	state atomic.Uint64
}

// New returns an ID greater than all that this generator returned before.
func (g *Generator) New() ID {
	now := g.millis()
	for {
		last := g.state.Load()
		next := last + 1
		if now > last>>counterBits {
			next = now<<counterBits | g.random()>>(64-counterBits+1)
		}
		if g.state.CompareAndSwap(last, next) {
			return g.layOut(next)
		}
	}
}

// layOut spreads time and counter over the fields of RFC 9562 section 5.7 and fills the rest with random bits.
func (g *Generator) layOut(state uint64) ID {
	const version, variant = 7 << 12, 1 << 63
	millis, counter := state>>counterBits, state&(1<<counterBits-1)
	var id ID
	binary.BigEndian.PutUint64(id[:8], millis<<16|version|counter>>8)
	binary.BigEndian.PutUint64(id[8:], variant|(counter&0xff)<<54|g.random()>>10)
	return id
}

func (g *Generator) millis() uint64 {
	clock := g.Clock
	if clock == nil {
		clock = time.Now
	}
	return uint64(max(clock().UnixMilli(), 0)) & (1<<(64-counterBits) - 1)
}

func (g *Generator) random() uint64 {
	if g.Rand == nil {
		return rand.Uint64()
	}
	return g.Rand()
}
