//go:build unix

package resp

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuSeconds returns the CPU time of the process.
func cpuSeconds() (user, system float64, ok bool) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, 0, false
	}
	return time.Duration(u.Utime.Nano()).Seconds(), time.Duration(u.Stime.Nano()).Seconds(), true
}
