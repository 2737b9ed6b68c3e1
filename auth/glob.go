package auth

import "strings"

const (
	oneLevel  = "+"
	allLevels = "#"
)

// coversGlob reports whether the filter matches every subject that the Redis
// pattern matches. A pattern is judged by its literal beginning, because * and ?
// match slashes too: only the levels that are complete before the first special
// character are known, so some level before the filter's # must be reached by
// them. A pattern that begins with a special character does not match subjects
// that begin with $ (see the package comment).
func coversGlob(filter, prefix string) bool {
	if hidden(filter, prefix) {
		return false
	}
	for {
		want, filterRest, filterMore := strings.Cut(filter, "/")
		if want == allLevels {
			return true
		}
		got, prefixRest, complete := strings.Cut(prefix, "/")
		if !complete {
			// The level that the prefix ends in exists in every subject, whatever follows.
			return want == oneLevel && filterRest == allLevels
		}
		if !filterMore || want != oneLevel && want != got {
			return false
		}
		filter, prefix = filterRest, prefixRest
	}
}

// hidden reports whether a wildcard in front of the filter stands before a
// pattern that begins with $.
func hidden(filter, prefix string) bool {
	return strings.HasPrefix(prefix, "$") && (strings.HasPrefix(filter, oneLevel) || strings.HasPrefix(filter, allLevels))
}

// globPrefix returns what a Redis pattern says literally before its first
// special character, and whether that is all of it.
func globPrefix(glob string) (prefix string, literal bool) {
	special := strings.IndexFunc(glob, func(r rune) bool { return r == '*' || r == '?' || r == '[' || r == '\\' })
	switch {
	case special < 0:
		return glob, true
	case glob[special] != '\\':
		return glob[:special], false
	}
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*', '?', '[':
			return b.String(), false
		case '\\':
			if i+1 < len(glob) {
				i++
			}
			b.WriteByte(glob[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}
