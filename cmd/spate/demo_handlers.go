package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/stream"
)

// A reading is what a device publishes.
type reading struct {
	Device  string  `json:"device"`
	Celsius float64 `json:"celsius"`
}

// An alert says that a device has become too hot, or has cooled.
type alert struct {
	Device  string    `json:"device"`
	Hot     bool      `json:"hot"`
	Celsius float64   `json:"celsius"`
	At      time.Time `json:"at"` // when the reading came
}

// A fan is one that has done what it was told.
type fan struct {
	Device  string  `json:"device"`
	On      bool    `json:"on"`
	Seconds float64 `json:"seconds"` // since the reading
}

var (
	readings = bus.NewTopic("sensors/+/temperature", bus.Key(func(r reading) string { return r.Device }))
	alerts   = bus.NewTopic("alerts/+", bus.Key(func(a alert) string { return a.Device }))
	fans     = bus.NewTopic("fans/+", bus.Key(func(f fan) string { return f.Device }))
	tooHot   = bus.NewState[bool]("too hot") // of each device
)

// streams are what is kept, and for how long.
func streams() []stream.Config {
	return []stream.Config{
		{Name: "readings", Subjects: []string{"sensors/+/temperature"}, MaxAge: stream.Duration(time.Hour)},
		{Name: "alerts", Subjects: []string{"alerts/+", "fans/+"}, MaxAge: stream.Duration(24 * time.Hour)},
	}
}

// handle adds the two handlers to a node.
func handle(app *spate.App) error {
	return errors.Join(
		bus.Handle(app, readings, "watch", watch),
		bus.Handle(app, alerts, "cool", func(ctx context.Context, a alert) error { return cool(ctx, app.Devices(), a) }),
	)
}

// watch is called for each reading, in the order of its device. The alert and what is remembered are committed together with its place.
func watch(ctx context.Context, r reading) error {
	if r.Celsius < -100 {
		return nil // a thermometer that is cut off says -127
	}
	hot, err := tooHot.Get(ctx)
	if err != nil || hot && r.Celsius > 40 || !hot && r.Celsius < 60 {
		return err // nothing new
	}
	if err := tooHot.Set(ctx, !hot); err != nil {
		return err
	}
	d, _ := bus.Current(ctx)
	return bus.Publish(ctx, alerts, alert{r.Device, !hot, r.Celsius, d.Event.Time})
}

// cool is called for each alert. It waits for the device, also if that is away for a while: those of other devices are handled meanwhile. A command that
// expires is tried again, so a fan may be told twice what it does already.
func cool(ctx context.Context, devices *device.Service, a alert) error {
	order := fmt.Appendf(nil, `{"on":%t}`, a.Hot)
	if _, err := devices.Call(ctx, a.Device, "fan", order, device.CallOptions{ContentType: "application/json"}); err != nil {
		return err
	}
	return bus.Publish(ctx, fans, fan{a.Device, a.Hot, time.Since(a.At).Seconds()})
}
