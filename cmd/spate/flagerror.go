package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says what is wrong with the value of a flag in a sentence, where
// package pflag shows the error of the function that parsed it.
func flagError(_ *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	wanted := map[string]string{
		"int":      "a whole number",
		"int64":    "a whole number",
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
