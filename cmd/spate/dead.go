package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/internal/client"
)

// deadLetter is a dead letter as a node tells it.
type deadLetter struct {
	consumer.DeadLetter
	Event json.RawMessage `json:"event"`
}

func newDeadCommand() *cobra.Command {
	r := &remote{}
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "List, look at, redrive and drop dead letters",
		Long:  "A dead letter is an event that its consumer could not handle, with the reason and where it came from.",
		Args:  noCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	r.add(cmd)
	cmd.AddCommand(
		r.deadList(), r.deadShow(),
		r.deadSome("redrive", "Give dead letters to their consumers again", "redriven"), r.deadSome("drop", "Remove dead letters for good", "dropped"),
	)
	return cmd
}

func (r *remote) deadList() *cobra.Command {
	var most int
	cmd := &cobra.Command{
		Use: "ls [CONSUMER]", Short: "List the dead letters of a consumer, or of all, oldest first", Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if most < 1 {
				return errors.New("--limit must be 1 or more")
			}
			return r.call(cmd, func(ctx context.Context, c *client.Client) error {
				status := newStatus(cmd.ErrOrStderr())
				letters, more, err := listDead(ctx, c, strings.Join(args, ""), most, status)
				status.clear()
				if err != nil {
					return err
				}
				if r.json {
					text, err := json.Marshal(map[string][]json.RawMessage{"dead": letters})
					if err != nil {
						return err
					}
					return printJSON(cmd.OutOrStdout(), text)
				}
				if more {
					fmt.Fprintf(cmd.ErrOrStderr(), "spate: there are more than %d; --limit shows more\n", most)
				}
				return printDead(cmd.OutOrStdout(), letters)
			})
		},
	}
	cmd.Flags().IntVar(&most, "limit", 1000, "list at most so many `LETTERS`")
	return cmd
}

// listDead reads pages until there are enough.
func listDead(ctx context.Context, c *client.Client, name string, most int, status *progress) (letters []json.RawMessage, more bool, err error) {
	const pageRows = 100
	letters = []json.RawMessage{}
	for after := ""; len(letters) < most; {
		var page struct {
			Dead  []json.RawMessage `json:"dead"`
			After string            `json:"after"`
		}
		q := url.Values{"limit": {fmt.Sprint(min(pageRows, most-len(letters)))}}
		if name != "" {
			q.Set("consumer", name)
		}
		if after != "" {
			q.Set("after", after)
		}
		if err := c.Do(ctx, client.Request{Method: http.MethodGet, Path: []string{"dead"}, Query: q}, &page); err != nil {
			return nil, false, err
		}
		letters = append(letters, page.Dead...)
		status.show(func() string { return plural(len(letters), "dead letter", "dead letters") })
		if after = page.After; after == "" {
			return letters, false, nil
		}
	}
	return letters, true, nil
}

func printDead(w io.Writer, letters []json.RawMessage) error {
	rows := [][]string{{"ID", "CONSUMER", "SUBJECT", "FAILED AT", "ATTEMPTS", "REASON"}}
	for _, text := range letters {
		var l deadLetter
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("the server does not answer as a node of Spate does: %w", err)
		}
		subject, _, err := client.SubjectOf(l.Event)
		if err != nil {
			return err
		}
		rows = append(rows, []string{l.ID, l.Consumer, subject, moment(l.FailedAt), number(l.Attempts), shortened(l.Reason)})
	}
	return table(w, rows)
}

// shortened is the first line of a text, or a part of it.
func shortened(text string) string {
	const most = 80
	line, _, more := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	if more {
		line += " …"
	}
	return line
}

func (r *remote) deadShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a dead letter, its reason, its stack and its event", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var l deadLetter
			return r.get(cmd, client.Request{Method: http.MethodGet, Path: []string{"dead", args[0]}}, &l, func(w io.Writer) error {
				subject, _, err := client.SubjectOf(l.Event)
				if err != nil {
					return err
				}
				err = facts(w, "id", l.ID, "consumer", l.Consumer, "failed at", moment(l.FailedAt), "attempts", number(l.Attempts), "reason", l.Reason,
					"subject", subject, "from", fmt.Sprintf("stream %s, partition %d, offset %d", l.Stream, l.Partition, l.Offset))
				if err != nil {
					return err
				}
				if l.Stack != "" {
					var lines []string
					for line := range strings.SplitSeq(strings.TrimSpace(l.Stack), "\n") {
						lines = append(lines, "  "+safe(strings.ReplaceAll(line, "\t", "    ")))
					}
					fmt.Fprintf(w, "stack\n%s\n", strings.Join(lines, "\n"))
				}
				var indented bytes.Buffer
				if err := json.Indent(&indented, l.Event, "  ", "  "); err != nil {
					return err
				}
				_, err = fmt.Fprintf(w, "event\n  %s\n", indented.Bytes())
				return err
			})
		},
	}
}

// deadSome is a command that does something with dead letters: with some, with all of a consumer, or with all.
func (r *remote) deadSome(name, short, done string) *cobra.Command {
	var of string
	var all bool
	cmd := &cobra.Command{
		Use: name + " [ID…]", Short: short,
		Example: fmt.Sprintf("  spate dead %s 17 18\n  spate dead %s --consumer billing\n  spate dead %s --all", name, name, name),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if len(args) > 0 {
				body["ids"] = args
			}
			if of != "" {
				body["consumer"] = of
			}
			if all {
				body["all"] = true
			}
			if len(body) != 1 {
				return errors.New("say which dead letters: their IDs, or --consumer NAME, or --all")
			}
			var answer map[string]int
			return r.get(cmd, client.Request{Method: http.MethodPost, Path: []string{"dead", name}, Body: body}, &answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s %s\n", done, plural(answer[done], "dead letter", "dead letters"))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&of, "consumer", "", "all of the consumer `NAME`")
	cmd.Flags().BoolVar(&all, "all", false, "all of all consumers")
	return cmd
}
