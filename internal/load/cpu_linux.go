package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

var errNoProcess = errors.New("there is no such process")

// CPUTime returns the CPU time that all threads of a process have used since
// its start, those that have ended included, in nanoseconds as the scheduler
// counts them. It reads the process's CPU clock, which is finer than the
// hundredths of seconds of /proc/PID/stat.
func CPUTime(pid int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED, in the lowest bits of a clock id
	var t unix.Timespec
	err := unix.ClockGettime(int32(^pid)<<3|scheduler, &t)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESRCH) {
		return 0, fmt.Errorf("reading the CPU clock of process %d: %w", pid, errNoProcess)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
