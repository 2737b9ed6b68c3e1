package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says what is wrong with a flag in a sentence: with its value, where
// package pflag shows the error of the function that parsed it, or with its name.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		return fmt.Errorf("%w%s", err, flagHint(cmd, unknown.GetSpecifiedName()))
	}
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	wanted := map[string]string{
		"int":      "a whole number",
		"int64":    "a whole number",
		"uint64":   "a whole number, 0 or more",
		"float64":  "a number",
		"bytes":    "a number of bytes: write it as in 1000, 64KiB, 10MiB or 2GiB",
		"bool":     "true or false",
		"duration": "a duration: write a number and a unit, such as 500ms, 10s or 5m",
	}[wrong.GetFlag().Value.Type()]
	if wanted == "" {
		return err
	}
	return fmt.Errorf("--%s: %q is not %s", wrong.GetFlag().Name, wrong.GetValue(), wanted)
}

// flagHint says which flag was probably meant, with the measure that package cobra has for commands: a letter or two are wrong, or the end is missing.
func flagHint(cmd *cobra.Command, name string) string {
	names := &cobra.Command{SuggestionsMinimumDistance: min(2, len(name)/3)}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: "--" + f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	if meant := names.SuggestionsFor("--" + name); len(meant) > 0 {
		return "; did you mean " + strings.Join(meant, " or ") + "?"
	}
	return "; see " + cmd.CommandPath() + " --help"
}
