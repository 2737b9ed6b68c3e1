package mqtt_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// sessions lists all sessions, in pages.
func (b *broker) sessions(q mqtt.SessionQuery) (clients []string) {
	for {
		page, after := b.App().MQTT().Sessions(q)
		for _, s := range page {
			clients = append(clients, s.Client)
		}
		if q.After = after; after == "" {
			return clients
		}
	}
}

// Sessions are listed by client identifier, in pages, and say how they are.
func TestSessions(t *testing.T) {
	b := newBroker(t, settings{users: map[string]string{"root": "secret"}, drain: 250 * time.Millisecond})
	root, began := user("root", "secret"), time.Now().Add(-time.Second)
	away := b.connect(t, packet.V5, "hall/1", root, resume, expiry(100)).sub(1, "a", "b/+")
	here := b.connect(t, packet.V5, "hall/2", root).sub(2, "a", "z")
	old := b.connect(t, packet.V311, "old", root, resume)
	away.bye()
	old.say("a", "x", 1)
	old.say("a", "y", 2)
	here.message() // not acknowledged
	yes, no := true, false
	for _, test := range []struct {
		query mqtt.SessionQuery
		want  []string
	}{
		{mqtt.SessionQuery{}, []string{"hall/1", "hall/2", "old"}},
		{mqtt.SessionQuery{Limit: 1}, []string{"hall/1", "hall/2", "old"}},
		{mqtt.SessionQuery{Limit: 2, After: "hall/1"}, []string{"hall/2", "old"}},
		{mqtt.SessionQuery{After: "old"}, nil},
		{mqtt.SessionQuery{Connected: &yes, Limit: 1}, []string{"hall/2", "old"}},
		{mqtt.SessionQuery{Connected: &no}, []string{"hall/1"}},
	} {
		if got := b.sessions(test.query); !slices.Equal(got, test.want) {
			t.Errorf("%+v: %q, want %q", test.query, got, test.want)
		}
	}
	said := func(s mqtt.SessionInfo) string {
		expiry := "never"
		if s.Expiry != nil {
			expiry = fmt.Sprint(*s.Expiry)
		}
		if now := time.Now(); s.Since.Before(began) || s.Since.After(now) || (s.Address == "") == s.Connected {
			t.Errorf("%s: since %s, from %q", s.Client, s.Since, s.Address)
		}
		return fmt.Sprintf("%s of %q, %v, %s, expires %s, %d subscribed, %d wait, %d sent", s.Client, s.User, s.Connected, s.Version, expiry, s.Subscriptions, s.Queued, s.Inflight)
	}
	all := func() (told []string) {
		page, _ := b.App().MQTT().Sessions(mqtt.SessionQuery{})
		for _, s := range page {
			told = append(told, said(s))
		}
		return told
	}
	want := []string{
		`hall/1 of "root", false, 5.0, expires 100, 2 subscribed, 2 wait, 0 sent`,
		`hall/2 of "root", true, 5.0, expires 0, 2 subscribed, 0 wait, 2 sent`,
		`old of "root", true, 3.1.1, expires never, 0 subscribed, 0 wait, 0 sent`,
	}
	if got := all(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	one, subs, err := b.App().MQTT().Session("hall/1")
	if err != nil || said(one) != want[0] || !slices.Equal(subs, []mqtt.Subscription{{Filter: "a", QoS: 1}, {Filter: "b/+", QoS: 1}}) {
		t.Errorf("%+v with %+v, %v", one, subs, err)
	}
	if _, _, err := b.App().MQTT().Session("hall"); !errors.Is(err, mqtt.ErrNoSession) {
		t.Error(err)
	}
	b.Crash() // what is told of those that are away is on disk
	if got, want := all(), []string{want[0], `old of "root", false, 3.1.1, expires never, 0 subscribed, 0 wait, 0 sent`}; !slices.Equal(got, want) {
		t.Errorf("after a crash: %q, want %q", got, want)
	}
}

// A session that is ended is gone, its client is told, its will is published at once, and neither comes back with the next start. The client may begin anew: [MQTT-3.1.2-8].
func TestEnd(t *testing.T) {
	for _, connected := range []bool{true, false} {
		t.Run(fmt.Sprintf("connected %v", connected), func(t *testing.T) {
			lives(t, func(t *testing.T, b *broker, v packet.Version) {
				watcher := b.connect(t, v, "watcher").sub(1, "gone", "end")
				last := packet.Will{Topic: "gone", Payload: []byte("bye"), QoS: 1}
				waits := v == packet.V5 && !connected // version 3.1.1 has no delay: its will has been published when the session ends
				if waits {
					last = delayed(last, 1000)
				}
				c := b.connect(t, v, "a/b", resume, expiry(1000), will(last)).sub(2, "a").sub(1, "$share/all/a")
				c.success(packet.Pubrec, c.write(packet.OutPublish{Topic: "b", QoS: 2}))
				if !connected {
					c.kill()
					if !waits {
						watcher.gets("gone=bye q1")
					}
					watcher.say("a", "waits", 2)
				}
				if err := b.App().MQTT().End(t.Context(), "a/b"); err != nil {
					t.Fatal(err)
				}
				if connected {
					c.refused(packet.AdministrativeAction)
				}
				if waits || connected {
					watcher.gets("gone=bye q1")
				}
				if err := b.App().MQTT().End(t.Context(), "a/b"); !errors.Is(err, mqtt.ErrNoSession) {
					t.Error(err)
				}
				b.Crash()
				if got := b.sessions(mqtt.SessionQuery{}); got != nil {
					t.Errorf("%q is there after the next start", got)
				}
				watcher = b.connect(t, v, "watcher").sub(1, "gone", "end")
				c = b.connect(t, v, "a/b", resume, expiry(1000))
				if c.connack.SessionPresent {
					t.Error("the session is there after the next start")
				}
				c.sub(0, "end").nothing(c, watcher)
			})
		})
	}
}

// A session that ends with its connection can be ended, also one over a WebSocket.
func TestEndOverWebSocket(t *testing.T) {
	b := newBroker(t, settings{})
	c, _ := b.openWeb(t, packet.V5)
	c.hello("page").accepted()
	if err := b.App().MQTT().End(t.Context(), "page"); err != nil {
		t.Fatal(err)
	}
	c.refused(packet.AdministrativeAction)
	if got := b.sessions(mqtt.SessionQuery{}); got != nil {
		t.Errorf("%q is there", got)
	}
}

// Sessions are ended while their clients come and go: each connection ends or stays, none is left without a session, nor a session without a trace.
func TestEndWhileConnecting(t *testing.T) {
	b := newBroker(t, settings{drain: 250 * time.Millisecond})
	const clients, times = 4, 25
	var coming sync.WaitGroup
	for i := range clients {
		id := fmt.Sprint("c", i%2) // two at a time take each other's session over
		coming.Go(func() {
			for range times {
				o := mqttclient.Options{ClientID: id, Resume: true, SessionExpiry: 1000}
				c, err := mqttclient.Dial(t.Context(), *b.address.Load(), o)
				if err == nil {
					_, _ = c.Subscribe(t.Context(), packet.Subscription{Filter: "a", QoS: 1}) // unless it was ended
					c.Close()
				}
			}
		})
	}
	come := make(chan struct{})
	go func() {
		defer close(come)
		coming.Wait()
	}()
	ended := 0
	for n, done := 0, false; !done; n++ {
		select {
		case <-come:
			done = true
		default:
		}
		switch err := b.App().MQTT().End(t.Context(), fmt.Sprint("c", n%2)); {
		case err == nil:
			ended++
		case !errors.Is(err, mqtt.ErrNoSession):
			t.Fatal(err)
		}
	}
	for _, id := range b.sessions(mqtt.SessionQuery{}) {
		if err := b.App().MQTT().End(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	s := b.App().MQTT().Stats()
	if ended == 0 || s.Sessions != 0 || s.Lasting != 0 || s.Connected != 0 {
		t.Errorf("%d were ended, and there are %+v", ended, s)
	}
	b.Crash()
	if got := b.sessions(mqtt.SessionQuery{}); got != nil {
		t.Errorf("%q is there after the next start", got)
	}
}
