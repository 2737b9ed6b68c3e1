package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/client"
)

func (r *remote) deviceSet() *cobra.Command {
	var reported bool
	var version uint64
	cmd := &cobra.Command{
		Use: "set ID FIELD=VALUE…", Short: "Change what a device should be",
		Long: `Change fields of the desired state of a device, which is told what differs from what it reports.
A FIELD in another is written with a dot. A VALUE that is JSON is taken as such, any other as text;
null removes the field. Instead of fields, one JSON merge patch (RFC 7396) may be given.`,
		Example: `  spate device set fan-7 on=true speed.max=900 mode=quiet
  spate device set fan-7 '{"speed":{"max":null}}' --version 12`,
		Args: arguments(2, unbounded),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := patchOf(args[1:])
			if err != nil {
				return err
			}
			section := "desired"
			if reported {
				section = "reported"
			}
			request := client.Request{Method: http.MethodPatch, Path: []string{"devices", args[0], "state"}, Body: map[string]any{section: patch}}
			if cmd.Flags().Changed("version") {
				request.Header = http.Header{"If-Match": {fmt.Sprintf("%q", number(version))}}
			}
			var text json.RawMessage
			return r.get(cmd, request, &text, func(w io.Writer) error { return printState(w, text, "") })
		},
	}
	cmd.Flags().BoolVar(&reported, "reported", false, "change what it says that it is instead: for tests, and for devices behind something else")
	cmd.Flags().Uint64Var(&version, "version", 0, "only if the state has this `VERSION`")
	return cmd
}

// patchOf makes a merge patch of fields, or of one JSON object.
func patchOf(args []string) (json.RawMessage, error) {
	if len(args) == 1 && strings.HasPrefix(args[0], "{") {
		if !json.Valid([]byte(args[0])) {
			return nil, fmt.Errorf("%.80q is no JSON", args[0])
		}
		return json.RawMessage(args[0]), nil
	}
	patch := map[string]any{}
	for _, arg := range args {
		path, text, ok := strings.Cut(arg, "=")
		if !ok || path == "" {
			return nil, fmt.Errorf("%.80q is no field and value: write it as in on=true, or give one JSON object", arg)
		}
		var value any = text
		if json.Valid([]byte(text)) {
			value = json.RawMessage(text)
		}
		object, names := patch, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			inner, ok := object[name].(map[string]any)
			if object[name] != nil && !ok {
				return nil, fmt.Errorf("%.80q is in a field that is given a value itself", arg)
			}
			if !ok {
				inner = map[string]any{}
				object[name] = inner
			}
			object = inner
		}
		last := names[len(names)-1]
		if _, twice := object[last]; twice {
			return nil, fmt.Errorf("the field %.80q is given twice", path)
		}
		object[last] = value
	}
	return json.Marshal(patch)
}

// callFlags are what `spate device call` is told.
type callFlags struct {
	*remote
	expiry, wait time.Duration
	async        bool
}

// leastWait is the shortest wait of a request that makes sense.
const leastWait = time.Millisecond

func (r *remote) deviceCall() *cobra.Command {
	f := callFlags{remote: r}
	cmd := &cobra.Command{
		Use: "call ID METHOD [PAYLOAD]", Short: "Have a device do something, and print its answer",
		Long: `Give a device a command, wait for its answer, and print that. The command is stored: it is sent
when the device is connected, until it expires. A PAYLOAD that is JSON is said to be so.
It fails when the device says that it did, or when no answer comes in time.`,
		Example: `  spate device call fan-7 spin '{"rpm":900}'
  spate device call fan-7 reboot --expiry 24h --no-wait`,
		Args: arguments(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.async && cmd.Flags().Changed("wait") {
				return errors.New("--wait and --no-wait exclude each other: give one of them")
			}
			if f.wait < leastWait || f.expiry < leastWait {
				return errors.New("--wait and --expiry must be longer than nothing: write them as in 30s; not to wait, say --no-wait")
			}
			return f.run(cmd, args)
		},
	}
	fs := cmd.Flags()
	fs.DurationVar(&f.expiry, "expiry", time.Minute, "give the command up after this time")
	fs.DurationVar(&f.wait, "wait", 30*time.Second, "wait for the answer for so long; 1m at most")
	fs.BoolVar(&f.async, "no-wait", false, "print the identifier of the command as soon as it is stored")
	return cmd
}

