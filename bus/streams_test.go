package bus_test

import (
	"context"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/stream"
)

// The stream that is made for a handler has a name that anybody can have, whatever the filter, and no other stream has it.
func TestNamesOfStreamsForHandlers(t *testing.T) {
	r := newMemRig(t)
	if _, err := r.log.Create(t.Context(), stream.Config{Name: "taken.all", Subjects: []string{"other/#"}}); err != nil {
		t.Fatal(err)
	}
	for i, tc := range []struct{ filter, stream string }{
		{"sensors/+/temperature", "sensors.any.temperature"},
		{"$devices/+/presence", "devices.any.presence"},
		{"devices/+/presence", "devices.any.presence-2"},
		{"devices/any/presence/x", "devices.any.presence.x"},
		{"devices.any/presence", "devices.any.presence-3"},
		{"devices/+/presence", "devices.any.presence-2"}, // which captures it now
		{"taken/#", "taken.all-2"},
		{"$", "any"},
	} {
		name := string(rune('a' + i))
		topic := bus.NewTopic(tc.filter, bus.Key(func(string) string { return "k" }))
		if err := bus.Handle(r, topic, name, func(context.Context, string) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if info, err := r.Consumers().Info(t.Context(), name); err != nil || info.Stream != tc.stream {
			t.Errorf("a handler of %q reads %q, %v; want %q", tc.filter, info.Stream, err, tc.stream)
		}
	}
}
