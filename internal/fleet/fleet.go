package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/task"
)

// Options say what fleet it is.
type Options struct {
	// Server is the URL of the MQTT server: mqtt://HOST:PORT. Required.
	Server string
	// Devices is how many there are, at most [MaxDevices]. Default 200.
	Devices int
	// Every is how often each device publishes its temperature, and how long a second of the simulation takes. Default a second.
	Every time.Duration
	// Seed says what happens. The zero value is one like others.
	Seed uint64
}

// The defaults of [Options].
const (
	DefaultDevices = 200
	DefaultEvery   = time.Second
)

// Figures are what a fleet has done so far.
type Figures struct {
	Devices, Online            int
	Readings, Commands, Losses uint64 // readings acknowledged, commands done, connections lost
}

// A Fleet is devices. It runs once.
type Fleet struct {
	opts                       Options
	online                     atomic.Int64
	readings, commands, losses atomic.Uint64
}

// New returns a fleet.
func New(o Options) (*Fleet, error) {
	if o.Devices == 0 {
		o.Devices = DefaultDevices
	}
	if o.Every == 0 {
		o.Every = DefaultEvery
	}
	switch {
	case o.Devices < 0 || o.Devices > MaxDevices:
		return nil, fmt.Errorf("%d is not a number of devices from 1 to %d", o.Devices, MaxDevices)
	case o.Every < MinEvery:
		return nil, fmt.Errorf("%v is too short a time between two readings of a device; give %v or more", o.Every, MinEvery)
	}
	return &Fleet{opts: o}, nil
}

// Name is the identifier of a device, from 1.
func Name(number int) string { return fmt.Sprintf("sensor-%03d", number) }

// First is the number of the device that overheats soon.
func (f *Fleet) First() int { return 1 + int(f.opts.Seed%uint64(f.opts.Devices)) }

// Run has the devices connect and work until ctx ends. They then say goodbye.
func (f *Fleet) Run(ctx context.Context) error {
	var all task.Scope
	return all.Run(ctx, "fleet", func(ctx context.Context) error {
		for n := 1; n <= f.opts.Devices; n++ {
			d := &device{
				fleet: f, id: Name(n), number: n, machine: newMachine(f.opts.Seed, uint64(n), n == f.First()),
			}
			all.Go(ctx, d.id, d.live)
		}
		<-ctx.Done()
		return nil
	})
}

// Figures returns what the fleet has done so far.
func (f *Fleet) Figures() Figures {
	return Figures{
		Devices: f.opts.Devices, Online: int(f.online.Load()),
		Readings: f.readings.Load(), Commands: f.commands.Load(), Losses: f.losses.Load(),
	}
}

// ended tells whether an error is no more than that the run is over.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}
