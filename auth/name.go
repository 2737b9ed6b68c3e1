package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkName refuses user names that could mean more than themselves once they
// are inside a filter, a Redis pattern or a log line. The reason never holds the name.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > maxNameBytes:
		return fmt.Errorf("has %d bytes; at most %d are accepted", len(name), maxNameBytes)
	case !utf8.ValidString(name):
		return errors.New("is not UTF-8")
	case name[0] == '$':
		return errors.New("begins with $, which is kept for the server's own subjects")
	case strings.TrimSpace(name) != name:
		return errors.New("begins or ends with a space")
	}
	for _, r := range name {
		if strings.ContainsRune(`+#/*?[]{}\`, r) {
			return fmt.Errorf("contains %q, which means something in a filter or pattern", r)
		}
		if !unicode.IsPrint(r) {
			return errors.New("contains a character that does not print")
		}
	}
	return nil
}
