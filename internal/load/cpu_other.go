//go:build !linux

package load

import (
	"errors"
	"time"
)

// CPUTime returns an error: the CPU time of another process is read on Linux
// only.
func CPUTime(int) (time.Duration, error) {
	return 0, errors.New("the CPU time of another process can be read on Linux only; leave the process out")
}
