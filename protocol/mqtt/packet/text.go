package packet

import (
	"strings"
	"unicode/utf8"
)

// ValidText says whether s can be a text field: UTF-8 without surrogates and without U+0000 [MQTT-1.5.4-1]
// [MQTT-1.5.4-2], and not too long.
func ValidText[T string | []byte](s T) bool {
	for i := plain(s); i < len(s); i++ {
		switch c := s[i]; {
		case c == 0:
			return false
		case c >= utf8.RuneSelf:
			return validWide(s[i:]) && len(s) <= maxField
		}
	}
	return len(s) <= maxField
}

// plain returns how many bytes at the front of s are ASCII and neither U+0000 nor a wildcard, looking at eight at a time:
// topics and texts are checked for each message, and a quarter of the time to read one was spent byte by byte.
func plain[T string | []byte](s T) int {
	const (
		each = 0x01_01_01_01_01_01_01_01
		high = 0x80 * each
		plus = '+' * each
		both = ('+' ^ '#') * each // the one bit in which they differ
	)
	for i := 0; ; i += 8 {
		if len(s)-i < 8 {
			return i
		}
		v := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		wild := (v | both) ^ plus // a zero byte where there is one of them
		if ((v-each)&^v|(wild-each)&^wild|v)&high != 0 {
			return i
		}
	}
}

// validWide is ValidText from the first character on that is not ASCII.
func validWide[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	switch s := any(s).(type) {
	case string:
		return utf8.ValidString(s)
	case []byte:
		return utf8.Valid(s)
	}
	return false
}

// ValidTopic says whether s can be a topic name: valid text, not empty, and without wildcards [MQTT-3.3.2-2]
// [MQTT-4.7.3-1].
func ValidTopic[T string | []byte](s T) bool {
	return len(s) > 0 && len(s) <= maxField && checkTopic(s) == topicGood
}

// What checkTopic finds.
const (
	topicGood = iota
	topicWild // a wildcard in a valid text
	topicBad  // no valid text
)

func checkTopic[T string | []byte](s T) int {
	found := topicGood
	for i := plain(s); i < len(s); i++ {
		switch c := s[i]; {
		case c == '+' || c == '#':
			found = topicWild
		case c == 0:
			return topicBad
		case c >= utf8.RuneSelf:
			return checkWideTopic(s[i:], found)
		}
	}
	return found
}

func checkWideTopic[T string | []byte](s T, found int) int {
	if !validWide(s) {
		return topicBad
	}
	for i := range len(s) {
		if s[i] == '+' || s[i] == '#' {
			return topicWild
		}
	}
	return found
}

// ValidFilter says whether s can be a topic filter (§4.7): valid text, not empty, with + alone in its level and # alone
// in the last. Of a shared subscription (§4.8.2), the name and the filter after it are looked at.
func ValidFilter(s string) bool {
	if s == "" || !ValidText(s) {
		return false
	}
	if IsShared(s) {
		name, filter, _ := strings.Cut(s[len(sharePrefix):], "/")
		return name != "" && !strings.ContainsAny(name, "+#") && filter != "" && validLevels(filter)
	}
	return validLevels(s)
}

const sharePrefix = "$share/"

// IsShared says whether s is the filter of a shared subscription: $share/NAME/FILTER.
func IsShared(s string) bool { return strings.HasPrefix(s, sharePrefix) }

func validLevels(s string) bool {
	for i := range len(s) {
		if s[i] != '+' && s[i] != '#' {
			continue
		}
		if i > 0 && s[i-1] != '/' {
			return false
		}
		if last := i == len(s)-1; !last && (s[i] == '#' || s[i+1] != '/') {
			return false
		}
	}
	return true
}
