package fleet

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	dev "github.com/spate-io/spate/device"
)

// Devices whose network is cut come back, to the session that they had; what they report and say of themselves arrives, and in the end they say goodbye.
func TestFleet(t *testing.T) {
	app := spate.New(spate.Options{Data: t.TempDir() + "/data", Logger: slog.New(slog.DiscardHandler), DrainTimeout: time.Second})
	addr, err := app.Listen("mqtt://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Options{Server: "mqtt://" + addr.String(), Devices: 4, Every: time.Millisecond, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	presence, err := bus.Subscribe(app, bus.NewTopic[dev.Presence]("$devices/+/presence"))
	if err != nil {
		t.Fatal(err)
	}
	status, err := bus.Subscribe(app, bus.NewTopic[[]byte]("sensors/+/status"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	running, stop := context.WithCancel(ctx)
	ended, served := make(chan error, 1), make(chan error, 1)
	go func() { ended <- f.Run(running) }()
	serving, finish := context.WithCancel(context.Background())
	go func() { served <- app.Run(serving) }()

	cut := ""
	for range 1000 { // until one is cut off and comes back
		p, err := presence.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if cut == "" && p.State == dev.Offline {
			cut = p.ID
		}
		if cut == p.ID && p.State == dev.Online {
			break
		}
	}
	lost := false
	for s, err := range status.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if lost = string(s) == "lost"; lost {
			break
		}
	}
	state, err := app.Devices().State(ctx, cut)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(state); err != nil || !strings.Contains(string(text), `"fan":false`) {
		t.Errorf("the state is %s, %v", text, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := f.Figures(); got.Online != 0 || got.Devices != 4 || got.Readings == 0 || got.Losses == 0 {
		t.Errorf("the fleet has done %+v", got)
	}
	finish()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A fleet that nobody lets in ends at once, with a reason.
func TestNoServer(t *testing.T) {
	f, err := New(Options{Server: "mqtt://127.0.0.1:1", Devices: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "connecting to mqtt://127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Devices: -1}, {Devices: MaxDevices + 1}, {Every: time.Microsecond}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	f, err := New(Options{Seed: 203})
	if err != nil || f.First() != 4 || f.Figures().Devices != DefaultDevices || Name(7) != "sensor-007" {
		t.Errorf("%+v, %v", f, err)
	}
}
