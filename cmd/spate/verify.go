package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/client"
	"github.com/spate-io/spate/store"
)

// corruptPlace is what cannot be read.
type corruptPlace struct {
	Stream    string `json:"stream"`
	Partition int    `json:"partition"`
	Offset    uint64 `json:"offset"`
	Records   uint64 `json:"records"`
	Reason    string `json:"reason"`
}

// verification is one run of `spate verify`.
type verification struct {
	cmd     *cobra.Command
	json    bool
	status  *progress
	Records uint64 `json:"records"`
	Corrupt uint64 `json:"corrupt"` // places
}

func newVerifyCommand() *cobra.Command {
	var r remote
	var data string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read every stored record and report what is corrupt",
		Long: `Read every stored record, check its checksum, and print a line for each place that
cannot be read: the stream, the partition, the offset, and how many records from
there on are affected. The exit code is 1 if there is any.

A node that runs verifies what it holds in memory there; with --data, the data
directory of a node that does not run is read from the disk.`,
		Example: "  spate verify\n  spate verify --data spate-data",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneSource(cmd, data); err != nil {
				return err
			}
			v := &verification{cmd: cmd, json: r.json, status: newStatus(cmd.ErrOrStderr())}
			if data != "" {
				ctx, stop := interruptible(cmd.Context())
				defer stop()
				return v.outcome(ctx, v.data(ctx, data))
			}
			return r.call(cmd, func(ctx context.Context, c *client.Client) error { return v.outcome(ctx, v.node(ctx, c)) })
		},
	}
	r.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "read this `DIRECTORY` instead of asking a node")
	return cmd
}

// data verifies a data directory.
func (v *verification) data(ctx context.Context, data string) (err error) {
	s, err := openData(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var broken error
	v.Records, err = store.Verify(ctx, s, func(e *store.CorruptError) {
		broken = errors.Join(broken, v.found(corruptPlace{e.Stream, e.Number, e.Offset, e.Records, e.Err.Error()}))
	}, v.show)
	return errors.Join(err, broken)
}

func (v *verification) show(records uint64) {
	v.status.show(func() string { return plural(records, "record", "records") + " read" })
}

// found prints a corrupt place.
func (v *verification) found(c corruptPlace) error {
	v.Corrupt++
	v.status.clear()
	if v.json {
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		return printJSON(v.cmd.OutOrStdout(), text)
	}
	return c.print(v.cmd.OutOrStdout())
}

func (c *corruptPlace) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "stream %s, partition %d, offset %d, %s: %s\n",
		safe(c.Stream), c.Partition, c.Offset, plural(c.Records, "record", "records"), safe(c.Reason))
	return err
}

// node has a node verify what it stores.
func (v *verification) node(ctx context.Context, c *client.Client) error {
	done := false
	err := c.Read(ctx, client.Request{Method: http.MethodGet, Path: []string{"verify"}}, func(from io.Reader) (err error) {
		done, err = v.lines(from)
		return err
	})
	if err == nil && !done {
		err = errors.New("the node ended before it had read everything; its log says why")
	}
	return err
}

// lines reads what a node has found, and tells whether it was all.
func (v *verification) lines(from io.Reader) (done bool, err error) {
	lines := json.NewDecoder(bufio.NewReader(from))
	for {
		var f struct {
			Records uint64        `json:"records"`
			Corrupt *corruptPlace `json:"corrupt"`
			Done    bool          `json:"done"`
		}
		if err := lines.Decode(&f); err == io.EOF {
			return done, nil
		} else if err != nil {
			return done, err
		}
		v.Records, done = f.Records, done || f.Done
		v.show(f.Records)
		if f.Corrupt != nil {
			if err := v.found(*f.Corrupt); err != nil {
				return done, err
			}
		}
	}
}

// outcome says what came of it.
func (v *verification) outcome(ctx context.Context, err error) error {
	v.status.clear()
	switch {
	case err != nil:
		return failure(ctx, err)
	case v.Corrupt > 0:
		return failed{fmt.Errorf("%s cannot be read; %s are good. Restore a backup, or make one without them with spate backup --skip-damaged; spate stream read --skip-corrupt reads on",
			plural(v.Corrupt, "place", "places"), plural(v.Records, "record", "records"))}
	case v.json:
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return printJSON(v.cmd.OutOrStdout(), text)
	}
	_, err = fmt.Fprintf(v.cmd.OutOrStdout(), "%s, all good\n", plural(v.Records, "record", "records"))
	return err
}
