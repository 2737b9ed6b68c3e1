package device_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
)

// Commands wait while the device has unsubscribed, unless another filter of its session selects them, and are sent when it has subscribed again.
func TestUnsubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		left := map[string]bool{"$devices/+/commands/+/request/#": true, "$devices/other/#": true, "no#filter": true}
		unsubscribe := func(filter string) {
			k.devices().Unsubscribed(c, filter, maps.All(left))
			k.Settle()
		}
		k.devices().Subscribed(c, "$devices/fan/#", true)
		k.send("a", time.Hour)
		unsubscribe("$devices/fan/#")
		k.send("b", time.Hour)
		k.wantRequests("another filter selects it", "a", "b")
		k.say("$devices/fan/state/desired", `{"on":true}`)
		delete(left, "$devices/+/commands/+/request/#")
		unsubscribe("$devices/other/state/delta") // none of its business
		k.send("c", time.Hour)
		k.wantRequests("still", "a", "b", "c")
		unsubscribe("$devices/+/commands/+/request/#")
		waits := k.send("d", time.Hour)
		k.pass(time.Minute)
		k.wantRequests("it hears nothing", "a", "b", "c")
		k.wantState(waits.ID, device.Queued, device.Queued)
		k.devices().Subscribed(c, "$devices/fan/commands/+/request/#", true)
		k.wantRequests("it hears again", "a", "b", "c", "a", "b", "c", "d")
		if n := len(k.Published("$devices/fan/state/delta")); n != 1 {
			t.Errorf("the difference was told %d times", n)
		}
		k.devices().Subscribed(c, "$devices/fan/state/delta", true)
		k.Settle()
		if n := len(k.Published("$devices/fan/state/delta")); n != 2 {
			t.Errorf("it subscribed to the difference, which was told %d times", n)
		}
	})
}

// What a device that resumes its session has unsubscribed from, it does not hear on the new connection either.
func TestUnsubscribedAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		k.devices().Unsubscribed(c, "$devices/+/commands/+/request/#", maps.All(map[string]bool{}))
		k.devices().Disconnected(c, "quit")
		k.Settle()
		c = k.connectSession(device.Session{ID: "fan", Resumed: true})
		k.send("a", time.Hour)
		k.wantRequests("resumed")
		k.devices().Subscribed(c, "$devices/fan/commands/#", true)
		k.wantRequests("subscribed", "a")
	})
}

// A command for a device that was declared and never connected waits for it. One that reports its state without connecting listens in another way.
func TestCommandBeforeTheFirstConnection(t *testing.T) {
	for how, want := range map[string][]string{"connects": {"a"}, "reports": {"a", "b"}} {
		synctest.Test(t, func(t *testing.T) {
			k := start(t, device.Config{})
			if _, err := k.devices().Declare(t.Context(), "fan", "", nil); err != nil {
				t.Fatal(err)
			}
			a := k.send("a", time.Hour)
			k.say("$devices/fan/state/desired", `{"on":true}`)
			k.say("$devices/fan/state/get", "")
			k.pass(time.Minute)
			k.wantRequests("declared")
			k.wantState(a.ID, device.Queued, device.Queued)
			if how == "connects" {
				k.connect("fan")
			} else {
				k.say("$devices/fan/state/reported", `{"on":true}`)
				k.send("b", time.Hour)
			}
			k.wantRequests(how, want...)
			if c := k.command(a.ID); c.Attempts != 1 || c.State != device.Sent {
				t.Errorf("%s: %+v", how, c)
			}
		})
	}
}

// What a session that is resumed has subscribed to is heard, also if that was never stored; if it was, nothing is sent twice.
func TestResumedWithFilters(t *testing.T) {
	for name, known := range map[string]bool{"stored": true, "not stored": false} {
		synctest.Test(t, func(t *testing.T) {
			k := start(t, device.Config{})
			if known {
				k.devices().Disconnected(k.connect("fan"), "quit")
			} else if _, err := k.devices().Declare(t.Context(), "fan", "", nil); err != nil {
				t.Fatal(err)
			}
			k.Settle()
			k.send("a", time.Hour)
			k.say("$devices/fan/state/desired", `{"on":true}`)
			k.Settle()
			before := len(k.Published("$devices/fan/state/delta"))
			c := k.connectSession(device.Session{ID: "fan", Resumed: true})
			filters := maps.All(map[string]bool{"$devices/+/commands/+/request/#": false, "$devices/fan/state/delta": false, "$devices/other/#": true, "no#filter": true})
			k.devices().Resumed(device.Session{ID: "fan"}, filters)
			k.devices().Resumed(c, maps.All(map[string]bool{"$devices/other/#": true}))
			if n := k.devices().Held()[2]; n != 0 {
				t.Errorf("%s: %d notices are held, want none", name, n)
			}
			k.devices().Resumed(c, filters)
			k.send("b", time.Hour)
			k.wantRequests(name, "a", "b")
			if n := len(k.Published("$devices/fan/state/delta")) - before; n != 1 {
				t.Errorf("%s: the difference was told %d times", name, n)
			}
		})
	}
}
