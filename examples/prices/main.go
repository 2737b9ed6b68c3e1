// Prices answers requests: an endpoint of the bus, with typed errors and a limit on how often it is asked, and a request type for
// redis-cli that passes its question on to it, and waits at most a second for the answer:
//
//	redis-cli PRICE apple
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
	"github.com/spate-io/spate/protocol/resp"
)

type priceOf struct {
	Item string `json:"item"`
}

type price struct {
	Cents int `json:"cents"`
}

var prices = bus.NewEndpoint[priceOf, price]("prices/get")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	app := newApp(spate.Options{})
	app.Listen("resp://127.0.0.1:6379") // Run reports what is wrong with it
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func newApp(o spate.Options) (app *spate.App) {
	ask := func(ctx context.Context, r *resp.Request) error { return reply(ctx, app, r) }
	o.Commands = []resp.Command{{Name: "PRICE", Arity: 2, Usage: "item", Summary: "Tells what an item costs, in cents.", Run: ask}}
	app = spate.New(o)
	list := map[string]int{"apple": 120, "pear": 90}
	bus.Respond(app, prices, func(_ context.Context, q priceOf) (price, error) {
		cents, ok := list[q.Item]
		if !ok {
			return price{}, &bus.RemoteError{Code: "unknown_item", Message: "there is no " + q.Item}
		}
		return price{cents}, nil
	}, bus.LiveOptions{Middleware: []bus.Middleware{bus.RateLimit(10_000, 100)}})
	return app
}

// reply answers redis-cli with what the endpoint says.
func reply(ctx context.Context, app *spate.App, r *resp.Request) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p, err := bus.Request(ctx, app, prices, priceOf{r.Text(1)})
	var told *bus.RemoteError
	switch {
	case errors.As(err, &told):
		return errors.New(told.Message)
	case errors.Is(err, bus.ErrNoResponder), errors.Is(err, bus.ErrTimeout):
		return errors.New("nobody knows right now, ask again")
	case err != nil:
		return err
	}
	r.Integer(int64(p.Cents))
	return nil
}
