package resp_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp/xstream"
	"github.com/spate-io/spate/store"
)

// blocks returns what stands in docs/redis-streams.md between ```name and ```, in pieces that an empty line divides.
func blocks(t *testing.T, name string) (pieces [][]string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/redis-streams.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n```"+name+"\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("docs/redis-streams.md has no block %q", name)
	}
	for _, piece := range strings.Split(block, "\n\n") {
		pieces = append(pieces, strings.Split(piece, "\n"))
	}
	return pieces
}

// printable writes bytes that are no text as docs/redis-streams.md does.
func printable(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		if c < ' ' || c >= 0x7f {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// TestDocumentedFields does what docs/redis-streams.md says about fields and events, both ways.
func TestDocumentedFields(t *testing.T) {
	o := durable(t)
	s := serve(t, "", o, engine.Limits{})
	c := s.dial()
	for at, piece := range blocks(t, "xadd") {
		// What redis-cli makes of quotes, request takes as Go text, which is the same here.
		args := arguments(t, piece[0])
		c.send(request(args...))
		id := c.reply()
		records, err := o.Bus.Streams().Store().Read(t.Context(), store.Position{Partition: store.Partition{Stream: "k"}, Offset: uint64(at)}, store.ReadOptions{})
		if err != nil || len(records) != 1 {
			t.Fatalf("%s: %s, %d records, %v", piece[0], id, len(records), err)
		}
		e := records[0].Event
		has := []string{piece[0], "  data: " + printable(e.Data)}
		for _, h := range e.Headers {
			has = append(has, "  "+h.Name+": "+h.Value)
		}
		if !slices.Equal(has, piece) {
			t.Errorf("the event is\n%s\ndocumented is\n%s", strings.Join(has, "\n"), strings.Join(piece, "\n"))
		}
		var want strings.Builder
		fmt.Fprintf(&want, "*1\r\n*2\r\n%s*%d\r\n", id, len(args)-3)
		for _, f := range args[3:] {
			fmt.Fprintf(&want, "$%d\r\n%s\r\n", len(f), f)
		}
		c.want("XREVRANGE k + - COUNT 1", want.String())
	}
	e := &event.Event{Subject: "k", Key: "hall", Data: []byte("21.5"), Headers: []event.Header{{Name: "unit", Value: "C"}}}
	if _, err := o.Bus.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	fields := xstream.Fields(e)
	var has []string
	for i := 0; i < len(fields); i += 2 {
		if name := string(fields[i]); name != "id" && name != "time" {
			has = append(has, name+": "+string(fields[i+1]))
		}
	}
	if want := blocks(t, "foreign")[0]; !slices.Equal(has, want) {
		t.Errorf("the fields are %q, documented are %q", has, want)
	}
	if got := c.ask("XREVRANGE k + - COUNT 1"); !strings.Contains(got, "$4\r\ndata\r\n$4\r\n21.5\r\n$2\r\nid\r\n$36\r\n"+e.ID.String()) {
		t.Errorf("%q", got)
	}
}

// arguments splits a line of redis-cli.
func arguments(t *testing.T, line string) (args []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			args, line = append(args, word), rest
			continue
		}
		var word string
		quoted := line[:strings.LastIndexByte(line, '"')+1] // there is one at most, at the end
		if _, err := fmt.Sscanf(quoted, "%q", &word); err != nil {
			t.Fatal(line, err)
		}
		args, line = append(args, word), line[len(quoted):]
	}
	return args
}
