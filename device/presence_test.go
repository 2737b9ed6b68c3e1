package device_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/store"
)

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		began := time.Now().UTC()
		c := k.connect("fan")
		want := device.Device{
			ID: "fan", Online: true, Epoch: 1, Address: "192.0.2.7:4711", Protocol: "mqtt", User: "u", FirstSeen: began, LastSeen: began,
		}
		if d := k.get("fan"); !reflect.DeepEqual(d, want) {
			t.Errorf("connected: %+v, want %+v", d, want)
		}
		k.pass(time.Minute)
		k.devices().Disconnected(c, "quit")
		synctest.Wait()
		want.Online, want.LastSeen = false, began.Add(time.Minute)
		if d := k.get("fan"); !reflect.DeepEqual(d, want) {
			t.Errorf("disconnected: %+v, want %+v", d, want)
		}
		got := decode[device.Presence](t, k.Published("$devices/fan/presence"))
		online := device.Presence{ID: "fan", State: device.Online, Epoch: 1, At: began, Address: "192.0.2.7:4711", Protocol: "mqtt", User: "u"}
		offline := online
		offline.State, offline.At, offline.Reason = device.Offline, began.Add(time.Minute), "quit"
		if !reflect.DeepEqual(got, []device.Presence{online, offline}) {
			t.Errorf("presence: %+v", got)
		}
	})
}

// What comes late changes nothing.
func TestLateDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		first := k.connect("fan")
		second := k.connect("fan")
		k.devices().Disconnected(first, "late")
		synctest.Wait()
		if d := k.get("fan"); !d.Online || d.Epoch != 2 {
			t.Errorf("a connection that had ended took the device offline: %+v", d)
		}
		k.devices().Disconnected(second, "")
		k.devices().Disconnected(first, "later still")
		synctest.Wait()
		if d := k.get("fan"); d.Online {
			t.Errorf("%+v", d)
		}
		if n := len(k.Published("$devices/fan/presence")); n != 3 {
			t.Errorf("%d events", n)
		}
	})
}

// Many connections of a few devices come and go at once, and disconnections come in any order and late. The events of each device are in order, and the last one is right.
func TestPresenceOrder(t *testing.T) {
	for seed := range uint64(atMost(20, 3)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { presenceOrder(t, seed) })
		})
	}
}

func presenceOrder(t *testing.T, seed uint64) {
	k := start(t, device.Config{})
	var doors sync.WaitGroup
	var mu sync.Mutex
	open := map[string]uint64{} // the last connection that has not ended, by device
	for door := range 8 {
		random := rand.New(rand.NewPCG(seed, uint64(door)))
		doors.Go(func() {
			for range 25 {
				id := fmt.Sprint("d", random.IntN(3))
				c := device.Session{ID: id}
				var err error
				if c.Epoch, err = k.devices().Connected(t.Context(), c); err != nil {
					t.Error(err)
				}
				mu.Lock()
				open[id] = max(open[id], c.Epoch)
				mu.Unlock()
				if random.IntN(4) == 0 {
					continue // its end is never told, since another has taken over
				}
				k.pass(time.Duration(random.IntN(5)) * time.Millisecond)
				k.devices().Disconnected(c, "")
			}
		})
	}
	doors.Wait()
	synctest.Wait()
	last := map[string]device.Presence{}
	for _, p := range decode[device.Presence](t, k.Published("$devices/+/presence")) {
		before := last[p.ID]
		switch {
		case p.State == device.Online && p.Epoch != before.Epoch+1, p.State == device.Offline && (p.Epoch != before.Epoch || before.State != device.Online):
			t.Fatalf("%+v after %+v", p, before)
		}
		last[p.ID] = p
	}
	for id, p := range last {
		if d := k.get(id); d.Online != (p.State == device.Online) || d.Epoch != p.Epoch || d.Epoch != open[id] {
			t.Errorf("%+v, and the last event is %+v, and the last connection %d", d, p, open[id])
		}
	}
}

