package resp

import "github.com/spate-io/spate/protocol/resp/wire"

// An Error is the text of an error reply, which begins with its code: "ERR no such device", "NOPERM …".
type Error string

func (e Error) Error() string { return string(e) }

// Errors that several commands reply, word for word as Redis says them.
const (
	errSyntax     = Error("ERR syntax error")
	errNotInteger = Error("ERR value is not an integer or out of range")
	errNotFloat   = Error("ERR value is not a valid float")
	errNoAuth     = Error("NOAUTH Authentication required.")
	errWrongPass  = Error("WRONGPASS invalid username-password pair or user is disabled.")
	errKey        = Error("NOPERM this user has no permissions to access one of the keys used as arguments")
	errTimeout    = Error("ERR timeout is not an integer or out of range")
	errNegative   = Error("ERR timeout is negative")
	errStreamID   = Error("ERR Invalid stream ID specified as stream command argument")
	errNoStreams  = Error("ERR this server stores nothing: it has no streams")
	errChannel    = Error("NOPERM this user has no permissions to access one of the channels used as arguments")
)

// OK replies +OK.
func (r *Request) OK() {
	r.want--
	r.out = append(r.out, "+OK\r\n"...)
}

// Simple replies with a text of one line; line breaks become spaces.
func (r *Request) Simple(text string) {
	r.want--
	r.out = wire.Simple(r.out, text)
}

// Bulk replies with bytes.
func (r *Request) Bulk(value []byte) {
	r.want--
	r.out = wire.Bulk(r.out, value)
}

// BulkString is Bulk for a string.
func (r *Request) BulkString(value string) {
	r.want--
	r.out = wire.Bulk(r.out, value)
}

// Integer replies with an integer.
func (r *Request) Integer(n int64) {
	r.want--
	r.out = wire.Integer(r.out, n)
}

// Double replies with a number: as a bulk string to a client that speaks version 2.
func (r *Request) Double(value float64) {
	r.want--
	if r.resp3 {
		r.out = wire.Double(r.out, value)
		return
	}
	r.out = wire.Bulk(r.out, wire.Float(nil, value))
}

// Bool replies with a truth value: as 1 or 0 to a client that speaks version 2.
func (r *Request) Bool(value bool) {
	r.want--
	switch {
	case r.resp3:
		r.out = wire.Bool(r.out, value)
	case value:
		r.out = wire.Integer(r.out, 1)
	default:
		r.out = wire.Integer(r.out, 0)
	}
}

// Null replies that there is nothing.
func (r *Request) Null() {
	r.want--
	if r.resp3 {
		r.out = wire.Null(r.out)
	} else {
		r.out = wire.NullBulk(r.out)
	}
}

// NullArray replies that there is nothing, where there could have been an array.
func (r *Request) NullArray() {
	r.want--
	if r.resp3 {
		r.out = wire.Null(r.out)
	} else {
		r.out = wire.NullArray(r.out)
	}
}

// Plain replies with a text for people: as a bulk string to a client that speaks version 2.
func (r *Request) Plain(text string) {
	r.want--
	if r.resp3 {
		r.out = wire.Verbatim(r.out, "txt", text)
	} else {
		r.out = wire.Bulk(r.out, text)
	}
}

// Array begins an array: the next n replies are its elements.
func (r *Request) Array(n int) { r.aggregate('*', n, n) }

// Map begins a map: the next 2n replies are keys and values in turn, in an array for version 2.
func (r *Request) Map(n int) {
	if r.resp3 {
		r.aggregate('%', n, 2*n)
	} else {
		r.aggregate('*', 2*n, 2*n)
	}
}

// Set begins a set: the next n replies are its elements, in an array for version 2.
func (r *Request) Set(n int) {
	if r.resp3 {
		r.aggregate('~', n, n)
	} else {
		r.aggregate('*', n, n)
	}
}

func (r *Request) aggregate(kind byte, n, elements int) {
	r.want += elements - 1
	r.out = wire.Header(r.out, kind, n)
}

// fail replies with an error in place of whatever this request has been replied so far.
func (r *Request) fail(text string) {
	r.tally.errors++
	r.want = 0
	r.out = wire.Fault(r.out[:r.mark], text)
}
