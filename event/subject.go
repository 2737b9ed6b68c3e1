package event

import (
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// Why a subject or a filter is refused. The error that is returned wraps one of them and names the text.
var (
	// ErrEmpty means that there is no text at all; MQTT asks for at least one character.
	ErrEmpty = errors.New("it is empty")
	// ErrTooLong means that the text has more bytes than [Limits] allows.
	ErrTooLong = errors.New("it is too long")
	// ErrTooDeep means that the text has more levels than [Limits] allows.
	ErrTooDeep = errors.New("it has too many levels")
	// ErrNotText means invalid UTF-8 or the character U+0000.
	ErrNotText = errors.New("it is not UTF-8 text without U+0000")
	// ErrWildcard means a '+' or '#' where none may be.
	ErrWildcard = errors.New("it has a wildcard in the wrong place")
)

// Classes of bytes, so that one pass finds everything that validation asks about.
const (
	classSlash = 1 << iota
	classWild
	classNUL
	classHigh // part of a multi-byte character: the UTF-8 has to be checked
)

// classes maps a byte to its class.
var classes = func() (t [256]uint8) {
	t['/'] = classSlash
	t['+'], t['#'] = classWild, classWild
	t[0] = classNUL
	for b := utf8.RuneSelf; b < len(t); b++ {
		t[b] = classHigh
	}
	return t
}()

// ValidateSubject reports why subject cannot be published to, or nil. It does not allocate unless
// there is an error.
func ValidateSubject(subject string, limits Limits) error {
	if why := checkSubject(subject, limits); why != nil {
		return refused("subject", subject, why)
	}
	return nil
}

// ValidateSubjectBytes is [ValidateSubject] for a subject in a buffer.
func ValidateSubjectBytes(subject []byte, limits Limits) error {
	return ValidateSubject(view(subject), limits)
}

func checkSubject(subject string, limits Limits) error {
	seen, err := checkText(subject, limits)
	if err != nil {
		return err
	}
	if seen&classWild != 0 {
		return ErrWildcard
	}
	return nil
}

// checkText checks what subjects and filters have in common and returns the classes of bytes seen.
func checkText(s string, limits Limits) (seen uint8, err error) {
	if s == "" {
		return 0, ErrEmpty
	}
	if len(s) > limits.subjectLength() {
		return 0, ErrTooLong
	}
	levels := 1
	for i := range len(s) {
		c := classes[s[i]]
		seen |= c
		levels += int(c & classSlash)
	}
	switch {
	case levels > limits.subjectLevels():
		return seen, ErrTooDeep
	case seen&classNUL != 0, seen&classHigh != 0 && !utf8.ValidString(s):
		return seen, ErrNotText
	}
	return seen, nil
}

// refused makes the sentence for a text that was refused. It quotes at most 64 bytes: the text
// comes from outside and ends up in logs and in replies.
func refused(what, text string, why error) error {
	const quoted = 64
	if len(text) > quoted {
		return fmt.Errorf("%s %q… (%d bytes) cannot be used: %w", what, text[:quoted], len(text), why)
	}
	return fmt.Errorf("%s %q cannot be used: %w", what, text, why)
}

// view reads b as a string without copying. The string is good only while b is not written to,
// so it never leaves the call that made it.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}
