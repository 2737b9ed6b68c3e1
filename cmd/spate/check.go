package main

import (
	"fmt"

	"github.com/spate-io/spate/server"
	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validate a configuration and print the one in effect",
		Long: `Read the configuration as serve would, with the same file, variables and flags,
report everything that is wrong with it, or print the outcome as YAML: every key
with its value, and behind it where it comes from, unless it is the default.
Secrets are printed as ***. Nothing is opened, and no other program is disturbed.`,
		Example: `  spate check spate.yaml
  SPATE_LOG_LEVEL=debug spate check --engine net`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := sources(cmd.Flags())
			if len(args) == 1 && cmd.Flags().Changed("config") {
				return fmt.Errorf("%s and --config name two files: give one of them", args[0])
			}
			if len(args) == 1 {
				from.File = args[0]
			}
			settings, err := server.Load(from)
			if err != nil {
				return err
			}
			return settings.Print(cmd.OutOrStdout())
		},
	}
	addSettings(cmd.Flags())
	return cmd
}
