package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/internal/fleet"
)

// `spate demo` has these handlers, word for word.
func TestDemo(t *testing.T) {
	const begin, end = "// A reading is", "\nfunc main()"
	var programs [2]string
	for i, name := range []string{"main.go", "../../cmd/spate/demo_handlers.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, program, _ := strings.Cut(string(source), begin)
		programs[i], _, _ = strings.Cut(program, end)
	}
	if programs[0] == "" || strings.TrimSpace(programs[0]) != strings.TrimSpace(programs[1]) {
		t.Error("the handlers of cmd/spate/demo_handlers.go differ from those of main.go")
	}
}

// A device overheats, its fan is turned on, it cools, and its fan is turned off: one that speaks MQTT 5, and one that speaks 3.1.1.
func TestFleet(t *testing.T) {
	for _, seed := range []uint64{0, 1} { // the number of the device that overheats
		ctx, cancel := context.WithCancel(t.Context())
		app := spate.New(spate.Options{Data: t.TempDir() + "/data", Streams: streams(), Logger: slog.New(slog.DiscardHandler), DrainTimeout: time.Second})
		if err := handle(app); err != nil {
			t.Fatal(err)
		}
		raised, err := bus.Subscribe(app, alerts)
		if err != nil {
			t.Fatal(err)
		}
		done, err := bus.Subscribe(app, fans)
		if err != nil {
			t.Fatal(err)
		}
		addr, err := app.Listen("mqtt://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		devices, err := fleet.New(fleet.Options{Server: "mqtt://" + addr.String(), Devices: 2, Every: 10 * time.Millisecond, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		served, simulated := make(chan error, 1), make(chan error, 1)
		serving, stop := context.WithCancel(context.Background())
		go func() { served <- app.Run(serving) }()
		go func() { simulated <- devices.Run(ctx) }()
		id := fleet.Name(devices.First())
		for _, hot := range []bool{true, false} {
			if a := next(t, raised, func(a alert) bool { return a.Device == id }); a.Hot != hot || hot != (a.Celsius >= 60) || hot == (a.Celsius <= 40) {
				t.Errorf("%s: got the alert %+v, want hot %t", id, a, hot)
			}
			if f := next(t, done, func(f fan) bool { return f.Device == id }); f.On != hot || f.Seconds <= 0 {
				t.Errorf("%s: got the fan %+v, want %t", id, f, hot)
			}
		}
		cancel()
		if err := <-simulated; err != nil {
			t.Error(err)
		}
		if f := devices.Figures(); f.Online != 0 || f.Readings == 0 || f.Commands < 2 {
			t.Errorf("the fleet has done %+v", f)
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// next returns the next of those that are asked for.
func next[T any](t *testing.T, r *bus.Reader[T], want func(T) bool) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		v, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if want(v) {
			return v
		}
	}
}

// What a broken thermometer says is no temperature.
func TestBroken(t *testing.T) {
	if err := watch(t.Context(), reading{Device: "a", Celsius: fleet.Broken}); err != nil {
		t.Error(err)
	}
}
