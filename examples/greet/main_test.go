package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/protocol/resp"
)

func TestGreet(t *testing.T) {
	app := spate.New(spate.Options{Commands: []resp.Command{{Name: "GREET", Arity: 2, Run: greet}}})
	addr, err := app.Listen("resp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GREET world\r\nGREET\r\n")
	r := bufio.NewReader(c)
	for _, want := range []string{"$12", "hello, world", "-ERR wrong number of arguments for 'greet' command"} {
		if got, err := r.ReadString('\n'); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("got %q and %v, want %q", got, err, want)
		}
	}
	c.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
