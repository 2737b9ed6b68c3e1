package load

import (
	"testing"
	"time"
)

func TestRound(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 6373: "6.37µs", 12345 * time.Nanosecond: "12.3µs", 999_999: "1ms",
		123_456_789: "123ms", 1_234_567_890: "1.23s", 75 * time.Second: "1m15s",
	} {
		if got := Round(d).String(); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
