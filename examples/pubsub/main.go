// Pubsub publishes and subscribes: temperatures come in from anybody, a handler watches them as they come, and warns on
// another topic, which anybody may listen to. Nothing is stored. With redis-cli in two terminals:
//
//	redis-cli SUBSCRIBE alerts/hall
//	redis-cli PUBLISH sensors/hall/temperature '{"celsius": 81.5}'
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
)

type reading struct {
	Celsius float64 `json:"celsius"`
}

type alert struct {
	Text string `json:"text"`
}

var (
	readings = bus.NewTopic[reading]("sensors/+/temperature")
	alerts   = bus.NewTopic[alert]("alerts/+") // in a handler, the place that is handled fills the +
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	app := newApp(spate.Options{})
	app.Listen("resp://127.0.0.1:6379") // Run reports what is wrong with it
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func newApp(o spate.Options) *spate.App {
	app := spate.New(o)
	bus.HandleLive(app, readings, "watch", func(ctx context.Context, r reading) error {
		if r.Celsius <= 80 {
			return nil
		}
		return bus.Publish(ctx, alerts, alert{fmt.Sprintf("%.1f degrees are too many", r.Celsius)})
	})
	return app
}
