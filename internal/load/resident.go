package load

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

var errNoResident = errors.New("there is no VmRSS in it")

// Resident returns the bytes of a process that are in memory. It reads /proc, which Linux has.
func Resident(pid int) (int64, error) {
	name := fmt.Sprintf("/proc/%d/status", pid)
	status, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a process: %w", err)
	}
	n, err := parseResident(string(status))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a process from %s: %w", name, err)
	}
	return n, nil
}

func parseResident(status string) (int64, error) {
	for line := range strings.Lines(status) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "VmRSS:" && words[2] == "kB" {
			kib, err := strconv.ParseInt(words[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errNoResident
}
