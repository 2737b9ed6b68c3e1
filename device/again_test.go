package device_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
)

// Who calls again with the identifier of a command that is over is told what became of it.
func TestCallAgain(t *testing.T) {
	for tail, want := range map[string]error{"response": nil, "error": device.ErrFailed, "": device.ErrExpired} {
		synctest.Test(t, func(t *testing.T) {
			k := start(t, device.Config{})
			k.connect("fan")
			id := k.send("spin", time.Minute).ID
			if tail != "" {
				k.say("$devices/fan/commands/"+id+"/"+tail, "ok")
			}
			k.pass(2 * time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := k.devices().CallAs(ctx, id, "fan", "spin", nil, device.CallOptions{})
			if !c.Final() || c.ID != id || !errors.Is(err, want) {
				t.Errorf("%q: %+v, %v", tail, c, err)
			}
		})
	}
}

// Two who call with the same identifier are both answered, and the device is asked once. Who waits no longer takes nobody else's answer along.
func TestCallTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		id := k.devices().NewCommandID()
		var over sync.WaitGroup
		for range 2 {
			over.Go(func() {
				c, err := k.devices().CallAs(t.Context(), id, "fan", "spin", nil, device.CallOptions{Wait: 30 * time.Second})
				if err != nil || string(c.Response) != "ok" {
					t.Errorf("%+v, %v", c, err)
				}
			})
		}
		c, err := k.devices().CallAs(t.Context(), id, "fan", "spin", nil, device.CallOptions{Wait: time.Second})
		if !errors.Is(err, device.ErrUnanswered) || c.State != device.Sent {
			t.Errorf("%+v, %v", c, err)
		}
		k.wantRequests("three calls", "spin")
		k.answer(id, "ok")
		over.Wait()
		if n := k.devices().Held()[3]; n != 0 {
			t.Errorf("%d wait still", n)
		}
	})
}
