package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
)

// Six orders of two customers, one of which nobody can be charged for, over two runs of the program.
func TestOrders(t *testing.T) {
	data := t.TempDir() + "/data"
	for run := range 2 {
		app := newApp(spate.Options{Data: data, Logger: slog.New(slog.DiscardHandler)}, &bank{})
		sent, err := bus.Subscribe(app, parcels)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- app.Run(ctx) }()
		for i, euros := range []int{5, 0, 6} {
			for _, customer := range []string{"ada", "bob"} {
				if err := bus.PublishTo(ctx, app, orders, order{fmt.Sprintf("%d%d", run, i), customer, euros}); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := map[string]string{}
		for range 4 {
			p, err := sent.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got[p.Customer] += fmt.Sprintf(" %s:%d", p.Order, p.Number)
		}
		for _, customer := range []string{"ada", "bob"} {
			if want := fmt.Sprintf(" %d0:%d %d2:%d", run, 2*run+1, run, 2*run+2); got[customer] != want {
				t.Errorf("%s got the parcels%s, want%s", customer, got[customer], want)
			}
		}
		sent.Close()
		dead, err := app.Consumers().Dead(ctx, "charge", "", 10)
		if err != nil || len(dead) != 2*(run+1) || !strings.Contains(dead[0].Reason, "nobody can be charged 0 euros") {
			t.Errorf("dead letters %v, %v", dead, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
