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
