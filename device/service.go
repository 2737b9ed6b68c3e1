package device

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// A Service is the devices of a server. Its methods are safe for concurrent use. It works from [New] on; [Service.Run] does what takes time.
type Service struct {
	opts   Options
	config Config
	store  store.Store
	ids    event.Generator
	life   event.ID // of this process
	count  atomic.Int64
	locks  locks
	lines  engine.LineLimit // of the log, about devices that cannot be kept, and what is said to them

	mu   sync.Mutex
	left map[string]leaving
	some chan struct{} // has a token when something was added to left

	notices []*event.Event // for the inbox
	noticed chan struct{}  // has a token when something was added to notices

	begun     atomic.Bool // the inbox is there, and is handled
	beginning sync.Mutex  // held while it is made
	answers   answers
	wheel     wheel // of the devices that are to be looked at
	started   time.Time
	lives     []event.ID // of the processes until this one, once that is noted
}

// New returns the devices that the store of the bus has. It reads all of them once.
func New(ctx context.Context, o Options) (*Service, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Service{opts: o, config: o.Config, store: o.Bus.Streams().Store(), left: map[string]leaving{}, some: make(chan struct{}, 1), noticed: make(chan struct{}, 1)}
	s.ids.Clock = o.Clock
	s.life = s.ids.New()
	s.answers.service, s.started = s, s.now()
	err = s.each(ctx, func(e *entry) {
		s.count.Add(1)
		s.expect(e)
	})
	if err == nil && s.count.Load() > 0 {
		err = s.begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the devices: %w", err)
	}
	return s, nil
}

// Len returns how many devices there are.
func (s *Service) Len() int { return int(s.count.Load()) }

func (s *Service) now() time.Time { return s.opts.Clock().UTC().Round(0) }

// Run does what takes time until the context ends: it marks devices as offline that have gone, ends commands that expire. At the end, it marks those that had gone by then. It may be called once. What goes wrong
// is logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	grace := time.NewTimer(s.config.Grace)
	defer grace.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	defer s.answers.close()
	for {
		select {
		case <-ctx.Done():
			s.try(context.WithoutCancel(ctx), "the devices that have gone could not be marked as offline before the end; it is done after the next start", s.flush(context.WithoutCancel(ctx)))
			return nil
		case <-grace.C:
			if !s.try(ctx, "the devices that did not come back could not be found; it is tried again", s.sweep(ctx)) {
				grace.Reset(leavingAgain)
			}
		case <-s.some:
			if !s.try(ctx, "devices that have gone could not be marked as offline; it is tried again", s.flush(ctx)) {
				again.Reset(leavingAgain)
			}
		case <-again.C:
			signal(s.some)
		case <-s.noticed:
			if !s.try(ctx, "what doors have told of devices could not be stored; it is tried again", s.keepNotices()) {
				again.Reset(leavingAgain)
			}
		case <-tick.C:
			s.try(ctx, "commands that are due could not be found; it is tried again", s.ticks(ctx))
			s.try(ctx, "absent devices could not be found or told; it is tried again", s.absences(ctx))
		case <-trim.C:
			s.try(ctx, "what was handled could not be removed from the inbox; it is tried again", s.trim(ctx))
		}
	}
}

// try logs an error, and tells whether there is none. Once the context has ended, that is why, and what was not done is done at the end, or after the next start.
func (s *Service) try(ctx context.Context, what string, err error) bool {
	if err != nil && ctx.Err() == nil {
		s.opts.Logger.Error("devices", "doing", what, "error", err)
	}
	return err == nil
}

// refused says that a client could not become a device.
func (s *Service) refused(id string, err error) {
	if s.lines.Allow(time.Now()) {
		s.opts.Logger.Warn("a client that connects is not kept as a device", "id", id, "error", err, "others", s.lines.Take())
	}
}

// commit commits changes of the service's own together with events, which are then delivered.
func (s *Service) commit(b *store.Batch, events ...*event.Event) error {
	done := make(chan error, 1)
	s.opts.Bus.SubmitReserved(b, events, func(_ bus.Receipt, err error) { done <- err })
	return <-done
}
