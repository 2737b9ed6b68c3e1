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

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/internal/client"
	"github.com/spate-io/spate/stream"
)

// readFlags are what `spate stream read` is told.
type readFlags struct {
	*remote
	name, filter, from string
	partition, count   int
	corrupt            bool
}

// readPage is the largest page that a node gives.
const readPage = 1000

// storedRecord is a record as it is printed for programs.
type storedRecord struct {
	Partition int             `json:"partition"`
	Offset    uint64          `json:"offset"`
	Appended  time.Time       `json:"appended"`
	Event     json.RawMessage `json:"event"`
}

func (r *remote) streamRead() *cobra.Command {
	f := readFlags{remote: r}
	cmd := &cobra.Command{
		Use: "read NAME [FILTER]", Short: "Print what a stream holds, with offsets",
		Long: `Print what a stream holds now from a place on, one partition after the other, and end.
A line is the partition and the offset, when it was stored, the subject, and the data,
with tabs between them and what is not visible escaped. FILTER selects subjects.`,
		Example: `  spate stream read orders --partition 3 --from 120000 --count 20
  spate stream read orders 'orders/7/#' --from -1h --json | jq .offset`,
		Args: arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.name = args[0]; len(args) == 2 {
				f.filter = args[1]
			}
			return f.run(cmd)
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.partition, "partition", 0, "of this `PARTITION` only (default all)")
	fs.StringVar(&f.from, "from", "", "begin at `PLACE`: beginning, end, an offset, a time, or -1h for an hour ago (default beginning)")
	fs.IntVar(&f.count, "count", 0, "end after `N` events (default all)")
	fs.BoolVar(&f.corrupt, "skip-corrupt", false, "go on after records that cannot be read")
	return cmd
}

func (f *readFlags) run(cmd *cobra.Command) error {
	if f.count < 0 {
		return errors.New("--count must not be negative")
	}
	all := !cmd.Flags().Changed("partition")
	if f.partition < 0 {
		return errors.New("--partition must not be negative")
	}
	if f.filter != "" {
		if _, err := event.ParseFilter(f.filter, event.Limits{SubjectLength: event.MaxSubjectLength}); err != nil {
			return err
		}
	}
	if _, err := stream.ParseFrom(f.from, time.Now()); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	return f.call(cmd, func(ctx context.Context, c *client.Client) error {
		first, last := f.partition, f.partition
		if all {
			var info streamInfo
			if err := c.Do(ctx, client.Request{Method: http.MethodGet, Path: []string{"streams", f.name}}, &info); err != nil {
				return err
			}
			first, last = 0, info.Config.Partitions-1
		}
		for seen := 0; first <= last && (f.count == 0 || seen < f.count); first++ {
			n, err := f.read(ctx, cmd, c, first, seen)
			if err != nil {
				return err
			}
			seen += n
		}
		return nil
	})
}

// read prints one partition up to where it ends now, and returns how many events that were.
func (f *readFlags) read(ctx context.Context, cmd *cobra.Command, c *client.Client, partition, seen int) (n int, err error) {
	q := url.Values{"partition": {number(partition)}}
	if f.from != "" {
		q.Set("from", f.from)
	}
	if f.filter != "" {
		q.Set("filter", f.filter)
	}
	if f.corrupt {
		q.Set("corrupt", "skip")
	}
	for at, end := uint64(0), uint64(0); ; {
		limit := readPage
		if f.count > 0 && f.filter == "" {
			limit = min(limit, f.count-seen-n)
		}
		q.Set("limit", number(limit))
		var page struct {
			Events  []storedRecord `json:"events"`
			Next    uint64         `json:"next"`
			End     uint64         `json:"end"`
			Corrupt []uint64       `json:"corrupt"`
		}
		request := client.Request{Method: http.MethodGet, Path: []string{"streams", f.name, "events"}, Query: q}
		if err := patiently(cmd, func() error { return c.Do(ctx, request, &page) }); err != nil {
			return n, err
		}
		for _, offset := range page.Corrupt {
			fmt.Fprintf(cmd.ErrOrStderr(), "spate: offset %d of partition %d cannot be read\n", offset, partition)
		}
		for _, e := range page.Events {
			if f.count > 0 && seen+n == f.count {
				return n, nil
			}
			n++
			e.Partition = partition
			if err := f.print(cmd.OutOrStdout(), &e); err != nil {
				return n, err
			}
		}
		if end == 0 {
			end = page.End
		}
		if page.Next >= end || page.Next == at || f.count > 0 && seen+n == f.count { // or nothing is left up to the end
			return n, nil
		}
		at = page.Next
		q.Del("from")
		q.Set("offset", number(page.Next))
	}
}

func (f *readFlags) print(w io.Writer, e *storedRecord) error {
	if f.json {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return printJSON(w, text)
	}
	subject, data, err := client.SubjectOf(e.Event)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d:%d\t%s\t%s\t%s\n", e.Partition, e.Offset, e.Appended.UTC().Format(time.RFC3339Nano), safe(subject), safe(string(data)))
	return err
}
