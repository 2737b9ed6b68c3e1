package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/client"
)

// sessionInfo is what a node says about the session of an MQTT client.
type sessionInfo struct {
	Client        string    `json:"client"`
	User          string    `json:"user"`
	Connected     bool      `json:"connected"`
	Address       string    `json:"address"`
	Version       string    `json:"version"`
	Since         time.Time `json:"since"`
	Expiry        *uint32   `json:"expiry"`
	Subscriptions int       `json:"subscriptions"`
	Queued        int       `json:"queued"`
	Inflight      int       `json:"inflight"`
	Filters       []struct {
		Filter            string `json:"filter"`
		QoS               int    `json:"qos"`
		NoLocal           bool   `json:"no_local"`
		RetainAsPublished bool   `json:"retain_as_published"`
		ID                uint32 `json:"id"`
	} `json:"filters"`
}

func newSessionCommand() *cobra.Command {
	r := &remote{}
	cmd := &cobra.Command{
		Use:   "session",
		Short: "List, look at and end the sessions of MQTT clients",
		Long: `A session is what the node keeps of an MQTT client: its subscriptions and the messages that
wait for it. It may outlive the connection.`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	r.add(cmd)
	cmd.AddCommand(r.sessionList(), r.sessionShow(), r.sessionRemove())
	return cmd
}

// state is one word for whether the client is there.
func (s *sessionInfo) state() string {
	if s.Connected {
		return "connected"
	}
	return "away"
}

// expiry is when the session of a client that is away ends, and otherwise how long it outlives its connection.
func (s *sessionInfo) expiry() string {
	switch {
	case s.Expiry == nil:
		return "never"
	case *s.Expiry == 0:
		return "with its connection"
	}
	lasts := time.Duration(*s.Expiry) * time.Second
	if !s.Connected && !s.Since.IsZero() {
		return "at " + moment(s.Since.Add(lasts))
	}
	return "after " + lasts.String()
}

func (r *remote) sessionList() *cobra.Command {
	var connected, away bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List the sessions", Args: exactly(0),
		Long: `List the sessions. EXPIRES is how long a session outlives the connection that it has, or, of a client
that is away, when it ends.`,
		Example: "  spate session ls --away",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			switch {
			case connected && away:
				return errors.New("--connected and --away exclude each other: give one of them, or none for all sessions")
			case connected:
				q.Set("connected", "true")
			case away:
				q.Set("connected", "false")
			}
			head := []string{"CLIENT", "USER", "STATE", "SINCE", "EXPIRES", "SUBSCRIPTIONS", "QUEUED", "IN FLIGHT", "ADDRESS"}
			return list(r, cmd, "sessions", q, head, func(s *sessionInfo) []string {
				return []string{
					s.Client, s.User, s.state(), seen(s.Since), s.expiry(), number(s.Subscriptions), number(s.Queued), number(s.Inflight), s.Address,
				}
			})
		},
	}
	cmd.Flags().BoolVar(&connected, "connected", false, "only those whose clients are connected")
	cmd.Flags().BoolVar(&away, "away", false, "only those whose clients are not")
	return cmd
}

// print shows one session and its subscriptions.
func (s *sessionInfo) print(w io.Writer) error {
	err := facts(w, "client", s.Client, "user", s.User, "state", s.state(), "since", seen(s.Since), "address", s.Address, "version", s.Version, "expires", s.expiry(),
		"queued", number(s.Queued), "in flight", number(s.Inflight))
	if err != nil || len(s.Filters) == 0 {
		return err
	}
	fmt.Fprintln(w)
	rows := [][]string{{"SUBSCRIPTION", "QOS", "OPTIONS"}}
	for _, f := range s.Filters {
		var options []string
		if f.NoLocal {
			options = append(options, "no-local")
		}
		if f.RetainAsPublished {
			options = append(options, "retain-as-published")
		}
		if f.ID != 0 {
			options = append(options, fmt.Sprintf("id=%d", f.ID))
		}
		rows = append(rows, []string{f.Filter, number(f.QoS), strings.Join(options, " ")})
	}
	return table(w, rows)
}

func (r *remote) sessionShow() *cobra.Command {
	return &cobra.Command{
		Use: "show CLIENT", Short: "Show the session of a client and its subscriptions", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var s sessionInfo
			return r.get(cmd, client.Request{Method: http.MethodGet, Path: []string{"sessions", args[0]}}, &s, s.print)
		},
	}
}

func (r *remote) sessionRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm CLIENT…", Short: "End the sessions of clients, and forget what waits for them",
		Long: `End the sessions of clients. A client that is connected is disconnected and its will is published;
what waits for it is forgotten. It may connect again, to a new session: to keep it out, take its
user away. It goes on after a session that it cannot end, and fails in the end.`,
		Args: arguments(1, unbounded),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.call(cmd, func(ctx context.Context, c *client.Client) error {
				var errs []error
				for _, id := range args {
					request := client.Request{Method: http.MethodDelete, Path: []string{"sessions", id}}
					if err := patiently(cmd, func() error { return c.Do(ctx, request, nil) }); err != nil {
						errs = append(errs, err)
					} else if !r.json {
						fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", safe(id))
					}
				}
				return errors.Join(errs...)
			})
		},
	}
}
