package device_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/store"
)

// absent are rules for the tests: fans after half a minute, what is in the hall after ten seconds.
func absent() device.Config {
	return device.Config{Absence: []device.AbsenceRule{{After: 30 * time.Second, IDs: "fan*"}, {After: 10 * time.Second, Tags: []string{"hall"}}, {After: time.Hour, Type: "lamp"}}}
}

// wantAbsences checks what was told, as "fan absent".
func (k *kit) wantAbsences(when string, want ...string) {
	k.t.Helper()
	k.Settle()
	var got []string
	for _, e := range k.Published("$devices/+/+") {
		id, what, _ := strings.Cut(strings.TrimPrefix(e.Subject, "$devices/"), "/")
		if what == "absent" || what == "present" {
			got = append(got, id+" "+what)
		}
	}
	if !slices.Equal(got, want) {
		k.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

func TestAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		for id, tags := range map[string][]string{"fan": nil, "bell": {"hall"}, "fan-2": {"hall"}, "door": nil, "fan-never": nil} {
			if _, err := k.devices().Declare(t.Context(), id, "", tags); err != nil {
				t.Fatal(err)
			}
		}
		fan := k.connect("fan")
		k.connect("door")
		k.devices().Disconnected(fan, "")
		k.pass(28 * time.Second)
		k.wantAbsences("not yet")
		k.pass(4 * time.Second)
		k.wantAbsences("half a minute", "fan absent")
		if d := k.get("fan"); !d.Absent {
			t.Errorf("%+v", d)
		}
		k.pass(time.Hour)
		k.wantAbsences("once for an absence", "fan absent")
		fan = k.connect("fan")
		k.wantAbsences("connected", "fan absent", "fan present")
		if d := k.get("fan"); d.Absent {
			t.Errorf("%+v", d)
		}
		k.pass(20 * time.Second)
		k.say("$devices/fan/state/reported", `{}`) // which counts as being heard
		k.pass(20 * time.Second)
		k.wantAbsences("it has said something", "fan absent", "fan present")
		k.pass(15 * time.Second)
		k.wantAbsences("it is connected and silent", "fan absent", "fan present", "fan absent")
		k.say("$devices/fan/state/reported", `{}`)
		k.pass(9 * time.Second)
		k.wantAbsences("heard again", "fan absent", "fan present", "fan absent", "fan present")
		k.say("$devices/bell/state/reported", `{}`) // it never connects
		k.pass(time.Second)                         // which of two comes first that were heard at the same moment is not said
		k.say("$devices/fan-2/state/reported", `{}`)
		k.pass(12 * time.Second)
		k.wantAbsences("the shortest time counts", "fan absent", "fan present", "fan absent", "fan present", "bell absent", "fan-2 absent")
		k.devices().Disconnected(fan, "")
	})
}

// A rule waits for the first device that it selects, however long that takes.
func TestAbsenceOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		k.pass(10 * time.Second)
		fan := k.connect("fan")
		k.devices().Disconnected(fan, "")
		k.pass(35 * time.Second)
		k.wantAbsences("half a minute", "fan absent")
	})
}

// What is heard of a device that is connected is asked for when its time has come.
func TestAbsenceLastHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard atomic.Pointer[time.Time]
		var asked atomic.Int64
		set := func() { now := time.Now(); heard.Store(&now) }
		set()
		k := start(t, device.Config{Grace: time.Hour}) // the service of the node does not know the other one
		s, stop := k.service(device.Options{Config: absent(), LastHeard: func(string) (time.Time, bool) {
			asked.Add(1)
			return *heard.Load(), true
		}})
		defer stop()
		if _, err := s.Connected(t.Context(), device.Session{ID: "fan"}); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			k.pass(3 * time.Second)
			set()
		}
		k.wantAbsences("heard all the time")
		if n := asked.Load(); n > 20 {
			t.Errorf("it was asked %d times in five minutes", n)
		}
		k.pass(40 * time.Second)
		k.wantAbsences("silent", "fan absent")
		set()
		k.pass(10 * time.Second)
		k.wantAbsences("heard again", "fan absent", "fan present")
	})
}

// A crash at any commit neither loses an absence nor tells it twice.
func TestAbsenceCrash(t *testing.T) {
	spatetest.CrashEverywhere(t, func(*testing.T) spatetest.Options { return options(absent()) }, func(t *testing.T, n *spatetest.Node) {
		k := &kit{n, t}
		for range 2 {
			var c device.Session
			for err := store.ErrClosed; err != nil; {
				c = device.Session{ID: "fan"}
				c.Epoch, err = k.devices().Connected(t.Context(), c)
			}
			k.devices().Disconnected(c, "")
			k.pass(2 * time.Minute)
			n.Settle()
			if d := k.get("fan"); !d.Absent {
				t.Errorf("%+v", d)
			}
		}
		k.wantAbsences("in all", "fan absent", "fan present", "fan absent")
	})
}

