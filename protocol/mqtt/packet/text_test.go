package packet

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValidTopic(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "/": true, "a//b": true, " ": true, "$SYS/x": true, "ä/€/😀": true, "\x01\x7f": true, "\ufeff": true, "\uffff": true,
		strings.Repeat("x", maxField):         true,
		strings.Repeat("ä", maxField/2) + "x": true,
		"":                                    false, "a+": false, "#": false, "ä+": false, "ä/x#": false, "\x00": false, "ä\x00": false, "abcdefgh\x00": false,
		"\xff": false, "a\xc0\x80": false, "\xed\xa0\x80": false, "\xf4\x90\x80\x80": false, "\xe2\x82": false,
		strings.Repeat("x", maxField+1): false, strings.Repeat("ä", maxField/2+1): false,
	} {
		if got := ValidTopic(s); got != want {
			t.Errorf("ValidTopic(%.20q) = %v", s, got)
		}
		if got := ValidTopic([]byte(s)); got != want {
			t.Errorf("ValidTopic of the bytes %.20q = %v", s, got)
		}
	}
}

func TestValidFilter(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "#": true, "+": true, "a/#": true, "+/a/+": true, "/": true, "/#": true, "+/#": true, "a//+": true, "$SYS/#": true,
		"$share/g/a": true, "$share/g/#": true, "$share/g//": true, "$sharex": true, "$share": true,
		"": false, "a#": false, "#/a": false, "a/#/b": false, "+a": false, "a+": false, "a/+b": false, "a/b+/c": false, "##": false, "++": false, "#+": false,
		"$share/": false, "$share/g": false, "$share/g/": false, "$share//a": false, "$share/+/a": false, "$share/g#/a": false, "$share/g/a#": false,
		"a\x00": false, "\xff": false,
	} {
		if got := ValidFilter(s); got != want {
			t.Errorf("ValidFilter(%q) = %v", s, got)
		}
	}
}

// Wherever in a text it is, what does not belong there is found.
func TestEveryPlace(t *testing.T) {
	for n := 1; n < 40; n++ {
		for at := range n {
			with := func(c string) string { return strings.Repeat("x", at) + c + strings.Repeat("x", n-at-1) }
			for _, c := range []string{"\x00", "\x80", "\xff"} {
				if s := with(c); ValidText(s) || ValidTopic(s) || ValidText([]byte(s)) || ValidTopic([]byte(s)) {
					t.Errorf("%q is valid", s)
				}
			}
			for _, c := range []string{"+", "#"} {
				if s := with(c); !ValidText(s) || ValidTopic(s) || ValidTopic([]byte(s)) {
					t.Errorf("%q: text %v, topic %v", s, ValidText(s), ValidTopic(s))
				}
			}
			for _, c := range []string{"\x01", "\x7f", "ä", "/", "*", ",", "\"", "$"} {
				if s := with(c); !ValidText(s) || !ValidTopic(s) || !ValidTopic([]byte(s)) {
					t.Errorf("%q: text %v, topic %v", s, ValidText(s), ValidTopic(s))
				}
			}
		}
	}
}

// The checks by hand say what the standard library says.
func FuzzText(f *testing.F) {
	for _, s := range []string{"sensors/hall/temperature", "ä/+", "abcdefg\x00", "\xed\xa0\x80", "1234567#", "0123456789abcde\xff", "x😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		valid := utf8.ValidString(s) && !strings.Contains(s, "\x00") && len(s) <= maxField
		topic := valid && s != "" && !strings.ContainsAny(s, "+#")
		if ValidText(s) != valid || ValidText([]byte(s)) != valid {
			t.Errorf("ValidText(%q) is not %v", s, valid)
		}
		if ValidTopic(s) != topic || ValidTopic([]byte(s)) != topic {
			t.Errorf("ValidTopic(%q) is not %v", s, topic)
		}
		if ValidFilter(s) && !valid {
			t.Errorf("ValidFilter(%q), which is no text", s)
		}
	})
}