func (f *callFlags) run(cmd *cobra.Command, args []string) error {
	body := map[string]any{"method": args[1], "expiry": f.expiry.String()}
	if !f.async {
		body["wait"] = f.wait.String()
	}
	if len(args) == 3 {
		if payload := []byte(args[2]); json.Valid(payload) {
			body["payload"] = json.RawMessage(payload)
		} else {
			body["payload_base64"] = payload
		}
	}
	return f.call(cmd, func(ctx context.Context, c *client.Client) error {
		var text json.RawMessage
		request := client.Request{Method: http.MethodPost, Path: []string{"devices", args[0], "commands"}, Body: body}
		if err := patiently(cmd, func() error { return c.Do(ctx, request, &text) }); err != nil {
			return err
		}
		var told commandInfo
		if err := json.Unmarshal(text, &told); err != nil {
			return fmt.Errorf("the server does not answer as a node of Spate does: %w", err)
		}
		if f.json {
			if err := printJSON(cmd.OutOrStdout(), text); err != nil {
				return err
			}
		}
		return f.tell(cmd.OutOrStdout(), &told)
	})
}

// tell prints what became of a command, or returns why there is no answer.
func (f *callFlags) tell(w io.Writer, c *commandInfo) error {
	line := c.ID
	switch c.State {
	case "done":
		line = safe(c.answer())
	case "failed":
		return fmt.Errorf("the command has failed: %s", safe(c.Error))
	case "expired":
		if c.Attempts == 0 {
			return errors.New("the command was given up before it was sent: the device was not connected, had not subscribed to its commands, or had too many to answer")
		}
		return errors.New("the device did not answer in time, and may have done what it was asked for; the command is given up")
	default:
		if !f.async {
			return fmt.Errorf("there is no answer after %v; the command %s is %s and goes on until %s", f.wait, c.ID, c.State, moment(c.Expires))
		}
	}
	if f.json || line == "" {
		return nil
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func (r *remote) deviceWatch() *cobra.Command {
	count := 0
	cmd := &cobra.Command{
		Use: "watch [ID]", Short: "Print what is said to a device, by it and about it, as it comes",
		Long: `Print what is said to a device, by it and about it, or with no ID of all devices, one line for each event:
the device, what it is about, and the data, with tabs between them. Ctrl-C ends it.`,
		Example: "  spate device watch fan-7\n  spate device watch --json | jq .data",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return errors.New("--count must not be negative")
			}
			filter := "$devices/#"
			if len(args) == 1 {
				if args[0] == "" || strings.ContainsAny(args[0], "/+#") {
					return fmt.Errorf("%.80q cannot be the identifier of a device: it is empty, or has one of / + #", args[0])
				}
				filter = "$devices/" + args[0] + "/#"
			}
			return r.watch(cmd, filter, count)
		},
	}
	cmd.Flags().IntVar(&count, "count", 0, "end after `N` events")
	return cmd
}

func (r *remote) watch(cmd *cobra.Command, filter string, count int) error {
	seen := 0
	s := client.Subscription{
		Filter: filter,
		Event: func(text json.RawMessage) error {
			if err := r.printSaid(cmd.OutOrStdout(), text); err != nil {
				return err
			}
			if seen++; seen == count {
				return client.ErrEnough
			}
			return nil
		},
		Note: func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "spate: %s\n", safe(text)) },
	}
	return r.call(cmd, func(ctx context.Context, c *client.Client) error { return c.Subscribe(ctx, s) })
}

// printSaid prints an event of a device.
func (r *remote) printSaid(w io.Writer, text json.RawMessage) error {
	if r.json {
		return printJSON(w, text)
	}
	subject, data, err := client.SubjectOf(text)
	if err != nil {
		return err
	}
	id, about, _ := strings.Cut(strings.TrimPrefix(subject, "$devices/"), "/")
	_, err = fmt.Fprintf(w, "%s\t%s\t%s\n", safe(id), safe(about), safe(string(data)))
	return err
}
