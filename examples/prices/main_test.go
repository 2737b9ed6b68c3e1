package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
)

func TestPrices(t *testing.T) {
	app := newApp(spate.Options{Logger: slog.New(slog.DiscardHandler)})
	addr, err := app.Listen("resp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	if p, err := bus.Request(ctx, app, prices, priceOf{"apple"}); err != nil || p.Cents != 120 {
		t.Error(p, err)
	}
	var told *bus.RemoteError
	if _, err := bus.Request(ctx, app, prices, priceOf{"fig"}); !errors.As(err, &told) || told.Code != "unknown_item" {
		t.Error(err)
	}
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "PRICE pear\r\nPRICE fig\r\n")
	r := bufio.NewReader(c)
	for _, want := range []string{":90", "-ERR there is no fig"} {
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
