package wire

import (
	"bytes"
	"math"
	"strconv"
)

// Limits bound a request. They are checked before anything of the stated size is read or kept.
type Limits struct {
	// Args is the largest number of arguments. Redis 7 takes 2^31-1.
	Args int
	// Bulk is the largest argument in bytes.
	Bulk int
	// Total is the largest request in bytes. One that cannot end within it is refused as soon as that is known.
	Total int
	// Guest says that the peer has yet to authenticate: at most GuestArgs arguments of GuestBulk bytes.
	Guest bool
}

// What Redis allows before authentication, and the longest line of any kind.
const (
	GuestArgs = 10
	GuestBulk = 16384
	MaxInline = 64 << 10
)

// An Error is a request that breaks the protocol: the text of the reply, without the leading "-ERR ". The connection cannot
// be read any further.
type Error string

func (e Error) Error() string { return string(e) }

// What requests are refused for, word for word as Redis 7.0 says it.
const (
	errInlineTooBig = Error("Protocol error: too big inline request")
	errUnbalanced   = Error("Protocol error: unbalanced quotes in request")
	errCountTooBig  = Error("Protocol error: too big mbulk count string")
	errCount        = Error("Protocol error: invalid multibulk length")
	errGuestCount   = Error("Protocol error: unauthenticated multibulk length")
	errBulkTooBig   = Error("Protocol error: too big bulk count string")
	errBulk         = Error("Protocol error: invalid bulk length")
	errGuestBulk    = Error("Protocol error: unauthenticated bulk length")
)

// A Reader is a place in a stream of requests. The zero value stands at its beginning.
type Reader struct {
	at   int32 // bytes of the partial request that are understood; 0 before its header
	seen int32 // bytes that are known to hold no end of the line at at
	left int32 // arguments still to come
	need int32 // one more than the length of the argument at at; 0 before its header
}

// Partial reports whether the Reader stands in the middle of a request.
func (r *Reader) Partial() bool { return *r != Reader{} }

// Next appends the arguments of the request at the front of in to args, and returns them with the number of bytes that
// the request takes. No bytes and no error mean that the request is not complete: call Next again with the same bytes
// and more behind them. Bytes but no arguments mean an empty request, which is passed over without a reply.
//
// The arguments are good as long as in is. Unlike Redis, Next does not take a NUL byte for the end of the buffer.
func (r *Reader) Next(in []byte, args [][]byte, limits *Limits) ([][]byte, int, error) {
	if len(in) == 0 {
		return args, 0, nil
	}
	if in[0] != '*' {
		return r.inline(in, args, limits)
	}
	if r.seen == 0 {
		if got, n := split(in, args, limits); n > 0 {
			return got, n, nil
		}
	}
	n, err := r.scan(in, limits)
	if n == 0 || err != nil {
		return args, 0, err
	}
	*r = Reader{}
	got, _ := split(in[:n], args, limits)
	return got, n, nil
}

// split is the whole of parsing for a request that is well formed, within the limits and complete. It returns no
// bytes for any other, whatever is the matter with it; scan finds out.
func split(in []byte, args [][]byte, limits *Limits) ([][]byte, int) {
	most, longest := limits.Args, limits.Bulk
	if limits.Guest {
		most, longest = min(most, GuestArgs), min(longest, GuestBulk)
	}
	count, i := length(in, 1)
	if i == 0 || count > most {
		return args, 0
	}
	for ; count > 0; count-- {
		if i >= len(in) || in[i] != '$' {
			return args, 0
		}
		n, from := length(in, i+1)
		if from == 0 || n > longest || n+2 > len(in)-from {
			return args, 0
		}
		args = append(args, in[from:from+n:from+n])
		i = from + n + 2
	}
	if i > limits.Total {
		return args, 0
	}
	return args, i
}

// length reads the decimal number at i and returns where the line after it begins, or 0 if it is not a plain number
// with the end of its line behind it.
func length(in []byte, i int) (n, next int) {
	const digits = 10 // of 2^31-1, which nothing exceeds that split accepts
	var u uint64
	for j := i; j < len(in)-1; j++ {
		c := in[j] - '0'
		if c > 9 {
			if in[j] != '\r' || j == i || j-i > digits || in[i] == '0' && j-i > 1 || u > math.MaxInt32 {
				return 0, 0
			}
			return int(u), j + 2
		}
		u = u*10 + uint64(c)
	}
	return 0, 0
}

