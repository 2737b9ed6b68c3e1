package spate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// durable is what an App keeps: its store, and the streams in it. All its methods work on nil, which is an App that keeps nothing.
type durable struct {
	store   store.Store
	own     bool // the App opened it, and closes it
	streams *stream.Log
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
		how := o.Embedded
		how.Clock, how.Logger = o.Clock, o.Logger
		s, err := pebblestore.Open(filepath.Join(o.Data, "store"), how)
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
	if err := checkStreams(o); err != nil {
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

// checkStreams reports all that is wrong with the streams of the options, before one is made.
func checkStreams(o *Options) error {
	var errs []error
	names := map[string]bool{}
	for _, c := range o.Streams {
		if err := c.Validate(o.Bus.Event); err != nil {
			errs = append(errs, fmt.Errorf("the stream %.80q: %w", c.Name, err))
		}
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("two streams are called %.80q, and the second would replace the first: %w", c.Name, stream.ErrConfig))
		}
		names[c.Name] = true
	}
	return errors.Join(errs...)
}

func (d *durable) log() *stream.Log {
	if d == nil {
		return nil
	}
	return d.streams
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

// handlers runs the handlers of an App, and the retention of its streams.
type handlers struct {
	node   *bus.Node
	work   task.Scope
	cancel context.CancelFunc // while it runs
	abort  context.CancelFunc // ends the contexts of handlers
	all    *task.Task[struct{}]
}

// start runs the handlers until stop. One that cannot run breaks the App.
func (h *handlers) start(ctx context.Context, d *durable, devices *device.Service, log *slog.Logger, broken chan<- error) {
	ctx, h.cancel = context.WithCancel(ctx)
	h.work.Policy = task.KeepGoing
	detached := context.WithoutCancel(ctx) // the tasks end by themselves, and are not to be told twice
	h.all = task.Spawn(detached, &h.work, "handlers", func(context.Context) (struct{}, error) {
		err := h.node.Run(ctx)
		if ctx.Err() == nil && err != nil {
			broken <- err
			err = nil
		}
		return struct{}{}, err // of stopping
	})
	if d != nil {
		h.work.Go(detached, "retention", vital(ctx, "retention", log, broken, d.streams.Run))
		h.work.Go(detached, "devices", vital(ctx, "devices", log, broken, devices.Run))
	}
}

// cutOff is how long handlers have to return once their contexts have ended, and readers to take what they hold up.
const cutOff = 2 * time.Second

// stop has handlers finish what they are at. When the context ends, theirs do; one that goes on nevertheless is left behind, and named: nothing but
// the end of the process stops it.
func (h *handlers) stop(ctx context.Context) error {
	if h.cancel == nil {
		return nil
	}
	h.cancel()
	if _, err := h.all.Await(ctx); err != nil && ctx.Err() != nil {
		h.abort()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutOff)
		defer cancel()
		if _, err = h.all.Await(late); errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("handlers do not return although their contexts have ended, and are left behind; what they were at is handled again after the next start: %s",
				strings.Join(h.node.Busy(), "; "))
		}
	}
	return h.work.Wait()
}
