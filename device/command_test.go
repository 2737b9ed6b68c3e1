package device_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/store"
)

// send gives a command to "fan".
func (k *kit) send(method string, expiry time.Duration) device.Command {
	k.t.Helper()
	c, err := k.devices().Send(k.t.Context(), "fan", method, []byte(method), device.CallOptions{Expiry: expiry})
	if err != nil {
		k.t.Fatal(err)
	}
	k.Settle()
	return c
}

// requests returns the methods that "fan" was sent, in order.
func (k *kit) requests() (methods []string) {
	for _, e := range k.Published("$devices/fan/commands/+/request/#") {
		methods = append(methods, e.Subject[strings.LastIndexByte(e.Subject, '/')+1:])
	}
	return methods
}

func (k *kit) wantRequests(when string, want ...string) {
	k.t.Helper()
	k.Settle()
	if got := k.requests(); !slices.Equal(got, want) {
		k.t.Errorf("%s: the device was sent %q, want %q", when, got, want)
	}
}

// command returns a command of "fan".
func (k *kit) command(id string) device.Command {
	k.t.Helper()
	c, err := k.devices().Command(k.t.Context(), "fan", id)
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// wantState checks the state of a command, and those that were told.
func (k *kit) wantState(id, want string, told ...string) {
	k.t.Helper()
	if got := k.command(id).State; got != want {
		k.t.Errorf("the command is %s, want %s", got, want)
	}
	var states []string
	for _, c := range decode[struct{ State string }](k.t, k.Published("$devices/fan/commands/"+id+"/status")) {
		states = append(states, c.State)
	}
	if !slices.Equal(states, told) {
		k.t.Errorf("told were %q, want %q", states, told)
	}
}

// delivered tells that "fan" has acknowledged a command.
func (k *kit) delivered(id, method string) {
	k.t.Helper()
	e, err := event.ParseID(id)
	if err != nil {
		k.t.Fatal(err)
	}
	k.devices().Delivered("lamp", device.CommandSubject("fan", id, method), e) // which is none of its business
	k.devices().Delivered("fan", "$devices/fan/state/delta", e)
	k.devices().Delivered("fan", device.CommandSubject("fan", id, method), e)
	k.Settle()
}

// answer answers a command.
func (k *kit) answer(id, data string) {
	k.t.Helper()
	k.say("$devices/fan/commands/"+id+"/response", data)
}

func TestCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		c, err := k.devices().Send(t.Context(), "fan", "spin", []byte(`{"rpm":9}`), device.CallOptions{ContentType: "application/json", Expiry: time.Hour})
		if err != nil || c.State != device.Queued || !c.Expires.Equal(time.Now().Add(time.Hour)) {
			t.Fatalf("%+v, %v", c, err)
		}
		k.Settle()
		k.wantState(c.ID, device.Sent, device.Queued, device.Sent)
		e := k.Published("$devices/fan/commands/+/request/#")[0]
		want := []event.Header{
			{Name: event.ReplyTo, Value: "$devices/fan/commands/" + c.ID + "/response"}, {Name: event.CorrelationData, Value: c.ID},
			{Name: event.Expires, Value: fmt.Sprint(c.Expires.UnixMilli())}, {Name: "method", Value: "spin"}, {Name: event.ContentType, Value: "application/json"},
		}
		if e.Subject != device.CommandSubject("fan", c.ID, "spin") || string(e.Data) != `{"rpm":9}` || !slices.Equal(e.Headers, want) || e.ID.String() != c.ID {
			t.Errorf("sent: %+v", e)
		}
		k.delivered(c.ID, "spin")
		k.Settle()
		k.wantState(c.ID, device.Delivered, device.Queued, device.Sent, device.Delivered)
		k.answer(c.ID, `{"ok":true}`)
		k.wantState(c.ID, device.Done, device.Queued, device.Sent, device.Delivered, device.Done)
		k.answer(c.ID, `{"ok":"again"}`)
		k.say("$devices/fan/commands/"+c.ID+"/error", "late")
		k.delivered(c.ID, "spin")
		k.pass(2 * time.Hour)
		k.Settle()
		k.wantState(c.ID, device.Done, device.Queued, device.Sent, device.Delivered, device.Done)
		got := k.command(c.ID)
		if string(got.Response) != `{"ok":true}` || got.Attempts != 1 || got.Sent.IsZero() || got.Delivered.IsZero() || got.Finished.IsZero() || got.Err() != nil {
			t.Errorf("%+v", got)
		}
		if text, err := got.MarshalJSON(); err != nil || !bytes.Contains(text, []byte(`"response":{"ok":true}`)) {
			t.Errorf("%s, %v", text, err)
		}
	})
}

