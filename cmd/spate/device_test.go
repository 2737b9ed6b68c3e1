package main

import (
	"io"
	"strings"
	"testing"
	"time"
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

// That nothing is heard of a device is said beside whether it is connected.
func TestDeviceState(t *testing.T) {
	now := time.Now()
	for want, d := range map[string]deviceInfo{
		"never seen": {}, "online": {Online: true, LastSeen: now}, "offline": {LastSeen: now},
		"online, absent": {Online: true, Absent: true, LastSeen: now}, "offline, absent": {Absent: true, LastSeen: now},
	} {
		if got := d.state(); got != want {
			t.Errorf("%+v is %q, want %q", d, got, want)
		}
	}
}
