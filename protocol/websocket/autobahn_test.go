package websocket_test

import (
	"fmt"
	"strings"
	"testing"
)

// A testCase is a case of the Autobahn test suite, as its description has it. What is sent is followed by a Close frame with code 1000, which
// must be answered with the same, unless the connection has to fail.
type testCase struct {
	name string
	send [][]byte
	chop int // bytes for each write; 0 is a frame
	want []message
	fail uint16 // the code with which the server must fail the connection, before anything else is sent
	with uint16 // the code with which the server must close because the client has done so with what is sent
}

// run plays one case.
func (tc testCase) run(t *testing.T, s *server) {
	c := s.dial("/echo")
	for _, b := range tc.send {
		for len(b) > 0 {
			n := len(b)
			if tc.chop > 0 {
				n = min(n, tc.chop)
			}
			if _, err := c.Write(b[:n]); err != nil {
				break // the server has had enough
			}
			b = b[n:]
		}
	}
	if tc.fail == 0 && tc.with == 0 {
		c.send(closing(1000, ""))
		tc.with = 1000
	}
	c.want(tc.want...)
	if tc.with == noCode {
		tc.with = 0
	}
	c.wantClose(max(tc.fail, tc.with))
}

// noCode stands for a Close frame without a payload.
const noCode = 1005

// Every case of the Autobahn test suite, categories 1 to 7 and 10, numbered as there.
func TestAutobahn(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, setup{driver: driver})
		seen := map[string]bool{}
		for _, group := range [][]testCase{framing(), pings(), reserved(), opcodes(), fragmentation(), utf8Handling(), utf8Sequences(), closeHandling(), closeCodes()} {
			for _, tc := range group {
				if seen[tc.name] {
					t.Fatalf("the case %s is there twice", tc.name)
				}
				seen[tc.name] = true
				t.Run(tc.name, func(t *testing.T) {
					s := *s
					s.t = t
					tc.run(t, &s)
				})
			}
		}
		if len(seen) != 247 {
			t.Errorf("there are %d cases", len(seen))
		}
	})
}

func echoed(op byte, data string) []message { return []message{{op: op, data: data}} }

// framing is 1.1 and 1.2: messages of sizes around the limits of the lengths; and 10.1.1.
func framing() (all []testCase) {
	sizes := []int{0, 125, 126, 127, 128, 65535, 65536, 65536}
	for kind, unit := range []string{"*", "\xfe"} {
		for i, n := range sizes {
			data, op := strings.Repeat(unit, n), byte(opText+kind)
			tc := testCase{name: fmt.Sprintf("1.%d.%d", kind+1, i+1), send: [][]byte{frame(fin|op, data)}, want: echoed(op, data)}
			if i == 7 {
				tc.chop = 997
			}
			all = append(all, tc)
		}
	}
	data := strings.Repeat("*", 65536)
	return append(all, testCase{name: "10.1.1", send: fragments(opText, data, 1300), want: echoed(opText, data)})
}

// fragments are the frames of a message in pieces of n bytes.
func fragments(op byte, data string, n int) (all [][]byte) {
	for len(data) > n {
		all = append(all, frame(op, data[:n]))
		op, data = opContinuation, data[n:]
	}
	return append(all, frame(fin|op, data))
}