// A reply may come before the acknowledgement of the command, and an error is one.
func TestCommandAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{Limits: device.Limits{Payload: 100}})
		k.connect("fan")
		for name, c := range map[string]struct {
			tail, data string
			headers    []event.Header
			state, err string
		}{
			"reply first":     {tail: "response", data: "ok", state: device.Done},
			"nothing":         {tail: "response", state: device.Done},
			"error":           {tail: "error", data: "stuck", state: device.Failed, err: "stuck"},
			"empty error":     {tail: "error", state: device.Failed, err: "the device says no more"},
			"no text":         {tail: "error", data: "\xff", state: device.Failed, err: "the device says no more"},
			"error in header": {tail: "response", headers: []event.Header{{Name: "reply-code", Value: "busy"}, {Name: "reply-message", Value: "later"}}, state: device.Failed, err: "busy: later"},
			"too large":       {tail: "response", data: strings.Repeat("x", 101), state: device.Failed, err: "the server has refused the answer of the device: it has 101 bytes, at most 100 are kept"},
		} {
			sent := k.send("spin", time.Minute)
			e := &event.Event{Subject: "$devices/fan/commands/" + sent.ID + "/" + c.tail, Data: []byte(c.data), Headers: c.headers}
			if _, err := k.App().Bus().Publish(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			k.delivered(sent.ID, "spin")
			k.Settle()
			if got := k.command(sent.ID); got.State != c.state || got.Error != c.err || (got.Err() != nil) != (c.err != "") {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

// Commands for a device that cannot receive them wait, and are sent in order when it can: once on a connection. What was not acknowledged is sent again on the
// next one, in order, before anything new; one that is not answered holds up none.
func TestCommandOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		k.devices().Disconnected(c, "")
		k.Settle()
		a, b := k.send("a", time.Hour), k.send("b", time.Hour)
		k.wantRequests("offline")
		k.wantState(a.ID, device.Queued, device.Queued)
		c = k.connectSession(device.Session{ID: "fan"})
		k.devices().Subscribed(c, "sensors/#", true)
		k.devices().Subscribed(c, "$devices/lamp/commands/#", true)
		k.devices().Subscribed(c, "$devices/fan/state/#", true)
		k.devices().Subscribed(device.Session{ID: "fan"}, "$devices/fan/commands/#", true)
		k.wantRequests("it hears no commands")
		k.devices().Subscribed(c, "$devices/fan/commands/#", true)
		k.wantRequests("subscribed", "a", "b")
		k.devices().Subscribed(c, "$devices/+/commands/+/request/+", true)
		k.wantRequests("again", "a", "b")
		k.delivered(a.ID, "a")
		k.send("c", time.Hour)
		k.wantRequests("one more", "a", "b", "c")
		k.answer(b.ID, "")
		k.devices().Disconnected(c, "")
		k.Settle()
		k.send("d", time.Hour)
		k.connect("fan")
		k.wantRequests("another connection", "a", "b", "c", "c", "d")
	})
}

