package event

import "strings"

// The wildcards, and the separator of levels, of MQTT 5.0 section 4.7.1.
const (
	separator   = '/'
	singleLevel = "+"
	multiLevel  = "#"
	reserved    = '$'
)

// Filter selects subjects. Only [ParseFilter] makes one, so every Filter but the zero value,
// which matches nothing, is well formed.
type Filter struct {
	text    string
	literal bool
}

// ParseFilter checks text against the rules of MQTT 5.0 section 4.7 and the limits.
func ParseFilter(text string, limits Limits) (Filter, error) {
	seen, err := checkText(text, limits)
	if err != nil {
		return Filter{}, refused("filter", text, err)
	}
	literal := seen&classWild == 0
	if !literal && !wildcardsInPlace(text) {
		return Filter{}, refused("filter", text, ErrWildcard)
	}
	return Filter{text: text, literal: literal}, nil
}

// wildcardsInPlace reports whether each wildcard is a whole level and '#' is the last one.
func wildcardsInPlace(text string) bool {
	for more := true; more; {
		var level string
		level, text, more = strings.Cut(text, string(separator))
		if level == multiLevel {
			return !more
		}
		if level != singleLevel && strings.ContainsAny(level, singleLevel+multiLevel) {
			return false
		}
	}
	return true
}

// String returns the text of the filter.
func (f Filter) String() string { return f.text }

// IsLiteral reports whether the filter has no wildcard, so that it matches one subject only: itself.
func (f Filter) IsLiteral() bool { return f.literal }

// Match reports whether the filter selects the subject. It does not allocate.
func (f Filter) Match(subject string) bool {
	if f.literal || f.text == "" {
		return f.literal && f.text == subject
	}
	if startsWild(f.text) && startsReserved(subject) {
		return false
	}
	pattern, rest, more := f.text, subject, true
	for pmore := true; pmore; {
		var want, have string
		want, pattern, pmore = cutLevel(pattern)
		if want == multiLevel {
			return true
		}
		if !more {
			return false
		}
		have, rest, more = cutLevel(rest)
		if want != singleLevel && want != have {
			return false
		}
		if !more && pmore && pattern == multiLevel {
			return true
		}
	}
	return !more
}

// MatchBytes is [Filter.Match] for a subject in a buffer.
func (f Filter) MatchBytes(subject []byte) bool { return f.Match(view(subject)) }

// Covers reports whether every subject that g selects is selected by f too. This is the question
// that an access rule f asks about a subscription to g.
func (f Filter) Covers(g Filter) bool {
	if g.literal {
		return f.Match(g.text)
	}
	if f.literal || f.text == "" || g.text == "" || startsWild(f.text) && startsReserved(g.text) {
		return false
	}
	if g.text == multiLevel && f.text == singleLevel+string(separator)+multiLevel {
		return true // a subject has at least one level
	}
	fs, gs := f.text, g.text
	for fmore, gmore := true, true; ; {
		var want, have string
		if !fmore || !gmore {
			return fmore == gmore || fmore && fs == multiLevel
		}
		want, fs, fmore = cutLevel(fs)
		if want == multiLevel {
			return true
		}
		have, gs, gmore = cutLevel(gs)
		if have == multiLevel || want != singleLevel && want != have {
			return false
		}
	}
}

// Overlaps reports whether there is a subject that both select.
func (f Filter) Overlaps(g Filter) bool {
	if f.text == "" || g.text == "" || startsWild(f.text) && startsReserved(g.text) || startsWild(g.text) && startsReserved(f.text) {
		return false
	}
	fs, gs := f.text, g.text
	fmore, gmore := true, true
	for fmore && gmore {
		var a, b string
		a, fs, fmore = cutLevel(fs)
		b, gs, gmore = cutLevel(gs)
		if a == multiLevel || b == multiLevel {
			return true
		}
		if a != b && a != singleLevel && b != singleLevel {
			return false
		}
	}
	return fmore == gmore || fmore && fs == multiLevel || gmore && gs == multiLevel
}

func startsReserved(text string) bool { return text != "" && text[0] == reserved }

func startsWild(text string) bool { return text[0] == singleLevel[0] || text[0] == multiLevel[0] }

// cutLevel splits the first level off text; more is false when it was the last one.
func cutLevel(text string) (level, rest string, more bool) {
	if i := strings.IndexByte(text, separator); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}