func join(parts ...[][]byte) (all [][]byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func one(b ...[]byte) [][]byte { return b }

// pings is category 2.
func pings() []testCase {
	ping := func(data string) []byte { return frame(fin|opPing, data) }
	pong := func(data string) []message { return echoed(opPong, data) }
	const odd = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	var ten [][]byte
	var tenPongs []message
	for i := range 10 {
		ten = append(ten, ping(fmt.Sprintf("payload-%d", i)))
		tenPongs = append(tenPongs, pong(fmt.Sprintf("payload-%d", i))...)
	}
	return []testCase{
		{name: "2.1", send: one(ping("")), want: pong("")},
		{name: "2.2", send: one(ping("Hello, world!")), want: pong("Hello, world!")},
		{name: "2.3", send: one(ping(odd)), want: pong(odd)},
		{name: "2.4", send: one(ping(strings.Repeat("\xfe", 125))), want: pong(strings.Repeat("\xfe", 125))},
		{name: "2.5", send: one(ping(strings.Repeat("\xfe", 126))), fail: 1002},
		{name: "2.6", send: one(ping(strings.Repeat("\xfe", 125))), chop: 1, want: pong(strings.Repeat("\xfe", 125))},
		{name: "2.7", send: one(frame(fin|opPong, ""))},
		{name: "2.8", send: one(frame(fin|opPong, "unsolicited pong payload"))},
		{name: "2.9", send: one(frame(fin|opPong, "unsolicited pong payload"), ping("ping payload")), want: pong("ping payload")},
		{name: "2.10", send: ten, want: tenPongs},
		{name: "2.11", send: ten, chop: 1, want: tenPongs},
	}
}

// reserved is category 3: bits that no extension has given a meaning.
func reserved() []testCase {
	rsv := func(bits, op byte, data string) []byte { return frame(fin|bits<<4|op, data) }
	ping, hello := frame(fin|opPing, ""), echoed(opText, "Hello, world!")
	return []testCase{
		{name: "3.1", send: one(rsv(1, opText, "Hello, world!")), fail: 1002},
		{name: "3.2", send: one(text("Hello, world!"), rsv(2, opText, "Hello, world!"), ping), want: hello, fail: 1002},
		{name: "3.3", send: one(text("Hello, world!"), rsv(3, opText, "Hello, world!"), ping), want: hello, fail: 1002},
		{name: "3.4", send: one(text("Hello, world!"), rsv(4, opText, "Hello, world!"), ping), chop: 1, want: hello, fail: 1002},
		{name: "3.5", send: one(rsv(5, opBinary, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")), fail: 1002},
		{name: "3.6", send: one(rsv(6, opPing, "Hello, world!")), fail: 1002},
		{name: "3.7", send: one(rsv(7, opClose, "")), fail: 1002},
	}
}

// opcodes is category 4: opcodes that nobody has given a meaning.
func opcodes() (all []testCase) {
	ping, hello := frame(fin|opPing, ""), echoed(opText, "Hello, world!")
	for i, first := range []byte{3, 11} {
		for n := range byte(5) {
			tc := testCase{name: fmt.Sprintf("4.%d.%d", i+1, n+1), fail: 1002}
			payload := ""
			if n == 1 || n >= 3 {
				payload = "reserved opcode payload"
			}
			tc.send = one(frame(fin|first+n, payload))
			if n >= 2 {
				tc.send, tc.want = one(text("Hello, world!"), tc.send[0], ping), hello
			}
			if n == 4 {
				tc.chop = 1
			}
			all = append(all, tc)
		}
	}
	return all
}

// fragmentation is category 5.
func fragmentation() []testCase {
	const a, b = "fragment1", "fragment2"
	two := one(frame(opText, a), frame(fin|opContinuation, b))
	pinged := one(frame(opText, a), frame(fin|opPing, "ping payload"), frame(fin|opContinuation, b))
	whole, pongThenWhole := echoed(opText, a+b), []message{{op: opPong, data: "ping payload"}, {op: opText, data: a + b}}
	lone := one(frame(fin|opContinuation, "non-continuation payload"), text("Hello, world!"))
	loneOpen := one(frame(opContinuation, "non-continuation payload"), text("Hello, world!"))
	twice := func(first byte) [][]byte {
		round := one(frame(first, "fragment1"), frame(opText, "fragment2"), frame(fin|opContinuation, "fragment3"))
		return join(round, round)
	}
	five := one(frame(opText, "fragment1"), frame(opContinuation, "fragment2"), frame(fin|opPing, "pongme 1!"), frame(opContinuation, "fragment3"),
		frame(opContinuation, "fragment4"), frame(fin|opPing, "pongme 2!"), frame(fin|opContinuation, "fragment5"))
	fiveWant := []message{{op: opPong, data: "pongme 1!"}, {op: opPong, data: "pongme 2!"}, {op: opText, data: "fragment1fragment2fragment3fragment4fragment5"}}
	joined := func(frames [][]byte) [][]byte { return one(flat(frames)) }
	return []testCase{
		{name: "5.1", send: one(frame(opPing, a), frame(fin|opContinuation, b)), fail: 1002},
		{name: "5.2", send: one(frame(opPong, a), frame(fin|opContinuation, b)), fail: 1002},
		{name: "5.3", send: joined(two), want: whole},
		{name: "5.4", send: two, want: whole},
		{name: "5.5", send: two, chop: 1, want: whole},
		{name: "5.6", send: joined(pinged), want: pongThenWhole},
		{name: "5.7", send: pinged, want: pongThenWhole},
		{name: "5.8", send: pinged, chop: 1, want: pongThenWhole},
		{name: "5.9", send: joined(lone), fail: 1002},
		{name: "5.10", send: lone, fail: 1002},
		{name: "5.11", send: lone, chop: 1, fail: 1002},
		{name: "5.12", send: joined(loneOpen), fail: 1002},
		{name: "5.13", send: loneOpen, fail: 1002},
		{name: "5.14", send: loneOpen, chop: 1, fail: 1002},
		{name: "5.15", send: join(two, one(frame(opContinuation, "fragment3"), text("fragment4"))), want: whole, fail: 1002},
		{name: "5.16", send: twice(opContinuation), fail: 1002},
		{name: "5.17", send: twice(fin | opContinuation), fail: 1002},
		{name: "5.18", send: one(frame(opText, a), frame(fin|opText, b)), fail: 1002},
		{name: "5.19", send: five, want: fiveWant},
		{name: "5.20", send: joined(five), want: fiveWant},
	}
}

func flat(frames [][]byte) (all []byte) {
	for _, f := range frames {
		all = append(all, f...)
	}
	return all
}

// closeHandling is 7.1 to 7.5.
func closeHandling() []testCase {
	long := strings.Repeat("BAsd7&jh23", 26*1024)
	return []testCase{
		{name: "7.1.1", send: one(text("Hello World!")), want: echoed(opText, "Hello World!")},
		{name: "7.1.2", send: one(closing(1000, ""), closing(1000, "")), with: 1000},
		{name: "7.1.3", send: one(closing(1000, ""), frame(fin|opPing, "")), with: 1000},
		{name: "7.1.4", send: one(closing(1000, ""), text("Hello World!")), with: 1000},
		{name: "7.1.5", send: one(frame(opText, "fragment1"), closing(1000, ""), frame(fin|opContinuation, "fragment2")), with: 1000},
		{name: "7.1.6", send: one(text(long), text("Hello World!"), closing(1000, ""), frame(fin|opPing, "")),
			want: []message{{op: opText, data: long}, {op: opText, data: "Hello World!"}}, with: 1000},
		{name: "7.3.1", send: one(frame(fin|opClose, "")), with: noCode},
		{name: "7.3.2", send: one(frame(fin|opClose, "a")), fail: 1002},
		{name: "7.3.3", send: one(closing(1000, "")), with: 1000},
		{name: "7.3.4", send: one(closing(1000, "Hello World!")), with: 1000},
		{name: "7.3.5", send: one(closing(1000, strings.Repeat("*", 123))), with: 1000},
		{name: "7.3.6", send: one(closing(1000, strings.Repeat("*", 124))), fail: 1002},
		{name: "7.5.1", send: one(closing(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64")), fail: 1007},
	}
}

// closeCodes is 7.7 to 7.13: which codes may be sent.
func closeCodes() (all []testCase) {
	for i, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all = append(all, testCase{name: fmt.Sprintf("7.7.%d", i+1), send: one(closing(code, "")), with: code})
	}
	for i, code := range []uint16{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		all = append(all, testCase{name: fmt.Sprintf("7.9.%d", i+1), send: one(closing(code, "")), fail: 1002})
	}
	return append(all,
		testCase{name: "7.13.1", send: one(closing(5000, "")), fail: 1002},
		testCase{name: "7.13.2", send: one(closing(65535, "")), fail: 1002})
}
