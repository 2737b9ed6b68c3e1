package device_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
)

// What doors tell while the disk is full is stored once it is not, in order.
func TestNoticesAfterFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connectSession(device.Session{ID: "fan"})
		k.Settle()
		k.FillDisk(true)
		hear := func() { k.devices().Subscribed(c, "$devices/fan/commands/+/request/#", true) }
		hear()
		k.pass(5 * time.Second)
		k.devices().Unsubscribed(c, "$devices/fan/commands/+/request/#", func(func(string, bool) bool) {})
		hear()
		k.pass(5 * time.Second)
		synctest.Wait()
		if n := k.devices().Held()[2]; n != 3 {
			t.Errorf("%d notices are held, want 3", n)
		}
		k.FillDisk(false)
		k.pass(5 * time.Second)
		k.send("a", time.Hour)
		k.wantRequests("it has subscribed", "a")
		k.devices().Disconnected(c, "quit")
		k.Settle()
		k.connectSession(device.Session{ID: "fan", Resumed: true})
		k.send("b", time.Hour)
		k.wantRequests("and has resumed", "a", "b")
		if n := k.devices().Held()[2]; n != 0 {
			t.Errorf("%d notices are held, want none", n)
		}
	})
}

// What cannot be stored is bounded: the last that are told are left out.
func TestNoticesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		fan, lamp := k.connectSession(device.Session{ID: "fan"}), k.connectSession(device.Session{ID: "lamp"})
		k.Settle()
		k.FillDisk(true)
		hear := func(c device.Session) { k.devices().Subscribed(c, "$devices/+/commands/+/request/#", true) }
		hear(fan)
		k.pass(5 * time.Second)
		for range device.MaxNotices {
			hear(lamp)
		}
		k.pass(5 * time.Second)
		synctest.Wait()
		if n := k.devices().Held()[2]; n != device.MaxNotices {
			t.Errorf("%d notices are held, want %d", n, device.MaxNotices)
		}
	})
}
