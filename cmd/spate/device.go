package main

import (
	"context"
	"encoding/json"
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

// deviceInfo is what a node says about a device.
type deviceInfo struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Tags      []string  `json:"tags"`
	Declared  bool      `json:"declared"`
	Online    bool      `json:"online"`
	Absent    bool      `json:"absent"`
	Epoch     uint64    `json:"epoch"`
	Address   string    `json:"address"`
	Protocol  string    `json:"protocol"`
	User      string    `json:"user"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
}

func newDeviceCommand() *cobra.Command {
	r := &remote{}
	cmd := &cobra.Command{
		Use:   "device",
		Short: "List, look at, declare and command devices",
		Long: `A device is a client with an identifier of its own. The node knows which there are and whether
they are connected, what each should be and says that it is, and what it was asked to do.`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	r.add(cmd)
	cmd.AddCommand(r.deviceList(), r.deviceShow(), r.deviceSet(), r.deviceCall(), r.deviceWatch(), r.deviceDeclare(), r.deviceRemove())
	return cmd
}

// state says in a few words how a device is.
func (d *deviceInfo) state() string {
	state := "offline"
	switch {
	case d.Online:
		state = "online"
	case d.LastSeen.IsZero():
		state = "never seen"
	}
	if d.Absent {
		state += ", absent"
	}
	return state
}

// seen is a time that may be missing.
func seen(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return moment(t)
}

// noneSeen says why there may be devices where none is listed.
const noneSeen = "spate: only devices are listed whose presence you may subscribe to; to see all, a role needs $devices/# in subscribe, which # does not cover"

func (r *remote) deviceList() *cobra.Command {
	var kind string
	var tags []string
	var online, offline, absent bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List the devices", Args: exactly(0),
		Example: "  spate device ls --type fan --tag hall --online",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			switch {
			case online && offline:
				return errors.New("--online and --offline exclude each other: give one of them, or none for all devices")
			case online:
				q.Set("online", "true")
			case offline:
				q.Set("online", "false")
			}
			if absent {
				q.Set("absent", "true")
			}
			if kind != "" {
				q.Set("type", kind)
			}
			if len(tags) > 0 {
				q.Set("tags", strings.Join(tags, ","))
			}
			found := false
			err := list(r, cmd, "devices", q, []string{"ID", "TYPE", "TAGS", "STATE", "LAST SEEN", "ADDRESS"}, func(d *deviceInfo) []string {
				found = true
				return []string{d.ID, d.Type, strings.Join(d.Tags, " "), d.state(), seen(d.LastSeen), d.Address}
			})
			if err == nil && !found && (r.user != "" || r.tokenFile != "") { // who need not say who they are see everything
				fmt.Fprintln(cmd.ErrOrStderr(), noneSeen)
			}
			return err
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&kind, "type", "", "only those of this `TYPE`")
	fs.StringArrayVar(&tags, "tag", nil, "only those with this `TAG`; may be repeated")
	fs.BoolVar(&online, "online", false, "only those that are connected")
	fs.BoolVar(&offline, "offline", false, "only those that are not")
	fs.BoolVar(&absent, "absent", false, "only those of which nothing was heard for longer than a rule allows")
	return cmd
}

// print shows one device.
func (d *deviceInfo) print(w io.Writer) error {
	declared := "no"
	if d.Declared {
		declared = "yes"
	}
	epoch := ""
	if !d.FirstSeen.IsZero() {
		epoch = number(d.Epoch)
	}
	return facts(w, "id", d.ID, "type", d.Type, "tags", strings.Join(d.Tags, " "), "state", d.state(), "declared", declared, "epoch", epoch,
		"address", d.Address, "protocol", d.Protocol, "user", d.User, "first seen", seen(d.FirstSeen), "last seen", seen(d.LastSeen))
}

func (r *remote) deviceShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a device, its state and its commands", Args: exactly(1),
		Long: "Show a device, what it should be and what it says that it is, and its commands, as far as you may see them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.call(cmd, func(ctx context.Context, c *client.Client) error {
				return r.showDevice(ctx, cmd.OutOrStdout(), c, args[0])
			})
		},
	}
}

// showDevice prints what there is to see of a device.
func (r *remote) showDevice(ctx context.Context, w io.Writer, c *client.Client, id string) error {
	var of struct {
		Device   json.RawMessage `json:"device"`
		State    json.RawMessage `json:"state,omitempty"`
		Commands json.RawMessage `json:"commands,omitempty"`
	}
	for _, part := range []struct {
		into *json.RawMessage
		path []string
	}{{&of.Device, nil}, {&of.State, []string{"state"}}, {&of.Commands, []string{"commands"}}} {
		err := c.Do(ctx, client.Request{Method: http.MethodGet, Path: append([]string{"devices", id}, part.path...)}, part.into)
		if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusForbidden && part.path != nil {
			continue // it is not for everybody who may see the device
		}
		if err != nil {
			return err
		}
	}
	if r.json {
		text, err := json.Marshal(of)
		if err != nil {
			return err
		}
		return printJSON(w, text)
	}
	var d deviceInfo
	if err := json.Unmarshal(of.Device, &d); err != nil {
		return fmt.Errorf("the server does not answer as a node of Spate does: %w", err)
	}
	if err := d.print(w); err != nil {
		return err
	}
	return errors.Join(printState(w, of.State, "\n"), printCommands(w, of.Commands))
}

// printState shows a state, if there is one, after something else.
func printState(w io.Writer, text json.RawMessage, before string) error {
	var s struct {
		Desired  json.RawMessage `json:"desired"`
		Reported json.RawMessage `json:"reported"`
		Delta    json.RawMessage `json:"delta"`
		Version  uint64          `json:"version"`
	}
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Version == 0 {
		return err
	}
	fmt.Fprint(w, before)
	return facts(w, "version", number(s.Version), "desired", string(s.Desired), "reported", string(s.Reported), "delta", string(s.Delta))
}

// commandInfo is what a node says about a command.
type commandInfo struct {
	ID        string          `json:"id"`
	Method    string          `json:"method"`
	State     string          `json:"state"`
	Attempts  int             `json:"attempts"`
	Created   time.Time       `json:"created"`
	Expires   time.Time       `json:"expires"`
	Response  json.RawMessage `json:"response"`
	Base64    []byte          `json:"response_base64"`
	Error     string          `json:"error"`
	Delivered time.Time       `json:"delivered"`
}

// answer is what the device has answered, as it is.
func (c *commandInfo) answer() string {
	if c.Response != nil {
		return string(c.Response)
	}
	return string(c.Base64)
}

// printCommands shows commands, if there are any.
func printCommands(w io.Writer, text json.RawMessage) error {
	var of struct {
		Commands []commandInfo `json:"commands"`
	}
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, &of); err != nil || len(of.Commands) == 0 {
		return err
	}
	fmt.Fprintln(w)
	rows := [][]string{{"COMMAND", "METHOD", "STATE", "CREATED", "ATTEMPTS", "ANSWER"}}
	for _, c := range of.Commands {
		answer := c.answer()
		if c.Error != "" {
			answer = c.Error
		}
		rows = append(rows, []string{c.ID, c.Method, c.State, moment(c.Created), number(c.Attempts), answer})
	}
	return table(w, rows)
}

func (r *remote) deviceDeclare() *cobra.Command {
	var kind string
	var tags []string
	cmd := &cobra.Command{
		Use: "declare ID", Short: "Make a device known, or change its type and its tags", Args: exactly(1),
		Example: "  spate device declare fan-7 --type fan --tag hall --tag north",
		RunE: func(cmd *cobra.Command, args []string) error {
			var d deviceInfo
			body := map[string]any{"type": kind, "tags": tags}
			return r.get(cmd, client.Request{Method: http.MethodPut, Path: []string{"devices", args[0]}, Body: body}, &d, d.print)
		},
	}
	cmd.Flags().StringVar(&kind, "type", "", "its `TYPE`")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "a `TAG`; may be repeated")
	return cmd
}

func (r *remote) deviceRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm ID", Short: "Forget a device that is not connected, its state and its commands", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := client.Request{Method: http.MethodDelete, Path: []string{"devices", args[0]}}
			return r.get(cmd, request, nil, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "removed %s\n", safe(args[0]))
				return err
			})
		},
	}
}
