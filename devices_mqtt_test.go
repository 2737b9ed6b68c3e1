package spate_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store/memstore"
)

// deviceHost is an App with an MQTT listener and devices.
func deviceHost(t *testing.T) (app *spate.App, url string) {
	t.Helper()
	return deviceHostWith(t, device.Config{})
}

func deviceHostWith(t *testing.T, config device.Config) (app *spate.App, url string) {
	t.Helper()
	o := quiet()
	o.Devices = config
	store := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = store.Close() })
	o.Store = store
	app = spate.New(o)
	at := listen(t, app, "mqtt://127.0.0.1:0")
	run(t, app)
	return app, "mqtt://" + at.String()
}

// A command reaches a device of either version, which answers on the response topic; what was said while it was away, and what it should be, it is told
// as soon as it has subscribed; and nothing is lost or delayed when it has a session that lasts.
func TestDevicesOverMQTT(t *testing.T) {
	for name, o := range map[string]mqttclient.Options{
		"version 5":                {},
		"version 3.1.1":            {Version: packet.V311},
		"version 5, a session":     {Resume: true, SessionExpiry: 3600},
		"version 3.1.1, a session": {Version: packet.V311, Resume: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			app, url := deviceHost(t)
			o.ClientID = "fan"
			c := dialDevice(ctx, t, url, o)
			if d, err := app.Devices().Get(ctx, "fan"); err != nil || !d.Online || d.Epoch != 1 || !strings.HasPrefix(d.Protocol, "mqtt") {
				t.Fatalf("%+v, %v", d, err)
			}
			subscribeDevice(ctx, t, c)
			called := make(chan device.Command, 1)
			go func() {
				got, err := app.Devices().Call(ctx, "fan", "spin", []byte("fast"), device.CallOptions{})
				if err != nil {
					t.Error(err)
				}
				called <- got
			}()
			answerDevice(ctx, t, c, "spin")
			if got := <-called; string(got.Response) != "as you say: fast" || got.State != device.Done {
				t.Errorf("%+v", got)
			}
			if err := c.Disconnect(); err != nil {
				t.Error(err)
			}
			later, err := app.Devices().Send(ctx, "fan", "stop", []byte("now"), device.CallOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := app.Devices().UpdateState(ctx, "fan", device.Update{Desired: []byte(`{"on":true}`)}); err != nil {
				t.Fatal(err)
			}
			o.Session = c.Session()
			c = dialDevice(ctx, t, url, o)
			if !o.Resume {
				subscribeDevice(ctx, t, c)
			}
			answerDevice(ctx, t, c, "stop")
			for {
				got, err := app.Devices().Command(ctx, "fan", later.ID)
				if err != nil {
					t.Fatalf("the command that waited is not done: %v", err)
				}
				if got.State == device.Done {
					break
				}
				runtime.Gosched()
			}
			if _, err := c.Publish(ctx, mqttclient.Message{Topic: "$devices/fan/presence", QoS: 1, Payload: []byte("{}")}); err == nil && o.Version != packet.V311 {
				t.Error("a device may say that it is offline")
			}
		})
	}
}

func dialDevice(ctx context.Context, t *testing.T, url string, o mqttclient.Options) *mqttclient.Client {
	t.Helper()
	c, err := mqttclient.Dial(ctx, url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func subscribeDevice(ctx context.Context, t *testing.T, c *mqttclient.Client) {
	t.Helper()
	_, err := c.Subscribe(ctx, packet.Subscription{Filter: "$devices/fan/commands/+/request/#", QoS: 1}, packet.Subscription{Filter: "$devices/fan/state/delta", QoS: 1})
	if err != nil {
		t.Fatal(err)
	}
}

// answerDevice answers commands until one of that method has come, and, of the second connection, the difference of the state.
func answerDevice(ctx context.Context, t *testing.T, c *mqttclient.Client, method string) {
	t.Helper()
	command, delta := false, method == "spin"
	for !command || !delta {
		m, err := c.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Topic == "$devices/fan/state/delta" {
			delta = strings.HasPrefix(string(m.Payload), `{"state":{"on":true}`)
			continue
		}
		topic, _, _ := strings.Cut(m.Topic, "/request/")
		answer := mqttclient.Message{Topic: topic + "/response", QoS: 1, Payload: append([]byte("as you say: "), m.Payload...)}
		if m.Properties != nil && m.Properties.ResponseTopic != answer.Topic {
			t.Errorf("the response topic is %q", m.Properties.ResponseTopic)
		}
		if _, err := c.Publish(ctx, answer); err != nil {
			t.Fatal(err)
		}
		command = command || strings.HasSuffix(m.Topic, "/"+method)
	}
}

// Of a client with a keep-alive it is known when it was last heard.
func TestLastHeardOverMQTT(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	app, url := deviceHost(t)
	for id, keepAlive := range map[string]time.Duration{"fan": time.Minute, "silent": 0} {
		dialDevice(ctx, t, url, mqttclient.Options{ClientID: id, KeepAlive: keepAlive})
		if at, known := app.MQTT().LastHeard(id); known != (keepAlive > 0) || known && time.Since(at) > time.Second {
			t.Errorf("%s was heard at %v, %t", id, at, known)
		}
	}
	if at, known := app.MQTT().LastHeard("nobody"); known {
		t.Errorf("nobody was heard at %v", at)
	}
}
