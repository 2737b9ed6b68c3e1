package wire

import (
	"math"
	"strconv"
)

// Header appends the first line of an aggregate, or a length: its type and n.
//
// The types are * array, % map (n pairs), ~ set, > push, | attribute (n pairs).
func Header(dst []byte, kind byte, n int) []byte {
	if 0 <= n && n < 10 {
		return append(dst, kind, '0'+byte(n), '\r', '\n')
	}
	return line(strconv.AppendInt(append(dst, kind), int64(n), 10))
}

// Integer appends :n.
func Integer(dst []byte, n int64) []byte {
	if 0 <= n && n < 10 {
		return append(dst, ':', '0'+byte(n), '\r', '\n')
	}
	return line(strconv.AppendInt(append(dst, ':'), n, 10))
}

// Simple appends +text, in one line.
func Simple(dst []byte, text string) []byte { return line(oneLine(append(dst, '+'), text)) }

// Fault appends -text, in one line. Text begins with its code, such as ERR.
func Fault(dst []byte, text string) []byte { return line(oneLine(append(dst, '-'), text)) }

// Bulk appends $length and the bytes.
func Bulk[T []byte | string](dst []byte, value T) []byte {
	dst = Header(dst, '$', len(value))
	return line(append(dst, value...))
}

// Verbatim appends a text with a format of three letters, such as txt. RESP3.
func Verbatim(dst []byte, format, text string) []byte {
	dst = Header(dst, '=', len(text)+4)
	return line(append(append(append(dst, format...), ':'), text...))
}

// Null appends the null of RESP3.
func Null(dst []byte) []byte { return append(dst, "_\r\n"...) }

// NullBulk appends the null of RESP2.
func NullBulk(dst []byte) []byte { return append(dst, "$-1\r\n"...) }

// NullArray appends the null of RESP2 in place of an array.
func NullArray(dst []byte) []byte { return append(dst, "*-1\r\n"...) }

// Bool appends #t or #f. RESP3.
func Bool(dst []byte, value bool) []byte {
	if value {
		return append(dst, "#t\r\n"...)
	}
	return append(dst, "#f\r\n"...)
}

// Double appends ,value. RESP3.
func Double(dst []byte, value float64) []byte { return line(Float(append(dst, ','), value)) }

// Float appends the text of a number as Redis writes it: 17 digits at most, inf, -inf, nan.
func Float(dst []byte, value float64) []byte {
	switch {
	case math.IsInf(value, 1):
		return append(dst, "inf"...)
	case math.IsInf(value, -1):
		return append(dst, "-inf"...)
	case math.IsNaN(value):
		return append(dst, "nan"...)
	}
	return strconv.AppendFloat(dst, value, 'g', -1, 64)
}

func line(dst []byte) []byte { return append(dst, '\r', '\n') }

// oneLine appends text with spaces in place of what would end the line.
func oneLine(dst []byte, text string) []byte {
	from := len(dst)
	dst = append(dst, text...)
	for i := from; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return dst
}
