package spatetest

import (
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

// Values returns what was published on a topic so far, oldest first.
func Values[T any](n *Node, t *bus.Topic[T]) []T {
	n.t.Helper()
	return decode(n, t, n.Published(t.Filter()))
}

// WaitForValues waits until at least count values were published on a topic, and returns all of them.
func WaitForValues[T any](n *Node, t *bus.Topic[T], count int) []T {
	n.t.Helper()
	return decode(n, t, n.WaitFor(t.Filter(), count))
}

func decode[T any](n *Node, t *bus.Topic[T], events []*event.Event) []T {
	n.t.Helper()
	values := make([]T, len(events))
	for i, e := range events {
		var err error
		if values[i], err = t.Decode(e); err != nil {
			n.t.Fatalf("the event %s on %q is none of the topic %q: %v", e.ID, e.Subject, t.Filter(), err)
		}
	}
	return values
}
