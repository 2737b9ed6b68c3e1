package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/internal/client"
	"github.com/spate-io/spate/stream"
)

// subFlags are what `spate sub` is told.
type subFlags struct {
	remote
	stream, from string
	corrupt      bool
	count        int
}

func newSubCommand() *cobra.Command {
	var f subFlags
	cmd := &cobra.Command{
		Use:   "sub [FILTER]",
		Short: "Print events as they come, live or from a stream",
		Long: `Print what is published on the subjects that FILTER selects, one line for each
event: the subject, a tab, and the data, with what is not visible escaped.
In a filter + stands for one level and # for all that follow.

With --from, print what is stored from a place on, and then what comes: of the stream
that captures FILTER, or that --stream names.
When the connection ends it is made again. From a stream nothing is lost then, and nothing
comes twice; live, what is published meanwhile is lost. Ctrl-C ends it.`,
		Example: `  spate sub 'sensors/+/temperature'
  spate sub 'orders/7/#' --from beginning
  spate sub --stream orders --from -1h --json | jq .subject`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.stream, "stream", "", "read the stream `NAME`, all of it if there is no FILTER")
	fs.StringVar(&f.from, "from", "", "begin at `PLACE` in what is stored: beginning, end, an offset, a time, or -1h for an hour ago (default end)")
	fs.BoolVar(&f.corrupt, "skip-corrupt", false, "go on after records of the stream that cannot be read")
	fs.IntVar(&f.count, "count", 0, "end after `N` events")
	return cmd
}

// check returns what is wrong with the command line.
func (f *subFlags) check(args []string) error {
	switch {
	case f.stream == "" && len(args) == 0:
		return errors.New("say which subjects, as in spate sub 'sensors/#'; or which stream, with --stream")
	case f.stream == "" && f.from == "" && f.corrupt:
		return errors.New("--skip-corrupt is for streams: add --from PLACE or --stream NAME")
	case f.count < 0:
		return errors.New("--count must not be negative")
	}
	if len(args) == 1 {
		if _, err := event.ParseFilter(args[0], event.Limits{SubjectLength: event.MaxSubjectLength}); err != nil {
			return err
		}
	}
	if _, err := stream.ParseFrom(f.from, time.Now()); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	return nil
}

func (f *subFlags) run(cmd *cobra.Command, args []string) error {
	if err := f.check(args); err != nil {
		return err
	}
	out, seen := cmd.OutOrStdout(), 0
	s := client.Subscription{
		Stream: f.stream, From: f.from,
		Event: func(text json.RawMessage) error {
			seen++
			if err := f.print(out, text); err != nil {
				return err
			}
			if seen == f.count {
				return client.ErrEnough
			}
			return nil
		},
		Note: func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "spate: %s\n", safe(text)) },
	}
	if len(args) == 1 {
		s.Filter = args[0]
	}
	if f.corrupt {
		s.Corrupt = "skip"
	}
	return f.call(cmd, func(ctx context.Context, c *client.Client) error { return c.Subscribe(ctx, s) })
}

func (f *subFlags) print(w io.Writer, text json.RawMessage) error {
	if f.json {
		return printJSON(w, text)
	}
	subject, data, err := client.SubjectOf(text)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\t%s\n", safe(subject), safe(string(data)))
	return err
}
