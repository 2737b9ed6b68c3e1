// Orders is a pipeline: orders are charged, and what is paid is shipped, each by a handler of its own. Whatever a handler
// publishes and remembers is committed together with its place, so that each order is shipped once, also when the process is killed anywhere. The
// bank is down now and then, and is asked again; an order that can never be charged becomes a dead letter, which
// somebody looks at. Orders come in from anybody:
//
//	redis-cli PUBLISH orders/new '{"id":"1","customer":"ada","euros":5}'
//	redis-cli XRANGE parcels/ada - +
//	spate dead ls
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
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Euros    int    `json:"euros"`
}

type parcel struct {
	Order    string `json:"order"`
	Customer string `json:"customer"`
	Number   int    `json:"number"` // of this customer, from 1
}

var (
	orders  = bus.NewTopic("orders/new", bus.Key(func(o order) string { return o.Customer }))
	paid    = bus.NewTopic("orders/paid", bus.Key(func(o order) string { return o.Customer }))
	parcels = bus.NewTopic("parcels/+", bus.Key(func(p parcel) string { return p.Customer }))
	shipped = bus.NewState[int]("shipped") // how many parcels, by customer
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	app := newApp(spate.Options{Data: "orders-data"}, &bank{})
	app.Listen("resp://127.0.0.1:6379") // Run reports what is wrong with it, and with the handlers
	app.Listen("http://127.0.0.1:8080") // for the commands of spate
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// newApp returns the pipeline. Stopping it and starting it again goes on where it was.
func newApp(o spate.Options, b *bank) *spate.App {
	const month = 30 * 24 * time.Hour
	o.Streams = []stream.Config{
		{Name: "orders", Subjects: []string{"orders/#"}, MaxAge: stream.Duration(12 * month)},
		{Name: "parcels", Subjects: []string{"parcels/+"}, MaxAge: stream.Duration(month)},
	}
	app := spate.New(o)
	patient := bus.HandlerOptions{Retry: task.Backoff{Initial: 50 * time.Millisecond, Attempts: 20}}
	bus.Handle(app, orders, "charge", func(ctx context.Context, o order) error {
		if err := b.charge(ctx, o); err != nil {
			return err
		}
		return bus.Publish(ctx, paid, o)
	}, patient)
	bus.Handle(app, paid, "ship", ship)
	return app
}

// ship numbers the parcels of each customer. Orders of one customer come here one after the other, and those of others beside them.
func ship(ctx context.Context, o order) error {
	n, err := shipped.Get(ctx)
	if err != nil {
		return err
	}
	if err := shipped.Set(ctx, n+1); err != nil {
		return err
	}
	return bus.Publish(ctx, parcels, parcel{Order: o.ID, Customer: o.Customer, Number: n + 1})
}

// bank is the world outside, which is not part of any step. It may be asked twice for one order, and so it is told which.
type bank struct{}

// errDown is what the bank says when it is down.
var errDown = errors.New("the bank is down")

func (b *bank) charge(ctx context.Context, o order) error {
	d, _ := bus.Current(ctx)
	switch {
	case o.Euros <= 0:
		return bus.Dead(fmt.Errorf("nobody can be charged %d euros", o.Euros))
	case d.Attempt == 1 && o.Euros%2 == 1: // as it happens
		return errDown
	}
	log.Printf("charged %s %d euros, for event %v", o.Customer, o.Euros, d.ID())
	return nil
}
