package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var member = &Limits{Args: 1 << 20, Bulk: 1 << 20, Total: 1 << 21}

// result is what a stream of bytes is understood as.
type result struct {
	requests []string // each with its arguments quoted
	err      string
	used     int
}

func (r result) equal(o result) bool {
	return slices.Equal(r.requests, o.requests) && r.err == o.err && r.used == o.used
}

// read feeds the stream in pieces that end at the given offsets, as the engine would: what is left is offered again
// with more behind it.
func read(stream []byte, limits *Limits, cuts ...int) (got result) {
	var r Reader
	var args [][]byte
	for _, end := range append(cuts, len(stream)) {
		for got.used < end {
			var n int
			var err error
			args, n, err = r.Next(stream[got.used:end:end], args[:0], limits)
			if err != nil {
				got.err = err.Error()
				return got
			}
			if n == 0 {
				break
			}
			got.used += n
			if len(args) > 0 {
				got.requests = append(got.requests, fmt.Sprintf("%q", args))
			}
		}
	}
	return got
}

// streams are understood, refused or waited for as Redis 7.0.15 does; TestDifferential of package resp asks Redis.
var streams = []struct {
	name, in string
	guest    bool
	want     []string
	err      string
	left     int // bytes of a partial request
}{
	{name: "nothing"},
	{name: "multibulk", in: "*2\r\n$4\r\nECHO\r\n$3\r\na b\r\n", want: []string{`["ECHO" "a b"]`}},
	{name: "two", in: "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n", want: []string{`["PING"]`, `["QUIT"]`}},
	{name: "binary", in: "*1\r\n$4\r\n\r\n\x00\xff\r\n", want: []string{`["\r\n\x00\xff"]`}},
	{name: "empty argument", in: "*2\r\n$1\r\na\r\n$0\r\n\r\n", want: []string{`["a" ""]`}},
	{name: "long numbers", in: "*12\r\n" + strings.Repeat("$10\r\n0123456789\r\n", 12), want: []string{"[" + strings.TrimSpace(strings.Repeat(`"0123456789" `, 12)) + "]"}},
	{name: "none and fewer", in: "*0\r\n*-1\r\n*-9223372036854775808\r\nPING\r\n", want: []string{`["PING"]`}},
	{name: "any byte for the line feed", in: "*1\rx$4\ryPINGzz", want: []string{`["PING"]`}},
	{name: "partial header", in: "*1", left: 2},
	{name: "partial end of header", in: "*1\r", left: 3},
	{name: "partial length", in: "*1\r\n$4\r", left: 7},
	{name: "partial argument", in: "*1\r\n$4\r\nPI", left: 10},
	{name: "partial end of argument", in: "*1\r\n$4\r\nPING\r", left: 13},
	{name: "partial second", in: "PING\r\n*1\r\n", want: []string{`["PING"]`}, left: 4},

	{name: "count is text", in: "*x\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count is missing", in: "*\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count is too large", in: "*1048577\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count overflows int32", in: "*2147483648\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count overflows int64", in: "*9223372036854775808\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count with a zero in front", in: "*01\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count with a plus", in: "*+1\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count is minus zero", in: "*-0\r\n", err: "Protocol error: invalid multibulk length"},
	{name: "count without end", in: "*" + strings.Repeat("1", MaxInline), err: "Protocol error: too big mbulk count string"},
	{name: "count just short of that", in: "*" + strings.Repeat("1", MaxInline-1), left: MaxInline},
	{name: "not a dollar", in: "*1\r\n:4\r\n", err: "Protocol error: expected '$', got ':'"},
	{name: "an end in place of the dollar", in: "*1\r\n\r\n", err: "Protocol error: expected '$', got '\r'"},
	{name: "NUL in place of the dollar", in: "*1\r\n\x00\r\n", err: "Protocol error: expected '$', got '"},
	{name: "length is negative", in: "*1\r\n$-1\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length is text", in: "*1\r\n$4x\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length is missing", in: "*1\r\n$\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length with a zero in front", in: "*1\r\n$04\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length is too large", in: "*1\r\n$1048577\r\n", err: "Protocol error: invalid bulk length: the request is larger than resp.limits.bulk allows, which is 1048576 bytes"},
	{name: "length is too large for Redis too", in: "*1\r\n$536870913\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length overflows", in: "*1\r\n$18446744073709551616\r\n", err: "Protocol error: invalid bulk length"},
	{name: "length without end", in: "*1\r\n$" + strings.Repeat("1", MaxInline), err: "Protocol error: too big bulk count string"},
	{name: "an error after a request", in: "*1\r\n$4\r\nPING\r\n*x\r\n", want: []string{`["PING"]`}, err: "Protocol error: invalid multibulk length"},

	{name: "guest", in: "*10\r\n" + strings.Repeat("$0\r\n\r\n", 10), guest: true, want: []string{"[" + strings.TrimSpace(strings.Repeat(`"" `, 10)) + "]"}},
	{name: "guest with many arguments", in: "*11\r\n", guest: true, err: "Protocol error: unauthenticated multibulk length"},
	{name: "guest with a long argument", in: "*1\r\n$16385\r\n", guest: true, err: "Protocol error: unauthenticated bulk length"},
	{name: "guest with a longer one", in: "*1\r\n$1048577\r\n", guest: true, err: "Protocol error: invalid bulk length"},

	{name: "inline", in: "ECHO  a\t b \r\nPING\n", want: []string{`["ECHO" "a" "b"]`, `["PING"]`}},
	{name: "inline, empty", in: "\r\n\n \t\r\nPING\r\n", want: []string{`["PING"]`}},
	{name: "inline, partial", in: "PING", left: 4},
	{name: "inline, carriage return inside", in: "a\rb\r\r\n", want: []string{`["a" "b"]`}},
	{name: "inline, quotes", in: `a "b c" 'd e' "" x"y"` + "\n", want: []string{`["a" "b c" "d e" "" "xy"]`}},
	{name: "inline, escapes", in: `"\n\r\t\b\a\\\"\q\x41\x4g\x" '\n\'\x'` + "\n", want: []string{`["\n\r\t\b\a\\\"qAx4gx" "\\n'\\x"]`}},
	{name: "inline, quote within a word", in: `it's 'x'` + "\n", err: "Protocol error: unbalanced quotes in request"},
	{name: "inline, unclosed", in: `a "b` + "\n", err: "Protocol error: unbalanced quotes in request"},
	{name: "inline, unclosed single", in: `a 'b` + "\n", err: "Protocol error: unbalanced quotes in request"},
	{name: "inline, backslash at the end", in: `"a\` + "\n", err: "Protocol error: unbalanced quotes in request"},
	{name: "inline, text behind a quote", in: `"a"b` + "\n", err: "Protocol error: unbalanced quotes in request"},
	{name: "inline, other blanks", in: "\v a\vb \"c\"\v\f\n", want: []string{`["a\vb" "c"]`}},
	{name: "inline, too long", in: strings.Repeat("x", MaxInline+1), err: "Protocol error: too big inline request"},
	{name: "inline, just not too long", in: strings.Repeat("x", MaxInline), left: MaxInline},
}

func TestReader(t *testing.T) {
	for _, tc := range streams {
		t.Run(tc.name, func(t *testing.T) {
			limits := *member
			limits.Guest = tc.guest
			got := read([]byte(tc.in), &limits)
			if !slices.Equal(got.requests, tc.want) {
				t.Errorf("requests %q, want %q", got.requests, tc.want)
			}
			if got.err != tc.err {
				t.Errorf("error %q, want %q", got.err, tc.err)
			}
			if tc.err == "" && got.used != len(tc.in)-tc.left {
				t.Errorf("%d bytes used, want %d", got.used, len(tc.in)-tc.left)
			}
		})
	}
}

// TestReaderSplit reads every stream cut in two at every offset, and byte by byte.
func TestReaderSplit(t *testing.T) {
	for _, tc := range streams {
		if len(tc.in) > 1000 {
			continue // FuzzReader
		}
		limits := *member
		limits.Guest = tc.guest
		whole := read([]byte(tc.in), &limits)
		all := make([]int, len(tc.in))
		for i := range all {
			all[i] = i
			if got := read([]byte(tc.in), &limits, i); !got.equal(whole) {
				t.Errorf("%s: cut at %d: %+v, want %+v", tc.name, i, got, whole)
			}
		}
		if got := read([]byte(tc.in), &limits, all...); !got.equal(whole) {
			t.Errorf("%s: byte by byte: %+v, want %+v", tc.name, got, whole)
		}
	}
}

func TestReaderArgs(t *testing.T) {
	limits := &Limits{Args: 2, Bulk: 3, Total: 22}
	for in, want := range map[string]string{
		"*3\r\n":          "Protocol error: invalid multibulk length",
		"a b c\n":         "Protocol error: invalid multibulk length",
		"*1\r\n$4\r\n":    "Protocol error: invalid bulk length: the request is larger than resp.limits.bulk allows, which is 3 bytes",
		"*1\r\n$3\r\nabc": "",

		"*2\r\n$3\r\nabc\r\n$3\r\nabc\r\n":  "",
		"*02\r\n$3\r\nabc\r\n$3\r\nabc\r\n": "Protocol error: invalid multibulk length",
		"*2\r\n$3\r\nabc\r\n$3\r\nabcd":     "",
	} {
		if got := read([]byte(in), limits); got.err != want {
			t.Errorf("%q: %q, want %q", in, got.err, want)
		}
	}
}

// TestReaderIsLinear counts how often the bytes of a request are looked at when it arrives in small pieces: a Reader that
// began again each time would take minutes.
func TestReaderIsLinear(t *testing.T) {
	const args = 150_000
	stream := append([]byte(fmt.Sprintf("*%d\r\n", args)), bytes.Repeat([]byte("$1\r\na\r\n"), args)...)
	var r Reader
	for end := 1; end < len(stream); end++ {
		if _, n, err := r.Next(stream[:end], nil, member); n != 0 || err != nil {
			t.Fatalf("%d bytes used, error %v, of %d", n, err, end)
		}
		if !r.Partial() {
			t.Fatalf("no place kept after %d bytes", end)
		}
	}
	got, n, err := r.Next(stream, nil, member)
	if n != len(stream) || err != nil || len(got) != args {
		t.Fatalf("%d bytes used, error %v, %d arguments", n, err, len(got))
	}
	if r.Partial() {
		t.Error("the place was not forgotten")
	}
}

// TestWordsAllocateLittle is a line of 20 000 quoted words: room for each must not be a guess by the length of the line.
func TestWordsAllocateLittle(t *testing.T) {
	line := bytes.Repeat([]byte(`"" `), 20_000)
	per := testing.AllocsPerRun(3, func() {
		if _, ok := words(line, nil); !ok {
			t.Fatal("refused")
		}
	})
	if per > 100 {
		t.Errorf("%v allocations for empty words", per)
	}
}

func FuzzReader(f *testing.F) {
	for _, tc := range streams {
		if len(tc.in) < 1000 {
			f.Add([]byte(tc.in), tc.guest, uint16(len(tc.in)/2), uint16(3))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, guest bool, cut, step uint16) {
		limits := &Limits{Args: 1000, Bulk: 1000, Total: 2000, Guest: guest}
		whole := read(in, limits)
		if got := read(in, limits, min(int(cut), len(in))); !got.equal(whole) {
			t.Fatalf("cut at %d: %+v, want %+v", cut, got, whole)
		}
		var cuts []int
		for i := 0; i < len(in); i += int(step) + 1 {
			cuts = append(cuts, i)
		}
		if got := read(in, limits, cuts...); !got.equal(whole) {
			t.Fatalf("in pieces of %d: %+v, want %+v", step+1, got, whole)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, bc := range []struct{ name, in string }{
		{"ping-inline", "PING\r\n"},
		{"ping", "*1\r\n$4\r\nPING\r\n"},
		{"publish", "*3\r\n$7\r\nPUBLISH\r\n$7\r\nchannel\r\n$16\r\n0123456789abcdef\r\n"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			in := bytes.Repeat([]byte(bc.in), 64)
			var r Reader
			var args [][]byte
			b.ReportAllocs()
			for at := 0; b.Loop(); {
				var n int
				var err error
				args, n, err = r.Next(in[at:], args[:0], member)
				if err != nil || n == 0 {
					b.Fatal(n, err)
				}
				if at += n; at == len(in) {
					at = 0
				}
			}
		})
	}
}

// TestReaderTotal refuses a request as soon as it is known to be too long, wherever it is cut.
func TestReaderTotal(t *testing.T) {
	stream := []byte("*3\r\n$5\r\nhello\r\n$5\r\nworld\r\n$5\r\nagain\r\n")
	for total := range len(stream) + 2 {
		limits := &Limits{Args: 10, Bulk: 10, Total: total}
		want := result{requests: []string{`["hello" "world" "again"]`}, used: len(stream)}
		if total < len(stream) {
			want = result{err: fmt.Sprintf("Protocol error: invalid bulk length: the request is larger than limits.message allows, which is %d bytes", total)}
		}
		for cut := range stream {
			if got := read(stream, limits, cut); !got.equal(want) {
				t.Fatalf("total %d, cut at %d: %+v, want %+v", total, cut, got, want)
			}
		}
	}
}