// After a restart the time goes on: of a device that was gone, as if nothing had been; of one that was connected, from the start.
func TestAbsenceRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		gone := k.connect("fan-gone")
		k.connect("fan-cut")
		k.devices().Disconnected(gone, "")
		k.Settle()
		k.pass(25 * time.Second)
		k.devices().Disconnected(k.connect("fan-cut"), "")
		k.connect("fan-cut")
		k.Crash()
		k.pass(8 * time.Second)
		k.wantAbsences("after the crash", "fan-gone absent")
		k.pass(30 * time.Second)
		k.wantAbsences("later", "fan-gone absent", "fan-cut absent")
		k.Crash()
		k.pass(time.Hour)
		k.wantAbsences("told already", "fan-gone absent", "fan-cut absent")
	})
}

// Many that fall silent at once are told with few commits.
func TestAbsenceMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		devices := atMost(700, 300) // more than one commit takes
		for i := range devices {
			k.connect(fmt.Sprint("fan", i))
		}
		k.pass(33 * time.Second)
		k.Settle()
		if n := len(k.Published("$devices/+/absent")); n != devices {
			t.Errorf("%d are absent", n)
		}
	})
}

// Whether something was heard of a device at the end of its connection depends on who has ended that.
func TestAbsenceAtTheEnd(t *testing.T) {
	for reason, heard := range map[string]bool{
		"quit": true, "peer-closed": true, "": true, "keep-alive-timeout": false, "write-timeout": false, "server-shutdown": false, "killed": false, "access-denied": false, "connection-reset": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			k := start(t, absent())
			c := k.connect("fan")
			c.Heard = time.Now().Add(time.Second).UTC()
			k.pass(40 * time.Second)
			k.wantAbsences(reason, "fan absent")
			k.devices().Disconnected(c, reason)
			k.pass(10 * time.Second)
			want := []string{"fan absent"}
			if heard {
				want = append(want, "fan present")
			}
			k.wantAbsences(reason, want...)
			if d := k.get("fan"); d.Absent == heard || d.LastSeen.Equal(c.Heard) == heard {
				t.Errorf("%s: %+v", reason, d)
			}
			k.Crash()
			k.pass(40 * time.Second)
			if heard {
				want = append(want, "fan absent")
			}
			k.wantAbsences(reason+", later", want...)
		})
	}
}

// A client that is connected may be silent for one and a half times its keep-alive; one that has gone goes by the rule again.
func TestAbsenceKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		k.connectSession(device.Session{ID: "fan", KeepAlive: 40 * time.Second})
		for range 3 {
			k.pass(55 * time.Second)
			k.say("$devices/fan/state/reported", `{}`)
		}
		k.wantAbsences("heard in time")
		k.pass(57 * time.Second)
		k.wantAbsences("not yet")
		k.pass(5 * time.Second)
		k.wantAbsences("silent for longer", "fan absent")
		c := k.connectSession(device.Session{ID: "fan", KeepAlive: 40 * time.Second})
		k.devices().Disconnected(c, "quit")
		k.pass(33 * time.Second)
		k.wantAbsences("it has gone", "fan absent", "fan present", "fan absent")
	})
}

// A device that was absent when the server stopped stays that. One that was not, and was cut off by it, is given the time anew, and is told with when it was heard.
func TestAbsenceOfThoseCutOff(t *testing.T) {
	for _, reason := range []string{"server-shutdown", "killed by a crash"} {
		synctest.Test(t, func(t *testing.T) {
			c := absent()
			c.Grace = 5 * time.Second
			k := start(t, c)
			k.connect("fan-silent")
			k.pass(40 * time.Second)
			k.wantAbsences("before", "fan-silent absent")
			cut := k.connect("fan-cut")
			at := time.Now().UTC()
			k.pass(20 * time.Second)
			if reason == "server-shutdown" {
				cut.Heard = at
				k.devices().Disconnected(cut, reason)
				k.Settle()
			}
			k.Crash()
			k.pass(27 * time.Second)
			k.wantAbsences(reason, "fan-silent absent")
			k.pass(6 * time.Second)
			k.wantAbsences(reason+", later", "fan-silent absent", "fan-cut absent")
			told := decode[device.Absence](t, k.Published("$devices/fan-cut/absent"))
			if len(told) != 1 || !told[0].LastHeard.Equal(at) {
				t.Errorf("%s: %+v, heard at %v", reason, told, at)
			}
			k.Crash()
			k.pass(time.Hour)
			k.wantAbsences(reason+", once", "fan-silent absent", "fan-cut absent")
		})
	}
}

