package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// say publishes what a device or an application says.
func (k *kit) say(subject, data string) {
	k.t.Helper()
	k.Publish(subject, data)
	k.Settle()
}

// told returns the data of the last event on a subject, without its times.
func (k *kit) told(subject string) (last string, n int) {
	k.t.Helper()
	all := k.Published(subject)
	if len(all) == 0 {
		return "", 0
	}
	var fields map[string]any
	if err := json.Unmarshal(all[len(all)-1].Data, &fields); err != nil {
		k.t.Fatal(err)
	}
	delete(fields, "timestamp")
	delete(fields, "metadata")
	text, err := json.Marshal(fields)
	if err != nil {
		k.t.Fatal(err)
	}
	return string(text), len(all)
}

// wantTold checks the last event on a subject, and how many there were.
func (k *kit) wantTold(subject, want string, n int) {
	k.t.Helper()
	if got, have := k.told(subject); got != want || have != n {
		k.t.Errorf("%s: %s, %d events, want %s, %d", subject, got, have, want, n)
	}
}

func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(device.Config{})
		o.Clock = &spatetest.Clock{}
		o.Clock.Set(time.UnixMilli(946684800000))
		k := &kit{spatetest.New(t, o), t}
		c := k.connect("fan")
		root := "$devices/fan/state/"
		k.say(root+"reported", `{"on":false,"speed":{"now":0,"max":9}}`)
		k.wantTold(root+"update/accepted", `{"state":{"reported":{"on":false,"speed":{"max":9,"now":0}}},"version":1}`, 1)
		k.wantTold(root+"delta", "", 0)
		k.say(root+"desired", `{"on":true,"speed":{"now":3}}`)
		k.wantTold(root+"delta", `{"state":{"on":true,"speed":{"now":3}},"version":2}`, 1)
		k.say(root+"reported", `{"on":true}`)
		k.wantTold(root+"delta", `{"state":{"speed":{"now":3}},"version":3}`, 2)
		k.say(root+"reported", `{"temperature":21.50}`) // which does not matter to the difference
		k.wantTold(root+"delta", `{"state":{"speed":{"now":3}},"version":3}`, 2)
		k.say(root+"get", `{"clientToken":"t1"}`)
		k.wantTold(root+"get/accepted", `{"clientToken":"t1","delta":{"speed":{"now":3}},"desired":{"on":true,"speed":{"now":3}},`+
			`"reported":{"on":true,"speed":{"max":9,"now":0},"temperature":21.5},"version":4}`, 1)
		k.devices().Disconnected(c, "")
		k.Settle()
		k.connect("fan")
		k.Settle()
		k.wantTold(root+"delta", `{"state":{"speed":{"now":3}},"version":4}`, 3)
		k.say(root+"update", `{"state":{"desired":null,"reported":{"speed":null}},"clientToken":"t2","version":4}`)
		k.wantTold(root+"update/accepted", `{"clientToken":"t2","state":{"desired":null,"reported":{"speed":null}},"version":5}`, 5)
		k.wantTold(root+"documents", `{"clientToken":"t2","current":{"desired":{},"metadata":{"desired":{},"reported":{"on":946684800000,"temperature":946684800000}},`+
			`"reported":{"on":true,"temperature":21.5},"timestamp":946684800000,"version":5},"previous":{"delta":{"speed":{"now":3}},"desired":{"on":true,"speed":{"now":3}},`+
			`"metadata":{"desired":{"on":946684800000,"speed":{"now":946684800000}},"reported":{"on":946684800000,"speed":{"max":946684800000,"now":946684800000},`+
			`"temperature":946684800000}},"reported":{"on":true,"speed":{"max":9,"now":0},"temperature":21.5},"timestamp":946684800000,"version":4}}`, 5)
		k.wantTold(root+"update/rejected", "", 0)
	})
}

