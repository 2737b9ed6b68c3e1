package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine describes where the figures come from.
func machine() string {
	cpu := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%s, %d CPUs, Linux %s, %s, %s; load average when it began: %s",
		cpu, runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version(),
		version("rustc", "--version"), strings.Join(strings.Fields(string(load))[:3], " "))
}

// version returns the first words that a tool prints about itself.
func version(tool string, args ...string) string {
	out, err := exec.Command(tool, args...).Output()
	if err != nil {
		return "no " + tool
	}
	words := strings.Fields(string(out))
	return strings.Join(words[:min(2, len(words))], " ")
}
