package websocket

import "unicode/utf8"

// checkText looks at text of which more may come. It returns how many bytes at the end are the beginning of a character, and false as
// soon as no continuation can make it UTF-8: half a character is refused if its first bytes begin none.
func checkText(text []byte) (open int, ok bool) {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		tail := text[len(text)-n:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if !utf8.FullRune(tail) {
			return n, utf8.Valid(text[:len(text)-n])
		}
		break
	}
	return 0, utf8.Valid(text)
}