// A session that is resumed has what was sent, and is sent only what waited; also when it subscribes anew. The difference of the state it is told once on each
// connection, and not at all if it was told while the session kept it.
func TestCommandResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		session := device.Session{ID: "fan", Resumed: true}
		hear := func(c device.Session) {
			k.devices().Subscribed(c, "$devices/fan/commands/+/request/#", true)
			k.devices().Subscribed(c, "$devices/fan/state/delta", true)
		}
		deltas := func(when string, want int) {
			t.Helper()
			k.Settle()
			if n := len(k.Published("$devices/fan/state/delta")); n != want {
				t.Errorf("%s: the difference was told %d times, want %d", when, n, want)
			}
		}
		c := k.connectSession(device.Session{ID: "fan"})
		hear(c)
		a := k.send("a", time.Hour)
		k.devices().Disconnected(c, "")
		k.Settle()
		k.send("b", time.Hour)
		k.say("$devices/fan/state/desired", `{"on":true}`)
		deltas("away", 1)
		k.pass(time.Minute)
		k.wantRequests("away", "a")
		c = k.connectSession(session)
		k.wantRequests("resumed", "a", "b")
		hear(c)
		k.pass(20 * time.Second)
		k.wantRequests("subscribed", "a", "b")
		deltas("kept by the session", 1)
		k.delivered(a.ID, "a")
		k.pass(20 * time.Second)
		k.wantRequests("not acknowledged", "a", "b", "b")
		k.devices().Disconnected(c, "")
		k.Settle()
		hear(k.connectSession(session))
		k.wantRequests("again", "a", "b", "b")
		deltas("again", 2)
	})
}

// What a device has subscribed to counts also if its connection ends, and the next one resumes its session, before that was noted; but not for a new session.
func TestSubscribedJustBeforeResuming(t *testing.T) {
	for resumed, want := range map[bool][]string{true: {"a"}, false: nil} {
		synctest.Test(t, func(t *testing.T) {
			k := start(t, device.Config{})
			c := k.connectSession(device.Session{ID: "fan"})
			k.devices().Subscribed(c, "$devices/fan/commands/+/request/#", true)
			k.devices().Disconnected(c, "")
			k.connectSession(device.Session{ID: "fan", Resumed: resumed})
			k.Settle()
			k.send("a", time.Hour)
			k.wantRequests(fmt.Sprintf("resumed: %v", resumed), want...)
		})
	}
}

// A command that is sent and neither acknowledged nor answered is sent again, less and less often, as long as the device is connected.
func TestCommandResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		a := k.send("a", 10*time.Minute)
		k.send("b", time.Minute+20*time.Second)
		k.pass(29 * time.Second)
		k.wantRequests("before", "a", "b")
		k.pass(2 * time.Second)
		k.wantRequests("after half a minute", "a", "b", "a", "b")
		k.pass(62 * time.Second)
		k.wantRequests("b has expired", "a", "b", "a", "b", "a")
		k.devices().Disconnected(c, "")
		k.Settle()
		k.pass(8 * time.Minute)
		k.wantRequests("offline", "a", "b", "a", "b", "a")
		k.pass(2 * time.Minute)
		k.Settle()
		if got := k.command(a.ID); got.State != device.Expired || !errors.Is(got.Err(), device.ErrExpired) || got.Attempts != 3 {
			t.Errorf("%+v", got)
		}
	})
}

// No more than the window are under way; a stuck one gives its place back when it expires.
func TestCommandWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{Limits: device.Limits{Window: 2, Commands: 4}})
		k.connect("fan")
		a := k.send("a", 10*time.Second)
		k.send("b", 20*time.Second)
		k.send("c", time.Minute)
		k.send("d", time.Minute)
		k.wantRequests("two at a time", "a", "b")
		if _, err := k.devices().Send(t.Context(), "fan", "e", nil, device.CallOptions{}); !errors.Is(err, device.ErrQueue) {
			t.Error(err)
		}
		k.answer(a.ID, "")
		k.wantRequests("one was answered", "a", "b", "c")
		k.pass(21 * time.Second)
		k.wantRequests("one has expired", "a", "b", "c", "d")
		all, err := k.devices().Commands(t.Context(), "fan")
		states := ""
		for _, c := range all {
			states += " " + c.Method + " " + c.State
		}
		if err != nil || states != " a done b expired c sent d sent" {
			t.Errorf("%q, %v", states, err)
		}
	})
}