// scan goes on where it stopped and returns the length of the request once all of it is there.
func (r *Reader) scan(in []byte, limits *Limits) (int, error) {
	if r.at == 0 {
		if more, err := r.header(in, limits); more || err != nil {
			return 0, err
		}
	}
	for ; r.left > 0; r.left-- {
		if r.need == 0 {
			if more, err := r.argument(in, limits); more || err != nil {
				return 0, err
			}
		}
		end := int64(r.at) + int64(r.need) + 1 // need is one too many, the end of the line is two
		if end > int64(len(in)) {
			return 0, nil
		}
		r.at, r.seen, r.need = int32(end), int32(end), 0
	}
	return int(r.at), nil
}

// header reads the number of arguments. It reports whether more bytes are needed for that.
func (r *Reader) header(in []byte, limits *Limits) (more bool, err error) {
	line, err := r.line(in, errCountTooBig)
	if line == nil || err != nil {
		return true, err
	}
	n, ok := number(line[1:])
	switch {
	case !ok || n > math.MaxInt32 || n > int64(limits.Args):
		return false, errCount
	case n > GuestArgs && limits.Guest:
		return false, errGuestCount
	}
	r.left = int32(max(n, 0))
	return false, nil
}

// redisBulk is what Redis allows unless it is told otherwise. It refuses what is more in the same words.
const redisBulk = 512 << 20

// tooLarge is why an argument of n bytes is refused. Where Redis would take it, that is with the key of the configuration and the bytes that it allows, unless
// nobody knows who asks.
func (l *Limits) tooLarge(n int64) error {
	key, most := "limits.message", l.Total
	switch {
	case n > redisBulk || l.Guest:
		return errBulk
	case n > int64(l.Bulk) && l.Bulk < l.Total:
		key, most = "resp.limits.bulk", l.Bulk
	}
	return errBulk + Error(": the request is larger than "+key+" allows, which is "+strconv.Itoa(most)+" bytes")
}

// argument reads the length of an argument. It reports whether more bytes are needed for that.
func (r *Reader) argument(in []byte, limits *Limits) (more bool, err error) {
	line, err := r.line(in, errBulkTooBig)
	if line == nil || err != nil {
		return true, err
	}
	if line[0] != '$' {
		return false, notDollar(line[0])
	}
	n, ok := number(line[1:])
	switch {
	case !ok || n < 0:
		return false, errBulk
	case n > int64(limits.Bulk) || n > int64(limits.Total)-int64(r.at)-2:
		return false, limits.tooLarge(n)
	case n > GuestBulk && limits.Guest:
		return false, errGuestBulk
	}
	r.need = int32(n) + 1
	return false, nil
}

// line takes the line at the Reader's place, without its end but with one byte at least: the first of the end, if
// there is nothing before it. It returns nil if the line is not complete. Redis looks for the '\r', and takes any byte for the '\n' behind it.
func (r *Reader) line(in []byte, tooBig Error) ([]byte, error) {
	from := max(r.at, r.seen)
	end := bytes.IndexByte(in[from:], '\r')
	if end < 0 {
		r.seen = int32(len(in))
		if len(in)-int(r.at) > MaxInline {
			return nil, tooBig
		}
		return nil, nil
	}
	end += int(from)
	if end+1 == len(in) {
		r.seen = int32(end)
		return nil, nil
	}
	line := in[r.at:max(end, int(r.at)+1)]
	r.at = int32(end) + 2
	r.seen = r.at
	return line, nil
}

// number reads a decimal number as strictly as Redis: no leading zeros, no plus, no -0, within 64 bits.
func number(text []byte) (n int64, ok bool) {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	switch {
	case len(digits) == 0, len(digits) > 19:
		return 0, false
	case digits[0] == '0':
		return 0, len(text) == 1
	}
	var u uint64
	for _, b := range digits {
		c := b - '0'
		if c > 9 {
			return 0, false
		}
		u = u*10 + uint64(c) // at most 10^19-1, which fits
	}
	switch {
	case len(digits) == len(text):
		return int64(u), u <= math.MaxInt64
	case u <= 1<<63:
		return -int64(u), true
	}
	return 0, false
}

// notDollar says which byte stood in place of the dollar. Redis prints it with C's %c, which ends the text at NUL.
func notDollar(b byte) Error {
	if b == 0 {
		return "Protocol error: expected '$', got '"
	}
	return Error("Protocol error: expected '$', got '" + string([]byte{b}) + "'")
}
