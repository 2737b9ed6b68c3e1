package bus

import (
	"fmt"
	"strings"
)

// A matcher is a pattern of [Glob] in the form in which it is tried against subjects: cut at its stars into segments.
// The first is anchored at the beginning and the last at the end; those between are each looked for from the left, plain
// text by strings.Index and the rest by one pass over the subject with a bit per element. So matching takes a time that
// grows with the sum of the lengths of the pattern and the subject, not with their product.
type matcher struct {
	head, tail segment
	middle     []segment
	masks      *[256]uint64 // for each byte the elements of vague middle segments that it matches
	least      int          // bytes that a subject must have
	star       bool
}

// A segment is what stands between two stars.
type segment struct {
	text  string // if plain, what it matches; else its part of the pattern
	size  int    // elements, which are bytes of the subject
	vague bool   // it is not plain text
	bit   int    // of a vague middle segment, its first element in the masks
}

// newMatcher compiles a pattern, unless it has too much that is expensive to look for.
func newMatcher(pattern string) (*matcher, error) {
	m := &matcher{}
	segments := cutStars(pattern)
	for _, s := range segments {
		m.least += s.size
	}
	last := len(segments) - 1
	m.head = segments[0]
	if last == 0 {
		return m, nil
	}
	m.star, m.tail = true, segments[last]
	for _, s := range segments[1:last] {
		if s.size > 0 {
			m.middle = append(m.middle, s)
		}
	}
	if len(m.middle) > maxVague {
		return nil, tooVague(pattern)
	}
	return m, m.prepare(pattern)
}

// prepare gives the elements of vague middle segments their bits.
func (m *matcher) prepare(pattern string) error {
	bits := 0
	for i := range m.middle {
		s := &m.middle[i]
		if !s.vague {
			continue
		}
		s.bit = bits
		if bits += s.size; bits > maxVague {
			return tooVague(pattern)
		}
		if m.masks == nil {
			m.masks = new([256]uint64)
		}
		for p, bit := 0, uint64(1)<<s.bit; p < len(s.text); bit <<= 1 {
			next := 0
			for c := range 256 {
				var ok bool
				if next, ok = globOne(s.text, p, byte(c), false); ok {
					m.masks[c] |= bit
				}
			}
			p = next
		}
	}
	return nil
}

func tooVague(pattern string) error {
	return fmt.Errorf("pattern %.64q… is not taken: %w", pattern, ErrTooVague)
}

// cutStars returns the segments between the stars that are special, of which one is there at least.
func cutStars(pattern string) (segments []segment) {
	from, s := 0, segment{}
	for p := 0; p < len(pattern); {
		if pattern[p] == '*' {
			segments = append(segments, s.cut(pattern[from:p]))
			p++
			from, s = p, segment{}
			continue
		}
		s.vague = s.vague || pattern[p] == '?' || pattern[p] == '['
		s.size++
		p, _ = globOne(pattern, p, 0, false)
	}
	return append(segments, s.cut(pattern[from:]))
}

// cut completes a segment with its text, from which it takes the escapes if that is all it has.
func (g segment) cut(text string) segment {
	g.text = text
	if !g.vague {
		g.text, _ = plainGlob(text)
	}
	return g
}

// match is Glob.
func (m *matcher) match(s string) bool {
	if len(s) < m.least || !m.head.at(s) {
		return false
	}
	if !m.star {
		return len(s) == m.least
	}
	end := len(s) - m.tail.size
	if s == "" || !m.tail.at(s[end:]) {
		return false
	}
	rest := s[m.head.size:end]
	for i := range m.middle {
		n := m.middle[i].after(rest, m.masks)
		if n < 0 {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// at reports whether the subject, which is long enough, begins with the segment.
func (g *segment) at(s string) bool {
	if !g.vague {
		return s[:g.size] == g.text
	}
	for p, i := 0, 0; p < len(g.text); i++ {
		var ok bool
		if p, ok = globOne(g.text, p, s[i], false); !ok {
			return false
		}
	}
	return true
}

// after returns where the subject goes on behind the first place where the segment matches, or -1.
func (g *segment) after(s string, masks *[256]uint64) int {
	if !g.vague {
		if i := strings.Index(s, g.text); i >= 0 {
			return i + g.size
		}
		return -1
	}
	first, last := uint64(1)<<g.bit, uint64(1)<<(g.bit+g.size-1)
	var state uint64 // a bit for each element that the bytes up to here can end with
	for i := range len(s) {
		if state = (state<<1 | first) & masks[s[i]]; state&last != 0 {
			return i + 1
		}
	}
	return -1
}
