package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Exit codes.
const (
	exitFailed = 1 // something went wrong while running
	exitUsage  = 2 // the operator can mend it: arguments, configuration, listeners
)

// failed is an error that happened while running, and not because of what the
// operator wrote.
type failed struct{ error }

// Unwrap returns what happened.
func (f failed) Unwrap() error { return f.error }

// run executes the command line and returns the exit code.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	text := strings.TrimPrefix(err.Error(), "\n")
	if strings.Contains(text, "\n") {
		text = "several things are wrong:\n  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	fmt.Fprintf(errs, "spate: %s\n", text)
	if _, ok := errors.AsType[failed](err); ok {
		return exitFailed
	}
	return exitUsage
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "spate",
		Short: "An event-driven server: connections in, events through, reactions out",
		Long: `Spate is an event-driven server. Clients connect with the tools they already
have (any MQTT client, redis-cli, curl, any Redis library); what they send
becomes events, and each event is handled in a task of its own.

  spate serve        on 127.0.0.1, with nothing to configure
  spate demo         the same, with a simulated fleet of devices to look at
  spate check        what a configuration means, before it is used
  spate pub, sub     publish events, and receive them

Exit codes: 0 done; 1 it failed, or what it names is not there or in the way of
something; 2 what was asked for is wrong: arguments, flags, configuration.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noCommand,
		Version:       build(),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newServeCommand(), newDemoCommand(), newEchoCommand(), newCheckCommand(), newHashCommand(), newBenchCommand(), newVersionCommand())
	root.AddCommand(newPubCommand(), newSubCommand(), newStreamCommand(), newConsumerCommand(), newDeadCommand(), newDeviceCommand(), newSessionCommand())
	root.AddCommand(newBackupCommand(), newRestoreCommand(), newVerifyCommand())
	return root
}

// noCommand refuses words that name no command, and says which was probably meant.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := "; see " + cmd.CommandPath() + " --help"
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		hint = "; did you mean " + strings.Join(meant, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}
