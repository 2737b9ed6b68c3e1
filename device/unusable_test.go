package device_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/stream"
)

// sayWith publishes what a device or an application says with correlation data.
func (k *kit) sayWith(subject, data, correlation string) {
	k.t.Helper()
	e := &event.Event{Subject: subject, Data: []byte(data), Headers: []event.Header{{Name: event.CorrelationData, Value: correlation}}}
	if _, err := k.App().Bus().Publish(k.t.Context(), e); err != nil {
		k.t.Fatal(err)
	}
	k.Settle()
}

// Correlation data that fits into a request and not into its answer is refused, and what is said to the device next is done.
func TestCorrelationTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		long := strings.Repeat("c", event.DefaultHeaderBytes-len(event.CorrelationData))
		for n, c := range []struct{ tail, data, answer string }{
			{"get", "", "get"}, {"get", "{", "get"}, {"reported", `{"a":1}`, "update"}, {"desired", `{"a":1}`, "update"}, {"update", `{"state":{"desired":null}}`, "update"},
			{"update", "{", "update"},
		} {
			k.sayWith("$devices/fan/state/"+c.tail, c.data, long)
			all := k.Published("$devices/fan/state/" + c.answer + "/rejected")
			if len(all) == 0 {
				t.Fatalf("%d: %s %q: no rejection", n, c.tail, c.data)
			}
			last := all[len(all)-1]
			if r := decode[device.Rejection](t, all); r[len(r)-1].Code != 413 || last.Header(event.CorrelationData) != "" {
				t.Errorf("%d: %s %q: %+v, %q", n, c.tail, c.data, r[len(r)-1], last.Headers)
			}
			k.sayWith("$devices/fan/state/get", "", long[:1<<10])
			got := k.Published("$devices/fan/state/get/accepted")
			if len(got) != n+1 || got[n].Header(event.CorrelationData) != long[:1<<10] {
				t.Fatalf("%d: after %s %q: %d answers", n, c.tail, c.data, len(got))
			}
		}
		if s, err := k.devices().State(t.Context(), "fan"); err != nil || s.Version != 0 || k.skipped() != 0 {
			t.Errorf("%+v, %v, %d skipped", s, err, k.skipped())
		}
	})
}

// What the limits on events do not let through is refused with a reason, and holds up nothing that comes later.
func TestAnswersBeyondLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(device.Config{})
		o.App.Bus.Event = event.Limits{DataLength: 700, HeaderBytes: 120}
		k := &kit{spatetest.New(t, o), t}
		k.connect("fan")
		small, large := `{"a":"`+strings.Repeat("x", 100)+`"}`, `{"b":"`+strings.Repeat("x", 500)+`"}`
		update := func(data string) error {
			_, err := k.devices().UpdateState(t.Context(), "fan", device.Update{Reported: []byte(data)})
			return err
		}
		if err := errors.Join(update(small), update(`{"a":2}`)); err != nil {
			t.Error(err)
		}
		if err := update(large); !errors.Is(err, device.ErrTooLarge) {
			t.Error(err)
		}
		k.sayWith("$devices/fan/state/get", `{"clientToken":"t"}`, strings.Repeat("c", 100)) // the answer has room for one header
		if all := k.Published("$devices/fan/state/get/accepted"); len(all) != 1 || all[0].Header("request-id") == "" || len(all[0].Headers) != 1 {
			t.Errorf("%d answers", len(all))
		}
		if c, err := k.devices().Call(t.Context(), "fan", "spin", nil, device.CallOptions{Wait: time.Minute}); !errors.Is(err, device.ErrFailed) || !strings.HasPrefix(c.Error, "it cannot be sent") {
			t.Errorf("%+v, %v", c, err)
		}
		if s, err := k.devices().State(t.Context(), "fan"); err != nil || s.Version != 2 || k.skipped() != 0 {
			t.Errorf("%+v, %v, %d skipped", s, err, k.skipped())
		}
	})
}

// An event that cannot be handled at all is skipped, once, and counted; removing the device removes what cannot be read too.
func TestUnreadableIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		k.Settle()
		k.spoil("fan", "state", "commands")
		k.say("$devices/fan/state/get", "")
		k.say("$devices/fan/commands/x/response", "")
		if n := k.skipped(); n != 2 {
			t.Errorf("%d were skipped", n)
		}
		k.devices().Disconnected(c, "")
		k.Settle()
		if err := k.devices().Remove(t.Context(), "fan"); err != nil {
			t.Fatal(err)
		}
		k.connect("fan")
		k.say("$devices/fan/state/reported", `{"on":true}`)
		k.wantTold("$devices/fan/state/update/accepted", `{"state":{"reported":{"on":true}},"version":1}`, 1)
	})
}

// What the server tells of devices does not wait for streams of others: one that is too small for an event is spared it, and all others get it.
func TestStreamTooSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(device.Config{})
		o.App.Streams = append(o.App.Streams, stream.Config{Name: "small", Subjects: []string{"$devices/#"}, MaxEventBytes: 20})
		k := &kit{spatetest.New(t, o), t}
		c := k.connect("fan")
		k.say("$devices/fan/state/reported", `{"a":1}`)
		if s, err := k.devices().UpdateState(t.Context(), "fan", device.Update{Desired: []byte(`{"b":1}`)}); err != nil || s.Version != 2 {
			t.Errorf("%+v, %v", s, err)
		}
		sent := k.send("spin", time.Minute)
		k.say("$devices/fan/commands/"+sent.ID+"/response", "ok")
		k.devices().Disconnected(c, "")
		k.Settle()
		if c := k.command(sent.ID); c.State != device.Done {
			t.Errorf("%+v", c)
		}
		k.wantTold("$devices/fan/state/delta", `{"state":{"b":1},"version":2}`, 1)
		if n, told, small := len(k.Stored("history")), len(k.Stored("told")), len(k.Stored("small")); n != 2 || told != 9 || small != 3 {
			t.Errorf("%d presence events, %d others; the small stream has %d", n, told, small)
		}
		if _, err := k.App().Bus().Publish(t.Context(), &event.Event{Subject: "$devices/fan/state/reported", Data: []byte(`{"a":"123456789012345"}`)}); !errors.Is(err, event.ErrTooLong) {
			t.Errorf("an event of somebody else: %v", err)
		}
		s, err := k.App().Streams().Get("small")
		if err != nil || s.LeftOut() == 0 {
			t.Errorf("nothing was left out, %v", err)
		}
	})
}