// What is wrong is rejected with a code, and the state stays as it is.
func TestStateRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{Limits: device.Limits{State: 500, StateDepth: 3}})
		k.connect("fan")
		k.say("$devices/fan/state/reported", `{"on":true}`)
		deep := strings.Repeat(`{"a":`, 4) + "1" + strings.Repeat("}", 4)
		for i, c := range []struct {
			id, tail, data string
			code           int
		}{
			{"fan", "reported", `{"on"`, 400},
			{"fan", "reported", `[1]`, 400},
			{"fan", "reported", ``, 400},
			{"fan", "reported", deep, 413},
			{"fan", "reported", strings.Repeat("[", 200), 400},
			{"fan", "desired", `{"a":"` + strings.Repeat("x", 500) + `"}`, 413},
			{"fan", "update", `{"state":{"reported":{"on":false}},"version":7}`, 409},
			{"fan", "update", `{"state":{"reported":{"on":false}},"version":-1}`, 400},
			{"fan", "update", `{"state":{"wanted":{"on":false}}}`, 400},
			{"fan", "update", `{"state":{"desired":7}}`, 400},
			{"fan", "update", `{"state":{}}`, 400},
			{"fan", "update", `{}`, 400},
			{"fan", "update", `{"state":{"desired":{}}} {}`, 400},
			{"fan", "update", `{"state":{"desired":{}},"clientToken":"` + strings.Repeat("x", 65) + `"}`, 400},
			{"fan", "update", `{"state":{"desired":` + deep + `}}`, 413},
			{"nobody", "reported", `{"on":true}`, 404},
			{"nobody", "update", `{"state":{"desired":{}},"clientToken":"t"}`, 404},
		} {
			k.say("$devices/"+c.id+"/state/"+c.tail, c.data)
			all := decode[device.Rejection](t, k.Published("$devices/+/state/update/rejected"))
			if len(all) != i+1 || all[i].Code != c.code || all[i].Message == "" {
				t.Fatalf("%s %s: %d rejections, %+v, want %d", c.tail, c.data, len(all), all[len(all)-1], c.code)
			}
		}
		k.say("$devices/nobody/state/get", "")
		k.say("$devices/fan/state/get", "{")
		codes := []int{}
		for _, r := range decode[device.Rejection](t, k.Published("$devices/+/state/get/rejected")) {
			codes = append(codes, r.Code)
			if strings.Contains(r.Message, "update") {
				t.Errorf("a question is told: %s", r.Message)
			}
		}
		if !reflect.DeepEqual(codes, []int{404, 400}) {
			t.Errorf("get was rejected with %v", codes)
		}
		if s, err := k.devices().State(t.Context(), "fan"); err != nil || s.Version != 1 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// Who gives an event another key cannot reach the state of another device, nor overtake.
func TestStateForeignKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		k.connect("lamp")
		if _, err := k.App().Bus().Publish(t.Context(), &event.Event{Subject: "$devices/fan/state/reported", Key: "lamp", Data: []byte(`{"on":true}`)}); err != nil {
			t.Fatal(err)
		}
		k.Settle()
		for _, id := range []string{"fan", "lamp"} {
			if s, err := k.devices().State(t.Context(), id); err != nil || s.Version != 0 {
				t.Errorf("%s: %+v, %v", id, s, err)
			}
		}
	})
}

func TestUpdateState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		ctx, s := t.Context(), k.devices()
		if _, err := s.UpdateState(ctx, "fan", device.Update{Desired: []byte(`{}`)}); !errors.Is(err, device.ErrNotFound) {
			t.Error(err)
		}
		if _, err := s.Declare(ctx, "fan", "", nil); err != nil {
			t.Fatal(err)
		}
		got, err := s.UpdateState(ctx, "fan", device.Update{Desired: []byte(`{"on":true}`)})
		if err != nil || got.Version != 1 || !reflect.DeepEqual(got.Delta, map[string]any{"on": true}) || got.Timestamp != time.Now().UnixMilli() {
			t.Errorf("%+v, %v", got, err)
		}
		one, none := uint64(1), uint64(0)
		if _, err := s.UpdateState(ctx, "fan", device.Update{Desired: []byte(`{"on":false}`), Version: &none}); !errors.Is(err, device.ErrVersion) {
			t.Error(err)
		}
		if got, err = s.UpdateState(ctx, "fan", device.Update{Reported: []byte(`{"on":true}`), Version: &one}); err != nil || got.Version != 2 || got.Delta != nil {
			t.Errorf("%+v, %v", got, err)
		}
		for data, want := range map[string]error{`[`: device.ErrDocument, `7`: device.ErrDocument, ``: device.ErrDocument, `{"a":"` + strings.Repeat("x", 300<<10) + `"}`: device.ErrTooLarge} {
			if _, err := s.UpdateState(ctx, "fan", device.Update{Desired: []byte(data)}); !errors.Is(err, want) {
				t.Errorf("%.20s: %v", data, err)
			}
		}
		if err := k.App().Consumers().Pause(ctx, "$devices"); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := s.UpdateState(short, "fan", device.Update{Desired: []byte(`{"late":true}`)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := k.App().Consumers().Resume(ctx, "$devices"); err != nil {
			t.Fatal(err)
		}
		k.Settle()
		if got, err = s.State(ctx, "fan"); err != nil || got.Version != 3 {
			t.Errorf("%+v, %v", got, err)
		}
		if err := k.App().Consumers().Remove(ctx, "$devices", true); !errors.Is(err, consumer.ErrOwn) {
			t.Errorf("the consumer of devices, which has their states, was removed: %v", err)
		}
		if err := k.App().Consumers().Reset(ctx, "$devices", stream.Beginning); !errors.Is(err, consumer.ErrOwn) {
			t.Errorf("the consumer of devices was reset: %v", err)
		}
		if err := s.Remove(ctx, "fan"); err != nil {
			t.Fatal(err)
		}
		k.Settle()
		if _, err := s.Declare(ctx, "fan", "", nil); err != nil {
			t.Fatal(err)
		}
		if got, err = s.State(ctx, "fan"); err != nil || got.Version != 0 || len(got.Desired) > 0 {
			t.Errorf("after the removal: %+v, %v", got, err)
		}
	})
}

