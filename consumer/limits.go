package consumer

import (
	"fmt"
	"unicode/utf8"
)

// Bounds of what is kept, and logged, of an error of a handler.
const (
	// MaxErrorText is how many bytes of its text are.
	MaxErrorText = 4 << 10
	maxStack     = 16 << 10
)

const (
	maxName         = 200
	defaultAttempts = 10
)

// CutError returns err, or, if its text is longer than [MaxErrorText], an error that wraps it and whose text is the beginning and the size. A handler may
// put an event of megabytes into its error, which would be in memory, in the log and in a dead letter, once for each attempt.
func CutError(err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); len(text) > MaxErrorText {
		return &cutError{cut(text, MaxErrorText), err}
	}
	return err
}

type cutError struct {
	text string
	error
}

func (e *cutError) Error() string { return e.text }

func (e *cutError) Unwrap() error { return e.error }

// cut returns the text, or its beginning and its size.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	n := most
	for n > most-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:n], len(text))
}
