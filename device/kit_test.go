package device_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// A kit is a node with devices, whose presence events are kept in a stream.
type kit struct {
	*spatetest.Node
	t *testing.T
}

// options are those of a node with devices.
func options(c device.Config) spatetest.Options {
	return spatetest.Options{App: spate.Options{Devices: c, Streams: []stream.Config{
		{Name: "history", Subjects: []string{"$devices/+/presence", "$devices/+/absent", "$devices/+/present"}, Partitions: 1, Key: "level:2"},
		{Name: "told", Subjects: []string{"$devices/+/state/delta", "$devices/+/state/documents", "$devices/+/state/update/+", "$devices/+/state/get/+", "$devices/+/commands/+/request/#", "$devices/+/commands/+/status"}, Partitions: 1},
	}}}
}

func start(t *testing.T, c device.Config) *kit {
	t.Helper()
	return &kit{spatetest.New(t, options(c)), t}
}

func (k *kit) devices() *device.Service { return k.App().Devices() }

// connect connects a device that listens, and returns its session.
func (k *kit) connect(id string) device.Session {
	k.t.Helper()
	c := k.connectSession(device.Session{ID: id})
	k.devices().Subscribed(c, "$devices/+/commands/+/request/#", false)
	k.devices().Subscribed(c, "$devices/"+id+"/state/delta", false)
	return c
}

// connectSession connects a device that has not subscribed.
func (k *kit) connectSession(c device.Session) device.Session {
	k.t.Helper()
	c.Protocol, c.Remote, c.User = "mqtt", "192.0.2.7:4711", "u"
	var err error
	if c.Epoch, err = k.devices().Connected(k.t.Context(), c); err != nil {
		k.t.Fatal(err)
	}
	return c
}

// get returns a device.
func (k *kit) get(id string) device.Device {
	k.t.Helper()
	d, err := k.devices().Get(k.t.Context(), id)
	if err != nil {
		k.t.Fatal(err)
	}
	return d
}

// decode decodes the data of events.
func decode[T any](t *testing.T, events []*event.Event) []T {
	t.Helper()
	all := make([]T, len(events))
	for i, e := range events {
		if err := json.Unmarshal(e.Data, &all[i]); err != nil {
			t.Fatalf("%s: %q: %v", e.Subject, e.Data, err)
		}
	}
	return all
}

// sortedNames returns the names of an object.
func sortedNames(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }

// Settle waits until the service has done what it was told, and its consumer what follows. It is for tests under the fake clock.
func (k *kit) Settle() {
	k.t.Helper()
	synctest.Wait()
	k.Node.Settle()
	synctest.Wait()
}

// pass lets the fake clock run.
func (k *kit) pass(d time.Duration) { time.Sleep(d) }

// service runs a service of its own on the bus of the node, with other options. Nothing else may be done with devices.
func (k *kit) service(o device.Options) (s *device.Service, stop func()) {
	k.t.Helper()
	o.Bus, o.Consumers = k.App().Bus(), consumer.NewSet(consumer.Options{Log: k.App().Streams()})
	s, err := device.New(k.t.Context(), o)
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			k.t.Error(err)
		}
	}
}

// atMost returns n, or few in a short run.
func atMost(n, few int) int {
	if testing.Short() {
		return few
	}
	return n
}

// spoil makes what is kept of a device unreadable.
func (k *kit) spoil(id string, names ...string) {
	k.t.Helper()
	b := &store.Batch{}
	for _, name := range names {
		b.Puts = append(b.Puts, store.Put{Key: consumer.StateKey("$devices", name, id), Data: []byte("{")})
	}
	if err := store.Commit(k.t.Context(), k.App().Streams().Store(), b); err != nil {
		k.t.Fatal(err)
	}
}

// skipped returns how many events the consumer of the inbox has skipped.
func (k *kit) skipped() uint64 {
	k.t.Helper()
	all, err := k.App().Consumers().List(k.t.Context())
	if err != nil || len(all) != 1 {
		k.t.Fatalf("%d consumers, %v", len(all), err)
	}
	return all[0].Counters.Skipped
}
