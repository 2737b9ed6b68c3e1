package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/stream"
)

// selects tells whether one of the subjects of a stream is the filter, and whether one covers it.
func selects(subjects []string, filter event.Filter) (same, covers bool) {
	for _, text := range subjects {
		f, err := event.ParseFilter(text, event.Limits{SubjectLength: event.MaxSubjectLength})
		if err != nil {
			continue // limits that the bus was given are wider
		}
		same = same || text == filter.String()
		covers = covers || f.Covers(filter)
	}
	return same, covers
}

func contains(names []string, name string) bool { return slices.Contains(names, name) }

// makeStream makes the stream of a topic that none captures. Several filters can have the same name; those that come later get a number.
func (n *Node) makeStream(ctx context.Context, filter event.Filter) (string, error) {
	base := streamName(filter.String())
	name := base
	for i := 2; ; i++ {
		_, err := n.opts.Bus.Streams().Create(ctx, stream.Config{Name: name, Subjects: []string{filter.String()}})
		switch {
		case err == nil:
			return name, nil
		case !errors.Is(err, stream.ErrExists) || i > stream.MaxStreams:
			return "", fmt.Errorf("no stream captures %q, and none could be made: %w", filter, err)
		}
		name = fmt.Sprintf("%s-%d", base, i)
	}
}

// streamName makes a name that is at home in paths and on command lines, and that is not kept for the server's own streams, which begin with "$".
func streamName(filter string) string {
	levels := strings.Split(cmp.Or(strings.TrimLeft(filter, "$"), "any"), "/")
	for i, level := range levels {
		switch level {
		case "+":
			levels[i] = "any"
		case "#":
			levels[i] = "all"
		}
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.Join(levels, "."))
}
