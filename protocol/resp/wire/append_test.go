package wire

import (
	"math"
	"testing"
)

func TestAppend(t *testing.T) {
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"small header", Header(nil, '*', 3), "*3\r\n"},
		{"large header", Header(nil, '%', 1234), "%1234\r\n"},
		{"integer", Integer(nil, 7), ":7\r\n"},
		{"large integer", Integer(nil, math.MaxInt64), ":9223372036854775807\r\n"},
		{"negative integer", Integer(nil, -3), ":-3\r\n"},
		{"simple", Simple(nil, "OK"), "+OK\r\n"},
		{"simple of two lines", Simple(nil, "a\r\n+b"), "+a  +b\r\n"},
		{"fault", Fault(nil, "ERR no\nway"), "-ERR no way\r\n"},
		{"bulk", Bulk(nil, "a\r\nb"), "$4\r\na\r\nb\r\n"},
		{"bulk of bytes", Bulk(nil, []byte{}), "$0\r\n\r\n"},
		{"verbatim", Verbatim(nil, "txt", "abc"), "=7\r\ntxt:abc\r\n"},
		{"null", Null(nil), "_\r\n"},
		{"null bulk", NullBulk(nil), "$-1\r\n"},
		{"true", Bool(nil, true), "#t\r\n"},
		{"false", Bool(nil, false), "#f\r\n"},
		{"double", Double(nil, 1.5), ",1.5\r\n"},
		{"infinity", Double(nil, math.Inf(1)), ",inf\r\n"},
		{"minus infinity", Double(nil, math.Inf(-1)), ",-inf\r\n"},
		{"not a number", Double(nil, math.NaN()), ",nan\r\n"},
		{"behind what is there", Bulk([]byte("x"), "y"), "x$1\r\ny\r\n"},
	} {
		if string(tc.got) != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, tc.got, tc.want)
		}
	}
}