// A model of a state: what each side wants of each field.
type model struct {
	version uint64
	fields  [2]map[string]string // desired, reported
}

// Random updates of both sides, with and without a version, do what a simple model says, and the difference is told when it is another one.
func TestStateModel(t *testing.T) {
	for seed := range uint64(atMost(10, 2)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stateModel(t, start(t, device.Config{}), seed) })
		})
	}
}

func stateModel(t *testing.T, k *kit, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	k.connect("fan")
	k.Settle()
	m := model{fields: [2]map[string]string{{}, {}}}
	deltas := 0
	for range 60 {
		side := r.IntN(2)
		patch, texts := map[string]string{}, []string{}
		for range r.IntN(3) {
			name, value := fmt.Sprint("f", r.IntN(4)), fmt.Sprint(r.IntN(3))
			if r.IntN(4) == 0 {
				value = "null"
			}
			patch[name] = value
		}
		for name, value := range patch {
			texts = append(texts, fmt.Sprintf("%q:%s", name, value))
		}
		data, section := "{"+strings.Join(texts, ",")+"}", [2]string{"desired", "reported"}[side]
		expected := m.version - uint64(r.IntN(2))
		switch versioned := r.IntN(3) == 0; {
		case versioned:
			k.say("$devices/fan/state/update", fmt.Sprintf(`{"state":{%q:%s},"version":%d}`, section, data, expected))
			if expected != m.version {
				continue
			}
		default:
			k.say("$devices/fan/state/"+section, data)
		}
		was := m.delta()
		m.apply(side, patch)
		if is := m.delta(); len(is) > 0 && (side == 0 || !maps.Equal(was, is)) {
			deltas++
		}
		if n := len(k.Published("$devices/fan/state/delta")); n != deltas {
			t.Fatalf("%s of %s: %d differences were told, want %d", data, section, n, deltas)
		}
		k.check(&m)
	}
}

func (m *model) apply(side int, patch map[string]string) {
	m.version++
	for name, value := range patch {
		if value == "null" {
			delete(m.fields[side], name)
		} else {
			m.fields[side][name] = value
		}
	}
}

func (m *model) delta() map[string]string {
	d := map[string]string{}
	for name, value := range m.fields[0] {
		if have, there := m.fields[1][name]; !there || have != value {
			d[name] = value
		}
	}
	return d
}

// check compares a state with the model of it.
func (k *kit) check(m *model) {
	k.t.Helper()
	s, err := k.devices().State(k.t.Context(), "fan")
	if err != nil {
		k.t.Fatal(err)
	}
	plain := func(object map[string]any) map[string]string {
		p := map[string]string{}
		for name, value := range object {
			p[name] = fmt.Sprint(value)
		}
		return p
	}
	times := func(object map[string]any) []string { return sortedNames(object) }
	switch {
	case s.Version != m.version, !maps.Equal(plain(s.Desired), m.fields[0]), !maps.Equal(plain(s.Reported), m.fields[1]), !maps.Equal(plain(s.Delta), m.delta()):
		k.t.Fatalf("%+v, want %+v", s, m)
	case !reflect.DeepEqual(times(s.Desired), times(s.Metadata.Desired)), !reflect.DeepEqual(times(s.Reported), times(s.Metadata.Reported)):
		k.t.Fatalf("the times are of other fields: %+v", s)
	}
}

// A crash at any commit loses no update that was acknowledged, does none twice, and tells each difference.
func TestStateCrash(t *testing.T) {
	spatetest.CrashEverywhere(t, func(*testing.T) spatetest.Options { return options(device.Config{}) }, func(t *testing.T, n *spatetest.Node) {
		k := &kit{n, t}
		for {
			_, err := k.devices().Declare(t.Context(), "fan", "", nil)
			if err == nil {
				break
			} else if !errors.Is(err, store.ErrClosed) {
				t.Fatal(err)
			}
		}
		versions := ""
		for i := range 3 {
			k.say("$devices/fan/state/reported", fmt.Sprintf(`{"n":%d}`, i))
			k.say("$devices/fan/state/desired", fmt.Sprintf(`{"n":%d}`, i+1))
		}
		s, err := k.devices().State(t.Context(), "fan")
		if err != nil || s.Version != 6 || fmt.Sprintf("%v %v", s.Desired["n"], s.Reported["n"]) != "3 2" {
			t.Errorf("%+v, %v", s, err)
		}
		for _, d := range decode[device.State](t, n.Published("$devices/fan/state/delta")) {
			if versions += fmt.Sprint(" ", d.Version); d.Version%2 != 0 {
				t.Errorf("%+v", d)
			}
		}
		if versions != " 2 4 6" {
			t.Errorf("differences were told of versions%s", versions)
		}
	})
}
