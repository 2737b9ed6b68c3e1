package device_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
)

// A device that is idle takes no memory, or a place in the wheel if a rule selects it, however much was done with it before.
func TestIdleDevicesHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{Absence: []device.AbsenceRule{{After: time.Hour, IDs: "fan*"}}})
		k.connect("fan")
		for i := range 500 {
			c := k.connect(fmt.Sprint("d", i))
			if i%2 == 0 {
				k.devices().Disconnected(c, "")
			}
		}
		c := k.send("spin", time.Minute)
		k.delivered(c.ID, "spin")
		k.answer(c.ID, "done")
		k.say("$devices/d7/state/desired", `{"on":true}`)
		if got, want := k.devices().Held(), [5]int{4: 1}; got != want {
			t.Errorf("in memory are %v, want %v", got, want)
		}
	})
}

// What was handled does not stay in the inbox.
func TestInboxIsTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		for i := range 20 {
			k.say("$devices/fan/state/reported", fmt.Sprintf(`{"n":%d}`, i))
		}
		if n := len(k.Stored("$devices")); n == 0 {
			t.Error("nothing was in the inbox")
		}
		k.pass(2 * time.Minute)
		k.Settle()
		if n := len(k.Stored("$devices")); n != 0 {
			t.Errorf("%d events are left in the inbox", n)
		}
		k.Crash()
		k.say("$devices/fan/state/reported", `{"n":20}`)
		if s, err := k.devices().State(t.Context(), "fan"); err != nil || s.Version != 21 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
