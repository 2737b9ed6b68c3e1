// Watchdog reacts to what the node knows about devices: one that connects is greeted with a command, and when nothing was heard of one for half a minute, the
// siren is told. Both are durable handlers, so nothing is missed while the program is down.
//
//	mosquitto_sub -i siren -k 10 -c -q 1 -t '$devices/siren/commands/+/request/#' -v
//	mosquitto_sub -i fan-7 -k 10 -c -q 1 -t '$devices/fan-7/commands/+/request/#' -v      # is greeted; now stop it with Ctrl-Z for a while
//	mosquitto_pub -q 1 -t '$devices/siren/commands/ID/response' -m ok                     # the ID is in what the first has printed
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
)

// What is said of devices comes in the order of each device.
var (
	presence = bus.NewTopic("$devices/+/presence", bus.Key(func(p device.Presence) string { return p.ID }))
	absent   = bus.NewTopic("$devices/+/absent", bus.Key(func(a device.Absence) string { return a.ID }))
)

// greet is called when a device has come or gone. The command waits on disk until the device can receive it. It has the identifier of the event, so that
// there is one, also if this is done again after a crash.
func greet(ctx context.Context, devices *device.Service, p device.Presence) error {
	if p.State != device.Online {
		return nil
	}
	d, _ := bus.Current(ctx)
	_, err := devices.SendAs(ctx, d.Event.ID.String(), p.ID, "hello", []byte(p.Address), device.CallOptions{Expiry: time.Minute})
	return err
}

// raise is called when nothing was heard of a device for too long. It waits for the answer of the siren, and is tried again if there is none.
func raise(ctx context.Context, devices *device.Service, a device.Absence) error {
	if a.ID == "siren" {
		return nil
	}
	_, err := devices.Call(ctx, "siren", "sound", []byte(a.ID), device.CallOptions{Expiry: time.Minute})
	return err
}

// handle adds the handlers to an application.
func handle(app *spate.App) error {
	return errors.Join(
		bus.Handle(app, presence, "greet", func(ctx context.Context, p device.Presence) error { return greet(ctx, app.Devices(), p) }),
		bus.Handle(app, absent, "raise", func(ctx context.Context, a device.Absence) error { return raise(ctx, app.Devices(), a) }),
	)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	absence := []device.AbsenceRule{{After: 30 * time.Second}}
	app := spate.New(spate.Options{Data: "watchdog-data", Devices: device.Config{Absence: absence}})
	_ = handle(app) // Run returns its error too
	app.Listen("mqtt://127.0.0.1:1883")
	app.Listen("http://127.0.0.1:8080") // spate device ls
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
