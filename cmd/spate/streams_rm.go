package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/internal/client"
)

func (r *remote) streamRemove() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm NAME", Short: "Remove a stream with all that it holds",
		Long: `Remove a stream with all that it holds. Consumers of it lose their place: when there
are any, this says which, and removes it only with --force. They begin anew in
a stream that is created under that name later.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var readers []string
			err := r.call(cmd, func(ctx context.Context, c *client.Client) (err error) {
				if readers, err = consumersOf(ctx, c, args[0]); err == nil && len(readers) > 0 && !force {
					err = fmt.Errorf("%s would lose the place in it: remove it nevertheless with --force", namesOf(readers))
				}
				return err
			})
			if err != nil {
				return err
			}
			query := url.Values{}
			if force {
				query.Set("force", "true")
			}
			return r.get(cmd, client.Request{Method: http.MethodDelete, Path: []string{"streams", args[0]}, Query: query}, nil, func(w io.Writer) error {
				lost := ""
				if len(readers) > 0 {
					lost = "; " + namesOf(readers) + " lost the place"
				}
				_, err := fmt.Fprintf(w, "removed %s%s\n", safe(args[0]), lost)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also when consumers lose their place")
	return cmd
}

// consumersOf returns the consumers that read a stream.
func consumersOf(ctx context.Context, c *client.Client, name string) (readers []string, err error) {
	var all struct {
		Consumers []consumer.Info `json:"consumers"`
	}
	if err := c.Do(ctx, client.Request{Method: http.MethodGet, Path: []string{"consumers"}}, &all); err != nil {
		return nil, err
	}
	for _, one := range all.Consumers {
		if one.Stream == name {
			readers = append(readers, one.Name)
		}
	}
	return readers, nil
}

func namesOf(consumers []string) string {
	noun := "the consumers "
	if len(consumers) == 1 {
		noun = "the consumer "
	}
	return noun + safe(strings.Join(consumers, ", "))
}
