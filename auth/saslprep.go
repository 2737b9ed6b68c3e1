package auth

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// saslprep prepares a user name or password as RFC 4013 asks, so that a client
// and the server mean the same bytes. Printable ASCII is returned as it is. What
// Unicode 3.2 did not know is let through, as for a query. Package precis of x/text
// is for the successor (RFC 8265), which normalizes otherwise (NFC for NFKC) and
// which no SCRAM client uses. Its errors never hold the text.
func saslprep(text string) (string, error) {
	if plainASCII(text) {
		return text, nil
	}
	if !utf8.ValidString(text) {
		return "", errors.New("is not UTF-8")
	}
	text = norm.NFKC.String(strings.Map(mapRune, text))
	for _, r := range text {
		if prohibited(r) {
			return "", errors.New("contains a character that RFC 4013 prohibits, such as one that does not print")
		}
	}
	if text == "" {
		return "", errors.New("is empty after what does not print is left out")
	}
	return text, checkBidi(text)
}

func plainASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// mapRune is RFC 4013, section 2.1: other spaces become a space (RFC 3454, table
// C.1.2), and what is commonly mapped to nothing is left out (B.1). U+200B is in
// both tables and is a space here, as in PostgreSQL.
func mapRune(r rune) rune {
	switch {
	case r == 0xA0, r == 0x1680, r >= 0x2000 && r <= 0x200B, r == 0x202F, r == 0x205F, r == 0x3000:
		return ' '
	case r == 0xAD, r == 0x34F, r == 0x1806, r >= 0x180B && r <= 0x180D, r == 0x200C, r == 0x200D, r == 0x2060,
		r >= 0xFE00 && r <= 0xFE0F, r == 0xFEFF:
		return -1
	}
	return r
}

// prohibited is RFC 4013, section 2.3: the tables C.2.1 to C.9 of RFC 3454.
func prohibited(r rune) bool {
	switch {
	case unicode.IsControl(r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Noncharacter_Code_Point, r):
		return true
	case r == 0x6DD, r == 0x70F, r == 0x180E, r == 0x2028, r == 0x2029, r >= 0x2061 && r <= 0x2063, r >= 0x206A && r <= 0x206F,
		r >= 0xFFF9 && r <= 0xFFFD, r >= 0x1D173 && r <= 0x1D17A: // C.2.2, C.6
		return true
	case r >= 0x2FF0 && r <= 0x2FFB: // C.7
		return true
	case r == 0x340, r == 0x341, r == 0x200E, r == 0x200F, r >= 0x202A && r <= 0x202E: // C.8
		return true
	}
	return r == 0xE0001 || r >= 0xE0020 && r <= 0xE007F // C.9
}

// checkBidi is RFC 3454, section 6: a text with a letter that is written from
// right to left begins and ends with one, and has none that is written otherwise.
func checkBidi(text string) error {
	var left, right bool
	for _, r := range text {
		left = left || directed(r, bidi.L)
		right = right || directed(r, bidi.R, bidi.AL)
	}
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	if right && (left || !directed(first, bidi.R, bidi.AL) || !directed(last, bidi.R, bidi.AL)) {
		return errors.New("mixes letters that are written from right to left with others, which RFC 4013 prohibits")
	}
	return nil
}

func directed(r rune, classes ...bidi.Class) bool {
	p, _ := bidi.LookupRune(r)
	for _, c := range classes {
		if p.Class() == c {
			return true
		}
	}
	return false
}
