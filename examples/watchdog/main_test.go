package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// docs/devices.md shows the handlers of this program, word for word.
func TestDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "var (\n")
	program, _, _ = strings.Cut(program, "\nfunc main()")
	if program == "" || !strings.Contains(string(doc), "var (\n"+program) {
		t.Error("the handlers in docs/devices.md differ from those of main.go")
	}
}

// A device that connects is greeted, and the siren sounds when nothing is heard of it any more.
func TestWatchdog(t *testing.T) {
	rules := []device.AbsenceRule{{After: time.Second}}
	app := spate.New(spate.Options{
		Data: t.TempDir() + "/data", Devices: device.Config{Absence: rules}, Logger: slog.New(slog.DiscardHandler), DrainTimeout: time.Second,
	})
	if err := handle(app); err != nil {
		t.Fatal(err)
	}
	addr, err := app.Listen("mqtt://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(running) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	clients := map[string]*mqttclient.Client{}
	for _, id := range []string{"siren", "fan-7"} {
		clients[id] = connect(ctx, t, addr.String(), id)
		if method, _ := answer(ctx, t, clients[id]); method != "hello" {
			t.Errorf("%s: got %s instead of a greeting", id, method)
		}
	}
	clients["fan-7"].Kill()
	siren := clients["siren"]
	if method, payload := answer(ctx, t, siren); method != "sound" || payload != "fan-7" {
		t.Errorf("the siren got %s %s", method, payload)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// connect connects a device that listens to its commands.
func connect(ctx context.Context, t *testing.T, addr, id string) *mqttclient.Client {
	t.Helper()
	c, err := mqttclient.Dial(ctx, "mqtt://"+addr, mqttclient.Options{ClientID: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "$devices/" + id + "/commands/+/request/#", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer answers the next command, and returns it.
func answer(ctx context.Context, t *testing.T, c *mqttclient.Client) (method, payload string) {
	t.Helper()
	m, err := c.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	topic, method, _ := strings.Cut(m.Topic, "/request/")
	if _, err := c.Publish(ctx, mqttclient.Message{Topic: topic + "/response", QoS: 1, Payload: []byte("ok")}); err != nil {
		t.Fatal(err)
	}
	return method, string(m.Payload)
}
