package load

import "time"

// Round rounds a duration to three digits, for people: 6.37µs, 12.3ms.
func Round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d >= 1000*unit {
		unit *= 10
	}
	return d.Round(unit)
}
