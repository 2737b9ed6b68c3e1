package main

import (
	"context"
	"log/slog"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

func TestPubsub(t *testing.T) {
	app := newApp(spate.Options{Logger: slog.New(slog.DiscardHandler)})
	heard, err := bus.Subscribe(app, alerts)
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	for _, data := range []string{`{"celsius": 21}`, `{"celsius": 81.5}`} {
		if _, err := app.Bus().Publish(ctx, &event.Event{Subject: "sensors/hall/temperature", Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	a, e, err := heard.NextEvent(ctx)
	if err != nil || e.Subject != "alerts/hall" || a.Text != "81.5 degrees are too many" {
		t.Error(a, e, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
