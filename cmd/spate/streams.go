package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/internal/client"
	"github.com/spate-io/spate/stream"
)

// streamInfo is what a node says about a stream.
type streamInfo struct {
	ID         event.ID      `json:"id"`
	Config     stream.Config `json:"config"`
	Events     uint64        `json:"events"`
	Bytes      uint64        `json:"bytes"`
	Partitions []struct {
		Partition int    `json:"partition"`
		First     uint64 `json:"first"`
		Next      uint64 `json:"next"`
		Events    uint64 `json:"events"`
		Bytes     uint64 `json:"bytes"`
	} `json:"partitions"`
}

func newStreamCommand() *cobra.Command {
	r := &remote{}
	cmd := &cobra.Command{
		Use:   "stream",
		Short: "List, make, change, look at, read, trim and remove streams",
		Long:  "A stream keeps, in order and on disk, what is published on the subjects that it captures.",
		Args:  noCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	r.add(cmd)
	cmd.AddCommand(r.streamList(), r.streamCreate(), r.streamUpdate(), r.streamInfo(), r.streamRead(), r.streamTrim(), r.streamRemove())
	return cmd
}

func (r *remote) streamList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the streams", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.call(cmd, func(ctx context.Context, c *client.Client) error {
				status := newStatus(cmd.ErrOrStderr())
				all, err := listStreams(ctx, c, status)
				status.clear()
				if err != nil {
					return err
				}
				if r.json {
					text, err := json.Marshal(map[string][]streamInfo{"streams": all})
					if err != nil {
						return err
					}
					return printJSON(cmd.OutOrStdout(), text)
				}
				rows := [][]string{{"NAME", "SUBJECTS", "PARTITIONS", "EVENTS", "SIZE"}}
				for _, s := range all {
					rows = append(rows, []string{
						s.Config.Name, strings.Join(s.Config.Subjects, " "), number(s.Config.Partitions), number(s.Events), size(s.Bytes),
					})
				}
				return table(cmd.OutOrStdout(), rows)
			})
		},
	}
}

// listStreams asks for the names, and then for what each holds.
func listStreams(ctx context.Context, c *client.Client, status *progress) ([]streamInfo, error) {
	all := []streamInfo{}
	for after := ""; ; {
		var page struct {
			Streams []stream.Config `json:"streams"`
			After   string          `json:"after"`
		}
		r := client.Request{Method: http.MethodGet, Path: []string{"streams"}}
		if after != "" {
			r.Query = url.Values{"after": {after}}
		}
		if err := c.Do(ctx, r, &page); err != nil {
			return nil, err
		}
		for _, s := range page.Streams {
			var info streamInfo
			err := c.Do(ctx, client.Request{Method: http.MethodGet, Path: []string{"streams", s.Name}}, &info)
			var p *client.Problem
			if errors.As(err, &p) && p.Status == http.StatusNotFound {
				continue // it was removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			all = append(all, info)
			status.show(func() string { return plural(len(all), "stream", "streams") })
		}
		if after = page.After; after == "" {
			return all, nil
		}
	}
}

// print shows one stream.
func (s *streamInfo) print(w io.Writer) error {
	c := &s.Config
	duration := func(d stream.Duration) string {
		if d == 0 {
			return ""
		}
		text, err := d.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	}
	err := facts(w, "name", c.Name, "id", s.ID.String(), "subjects", strings.Join(c.Subjects, " "), "key", c.Key, "durability", c.Durability,
		"max age", duration(c.MaxAge), "max bytes", limit(c.MaxBytes), "max events", limit(c.MaxEvents), "max event bytes", limit(c.MaxEventBytes),
		"dedupe", duration(c.Dedupe), "events", number(s.Events), "size", size(s.Bytes))
	if err != nil {
		return err
	}
	rows := [][]string{{"PARTITION", "FIRST", "NEXT", "EVENTS", "SIZE"}}
	for _, p := range s.Partitions {
		rows = append(rows, []string{number(p.Partition), number(p.First), number(p.Next), number(p.Events), size(p.Bytes)})
	}
	fmt.Fprintln(w)
	return table(w, rows)
}

func (r *remote) streamInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info NAME", Short: "Show a stream and what it holds", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var info streamInfo
			return r.get(cmd, client.Request{Method: http.MethodGet, Path: []string{"streams", args[0]}}, &info, info.print)
		},
	}
}