// What shortens the time takes effect at once: another rule, or a connection with a shorter keep-alive.
func TestAbsenceShortened(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(k *kit, fan device.Session)
		want []string
	}{
		"another rule": {func(k *kit, fan device.Session) {
			k.devices().Disconnected(fan, "quit")
			k.Settle()
			if _, err := k.devices().Declare(k.t.Context(), "fan", "", []string{"hall"}); err != nil {
				k.t.Fatal(err)
			}
			k.pass(13 * time.Second)
		}, []string{"fan absent"}},
		"it has come back": {func(k *kit, fan device.Session) {
			k.devices().Disconnected(fan, "quit")
			k.Settle()
			k.connectSession(device.Session{ID: "fan", KeepAlive: 10 * time.Second})
			k.pass(33 * time.Second)
		}, []string{"fan absent"}},
		"it was taken over": {func(k *kit, _ device.Session) {
			k.connectSession(device.Session{ID: "fan", KeepAlive: 10 * time.Second})
			k.pass(33 * time.Second)
		}, []string{"fan absent"}},
		"it was away, and absent": {func(k *kit, fan device.Session) {
			k.devices().Disconnected(fan, "quit")
			k.pass(35 * time.Second)
			k.connectSession(device.Session{ID: "fan", KeepAlive: 10 * time.Second})
			k.pass(33 * time.Second)
		}, []string{"fan absent", "fan present", "fan absent"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := start(t, absent())
				c.do(k, k.connectSession(device.Session{ID: "fan", KeepAlive: time.Hour}))
				k.wantAbsences(name, c.want...)
			})
		})
	}
}

// However often the time of devices changes, each is in the wheel once, and is looked at when the shortest has passed.
func TestAbsenceShortenedOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		var want []string
		for n := range 30 {
			id := fmt.Sprintf("fan-%02d", n)
			for m := range 5 {
				k.connectSession(device.Session{ID: id, KeepAlive: time.Hour / time.Duration(1+(n+m)%5)})
			}
			if n%3 == 0 {
				k.connectSession(device.Session{ID: id})
				want = append(want, id+" absent")
			}
		}
		if n := k.devices().Held()[4]; n != 30 {
			t.Errorf("%d are to be looked at", n)
		}
		k.pass(33 * time.Second)
		k.Settle()
		var got []string
		for _, e := range k.Published("$devices/+/absent") {
			got = append(got, strings.Split(e.Subject, "/")[1]+" absent")
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if n := k.devices().Held()[4]; n != 30 {
			t.Errorf("later, %d are to be looked at", n)
		}
	})
}

// A device that reports without connecting is absent after a restart too, and one of which nothing was ever heard is not.
func TestAbsenceOfThoseThatOnlyReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		for _, id := range []string{"fan", "fan-never"} {
			if _, err := k.devices().Declare(t.Context(), id, "", nil); err != nil {
				t.Fatal(err)
			}
		}
		k.say("$devices/fan/state/reported", `{"a":1}`)
		k.pass(5 * time.Second)
		k.Crash()
		k.pass(20 * time.Second)
		k.wantAbsences("not yet")
		k.pass(8 * time.Second)
		k.wantAbsences("half a minute", "fan absent")
		if n := k.devices().Held()[4]; n != 0 {
			t.Errorf("%d are to be looked at", n)
		}
	})
}

// The time that a device is given anew is that of the first start after it was cut off: it is absent also where restarts are more frequent than its rule.
func TestAbsenceWithManyRestarts(t *testing.T) {
	for _, grace := range []time.Duration{5 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			cfg := absent()
			cfg.Grace = grace
			k := start(t, cfg)
			k.connect("fan")
			k.pass(20 * time.Second)
			for range 3 {
				k.Crash()
				k.pass(9 * time.Second)
			}
			k.wantAbsences("27s after the first restart")
			k.Crash()
			k.pass(9 * time.Second)
			k.wantAbsences(fmt.Sprint("36s after it, with a grace of ", grace), "fan absent")
		})
	}
}

// What a device reports ends its absence also if the time at which it is looked at comes before the report is on disk.
func TestAbsenceEndsWithASlowReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, absent())
		k.devices().Disconnected(k.connect("fan"), "quit")
		k.pass(40*time.Second + 999*time.Millisecond)
		k.wantAbsences("gone", "fan absent")
		var slow atomic.Bool
		reports := k.Appends("$devices/fan/state/update/accepted")
		k.FailCommits(1, func(b *store.Batch) bool { // none fails, and one takes a while
			if reports(b) && slow.CompareAndSwap(false, true) {
				k.pass(1500 * time.Millisecond)
			}
			return false
		}, store.ErrClosed)
		k.say("$devices/fan/state/reported", `{"a":1}`)
		k.pass(5 * time.Second)
		if !slow.Load() {
			t.Error("the report was not slow")
		}
		k.wantAbsences("it has reported", "fan absent", "fan present")
	})
}
