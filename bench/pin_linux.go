package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// pin moves every thread of this program to one CPU, or to all, and gives it a priority.
// Threads and servers that start later inherit both. It is done after
// building, which may use all CPUs.
func pin(cpu, nice int) error {
	var set unix.CPUSet
	for n := range runtime.NumCPU() {
		if cpu == n || cpu == anyCPU {
			set.Set(n)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("moving the load to CPU %d (-load-cpu and -server-cpu choose others): %w", cpu, err)
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil {
			return fmt.Errorf("setting the priority %d: %w", nice, err)
		}
	}
	// Where the kernel groups tasks by session (autogroup), a priority counts
	// within the session only; this is the session's.
	err = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(nice)), 0)
	if err != nil && nice != 0 && !os.IsNotExist(err) {
		return fmt.Errorf("setting the priority %d of the session: %w", nice, err)
	}
	return nil
}
