package xstream_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/protocol/resp/xstream"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// Entries that a reader holds up are bounded: adding another one waits until there is room, and leaves nothing behind when it gives up.
func TestAddWaitsForRoom(t *testing.T) {
	n := start(t, memstore.Options{}, xstream.Options{})
	n.bus = bus.New(bus.Options{Log: n.log, Limits: bus.Limits{DeliveryEvents: 2}})
	n.o.Bus = n.bus
	n.set = xstream.New(n.o)
	n.capture(stream.Config{Name: "s", Subjects: []string{"k"}, Partitions: 1})
	q, err := n.bus.NewQueue("k", bus.QueueOptions{Events: 1, Overflow: bus.Block, BlockTime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, id := range []string{"1-1", "1-2", "1-3"} { // one is in the queue, one waits to be, and one behind it
		n.mustAdd("k", id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var done sync.WaitGroup
	_, err = n.set.Add(ctx, []byte("k"), xstream.AddArgs{ID: partial("1-4")}, [][]byte{[]byte("f"), []byte("v")}, &done)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("adding while there is no room returned %v", err)
	}
	for range 2 {
		if _, err := q.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n.mustAdd("k", "1-4")
	if got := n.length("k"); got != 4 {
		t.Errorf("there are %d entries", got)
	}
	for range 2 {
		if _, err := q.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n.bus.Wait()
	if events, bytes := n.bus.Undelivered(); events != 0 || bytes != 0 {
		t.Errorf("%d events and %d bytes still wait", events, bytes)
	}
}
