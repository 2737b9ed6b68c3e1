package device_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/device"
)

func TestDeclare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		d, err := k.devices().Declare(t.Context(), "fan", "ventilator", []string{"hall", "b", "hall"})
		if err != nil || d.Type != "ventilator" || !slices.Equal(d.Tags, []string{"b", "hall"}) || !d.Declared || d.Online || !d.FirstSeen.IsZero() {
			t.Errorf("%+v, %v", d, err)
		}
		k.connect("fan")
		d, err = k.devices().Declare(t.Context(), "fan", "turbine", nil)
		if err != nil || d.Type != "turbine" || d.Tags != nil || !d.Online || d.Epoch != 1 {
			t.Errorf("%+v, %v", d, err)
		}
		k.Crash()
		if after := k.get("fan"); after.Type != "turbine" || !after.Declared {
			t.Errorf("%+v", after)
		}
	})
}

// Epochs grow also when the device was removed meanwhile.
func TestRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		if err := k.devices().Remove(t.Context(), "fan"); !errors.Is(err, device.ErrOnline) {
			t.Errorf("removed while it was connected: %v", err)
		}
		k.devices().Disconnected(c, "")
		synctest.Wait()
		if err := k.devices().Remove(t.Context(), "fan"); err != nil {
			t.Error(err)
		}
		if _, err := k.devices().Get(t.Context(), "fan"); !errors.Is(err, device.ErrNotFound) {
			t.Error(err)
		}
		if err := k.devices().Remove(t.Context(), "fan"); !errors.Is(err, device.ErrNotFound) {
			t.Error(err)
		}
		if n := k.devices().Len(); n != 0 {
			t.Errorf("%d devices are left", n)
		}
		k.Crash()
		again := k.connect("fan")
		k.devices().Disconnected(c, "late")
		synctest.Wait()
		if d := k.get("fan"); !d.Online || again.Epoch <= c.Epoch {
			t.Errorf("%+v after %d", d, c.Epoch)
		}
	})
}

// Who is a device, and what becomes of those that nobody declared.
func TestWhoIsADevice(t *testing.T) {
	for name, c := range map[string]struct {
		config  device.Config
		session device.Session
		kept    bool
		err     error
	}{
		"by default":          {session: device.Session{ID: "fan"}, kept: true},
		"assigned identifier": {session: device.Session{ID: "fan", Assigned: true}},
		"no identifier":       {},
		"two levels":          {session: device.Session{ID: "a/b"}},
		"wildcard":            {session: device.Session{ID: "+"}},
		"control character":   {session: device.Session{ID: "a\nb"}},
		"not UTF-8":           {session: device.Session{ID: "\xff"}},
		"too long":            {session: device.Session{ID: strings.Repeat("x", device.DefaultID+1)}},
		"as long as it may":   {session: device.Session{ID: strings.Repeat("x", device.DefaultID)}, kept: true},
		"in the patterns":     {config: device.Config{IDs: []string{"x*", "fan-*"}}, session: device.Session{ID: "fan-1"}, kept: true},
		"not in the patterns": {config: device.Config{IDs: []string{"x*", "fan-*"}}, session: device.Session{ID: "fun-1"}},
		"excepted":            {config: device.Config{IDs: []string{"fan-*"}, Except: []string{"*-1"}}, session: device.Session{ID: "fan-1"}},
		"unknown, ignored":    {config: device.Config{Unknown: "ignore"}, session: device.Session{ID: "fan"}},
		"declared, kept":      {config: device.Config{Unknown: "ignore"}, session: device.Session{ID: "declared"}, kept: true},
		"unknown, refused":    {config: device.Config{Unknown: "refuse"}, session: device.Session{ID: "fan"}, err: device.ErrUnknown},
		"declared, admitted":  {config: device.Config{Unknown: "refuse"}, session: device.Session{ID: "declared"}, kept: true},
		"one too many":        {config: device.Config{Limits: device.Limits{Devices: 1}}, session: device.Session{ID: "fan"}},
		"full, and refused":   {config: device.Config{Unknown: "refuse", Limits: device.Limits{Devices: 1}}, session: device.Session{ID: "fan"}, err: device.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := start(t, c.config)
				if _, err := k.devices().Declare(t.Context(), "declared", "", nil); err != nil {
					t.Fatal(err)
				}
				epoch, err := k.devices().Connected(t.Context(), c.session)
				if (epoch > 0) != c.kept || !errors.Is(err, c.err) {
					t.Errorf("epoch %d, %v", epoch, err)
				}
				c.session.Epoch = epoch
				k.devices().Disconnected(c.session, "")
				synctest.Wait()
				want := map[bool]int{false: 0, true: 2}[c.kept]
				if n := len(k.Published("$devices/+/presence")); n != want {
					t.Errorf("%d events, want %d", n, want)
				}
				if n, want := k.devices().Len(), 1; !c.kept && n != want {
					t.Errorf("%d devices are counted", n)
				}
			})
		})
	}
}

func TestDeclareRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{Limits: device.Limits{Devices: 1}})
		long := strings.Repeat("x", device.DefaultLabel+1)
		for name, c := range map[string]struct {
			id, kind string
			tags     []string
			err      error
		}{
			"identifier":     {id: "a/b", err: device.ErrID},
			"long type":      {id: "a", kind: long, err: device.ErrLabel},
			"long tag":       {id: "a", tags: []string{long}, err: device.ErrLabel},
			"empty tag":      {id: "a", tags: []string{""}, err: device.ErrLabel},
			"many tags":      {id: "a", tags: make([]string, device.DefaultTags+1), err: device.ErrLabel},
			"comma in a tag": {id: "a", tags: []string{"a,b"}, err: device.ErrLabel},
			"line in a tag":  {id: "a", tags: []string{"a\nb"}, err: device.ErrLabel},
		} {
			if _, err := k.devices().Declare(t.Context(), c.id, c.kind, c.tags); !errors.Is(err, c.err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := k.devices().Declare(t.Context(), "one", "", nil); err != nil {
			t.Error(err)
		}
		if _, err := k.devices().Declare(t.Context(), "two", "", nil); !errors.Is(err, device.ErrTooMany) {
			t.Error(err)
		}
		if err := k.devices().Remove(t.Context(), "two"); !errors.Is(err, device.ErrNotFound) {
			t.Errorf("removing what is not there: %v", err)
		}
		if _, err := k.devices().Declare(t.Context(), "one", "again", nil); err != nil {
			t.Error(err)
		}
	})
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		var every, fans, red, online []string
		for i := range 1234 {
			id, kind, tags := fmt.Sprintf("d%04d", i), "lamp", []string{"a"}
			every = append(every, id)
			if i%3 == 0 {
				kind = "fan"
				fans = append(fans, id)
			}
			if i%100 == 0 {
				tags = []string{"red", "a"}
				red = append(red, id)
			}
			if _, err := k.devices().Declare(t.Context(), id, kind, tags); err != nil {
				t.Fatal(err)
			}
			if i%200 == 0 {
				k.connect(id)
				online = append(online, id)
			}
		}
		yes, no := true, false
		for name, c := range map[string]struct {
			query device.Query
			want  []string
		}{
			"all":          {device.Query{Limit: 7}, every},
			"large pages":  {device.Query{}, every},
			"type":         {device.Query{Type: "fan", Limit: 100}, fans},
			"tag":          {device.Query{Tags: []string{"red", "a"}, Limit: 2}, red},
			"no such tags": {device.Query{Tags: []string{"red", "b"}}, nil},
			"online":       {device.Query{Online: &yes}, online},
			"absent":       {device.Query{Absent: &yes}, nil},
			"not absent":   {device.Query{Absent: &no, Online: &yes}, online},
			"after":        {device.Query{After: "d1230"}, []string{"d1231", "d1232", "d1233"}},
			"offline":      {device.Query{After: "d1229", Online: &no}, []string{"d1230", "d1231", "d1232", "d1233"}},
			"allowed":      {device.Query{Allow: func(d device.Device) bool { return d.ID == "d0007" }}, []string{"d0007"}},
		} {
			var got []string
			for q := c.query; ; {
				page, err := k.devices().List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range page.Devices {
					got = append(got, d.ID)
				}
				if q.After = page.After; q.After == "" {
					break
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %d devices, want %d", name, len(got), len(c.want))
			}
		}
	})
}

// What was heard of a device that is connected is asked for, not stored.
func TestLastHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		heard := time.Now().Add(time.Hour).UTC()
		s, err := device.New(t.Context(), device.Options{Bus: k.App().Bus(), Consumers: consumer.NewSet(consumer.Options{Log: k.App().Streams()}), LastHeard: func(id string) (time.Time, bool) { return heard, id == "fan" }})
		if err != nil {
			t.Fatal(err)
		}
		if d, err := s.Get(t.Context(), "fan"); err != nil || !d.LastSeen.Equal(heard) {
			t.Errorf("%+v, %v", d, err)
		}
		if _, err := k.devices().Declare(t.Context(), "lamp", "", nil); err != nil {
			t.Fatal(err)
		}
		k.pass(time.Minute)
		now := time.Now()
		k.say("$devices/lamp/state/reported", `{}`) // without a connection
		k.say("$devices/lamp/state/desired", `{}`)
		k.spoil("fan", "state") // which has reported none
		page, err := k.devices().List(t.Context(), device.Query{})
		if d := page.Devices; err != nil || len(d) != 2 || !d[1].LastSeen.Equal(now) || d[0].LastSeen.Equal(now) || !d[1].FirstSeen.IsZero() {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		config device.Config
		key    string
	}{
		{device.Config{Unknown: "maybe"}, "unknown"},
		{device.Config{IDs: []string{"a", ""}}, "ids[1]"},
		{device.Config{IDs: []string{"[a]*", "\\[a", "[a"}}, "ids[2]"},
		{device.Config{Except: []string{"a[b-]"}}, "except[0]"},
		{device.Config{Absence: []device.AbsenceRule{{After: time.Minute, IDs: "[^]x["}}}, "absence[0].ids"},
		{device.Config{Except: make([]string, 65)}, "except"},
		{device.Config{Grace: -1}, "grace"},
	} {
		problems := c.config.Problems()
		if len(problems) == 0 || problems[0].Key != c.key {
			t.Errorf("%+v: %v", c.config, problems)
		}
		if _, err := device.New(t.Context(), device.Options{Config: c.config}); !errors.Is(err, device.ErrConfig) {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}
