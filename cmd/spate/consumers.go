package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/internal/client"
	"github.com/spate-io/spate/stream"
)

func newConsumerCommand() *cobra.Command {
	r := &remote{}
	cmd := &cobra.Command{
		Use:   "consumer",
		Short: "List, look at, pause, resume, reset and remove consumers",
		Long:  "A consumer is a handler with a place in a stream, which is kept on disk.",
		Args:  noCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	r.add(cmd)
	cmd.AddCommand(
		r.consumerList(), r.onConsumer("info", "Show a consumer and where it stands", http.MethodGet),
		r.onConsumer("pause", "Stop a consumer until it is resumed; what it is at is finished", http.MethodPost, "pause"),
		r.consumerResume(), r.consumerReset(), r.consumerRemove(),
	)
	return cmd
}

func (r *remote) consumerList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the consumers", Args: exactly(0),
		Long: `List the consumers. HANDLED and DEAD count since the node has started; what is dead
now is listed by spate dead ls. REDRIVEN is how many dead letters were given to it
again and are not handled yet.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all struct {
				Consumers []consumer.Info `json:"consumers"`
			}
			return r.get(cmd, client.Request{Method: http.MethodGet, Path: []string{"consumers"}}, &all, func(w io.Writer) error {
				rows := [][]string{{"NAME", "STREAM", "FILTER", "STATE", "LAG", "REDRIVEN", "HANDLED", "DEAD"}}
				for _, c := range all.Consumers {
					rows = append(rows, []string{
						c.Name, c.Stream, c.Filter, consumerState(&c), number(c.Lag), number(c.Redriven), number(c.Counters.Handled), number(c.Counters.Dead),
					})
				}
				return table(w, rows)
			})
		},
	}
}

// consumerState is one word.
func consumerState(c *consumer.Info) string {
	switch {
	case c.Paused:
		return "paused"
	case c.Error != "":
		return "failing"
	case c.Running:
		return "running"
	}
	return "stopped"
}

func printConsumer(w io.Writer, c *consumer.Info) error {
	n := &c.Counters
	err := facts(w, "name", c.Name, "stream", c.Stream, "filter", c.Filter, "state", consumerState(c), "error", c.Error, "lag", number(c.Lag),
		"redriven", number(c.Redriven), "handled", number(n.Handled), "skipped", number(n.Skipped), "retried", number(n.Retried), "dead", number(n.Dead),
		"missed", number(n.Missed), "corrupt", number(n.Corrupt))
	if err != nil {
		return err
	}
	rows := [][]string{{"PARTITION", "CURSOR", "END", "LAG", "IN FLIGHT", "HELD"}}
	for _, p := range c.Partitions {
		rows = append(rows, []string{number(p.Partition), number(p.Cursor), number(p.End), number(p.Lag), number(p.InFlight), number(p.Held)})
	}
	fmt.Fprintln(w)
	return table(w, rows)
}

// onConsumer is a command that does something with one consumer and shows it.
func (r *remote) onConsumer(name, short, method string, path ...string) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short, Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.showConsumer(cmd, client.Request{Method: method, Path: append([]string{"consumers", args[0]}, path...)})
		},
	}
}

func (r *remote) showConsumer(cmd *cobra.Command, request client.Request) error {
	var info consumer.Info
	return r.get(cmd, request, &info, func(w io.Writer) error { return printConsumer(w, &info) })
}

func (r *remote) consumerResume() *cobra.Command {
	return &cobra.Command{
		Use: "resume NAME", Short: "Let a consumer go on", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.call(cmd, func(ctx context.Context, c *client.Client) error {
				path := []string{"consumers", args[0]}
				if err := c.Do(ctx, client.Request{Method: http.MethodPost, Path: append(path, "resume")}, nil); err != nil {
					return err
				}
				text, info, err := started(ctx, c, path)
				if err != nil {
					return err
				}
				if r.json {
					return printJSON(cmd.OutOrStdout(), text)
				}
				return printConsumer(cmd.OutOrStdout(), &info)
			})
		},
	}
}

// started returns how a consumer is once it runs, or cannot, or has had the time for it: it begins by itself, soon after it was told to.
func started(ctx context.Context, c *client.Client, path []string) (text json.RawMessage, info consumer.Info, err error) {
	const patience, pause = 2 * time.Second, 20 * time.Millisecond
	for since := time.Now(); ; {
		if err = c.Do(ctx, client.Request{Method: http.MethodGet, Path: path}, &text); err == nil {
			info = consumer.Info{}
			err = json.Unmarshal(text, &info)
		}
		if err != nil || consumerState(&info) != "stopped" || time.Since(since) > patience {
			return text, info, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return text, info, ctx.Err()
		}
	}
}

func (r *remote) consumerReset() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "reset NAME --to PLACE", Short: "Move a consumer to a place of its stream",
		Long: `Move a consumer to a place of its stream, in every partition. What it handles again
it publishes again; its state stays as it is.`,
		Example: "  spate consumer reset billing --to -2h",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" {
				return errors.New("say where to: --to is beginning, end, an offset, a time, or -1h for an hour ago")
			}
			if _, err := stream.ParseFrom(from, time.Now()); err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			return r.showConsumer(cmd, client.Request{
				Method: http.MethodPost, Path: []string{"consumers", args[0], "reset"}, Body: map[string]string{"from": from},
			})
		},
	}
	cmd.Flags().StringVar(&from, "to", "", "`PLACE`: beginning, end, an offset, a time, or -1h for an hour ago")
	return cmd
}

func (r *remote) consumerRemove() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm NAME", Short: "Forget a consumer, its place and its state",
		Long: `Forget a consumer, its place, its state and what was redriven to it. Its dead letters
stay. When its handler is in the node, running or paused, this says so and removes
it only with --force: nothing would handle its events until the node starts again,
and then the handler begins anew.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := client.Request{Method: http.MethodDelete, Path: []string{"consumers", args[0]}}
			if force {
				request.Query = url.Values{"force": {"true"}}
			}
			return r.call(cmd, func(ctx context.Context, c *client.Client) error {
				err := patiently(cmd, func() error { return c.Do(ctx, request, nil) })
				if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusConflict && !force {
					return fmt.Errorf("%w (--force)", err)
				}
				if err != nil || r.json {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", safe(args[0]))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also when its handler is in the node, and off from then on")
	return cmd
}
