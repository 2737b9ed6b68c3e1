package spate

import (
	"context"
	"errors"
	"fmt"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// durable is what an App keeps: its store, the streams in it, and the consumers that read them. All its methods work on nil, which is an App that
// keeps nothing.
type durable struct {
	store     store.Store
	own       bool // the App opened it, and closes it
	streams   *stream.Log
	consumers *consumer.Set

	work   task.Scope
	cancel context.CancelFunc // while it runs
}

// openDurable opens the store that the options name, if they do.
func openDurable(o *Options) (*durable, error) {
	d := &durable{store: o.Store}
	switch {
	case o.Store != nil && o.Data != "":
		return nil, errors.New("the options name a store and a directory for another one: set Data or Store")
	case o.Store == nil && o.Data == "" && len(o.Streams) > 0:
		return nil, fmt.Errorf("the stream %q has no store to be in: set the directory for the data", o.Streams[0].Name)
	case o.Store == nil && o.Data == "":
		return nil, nil
	case o.Store == nil:
		s, err := pebblestore.Open(o.Data, pebblestore.Options{Clock: o.Clock, Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		d.store, d.own = s, true
	}
	if err := d.open(o); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// open reads the streams, and makes those of the options as they are there.
func (d *durable) open(o *Options) (err error) {
	ctx := context.Background()
	d.streams, err = stream.Open(ctx, d.store, stream.Options{Logger: o.Logger, Clock: o.Clock, Limits: o.Bus.Event})
	if err != nil {
		return err
	}
	for _, c := range o.Streams {
		if _, err = d.streams.Create(ctx, c); errors.Is(err, stream.ErrExists) {
			_, err = d.streams.Update(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *durable) log() *stream.Log {
	if d == nil {
		return nil
	}
	return d.streams
}

// consume makes the set of consumers, which publish on the bus.
func (d *durable) consume(b *bus.Bus, o *Options) {
	if d == nil {
		return
	}
	d.consumers = consumer.NewSet(consumer.Options{
		Log: d.streams, Prepare: b.Prepare, Deliver: b.DeliverStored, Logger: o.Logger, Clock: o.Clock, Grace: max(0, o.DrainTimeout),
	})
}

// start runs the consumers and the retention of the streams.
func (d *durable) start(ctx context.Context) {
	if d == nil {
		return
	}
	ctx, d.cancel = context.WithCancel(ctx)
	d.work.Policy = task.KeepGoing
	detached := context.WithoutCancel(ctx) // the tasks end by themselves, and are not to be told twice
	d.work.Go(detached, "consumers", func(context.Context) error { return d.consumers.Run(ctx) })
	d.work.Go(detached, "retention", func(context.Context) error { return d.streams.Run(ctx) })
}

// stop has handlers finish what they are at, and waits for them.
func (d *durable) stop() error {
	if d == nil || d.cancel == nil {
		return nil
	}
	d.cancel()
	return d.work.Wait()
}

// health is why nothing can be stored now, or nil.
func (d *durable) health() error {
	if d == nil {
		return nil
	}
	return d.store.Health()
}

// close lets go of the store.
func (d *durable) close() error {
	if d == nil || !d.own {
		return nil
	}
	return d.store.Close()
}