// streamSettings are the flags of create and update and the fields that they set.
var streamSettings = map[string]string{
	"key": "key", "max-age": "max_age", "max-bytes": "max_bytes", "max-events": "max_events", "max-event-bytes": "max_event_bytes",
	"dedupe": "dedupe", "durability": "durability", "partitions": "partitions", "subject": "subjects",
}

func addStreamSettings(fs *pflag.FlagSet) {
	fs.String("key", "", "what order is kept by: `KEY` is subject, level:N or header:NAME (default subject)")
	fs.Duration("max-age", 0, "keep events for so long (default for ever)")
	fs.Var(new(byteCount), "max-bytes", "keep so many `BYTES` in each partition, such as 10MiB (default no limit)")
	fs.Int64("max-events", 0, "keep so many `EVENTS` in each partition (default no limit)")
	fs.Var(new(byteCount), "max-event-bytes", "take events of at most so many `BYTES`, such as 64KiB (default what the node takes)")
	fs.Duration("dedupe", 0, "leave out an event whose ID was stored within this time (default none)")
	fs.String("durability", "", "fsync, interval or none: what a loss of power may take (default fsync, nothing)")
}

// streamFields returns the fields that flags set.
func streamFields(fs *pflag.FlagSet) map[string]any {
	fields := map[string]any{}
	fs.Visit(func(f *pflag.Flag) {
		field, ok := streamSettings[f.Name]
		switch {
		case !ok:
		case slices.Contains([]string{"int64", "int", "bytes"}, f.Value.Type()):
			fields[field] = json.Number(f.Value.String())
		case f.Value.Type() == "stringArray":
			if list, ok := f.Value.(pflag.SliceValue); ok {
				fields[field] = list.GetSlice()
			}
		default:
			fields[field] = f.Value.String()
		}
	})
	return fields
}

func (r *remote) streamCreate() *cobra.Command {
	var partitions int
	cmd := &cobra.Command{
		Use: "create NAME FILTER…", Short: "Make a stream that captures the subjects of the filters",
		Example: "  spate stream create orders 'orders/#' --partitions 16 --max-age 720h",
		Args:    arguments(2, unbounded),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("partitions") && partitions < 1 {
				return fmt.Errorf("--partitions must be 1 to %d, not %d", stream.MaxPartitions, partitions)
			}
			fields := streamFields(cmd.Flags())
			fields["name"], fields["subjects"] = args[0], args[1:]
			var info streamInfo
			return r.get(cmd, client.Request{Method: http.MethodPost, Path: []string{"streams"}, Body: fields}, &info, info.print)
		},
	}
	cmd.Flags().IntVar(&partitions, "partitions", 0, "over how many logs it is spread, which cannot be changed (default 8)")
	addStreamSettings(cmd.Flags())
	return cmd
}

func (r *remote) streamUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change what is said of a stream, and nothing else of it",
		Example: "  spate stream update orders --max-age 1440h\n  spate stream update orders --subject 'orders/#' --subject 'returns/#'",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := streamFields(cmd.Flags())
			if len(fields) == 0 {
				return errors.New("say what to change, as in --max-age 24h; see spate stream update --help")
			}
			var info streamInfo
			return r.get(cmd, client.Request{Method: http.MethodPatch, Path: []string{"streams", args[0]}, Body: fields}, &info, info.print)
		},
	}
	cmd.Flags().StringArray("subject", nil, "`FILTER` of what it captures, instead of those that it has; may be repeated")
	addStreamSettings(cmd.Flags())
	return cmd
}

func (r *remote) streamTrim() *cobra.Command {
	var before string
	var partition int
	cmd := &cobra.Command{
		Use: "trim NAME --before PLACE", Short: "Remove the events before a place",
		Example: "  spate stream trim orders --before -24h\n  spate stream trim orders --partition 3 --before 120000",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if before == "" {
				return errors.New("say what to remove: --before is an offset, a time, -1h for what is older than an hour, or end for everything")
			}
			body := map[string]any{"before": before}
			if cmd.Flags().Changed("partition") {
				body["partition"] = partition
			}
			var info streamInfo
			return r.get(cmd, client.Request{Method: http.MethodPost, Path: []string{"streams", args[0], "trim"}, Body: body}, &info, info.print)
		},
	}
	cmd.Flags().StringVar(&before, "before", "", "`PLACE`: an offset, a time, -1h for what is older than an hour, or end for everything")
	cmd.Flags().IntVar(&partition, "partition", 0, "of this partition only (default all)")
	return cmd
}
