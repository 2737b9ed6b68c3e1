package device_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
)

// A command whose time has passed while nobody could look is not sent to a device that subscribes before somebody does.
func TestExpiredIsNotSent(t *testing.T) {
	for how, again := range map[string]func(*kit){
		"it connects": func(k *kit) { k.connect("fan") },
		"it resumes":  func(k *kit) { k.connectSession(device.Session{ID: "fan", Resumed: true}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			k := start(t, device.Config{Limits: device.Limits{Commands: device.MaxCommands, Window: 2}})
			c := k.connect("fan")
			k.send("sent", 30*time.Second)
			k.devices().Disconnected(c, "quit")
			k.Settle()
			for range 300 { // more than one turn may end
				if _, err := k.devices().Send(t.Context(), "fan", "unlock", nil, device.CallOptions{Expiry: 30 * time.Second}); err != nil {
					t.Fatal(err)
				}
			}
			queued := k.send("unlock", 30*time.Second)
			k.send("alive", time.Hour)
			k.FillDisk(true)
			k.pass(time.Minute)
			k.FillDisk(false)
			again(k)
			k.pass(20 * time.Second)
			k.wantRequests(how, "sent", "alive")
			k.wantState(queued.ID, device.Expired, device.Queued, device.Expired)
			expired := 0
			for _, c := range decode[struct{ State string }](t, k.Published("$devices/fan/commands/+/status")) {
				if c.State == device.Expired {
					expired++
				}
			}
			if expired != 302 || k.skipped() != 0 {
				t.Errorf("%s: %d have expired, want 302; %d skipped", how, expired, k.skipped())
			}
		})
	}
}
