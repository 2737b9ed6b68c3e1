package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/stream"
)

// Consumers is what the API manages consumers and dead letters with: a [consumer.Set].
type Consumers interface {
	// List returns all consumers.
	List(ctx context.Context) ([]consumer.Info, error)
	// Info returns one.
	Info(ctx context.Context, name string) (consumer.Info, error)
	// Pause stops one until it is resumed.
	Pause(ctx context.Context, name string) error
	// Resume lets one go on.
	Resume(ctx context.Context, name string) error
	// Reset moves one to a place of its stream.
	Reset(ctx context.Context, name string, from stream.From) error
	// Remove forgets one; one whose handler is in this process only by force.
	Remove(ctx context.Context, name string, force bool) error

	// Dead returns dead letters of one consumer, or of all.
	Dead(ctx context.Context, consumer, after string, limit int) ([]consumer.DeadLetter, error)
	// DeadLetter returns one.
	DeadLetter(ctx context.Context, id string) (consumer.DeadLetter, error)
	// Redrive gives some to their consumers again.
	Redrive(ctx context.Context, ids ...string) (int, error)
	// RedriveAll gives all of one consumer, or all, to their consumers again.
	RedriveAll(ctx context.Context, consumer string) (int, error)
	// Drop removes some.
	Drop(ctx context.Context, ids ...string) (int, error)
	// DropAll removes all of one consumer, or all.
	DropAll(ctx context.Context, consumer string) (int, error)
}

// consumers returns the consumers, or that there are none here.
func (d *Door) consumers() (Consumers, error) {
	if d.opts.Consumers == nil {
		return nil, problemf(kindNotFound, "this server has no consumers: it keeps no streams")
	}
	return d.opts.Consumers, nil
}

// listConsumers is GET /v1/consumers.
func (d *Door) listConsumers(c *call) error {
	set, err := d.consumers()
	if err != nil {
		return err
	}
	all, err := set.List(c.r.Context())
	if err != nil {
		return err
	}
	if all == nil {
		all = []consumer.Info{}
	}
	return c.reply(http.StatusOK, map[string][]consumer.Info{"consumers": all})
}

// showConsumer is GET /v1/consumers/{name}.
func (d *Door) showConsumer(c *call) error { return d.onConsumer(c, nil) }

// pauseConsumer is POST /v1/consumers/{name}/pause.
func (d *Door) pauseConsumer(c *call) error { return d.onConsumer(c, Consumers.Pause) }

// resumeConsumer is POST /v1/consumers/{name}/resume.
func (d *Door) resumeConsumer(c *call) error { return d.onConsumer(c, Consumers.Resume) }

// onConsumer does something to a consumer, if there is something to do, and answers with how it is then.
func (d *Door) onConsumer(c *call, do func(Consumers, context.Context, string) error) error {
	set, err := d.consumers()
	if err != nil {
		return err
	}
	name := c.r.PathValue("name")
	if do != nil {
		if err := do(set, c.r.Context(), name); err != nil {
			return err
		}
	}
	info, err := set.Info(c.r.Context(), name)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, info)
}

// resetConsumer is POST /v1/consumers/{name}/reset.
func (d *Door) resetConsumer(c *call) error {
	var body struct {
		From string `json:"from"`
	}
	if err := d.decode(c, &body); err != nil {
		return err
	}
	if body.From == "" {
		return problemf(kindPlace, "say where to go on: from is beginning, end, an offset, a time, or -1h for an hour ago")
	}
	from, err := stream.ParseFrom(body.From, time.Now())
	if err != nil {
		return problemf(kindPlace, "%v", err)
	}
	return d.onConsumer(c, func(set Consumers, ctx context.Context, name string) error { return set.Reset(ctx, name, from) })
}

// removeConsumer is DELETE /v1/consumers/{name}.
func (d *Door) removeConsumer(c *call) error {
	force, err := c.force()
	if err != nil {
		return err
	}
	set, err := d.consumers()
	if err == nil {
		err = set.Remove(c.r.Context(), c.r.PathValue("name"), force)
	}
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
