package stream_test

import (
	"errors"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/stream"
)

// A tap captures what its filters of the moment select and what it accepts, also after its retention was changed, and nothing of it is stored.
func TestTap(t *testing.T) {
	k := newKit(t)
	c := stream.Config{Name: "$tap", Subjects: []string{"$tap"}, Partitions: 1}
	tap, err := k.Tap(t.Context(), c, func(e *event.Event) bool { return string(e.Data) != "declined" })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Tap(t.Context(), c, nil); !errors.Is(err, stream.ErrExists) {
		t.Errorf("a second tap: %v", err)
	}
	filter := func(text string) event.Filter {
		f, err := event.ParseFilter(text, event.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	check := func(when string, want int, subject, data string) {
		t.Helper()
		if got := k.publish(subject, data); got != want {
			t.Errorf("%s: %q on %s was captured %d times, want %d", when, data, subject, got, want)
		}
	}
	check("before", 0, "a/b", "x")
	tap.Add(filter("a/+"))
	tap.Add(filter("a/+"))
	tap.Add(filter("a/b"))
	check("two filters match", 1, "a/b", "x")
	check("declined", 0, "a/b", "declined")
	c.MaxAge = stream.Duration(time.Hour)
	if _, err := k.Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	check("after a change", 1, "a/c", "x")
	tap.Remove(filter("a/+"))
	tap.Remove(filter("a/+"))
	check("one filter removed", 1, "a/b", "x")
	check("one filter removed", 0, "a/c", "x")
	tap.Add(filter("$tap"))
	tap.Remove(filter("$tap"))
	check("a filter of the configuration stays", 1, "$tap", "x")
	k.open()
	check("after a start", 0, "a/b", "x")
}
