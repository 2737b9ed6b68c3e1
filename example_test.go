package spate_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/protocol/resp"
)

// greet is a request type of one's own. It may block: nobody else waits for it.
func greet(ctx context.Context, r *resp.Request) error {
	select {
	case <-time.After(time.Millisecond): // a database, another server, a long computation
	case <-ctx.Done():
		return ctx.Err()
	}
	r.Simple("Hello, " + r.Text(1) + "!")
	return nil
}

// A server with a request type of its own, for redis-cli and every Redis library.
func Example() {
	app := spate.New(spate.Options{
		Commands: []resp.Command{{Name: "GREET", Arity: 2, Run: greet}},
		Logger:   slog.New(slog.DiscardHandler),
	})
	addr, err := app.Listen("resp://127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background()) // a program has signal.NotifyContext
	done := make(chan error)
	go func() { done <- app.Run(ctx) }()

	fmt.Println(say(addr, "GREET world"))

	stop()
	fmt.Println(<-done)
	// Output:
	// +Hello, world!
	// <nil>
}

// say sends a request and returns the first line of the reply.
func say(addr net.Addr, request string) string {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprintf(c, "%s\r\n", request)
	line, _, err := bufio.NewReader(c).ReadLine()
	if err != nil {
		return err.Error()
	}
	return string(line)
}
