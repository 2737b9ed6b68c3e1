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

func publish(t *testing.T, addr net.Addr, data string) {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "*3\r\n$7\r\nPUBLISH\r\n$24\r\nsensors/oven/temperature\r\n$%d\r\n%s\r\n", len(data), data)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line[0] != ':' {
		t.Errorf("got %q and %v", line, err)
	}
}
