package main

import (
	"testing"
	"time"
)

// Of a session whose client is away it is said when it ends, not how long it lasts from when it went.
func TestSessionExpiry(t *testing.T) {
	hour, none := uint32(3600), uint32(0)
	since := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for want, s := range map[string]sessionInfo{
		"never": {Since: since}, "with its connection": {Connected: true, Since: since, Expiry: &none},
		"after 1h0m0s": {Connected: true, Since: since, Expiry: &hour}, "at 2026-11-23T13:00:00Z": {Since: since, Expiry: &hour},
	} {
		if got := s.expiry(); got != want {
			t.Errorf("%+v expires %q, want %q", s, got, want)
		}
	}
}
