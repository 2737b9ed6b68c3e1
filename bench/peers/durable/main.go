// Command durable is Spate in one process with its load: it publishes, reads
// and handles stored events through the Go interface.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spate-io/spate/bench/internal/work"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/stream"
)

func main() {
	work.ParseFlags().Main(map[string]func(*work.Flags) error{
		"publish": publish, "fill": fill, "read": read, "handle": handle,
	})
}

// A node is the parts that an application has.
type node struct {
	store *pebblestore.Store
	log   *stream.Log
	bus   *bus.Bus
}

// open opens the store in the directory, with streams by name and filter.
func open(f *work.Flags, streams ...string) (*node, error) {
	s, err := pebblestore.Open(f.Dir, pebblestore.Options{})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	n := &node{store: s}
	if n.log, err = stream.Open(ctx, s, stream.Options{}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	for _, name := range streams {
		_, err := n.log.Create(ctx, stream.Config{Name: name, Subjects: []string{name + "/#"}, Partitions: f.Partitions})
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	n.bus = bus.New(bus.Options{Log: n.log})
	return n, nil
}

// close waits for what is under way and lets go of the data.
func (n *node) close() error {
	n.bus.Wait()
	return n.store.Close()
}

// stored is the stream that is published to and read from.
const stored = "sensors"

func publish(f *work.Flags) (err error) {
	n, err := open(f, stored)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	before := n.store.Stats()
	m, err := f.Publish(func(number int) func() error { return n.publisher(f, number) })
	if err != nil {
		return err
	}
	after := n.store.Stats()
	if stored, events := after.Events-before.Events, m.Events; events > stored {
		return fmt.Errorf("%d events were acknowledged, and %d stored", events, stored)
	} else if groups := after.Groups - before.Groups; stored > 0 {
		m.Groups = groups * events / stored // of the whole run, warm-up included
	}
	return m.Print()
}

// publisher publishes one event with Publish, or a batch with Submit.
func (n *node) publisher(f *work.Flags, number int) func() error {
	next := number
	event := func() *event.Event {
		next++
		return &event.Event{Subject: f.Subject(next, "/"), Data: f.Data()}
	}
	if f.Batch == 1 {
		return func() error {
			_, err := n.bus.Publish(context.Background(), event())
			return err
		}
	}
	done := make(chan error, 1)
	return func() error {
		n.bus.Submit(events(f.Batch, event), func(_ bus.Receipt, err error) { done <- err })
		return <-done
	}
}

func events(count int, one func() *event.Event) []*event.Event {
	all := make([]*event.Event, count)
	for i := range all {
		all[i] = one()
	}
	return all
}

// fill stores events and then waits to be killed, or for the end of its input,
// which lets it close the store first.
func fill(f *work.Flags) (err error) {
	n, err := open(f, stored)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	m, err := f.Start()
	if err != nil {
		return err
	}
	err = n.fill(f, func(i int) *event.Event { return &event.Event{Subject: f.Subject(i, "/"), Data: f.Data()} })
	if err := errors.Join(err, m.Stop()); err != nil {
		return err
	}
	m.Events = uint64(f.Events)
	if err := m.Print(); err != nil {
		return err
	}
	var none string
	_, _ = fmt.Scanln(&none)
	return nil
}

// fill stores events in batches, of which a few are under way.
func (n *node) fill(f *work.Flags, of func(i int) *event.Event) error {
	const size, window = 1000, 4
	var all sync.WaitGroup
	failures := make(chan error, f.Events/size+1)
	slots := make(chan struct{}, window)
	for from := 0; from < f.Events && len(failures) == 0; from += size {
		next := from
		batch := events(min(size, f.Events-from), func() *event.Event { next++; return of(next - 1) })
		slots <- struct{}{}
		all.Add(1)
		n.bus.Submit(batch, func(_ bus.Receipt, err error) {
			defer all.Done()
			if err != nil {
				failures <- err
			}
			<-slots
		})
	}
	all.Wait()
	close(failures)
	return <-failures
}

// read reads everything back with one reader.
func read(f *work.Flags) (err error) {
	n, err := open(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	ctx := context.Background()
	m, err := f.Start()
	if err != nil {
		return err
	}
	r, err := n.log.NewReader(ctx, stored, "", stream.Beginning)
	if err != nil {
		return err
	}
	bytes := 0
	for {
		records, _, err := r.Read(ctx)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		m.Events += uint64(len(records))
		for i := range records {
			bytes += len(records[i].Event.Data)
		}
	}
	if err := m.Stop(); err != nil {
		return err
	}
	if m.Events != uint64(f.Events) || bytes != f.Events*f.Size {
		return fmt.Errorf("read %d events with %d bytes of data, where %d with %d are", m.Events, bytes, f.Events, f.Events*f.Size)
	}
	return m.Print()
}
