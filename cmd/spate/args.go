package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// unbounded is for commands that take any number of arguments.
const unbounded = math.MaxInt

// arguments refuses fewer or more arguments than a command takes, and says how it is written.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			given := "none was given"
			if n > 0 {
				given = plural(n, "was", "were") + " given"
			}
			return fmt.Errorf("%s takes %s, and %s: write it as in %s", cmd.CommandPath(), takes(least, most), given, strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nil
	}
}

// exactly is arguments for one number.
func exactly(n int) cobra.PositionalArgs { return arguments(n, n) }

func takes(least, most int) string {
	switch {
	case most == 0:
		return "no arguments"
	case least == most:
		return plural(most, "argument", "arguments")
	case most == unbounded:
		return plural(least, "argument", "arguments") + " or more"
	case least == 0:
		return "at most " + plural(most, "argument", "arguments")
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// byteCount is the value of a flag that is a number of bytes, with a unit or without.
type byteCount int64

// String implements pflag.Value.
func (b *byteCount) String() string { return strconv.FormatInt(int64(*b), 10) }

// Type implements pflag.Value.
func (b *byteCount) Type() string { return "bytes" }

// Set implements pflag.Value.
func (b *byteCount) Set(text string) error {
	digits, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, found := strings.CutSuffix(text, unit); found {
			digits, shift = strings.TrimSpace(rest), 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is no number of bytes", text)
	}
	*b = byteCount(n << shift)
	return nil
}
