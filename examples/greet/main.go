package main

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/protocol/resp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	app := spate.New(spate.Options{Commands: []resp.Command{{Name: "GREET", Arity: 2, Run: greet}}})
	app.Listen("resp://127.0.0.1:6379") // Run reports what is wrong with it
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func greet(_ context.Context, r *resp.Request) error {
	r.BulkString("hello, " + r.Text(1))
	return nil
}
