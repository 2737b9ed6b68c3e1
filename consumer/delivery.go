package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Delivery is an event that is being handled. It belongs to the handler until that returns; what it keeps and publishes is
// committed together with the place of the consumer, or not at all. Its methods are for one goroutine at a time.
type Delivery struct {
	store.Partition
	store.Record
	// Consumer is the name of whoever handles it.
	Consumer string
	// Attempt counts from 1. It begins anew after a restart.
	Attempt int

	item *item
}

// ID identifies the event in every attempt, also after a crash: effects outside of Spate are made idempotent with it.
func (d *Delivery) ID() event.ID { return d.Event.ID }

// ErrStepTooLarge means that a handler wants to keep or publish more than one commit may hold.
var ErrStepTooLarge = errors.New("the step publishes and keeps more than one commit may hold")

// ErrNoStep means that a delivery is of a live event, whose handling commits nothing.
var ErrNoStep = errors.New("this event did not come from a stream, so nothing is committed with it")

// ErrStepOver means that a delivery was used after its handler had returned.
var ErrStepOver = errors.New("the handler of this event has returned already")

type contextKey struct{}

// FromContext returns the delivery that a handler works on. For a [BatchHandler] it is the last of the batch.
func FromContext(ctx context.Context) (*Delivery, bool) {
	d, ok := ctx.Value(contextKey{}).(*Delivery)
	return d, ok
}

// deliveryContext is a context with a delivery in it. It is part of the item, which saves an allocation for each event.
type deliveryContext struct {
	context.Context
	delivery *Delivery
}

// Value returns the delivery, or what the context around it has.
func (c *deliveryContext) Value(key any) any {
	if _, ok := key.(contextKey); ok {
		return c.delivery
	}
	return c.Context.Value(key)
}

// context returns the context for the handlers of an item. It is made once, since one that a handler has left somewhere may be in use.
func (it *item) context(ctx context.Context) context.Context {
	if it.ctx.Context == nil {
		it.ctx = deliveryContext{ctx, &it.d}
	}
	return &it.ctx
}

// effects is what the handling of an item, or of a batch, wants to commit.
type effects struct {
	events []*event.Event
	one    [1]*event.Event // most publish one, which needs no memory of its own
	writes []write
	latest map[string]int // the last write of each key, when they are more than a few
	bytes  int
	over   bool
	err    error // why the step cannot be committed
}

const fewWrites = 8

// find returns the last write of a key, or nil.
func (x *effects) find(key string) *write {
	if x.latest != nil {
		if i, ok := x.latest[key]; ok {
			return &x.writes[i]
		}
		return nil
	}
	for i := len(x.writes) - 1; i >= 0; i-- {
		if x.writes[i].key == key {
			return &x.writes[i]
		}
	}
	return nil
}

// add adds a write.
func (x *effects) add(w write) {
	x.writes = append(x.writes, w)
	switch {
	case x.latest != nil:
		x.latest[w.key] = len(x.writes) - 1
	case len(x.writes) > fewWrites:
		x.latest = map[string]int{}
		for i := range x.writes {
			x.latest[x.writes[i].key] = i
		}
	}
}

// write is a change of a state.
type write struct {
	key     string
	data    []byte
	deleted bool
}

// Publish publishes an event with the step. From here on nobody may change it. An error says that it is not published; the step goes on without it unless
// the handler returns that.
func (d *Delivery) Publish(e *event.Event) error {
	if d.item == nil {
		return ErrNoStep
	}
	c := d.item.part.consumer
	if err := c.set.opts.Prepare(e); err != nil {
		return err
	}
	if err := c.set.opts.Log.Check(e); err != nil { // else the commit would fail, and with it what others have done
		return err
	}
	if err := d.grow(e.Size() + 64); err != nil {
		return fmt.Errorf("publishing on %.80q: %w", e.Subject, err)
	}
	x := d.effects()
	if x.events == nil {
		x.events = x.one[:0]
	}
	x.events = append(x.events, e)
	return nil
}

// effects is what the item wants to commit, or the batch that it is part of.
func (d *Delivery) effects() *effects { return &d.item.lead.effects }

// grow counts what the step holds.
func (d *Delivery) grow(bytes int) error {
	x, limits := d.effects(), d.item.part.consumer.stepLimits
	if x.over {
		return ErrStepOver
	}
	x.bytes += bytes
	if x.bytes > limits.Bytes || 2*len(x.events)+len(x.writes) >= limits.Operations {
		x.err = ErrStepTooLarge
	}
	return x.err
}

// Get returns the state of that name for the key of the event, or nil if there is none. It sees what the step, also for other events of a
// batch, and those of the key before it, have put. It must not be changed.
func (d *Delivery) Get(ctx context.Context, name string) ([]byte, error) {
	if d.item == nil {
		return nil, ErrNoStep
	}
	key := d.stateKey(name)
	if w := d.effects().find(key); w != nil {
		return w.data, nil
	}
	return d.item.part.state(ctx, key)
}

// Put sets the state of that name for the key of the event. Data must not be changed any more. Nil is a value: see Delete.
func (d *Delivery) Put(name string, data []byte) error {
	if data == nil {
		data = []byte{}
	}
	return d.write(name, write{data: data})
}

// Delete removes the state of that name for the key of the event.
func (d *Delivery) Delete(name string) error {
	return d.write(name, write{deleted: true})
}

func (d *Delivery) write(name string, w write) error {
	if d.item == nil {
		return ErrNoStep
	}
	w.key = d.stateKey(name)
	if most := d.item.part.consumer.set.store().Limits().Key; len(w.key) > most {
		return fmt.Errorf("the name and the key of a state have %d bytes together, %d are allowed: %w", len(w.key), most, event.ErrTooLong)
	}
	if err := d.grow(len(w.key) + len(w.data) + 64); err != nil {
		return fmt.Errorf("keeping state: %w", err)
	}
	d.effects().add(w)
	return nil
}

// stateKey is unambiguous since the names of consumers and states have no NUL.
func (d *Delivery) stateKey(name string) string {
	return StateKey(d.item.part.consumer.config.Name, name, d.item.key)
}

// StateKey is where the store keeps the state of a consumer of that name for a key, see [Delivery.Put]: to be read by others, and not to be written.
func StateKey(consumer, name, key string) string { return statePrefix(consumer) + name + "\x00" + key }

func statePrefix(consumer string) string { return "consumer/state/" + consumer + "\x00" }
