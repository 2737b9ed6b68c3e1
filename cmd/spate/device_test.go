package main

import (
	"io"
	"strings"
	"testing"
)

// Whether a device may have done what it was asked for is said as it is.
func TestCommandGivenUp(t *testing.T) {
	for attempts, want := range map[int]string{0: "before it was sent", 1: "may have done"} {
		err := (&callFlags{}).tell(io.Discard, &commandInfo{State: "expired", Attempts: attempts})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("after %d attempts: %v, want %q", attempts, err, want)
		}
	}
}
