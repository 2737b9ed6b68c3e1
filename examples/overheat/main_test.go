package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/stream"
)

// What the README shows is this program, word for word.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "type reading struct")
	if !strings.Contains(string(readme), "type reading struct"+program) {
		t.Error("the program in README.md differs from main.go")
	}
}

// A reading that redis-cli publishes is handled once, also when the program is started again.
func TestOverheat(t *testing.T) {
	dir := t.TempDir() + "/data"
	for range 2 {
		app := spate.New(spate.Options{Data: dir, Logger: slog.New(slog.DiscardHandler)})
		if err := bus.Handle(app, readings, "overheat", overheat); err != nil {
			t.Fatal(err)
		}
		heard, err := bus.Subscribe(app, alerts)
		if err != nil {
			t.Fatal(err)
		}
		addr, err := app.Listen("resp://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- app.Run(ctx) }()
		for _, celsius := range []int{20, 91, 79, 92} {
			publish(t, addr, fmt.Sprintf(`{"Device":"oven","Celsius":%d}`, celsius))
		}
		for _, want := range []float64{91, 92} {
			if a, err := heard.Next(ctx); err != nil || a.Celsius != want || a.Device != "oven" {
				t.Errorf("got %+v and %v, want %v", a, err, want)
			}
		}
		heard.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// Through both doors of the README, redis-cli and Go, there is one order and one state of a device, and Redis's commands see its alerts.
func TestBothDoors(t *testing.T) {
	kept := stream.Config{Name: "alerts", Subjects: []string{"alerts/+"}}
	app := spate.New(spate.Options{Data: t.TempDir() + "/data", Streams: []stream.Config{kept}, Logger: slog.New(slog.DiscardHandler)})
	if err := bus.Handle(app, readings, "overheat", overheat); err != nil {
		t.Fatal(err)
	}
	const most = 40
	got, total := make(chan reading, most), bus.NewState[int]("total")
	err := bus.Handle(app, readings, "count", func(ctx context.Context, r reading) error {
		n, err := total.Get(ctx)
		if err != nil {
			return err
		}
		got <- reading{r.Device + fmt.Sprint(n), r.Celsius}
		return total.Set(ctx, n+1)
	})
	if err != nil {
		t.Fatal(err)
	}
	heard, err := bus.Subscribe(app, alerts)
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	addr, err := app.Listen("resp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	for i := 0; i < most; i += 2 {
		publish(t, addr, fmt.Sprintf(`{"Device":"oven","Celsius":%d}`, 100+i))
		if err := bus.PublishTo(ctx, app, readings, reading{"oven", float64(101 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range most {
		if r, want := <-got, (reading{fmt.Sprint("oven", i), float64(100 + i)}); r != want {
			t.Fatalf("got %+v, want %+v", r, want)
		}
		if a, err := heard.Next(ctx); err != nil || a.Celsius != float64(100+i) {
			t.Fatalf("got the alert %+v and %v", a, err)
		}
	}
	if line := ask(t, addr, "XRANGE", "alerts/oven", "-", "+"); line != fmt.Sprintf("*%d\r\n", most) {
		t.Errorf("XRANGE alerts/oven: %q", line)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func publish(t *testing.T, addr net.Addr, data string) {
	t.Helper()
	if line := ask(t, addr, "PUBLISH", "sensors/oven/temperature", data); line == "" || line[0] != ':' {
		t.Errorf("got %q", line)
	}
}

// ask sends a command and returns the first line of the reply.
func ask(t *testing.T, addr net.Addr, command ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "*%d\r\n", len(command))
	for _, arg := range command {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(arg), arg)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	return line
}
