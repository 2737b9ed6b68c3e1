// Overheat is the program of the README: a durable handler in a dozen lines. What is published on sensors/+/temperature is stored, handled once
// for each reading whatever happens to the process, and answered with an alert that is committed together with the handler's place.
//
//	redis-cli PSUBSCRIBE 'alerts/+'
//	redis-cli PUBLISH sensors/oven/temperature '{"Device":"oven","Celsius":91}'
//	redis-cli XRANGE alerts/oven - +
//	spate consumer info overheat
package main

import (
	"context"
	"log"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/stream"
)

type reading struct {
	Device  string
	Celsius float64
}

var (
	readings = bus.NewTopic("sensors/+/temperature", bus.Key(func(r reading) string { return r.Device }))
	alerts   = bus.NewTopic("alerts/+", bus.Key(func(r reading) string { return r.Device }))
)

// overheat is called for each reading, in the order of its device. What it publishes is committed with its place.
func overheat(ctx context.Context, r reading) error {
	if r.Celsius < 80 {
		return nil // done; any other error means: try again, then make it a dead letter
	}
	return bus.Publish(ctx, alerts, r)
}

func main() {
	kept := stream.Config{Name: "alerts", Subjects: []string{"alerts/+"}} // readings get one, sensors.any.temperature, for their handler
	app := spate.New(spate.Options{Data: "overheat-data", Streams: []stream.Config{kept}})
	bus.Handle(app, readings, "overheat", overheat)
	app.Listen("resp://127.0.0.1:6379")
	app.Listen("http://127.0.0.1:8080")      // for curl, and for the commands of spate
	log.Fatal(app.Run(context.Background())) // or why one of the lines before has failed
}