// A crash at any commit leaves a device that is connected again, or is marked as offline soon, and epochs that never fall.
func TestPresenceCrash(t *testing.T) {
	spatetest.CrashEverywhere(t, func(*testing.T) spatetest.Options { return options(device.Config{}) }, func(t *testing.T, n *spatetest.Node) {
		k := &kit{n, t}
		epoch := uint64(0)
		for range 3 {
			c := device.Session{ID: "fan"}
			for {
				var err error
				if c.Epoch, err = k.devices().Connected(t.Context(), c); err == nil {
					break
				} else if !errors.Is(err, store.ErrClosed) {
					t.Fatal(err)
				}
			}
			if c.Epoch <= epoch {
				t.Errorf("epoch %d after %d", c.Epoch, epoch)
			}
			epoch = c.Epoch
			k.devices().Disconnected(c, "done")
			k.pass(device.DefaultGrace + 2*time.Second)
			if d := k.get("fan"); d.Online {
				t.Errorf("%+v is still online", d)
			}
		}
		before := device.Presence{State: device.Offline}
		for _, p := range decode[device.Presence](t, n.Published("$devices/+/presence")) {
			if p.State == device.Offline && (before.State != device.Online || p.Epoch != before.Epoch) || p.State == device.Online && p.Epoch <= before.Epoch {
				t.Errorf("%+v after %+v", p, before)
			}
			before = p
		}
		if before.State != device.Offline || before.Epoch != epoch {
			t.Errorf("the last event is %+v", before)
		}
	})
}

// After a crash, a device that does not come back is marked as offline after the grace, and one that does is not.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{Grace: time.Minute})
		gone, back := k.connect("gone"), k.connect("back")
		k.Crash()
		k.connect("back")
		k.devices().Disconnected(back, "told by nobody, since its process has died")
		k.pass(59 * time.Second)
		if d := k.get("gone"); !d.Online {
			t.Error("it had time to come back")
		}
		k.pass(2 * time.Second)
		synctest.Wait()
		if d := k.get("gone"); d.Online || d.Epoch != gone.Epoch {
			t.Errorf("%+v", d)
		}
		if d := k.get("back"); !d.Online || d.Epoch != back.Epoch+1 {
			t.Errorf("%+v", d)
		}
		got := decode[device.Presence](t, k.Published("$devices/gone/presence"))
		if len(got) != 2 || got[1].Reason == "" || got[1].State != device.Offline {
			t.Errorf("%+v", got)
		}
	})
}

// What could not be written for want of room is written when there is some.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		k.FillDisk(true)
		if _, err := k.devices().Connected(t.Context(), device.Session{ID: "other"}); !errors.Is(err, store.ErrFull) {
			t.Errorf("connected although nothing can be stored: %v", err)
		}
		k.devices().Disconnected(c, "")
		k.pass(5 * time.Second)
		if d := k.get("fan"); !d.Online {
			t.Error("offline, and nobody was told")
		}
		k.FillDisk(false)
		k.pass(2 * time.Second)
		if d := k.get("fan"); d.Online {
			t.Error("still online")
		}
	})
}

// Of a storm of connections and their ends, all are kept and told.
func TestStorm(t *testing.T) {
	k := start(t, device.Config{})
	var all sync.WaitGroup
	devices := atMost(2000, 300)
	sessions := make([]device.Session, devices)
	for i := range sessions {
		all.Go(func() { sessions[i] = k.connect(fmt.Sprintf("d%04d", i)) })
	}
	all.Wait()
	if n := k.devices().Len(); n != devices {
		t.Errorf("%d devices", n)
	}
	for _, c := range sessions {
		k.devices().Disconnected(c, "storm")
	}
	if n := len(k.WaitFor("$devices/+/presence", 2*devices)); n != 2*devices {
		t.Errorf("%d events", n)
	}
}
