package bus

import "strings"

// Glob reports whether s matches the pattern by the rules of Redis (stringmatchlen): '*' any bytes, '?' one byte, [a-c] one of,
// [^a-c] one not of, and '\' takes the special meaning from the byte after it. It follows Redis also in
// the corners: a set without ']' reaches to the end of the pattern, a range may be the wrong way round, its bytes
// compare as signed numbers (as on amd64), nothing but the empty pattern matches the empty string, and a
// pattern of more than a thousand '*' matches nothing. The time is at most the product of the two lengths.
func Glob(pattern, s string) bool { return glob(pattern, s, false) }

// GlobFold is [Glob] without regard to the case of ASCII letters.
func GlobFold(pattern, s string) bool { return glob(pattern, s, true) }

// GlobClosed tells whether each set of a pattern ends with its ']'. One that does not is taken to end with the pattern, as Redis does, which nobody means.
func GlobClosed(pattern string) bool {
	for p := 0; p < len(pattern); {
		if pattern[p] == '[' {
			p, _ = globSet(pattern+"]", p+1, 0, false) // the one that is added ends a set that nothing else ends
		} else {
			p, _ = globOne(pattern, p, 0, false)
		}
		if p > len(pattern) {
			return false
		}
	}
	return true
}

// maxStars is where Redis stops.
const maxStars = 1000

// glob goes back only to the last '*' that it has passed: if what follows that one matches nowhere in the
// rest of s, then giving more of s to an earlier '*' would leave it a shorter rest to try. That is what keeps
// a pattern such as a*a*a*b from taking exponential time (CVE-2022-36021).
func glob(pattern, s string, fold bool) bool {
	if s == "" {
		return pattern == ""
	}
	p, i := 0, 0
	star, from, stars := -1, 0, 0 // the pattern after the last '*', and where in s that is being tried
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			p = skipStars(pattern, p)
			if p == len(pattern) {
				return true
			}
			if stars++; stars > maxStars {
				return false
			}
			star, from = p, i
			continue
		}
		if p < len(pattern) {
			if next, ok := globOne(pattern, p, s[i], fold); ok {
				p, i = next, i+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, i = star, from
	}
	return skipStars(pattern, p) == len(pattern)
}

func skipStars(pattern string, p int) int {
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p
}

// globOne matches one byte against the element of the pattern at p, and returns where the next one is.
func globOne(pattern string, p int, c byte, fold bool) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return globSet(pattern, p+1, c, fold)
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, sameByte(pattern[p], c, fold)
}

// globSet matches one byte against the set whose text, after the '[', begins at p.
func globSet(pattern string, p int, c byte, fold bool) (next int, ok bool) {
	not := p < len(pattern) && pattern[p] == '^'
	if not {
		p++
	}
	match := false
	for ; p < len(pattern); p++ {
		left := len(pattern) - p
		switch {
		case left >= 2 && pattern[p] == '\\':
			p++
			match = match || pattern[p] == c
		case pattern[p] == ']':
			return p + 1, match != not
		case left >= 3 && pattern[p+1] == '-':
			match = match || inRange(pattern[p], pattern[p+2], c, fold)
			p += 2
		default:
			match = match || sameByte(pattern[p], c, fold)
		}
	}
	return p, match != not
}

func sameByte(a, b byte, fold bool) bool { return a == b || fold && lower(a) == lower(b) }

// inRange orders the ends before it folds them, as Redis does.
func inRange(start, end, c byte, fold bool) bool {
	if int8(start) > int8(end) {
		start, end = end, start
	}
	if fold {
		start, end, c = lower(start), lower(end), lower(c)
	}
	return int8(start) <= int8(c) && int8(c) <= int8(end)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// plainGlob returns the only string that the pattern matches, if it has no special characters.
func plainGlob(pattern string) (text string, plain bool) {
	if hasSpecial(pattern) {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
		}
		b.WriteByte(pattern[i])
	}
	return b.String(), true
}

// hasSpecial reports whether there is a special character that keeps its meaning, not being after a '\'.
func hasSpecial(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}
