// Fleet watches over devices and controls them: each publishes its temperature over MQTT, the fan of one that is too hot is turned on, and off again when it
// has cooled. What is decided is kept with the readings that it was decided from, so that nothing is forgotten or decided twice when the process is killed
// anywhere. `spate demo` runs the same handlers, with a simulated fleet; here a device is two lines of a shell (and a fan that answers a third):
//
//	mosquitto_sub -i oven -c -q 1 -t '$devices/oven/commands/+/request/#' -v
//	mosquitto_pub -q 1 -t sensors/oven/temperature -m '{"device":"oven","celsius":91}'
//	mosquitto_pub -q 1 -t '$devices/oven/commands/ID/response' -m ok      # the ID is in what the first has printed
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	app := spate.New(spate.Options{Data: "fleet-data", Streams: streams()})
	_ = handle(app) // Run returns its error too
	app.Listen("mqtt://127.0.0.1:1883")
	app.Listen("resp://127.0.0.1:6379")  // redis-cli XRANGE sensors/oven/temperature - +
	app.Listen("http://127.0.0.1:8080")  // spate device show oven
	if err := app.Run(ctx); err != nil { // or why one of the lines before has failed
		log.Fatal(err)
	}
}
