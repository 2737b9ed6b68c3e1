package xstream_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp/xstream"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// node is a set on a bus on a store, which can crash.
type node struct {
	t     testing.TB
	store *memstore.Store
	log   *stream.Log
	bus   *bus.Bus
	set   *xstream.Set
	o     xstream.Options
	wrap  func(store.Store) store.Store // around the store, if it is set
}

func start(t testing.TB, options memstore.Options, o xstream.Options) *node {
	t.Helper()
	n := &node{t: t, store: memstore.New(options), o: o}
	t.Cleanup(func() {
		if err := n.store.Close(); err != nil {
			t.Error(err)
		}
		n.bus.Wait()
	})
	n.open()
	return n
}

func (n *node) open() {
	n.t.Helper()
	var s store.Store = n.store
	if n.wrap != nil {
		s = n.wrap(s)
	}
	var err error
	if n.log, err = stream.Open(context.Background(), s, stream.Options{}); err != nil {
		n.t.Fatal(err)
	}
	n.bus = bus.New(bus.Options{Log: n.log})
	n.o.Bus = n.bus
	n.set = xstream.New(n.o)
}

// crash starts again with what was committed.
func (n *node) crash() {
	n.t.Helper()
	old, b := n.store, n.bus
	n.store = old.Reopen()
	if err := old.Close(); err != nil {
		n.t.Error(err)
	}
	b.Wait()
	n.open()
}

func (n *node) capture(c stream.Config) {
	n.t.Helper()
	if _, err := n.log.Create(n.t.Context(), c); err != nil {
		n.t.Fatal(err)
	}
}

func partial(id string) xstream.Partial {
	p, ok := xstream.ParsePartial([]byte(id))
	if !ok {
		panic("no ID: " + id)
	}
	return p
}

// add adds an entry and waits for it.
func (n *node) add(key, id string, args xstream.AddArgs, fields ...string) (xstream.ID, error) {
	if len(fields) == 0 {
		fields = []string{"f", "v"}
	}
	var raw [][]byte
	for _, f := range fields {
		raw = append(raw, []byte(f))
	}
	args.ID = partial(id)
	var done sync.WaitGroup
	a, err := n.set.Add(n.t.Context(), []byte(key), args, raw, &done)
	if err != nil || a == nil {
		return xstream.ID{}, err
	}
	done.Wait()
	return a.Result(n.t.Context())
}

func (n *node) mustAdd(key, id string, fields ...string) xstream.ID {
	n.t.Helper()
	got, err := n.add(key, id, xstream.AddArgs{}, fields...)
	if err != nil {
		n.t.Fatalf("adding %s to %s: %v", id, key, err)
	}
	return got
}

// publish is what another door does.
func (n *node) publish(subject, data string) {
	n.t.Helper()
	if _, err := n.bus.Publish(n.t.Context(), &event.Event{Subject: subject, Data: []byte(data)}); err != nil {
		n.t.Fatal(err)
	}
}

// all returns the entries of a key: their IDs, and their first values.
func (n *node) all(key string, reverse bool) (ids []xstream.ID, values string) {
	n.t.Helper()
	_, err := n.set.Range(n.t.Context(), []byte(key), xstream.Range{End: xstream.MaxID, Count: -1, Reverse: reverse}, func(e xstream.Entry) bool {
		ids = append(ids, e.ID)
		values += string(xstream.Fields(e.Event)[1]) + " "
		return true
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return ids, strings.TrimSpace(values)
}

func (n *node) length(key string) int64 {
	n.t.Helper()
	got, err := n.set.Len(n.t.Context(), []byte(key))
	if err != nil {
		n.t.Fatal(err)
	}
	return got
}

// state returns all that there is to know about a key, as text.
func (n *node) state(key string) string {
	n.t.Helper()
	info, err := n.set.Info(n.t.Context(), []byte(key), 0, 0)
	if err != nil {
		return err.Error()
	}
	ids, values := n.all(key, false)
	info.First, info.LastItem = nil, nil
	for i := range info.Groups {
		for j := range info.Groups[i].Consumers {
			info.Groups[i].Consumers[j].Seen = 0 // of which the store keeps only when it was made
		}
	}
	return fmt.Sprintf("%+v %v %s", info, ids, values)
}
