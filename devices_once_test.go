package spate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// What waited for a device comes once when it connects, whether its session lasts or not; also when it subscribes anew to what its session has.
func TestDeviceCommandsOnceOverMQTT(t *testing.T) {
	for name, resume := range map[string]bool{"clean": false, "lasting": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			app, url := deviceHost(t)
			o := mqttclient.Options{ClientID: "fan", Version: packet.V311, Resume: resume}
			c := dialDevice(ctx, t, url, o)
			subscribeDevice(ctx, t, c)
			for range 3 {
				if err := c.Disconnect(); err != nil {
					t.Fatal(err)
				}
				for d, err := app.Devices().Get(ctx, "fan"); d.Online || err != nil; d, err = app.Devices().Get(ctx, "fan") {
					if err != nil {
						t.Fatal(err)
					}
				}
				want := []string{"1", "2", "3", "delta", "end"}
				for _, method := range want[:3] {
					if _, err := app.Devices().Send(ctx, "fan", method, nil, device.CallOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := app.Devices().UpdateState(ctx, "fan", device.Update{Desired: []byte(`{"on":true}`)}); err != nil {
					t.Fatal(err)
				}
				o.Session = c.Session()
				c = dialDevice(ctx, t, url, o)
				subscribeDevice(ctx, t, c)
				// Said after the device is known to have subscribed: copies that would be sent then come before the end.
				var got []string
				for ended := false; !slices.Contains(got, "end"); {
					m, err := c.Receive(ctx)
					if err != nil {
						t.Fatalf("%q: %v", got, err)
					}
					got = append(got, m.Topic[strings.LastIndexByte(m.Topic, '/')+1:])
					if len(got) >= 4 && !ended {
						ended = true
						if _, err := app.Devices().Send(ctx, "fan", "end", nil, device.CallOptions{}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("came: %q, want %q", got, want)
				}
			}
		})
	}
}

// A session may be older than the device: that was removed meanwhile, or is one only now. Then it gets its commands, and is told what it should be, nevertheless.
func TestSessionOlderThanItsDevice(t *testing.T) {
	for name, config := range map[string]device.Config{"removed": {}, "unknown before": {Unknown: device.Ignore}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			app, url := deviceHostWith(t, config)
			o := mqttclient.Options{ClientID: "fan", Resume: true, SessionExpiry: 3600}
			c := dialDevice(ctx, t, url, o)
			subscribeDevice(ctx, t, c)
			if err := c.Disconnect(); err != nil {
				t.Fatal(err)
			}
			for err := device.ErrOnline; config.Unknown == "" && err != nil; {
				if err = app.Devices().Remove(ctx, "fan"); err != nil && !errors.Is(err, device.ErrOnline) {
					t.Fatal(err)
				}
			}
			if _, err := app.Devices().Declare(ctx, "fan", "", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := app.Devices().UpdateState(ctx, "fan", device.Update{Desired: []byte(`{"on":true}`)}); err != nil {
				t.Fatal(err)
			}
			if _, err := app.Devices().Send(ctx, "fan", "stop", nil, device.CallOptions{}); err != nil {
				t.Fatal(err)
			}
			o.Session = c.Session()
			answerDevice(ctx, t, dialDevice(ctx, t, url, o), "stop")
		})
	}
}

// A device that has unsubscribed from its commands, by all filters that select them, is sent none until it has subscribed again.
func TestUnsubscribedDeviceOverMQTT(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	app, url := deviceHost(t)
	o := mqttclient.Options{ClientID: "fan", Resume: true, SessionExpiry: 3600}
	c := dialDevice(ctx, t, url, o)
	again := func() { // what was told before is stored then
		t.Helper()
		if err := c.Disconnect(); err != nil {
			t.Fatal(err)
		}
		for d, err := app.Devices().Get(ctx, "fan"); d.Online || err != nil; d, err = app.Devices().Get(ctx, "fan") {
			if err != nil {
				t.Fatal(err)
			}
		}
		o.Session = c.Session()
		c = dialDevice(ctx, t, url, o)
	}
	send := func(method string) string {
		t.Helper()
		sent, err := app.Devices().Send(ctx, "fan", method, nil, device.CallOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := app.Devices().UpdateState(ctx, "fan", device.Update{Reported: []byte(`{}`)}); err != nil { // done after the command
			t.Fatal(err)
		}
		return sent.ID
	}
	const own, every = "$devices/fan/commands/+/request/#", "$devices/+/commands/#"
	for _, filter := range []string{own, every} {
		if _, err := c.Subscribe(ctx, packet.Subscription{Filter: filter, QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []struct{ filter, method, want string }{{own, "heard", device.Sent}, {every, "unheard", device.Queued}} {
		if _, err := c.Unsubscribe(ctx, one.filter); err != nil {
			t.Fatal(err)
		}
		again()
		got, err := app.Devices().Command(ctx, "fan", send(one.method))
		if err != nil || (got.State == device.Queued) != (one.want == device.Queued) {
			t.Errorf("without %s: %+v, %v", one.filter, got, err)
		}
	}
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: own, QoS: 1}); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(m.Topic, "/request/unheard") {
			return
		}
	}
}
