package device_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
)

// Who waits for the answer to a command learns that the device was removed, with its commands.
func TestRemovedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		if _, err := k.devices().Declare(t.Context(), "fan", "", nil); err != nil {
			t.Fatal(err)
		}
		const wait = time.Hour
		begin := time.Now()
		var over sync.WaitGroup
		defer over.Wait()
		over.Go(func() {
			synctest.Wait()
			if err := k.devices().Remove(t.Context(), "fan"); err != nil {
				t.Error(err)
			}
		})
		c, err := k.devices().Call(t.Context(), "fan", "spin", nil, device.CallOptions{Expiry: wait, Wait: wait})
		if took := time.Since(begin); took >= time.Minute || !errors.Is(err, device.ErrNotFound) || c.ID != "" {
			t.Errorf("after %v: %+v, %v", took, c, err)
		}
	})
}

// All that is kept of a device with many commands is removed with it, and told; what is said to another one of its name meanwhile is not.
func TestRemovedWithManyCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{Limits: device.Limits{Commands: device.MaxCommands}})
		declare := func() {
			t.Helper()
			if _, err := k.devices().Declare(t.Context(), "fan", "", nil); err != nil {
				t.Fatal(err)
			}
		}
		give := func() string {
			t.Helper()
			c, err := k.devices().Send(t.Context(), "fan", "spin", []byte("fast"), device.CallOptions{Expiry: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return c.ID
		}
		declare()
		var given []string
		for range 600 { // more than one step may end
			given = append(given, give())
		}
		k.Settle()
		if err := k.devices().Remove(t.Context(), "fan"); err != nil {
			t.Fatal(err)
		}
		declare()
		k.pass(time.Second)
		last := give()
		k.Settle()
		all, err := k.devices().Commands(t.Context(), "fan")
		if err != nil || len(all) != 1 || all[0].ID != last || k.skipped() != 0 {
			t.Errorf("the new device has %d commands, %v; %d skipped", len(all), err, k.skipped())
		}
		var failed []string
		for _, c := range decode[struct{ ID, State, Error string }](t, k.Published("$devices/fan/commands/+/status")) {
			if c.State == device.Failed && c.Error == device.ErrNotFound.Error() {
				failed = append(failed, c.ID)
			}
		}
		if !slices.Equal(failed, given) {
			t.Errorf("%d commands were told to have failed, want %d", len(failed), len(given))
		}
		for _, id := range given {
			if _, err := k.devices().Command(t.Context(), "fan", id); !errors.Is(err, device.ErrNoCommand) {
				t.Fatalf("a command has survived its device: %v", err)
			}
		}
	})
}
