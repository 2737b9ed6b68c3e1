package resp_test

import (
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/protocol/resp"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// durable returns options with a bus that stores what its streams capture, in memory.
func durable(t testing.TB) resp.Options {
	t.Helper()
	s := memstore.New(memstore.Options{})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return on(t, s)
}

// on returns options with a bus that stores in s.
func on(t testing.TB, s store.Store) resp.Options {
	t.Helper()
	log, err := stream.Open(t.Context(), s, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := bus.New(bus.Options{Log: log})
	t.Cleanup(b.Wait)
	return resp.Options{Bus: b, CreateStreams: true}
}

// sharing returns options with a bus on which all keys share one stream of two partitions, and with memory for one key.
func sharing(t testing.TB) resp.Options {
	t.Helper()
	o := durable(t)
	if _, err := o.Bus.Streams().Create(t.Context(), stream.Config{Name: "all", Subjects: []string{"#"}, Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	o.CreateStreams = false
	o.Limits.Streams.Keys = 1
	return o
}