// Of those that are finished, the last are kept.
func TestCommandsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		var first device.Command
		for i := range 40 {
			c := k.send(fmt.Sprint("m", i), time.Minute)
			k.answer(c.ID, "")
			if i == 0 {
				first = c
			}
		}
		if _, err := k.devices().SendAs(t.Context(), k.send("twice", time.Minute).ID, "fan", "twice", nil, device.CallOptions{}); err != nil {
			t.Error(err)
		}
		k.wantRequests("given twice", append(k.requests()[:40:40], "twice")...)
		all, err := k.devices().Commands(t.Context(), "fan")
		if err != nil || len(all) != 33 || all[0].Method != "m8" || all[31].Method != "m39" || all[32].Method != "twice" {
			t.Errorf("%d commands, %v", len(all), err)
		}
		if _, err := k.devices().Command(t.Context(), "fan", first.ID); !errors.Is(err, device.ErrNoCommand) {
			t.Error(err)
		}
	})
}

func TestCommandRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		k.connect("fan")
		for name, c := range map[string]struct {
			id, method string
			size       int
			options    device.CallOptions
			err        error
		}{
			"nobody":       {id: "nobody", method: "m", err: device.ErrNotFound},
			"no device":    {id: "a/b", method: "m", err: device.ErrNotFound},
			"no method":    {id: "fan", err: device.ErrMethod},
			"two levels":   {id: "fan", method: "a/b", err: device.ErrMethod},
			"long method":  {id: "fan", method: strings.Repeat("m", 65), err: device.ErrMethod},
			"payload":      {id: "fan", method: "m", size: device.DefaultPayload + 1, err: device.ErrPayload},
			"expiry":       {id: "fan", method: "m", options: device.CallOptions{Expiry: device.MaxExpiry + 1}, err: device.ErrExpiry},
			"content type": {id: "fan", method: "m", options: device.CallOptions{ContentType: "a\nb"}, err: device.ErrLabel},
		} {
			if _, err := k.devices().Send(t.Context(), c.id, c.method, make([]byte, c.size), c.options); !errors.Is(err, c.err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, id := range []string{"", "x", strings.Repeat("x", 1000)} {
			if _, err := k.devices().Command(t.Context(), "fan", id); !errors.Is(err, device.ErrNoCommand) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

// answering has "fan" answer each command with its payload.
func answering(app interface{ bus.Host }, seen map[string]bool) error {
	topic := bus.NewTopic[[]byte]("$devices/fan/commands/+/request/#")
	return bus.HandleLive(app, topic, "fan", func(ctx context.Context, data []byte) error {
		d, _ := bus.Current(ctx)
		id := d.Event.Header(event.CorrelationData)
		if seen != nil {
			seen[id] = true
		}
		_, err := app.Node().Bus().Publish(ctx, &event.Event{Subject: d.Event.Header(event.ReplyTo), Data: data})
		return err
	})
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t, device.Config{})
		c := k.connect("fan")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		slow, err := k.devices().Call(short, "fan", "slow", nil, device.CallOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || slow.State != device.Sent || slow.Attempts != 1 {
			t.Errorf("%+v, %v", slow, err)
		}
		slow, err = k.devices().Call(t.Context(), "fan", "slow", nil, device.CallOptions{Wait: time.Second})
		if !errors.Is(err, device.ErrUnanswered) || !errors.Is(err, context.DeadlineExceeded) || slow.State != device.Sent {
			t.Errorf("%+v, %v", slow, err)
		}
		if c, err := k.devices().Call(short, "fan", "late", nil, device.CallOptions{}); err == nil || errors.Is(err, device.ErrUnanswered) || c.ID != "" {
			t.Errorf("given although the context had ended: %+v, %v", c, err)
		}
		if all, err := k.devices().Commands(t.Context(), "fan"); err != nil || len(all) != 2 {
			t.Errorf("%+v, %v", all, err)
		}
		if _, err := k.devices().Call(t.Context(), "fan", "never", nil, device.CallOptions{Expiry: 5 * time.Second}); !errors.Is(err, device.ErrExpired) {
			t.Error(err)
		}
		if err := answering(k.App(), nil); err != nil {
			t.Fatal(err)
		}
		got, err := k.devices().Call(t.Context(), "fan", "echo", []byte("hello"), device.CallOptions{})
		if err != nil || string(got.Response) != "hello" || got.State != device.Done {
			t.Errorf("%+v, %v", got, err)
		}
		k.devices().Disconnected(c, "")
		k.Settle()
		queued := k.send("queued", time.Hour)
		if err := k.devices().Remove(t.Context(), "fan"); err != nil {
			t.Fatal(err)
		}
		k.Settle()
		k.connect("fan")
		k.Settle()
		if _, err := k.devices().Command(t.Context(), "fan", queued.ID); !errors.Is(err, device.ErrNoCommand) {
			t.Errorf("a command has survived its device: %v", err)
		}
		k.pass(2 * time.Hour) // marks that are left would be found
		k.Settle()
	})
}

// Commands survive crashes: whatever was accepted is sent, in order, and finished once.
func TestCommandCrash(t *testing.T) {
	spatetest.CrashEverywhere(t, func(*testing.T) spatetest.Options { return options(device.Config{}) }, func(t *testing.T, n *spatetest.Node) {
		k := &kit{n, t}
		insist := func(what func() error) {
			t.Helper()
			for {
				if err := what(); err == nil {
					return
				} else if !errors.Is(err, store.ErrClosed) {
					t.Fatal(err)
				}
			}
		}
		connect := func() {
			insist(func() error {
				epoch, err := k.devices().Connected(t.Context(), device.Session{ID: "fan"})
				k.devices().Subscribed(device.Session{ID: "fan", Epoch: epoch}, "$devices/fan/#", false)
				return err
			})
		}
		connect()
		k.Settle()
		ids := map[string]string{}
		for _, method := range []string{"a", "b", "stuck"} {
			insist(func() error {
				if ids[method] == "" {
					ids[method] = k.devices().NewCommandID()
				}
				_, err := k.devices().SendAs(t.Context(), ids[method], "fan", method, nil, device.CallOptions{Expiry: time.Minute})
				k.Settle()
				return err
			})
		}
		connect() // again, if the life with the connection is over
		k.Settle()
		k.answer(ids["b"], "b")
		k.say("$devices/fan/commands/"+ids["a"]+"/error", "no")
		k.pass(2 * time.Minute)
		k.Settle()
		want := map[string]string{"a": device.Failed, "b": device.Done, "stuck": device.Expired}
		for method, id := range ids {
			if c := k.command(id); c.State != want[method] {
				t.Errorf("%s is %+v", method, c)
			}
			final := 0
			for _, c := range decode[struct{ State string }](t, n.Published("$devices/fan/commands/"+id+"/status")) {
				if c.State == want[method] {
					final++
				}
			}
			if final != 1 {
				t.Errorf("the end of %s was told %d times", method, final)
			}
		}
		var first []string
		for _, method := range k.requests() {
			if !slices.Contains(first, method) {
				first = append(first, method)
			}
		}
		if !slices.Equal(first, []string{"a", "b", "stuck"}) {
			t.Errorf("sent were %q", k.requests())
		}
	})
}
