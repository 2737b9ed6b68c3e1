package resp_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// A request type of one's own, and a client that speaks the protocol by hand.
func Example() {
	ctx, quiet := context.Background(), slog.New(slog.DiscardHandler)
	e, err := engine.New(engine.Options{Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Shutdown(ctx)
	p, err := resp.New(resp.Options{Logger: quiet, Commands: []resp.Command{{
		Name: "GREET", Arity: 2, Summary: "Say hello", Usage: "name",
		Run: func(_ context.Context, r *resp.Request) error {
			r.Simple("Hello, " + r.Text(1))
			return nil
		},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := e.Listen(ctx, engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: p})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Fprint(c, "GREET world\r\nPING\r\n")
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Println(in.Text())
		if in.Text() == "+PONG" {
			return
		}
	}
	// Output:
	// +Hello, world
	// +PONG
}
