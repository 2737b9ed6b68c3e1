package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/internal/client"
)

// pubFlags are what `spate pub` is told.
type pubFlags struct {
	remote
	key, id string
	headers []string
	lines   bool
}

// maxInput bounds what is read from standard input for one event; a node takes 16 MiB unless it is told otherwise.
const maxInput = 256 << 20

func newPubCommand() *cobra.Command {
	var f pubFlags
	cmd := &cobra.Command{
		Use:   "pub SUBJECT [DATA|-]",
		Short: "Publish an event, or one for each line",
		Long: `Publish DATA on SUBJECT, or what standard input holds if DATA is -, and wait until
it is on disk in every stream that captures it, and delivered to those who listen.

With --lines each line of standard input is an event, in order. The lines that have
come are sent together, at most ` + fmt.Sprint(maxBatch) + ` at a time, so that a fast source does not wait for
the disk with each line.`,
		Example: `  spate pub orders/17 '{"item":"book"}' --key anna
  tail -F access.log | spate pub web/access - --lines`,
		Args: arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.key, "key", "", "`KEY` of the event: the events of one key keep their order")
	fs.StringVar(&f.id, "id", "", "`ID` of the event, a UUID (default a new one); a stream with a dedupe window takes it once")
	fs.StringArrayVar(&f.headers, "header", nil, "`NAME=VALUE`, a header of the event; may be repeated")
	fs.BoolVar(&f.lines, "lines", false, "publish each line of standard input")
	return cmd
}

func (f *pubFlags) run(cmd *cobra.Command, args []string) error {
	subject := args[0]
	if err := event.ValidateSubject(subject, event.Limits{SubjectLength: event.MaxSubjectLength}); err != nil {
		return err
	}
	header, err := f.header()
	if err != nil {
		return err
	}
	if f.lines {
		if len(args) == 2 && args[1] != "-" {
			return errors.New("--lines publishes the lines of standard input: leave the data out")
		}
		if f.id != "" {
			return errors.New("--lines publishes many events, and --id names one: leave one of them out")
		}
		return f.publishLines(cmd, subject)
	}
	var data []byte
	if len(args) == 2 {
		data = []byte(args[1])
	}
	if len(args) == 2 && args[1] == "-" {
		if data, err = readInput(cmd.InOrStdin()); err != nil {
			return err
		}
	}
	if data == nil {
		data = []byte{}
	}
	var done published
	r := client.Request{Method: http.MethodPost, Path: []string{"publish", subject}, Header: header, Body: data}
	return f.get(cmd, r, &done, func(w io.Writer) error { return done.print(w) })
}

// header makes the headers of the request.
func (f *pubFlags) header() (http.Header, error) {
	h := http.Header{}
	set := func(flag, name, value string) error {
		if !httpguts.ValidHeaderFieldValue(value) || strings.TrimSpace(value) != value {
			return fmt.Errorf("--%s: %q has characters that a header cannot have", flag, value)
		}
		h.Add(name, value)
		return nil
	}
	for _, text := range f.headers {
		name, value, ok := strings.Cut(text, "=")
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("--header: %q is not NAME=VALUE, with a name of letters, digits and dashes", text)
		}
		field := "Spate-Header-" + name
		if strings.EqualFold(name, "content-type") {
			field = "Content-Type"
		}
		if err := set("header", field, value); err != nil {
			return nil, err
		}
	}
	if f.key != "" {
		if err := set("key", "Spate-Key", f.key); err != nil {
			return nil, err
		}
	}
	if f.id == "" {
		return h, nil
	}
	if _, err := event.ParseID(f.id); err != nil {
		return nil, fmt.Errorf("--id: %w", err)
	}
	return h, set("id", "Spate-Id", f.id)
}

func readInput(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading standard input: %w", err)
	case len(data) > maxInput:
		return nil, fmt.Errorf("standard input has more than %d bytes, which is too much for one event", maxInput)
	}
	return data, nil
}

// published is what a node answers to a publisher.
type published struct {
	ID        string   `json:"id"`
	Subject   string   `json:"subject"`
	Streams   []string `json:"streams"`
	Receivers int      `json:"receivers"`

	Duplicates []place `json:"duplicates"`
}

// place is where an event is.
type place struct {
	Stream    string `json:"stream"`
	Partition int    `json:"partition"`
	Offset    uint64 `json:"offset"`
}

func (p *published) print(w io.Writer) error {
	known := map[string]bool{}
	var already []string
	for _, d := range p.Duplicates {
		known[d.Stream] = true
		already = append(already, fmt.Sprintf("%s (partition %d, offset %d)", d.Stream, d.Partition, d.Offset))
	}
	stored := slices.DeleteFunc(slices.Clone(p.Streams), func(name string) bool { return known[name] })
	var parts []string
	if len(stored) > 0 {
		parts = append(parts, "stored in "+strings.Join(stored, ", "))
	}
	if len(already) > 0 {
		parts = append(parts, "already in "+strings.Join(already, ", "))
	}
	kept := cmp.Or(strings.Join(parts, ", "), "kept by no stream")
	_, err := fmt.Fprintf(w, "%s  %s, %s\n", p.ID, safe(kept), plural(p.Receivers, "receiver", "receivers"))
	return err
}

// publishLines publishes the lines of standard input. A signal ends it at once, since reading cannot be interrupted; what was sent is
// published by then, or not at all.
func (f *pubFlags) publishLines(cmd *cobra.Command, subject string) error {
	status := newStatus(cmd.ErrOrStderr())
	c, err := f.open()
	if err != nil {
		return err
	}
	defer c.Close()
	total := lineTotals{}
	err = total.publish(cmd.Context(), c, f.template(subject), cmd.InOrStdin(), status)
	status.clear()
	if err != nil {
		return failed{fmt.Errorf("%w (before it, %s)", err, plural(total.Events, "line was published", "lines were published"))}
	}
	if f.json {
		text, err := json.Marshal(total)
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), text)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s on %s\n", plural(total.Events, "event", "events"), safe(subject))
	return err
}
