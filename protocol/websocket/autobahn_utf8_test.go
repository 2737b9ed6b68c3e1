package websocket_test

import "fmt"

// greek is the word that the sequences are tried in.
const greek = "\u03ba\u1f79\u03c3\u03bc\u03b5"

// utf8Handling is 6.1 to 6.4: where the fragments end, and that invalid text is refused as soon as it is seen.
func utf8Handling() []testCase {
	const latin = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!"
	const surrogate = greek + "\xed\xa0\x80edited"
	const beyond = "\xf4\x90\x80\x80"
	chopped := frameOf(fin|opText, len(greek)+len(beyond)+len("edited"), greek+beyond+"edited")
	head := len(chopped) - len(greek) - len(beyond) - len("edited")
	return []testCase{
		{name: "6.1.1", send: one(text("")), want: echoed(opText, "")},
		{name: "6.1.2", send: one(frame(opText, ""), frame(opContinuation, ""), frame(fin|opContinuation, "")), want: echoed(opText, "")},
		{name: "6.1.3", send: one(frame(opText, ""), frame(opContinuation, "middle frame payload"), frame(fin|opContinuation, "")), want: echoed(opText, "middle frame payload")},
		{name: "6.2.1", send: one(text(latin)), want: echoed(opText, latin)},
		{name: "6.2.2", send: one(frame(opText, latin[:12]), frame(fin|opContinuation, latin[12:])), want: echoed(opText, latin)},
		{name: "6.2.3", send: fragments(opText, latin, 1), want: echoed(opText, latin)},
		{name: "6.2.4", send: fragments(opText, greek, 1), want: echoed(opText, greek)},
		{name: "6.3.1", send: one(text(surrogate)), fail: 1007},
		{name: "6.3.2", send: fragments(opText, surrogate, 1), fail: 1007},
		// What follows is never sent: the server must not wait for it.
		{name: "6.4.1", send: one(frame(opText, greek), frame(opContinuation, beyond)), fail: 1007},
		{name: "6.4.2", send: one(frame(opText, greek+"\xf4"), frame(opContinuation, "\x90")), fail: 1007},
		{name: "6.4.3", send: one(chopped[:head+len(greek)], chopped[head+len(greek):head+len(greek)+4]), fail: 1007},
		{name: "6.4.4", send: one(chopped[:head+len(greek)+1], chopped[head+len(greek)+1:head+len(greek)+2]), fail: 1007},
	}
}

// utf8Sequences is 6.5 to 6.23: sequences that are text, and those that are not.
func utf8Sequences() (all []testCase) {
	var prefixes []sequence
	for i := 1; i <= len(greek); i++ {
		valid := i == 2 || i == 5 || i == 7 || i == 9 || i == 11 // where a character ends
		prefixes = append(prefixes, sequence{valid, greek[:i]})
	}
	missing := []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}
	together, continuations := "", ""
	for _, m := range missing {
		together += m
	}
	for b := byte(0x80); b < 0xbf; b++ {
		continuations += string([]byte{b})
	}
	groups := [][]sequence{
		good("hello\x24world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", greek),
		prefixes,
		good("\x00", "\u0080", "\u0800", "\U00010000"),
		bad("\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"),
		good("\x7f", "\u07ff", "\uffff", "\U0010ffff"),
		bad("\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"),
		append(good("\ud7ff", "\ue000", "\ufffd", "\U0010ffff"), bad("\xf4\x90\x80\x80")...),
		bad("\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", continuations),
		bad(lonely(0xc0, 0xdf), lonely(0xe0, 0xef), lonely(0xf0, 0xf7), lonely(0xf8, 0xfb), lonely(0xfc, 0xfd)),
		bad(missing...),
		bad(together),
		bad("\xfe", "\xff", "\xfe\xfe\xff\xff"),
		bad("\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"),
		bad("\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"),
		bad("\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"),
		bad("\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"),
		bad("\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
			"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"),
		nonCharacters(),
		good("\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"),
	}
	for i, group := range groups {
		for j, s := range group {
			tc := testCase{name: fmt.Sprintf("6.%d.%d", i+5, j+1), send: one(text(s.data))}
			if s.valid {
				tc.want = echoed(opText, s.data)
			} else {
				tc.fail = 1007
			}
			all = append(all, tc)
		}
	}
	return all
}

type sequence struct {
	valid bool
	data  string
}

func good(all ...string) (s []sequence) {
	for _, data := range all {
		s = append(s, sequence{true, data})
	}
	return s
}

func bad(all ...string) (s []sequence) {
	for _, data := range all {
		s = append(s, sequence{false, data})
	}
	return s
}

// lonely are bytes that begin a character, each with a space behind it.
func lonely(from, to byte) (s string) {
	for b := from; b < to; b++ {
		s += string([]byte{b, ' '})
	}
	return s
}

// nonCharacters are the last two of each plane, which are text all the same.
func nonCharacters() (all []sequence) {
	all = good("\ufffe", "\uffff")
	for plane := rune(1); plane <= 0x10; plane++ {
		all = append(all, good(string(plane<<16|0xfffe), string(plane<<16|0xffff))...)
	}
	return all
}
