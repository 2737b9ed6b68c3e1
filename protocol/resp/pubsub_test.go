package resp_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp"
)

// message and patternMessage are what subscribers get.
func message(kind byte, channel, payload string) string {
	return string(kind) + request("message", channel, payload)[1:]
}

func patternMessage(kind byte, pattern, channel, payload string) string {
	return string(kind) + request("pmessage", pattern, channel, payload)[1:]
}

func confirmation(what, channel string, n int) string {
	return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d\r\n", len(what), what, len(channel), channel, n)
}

// TestFilters subscribes to filters with + and #, and to globs beside them.
func TestFilters(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		sub, pub := s.dial(), s.dial()
		sub.want("PSUBSCRIBE sensors/+/temperature", confirmation("psubscribe", "sensors/+/temperature", 1))
		sub.want("PSUBSCRIBE alerts/#", confirmation("psubscribe", "alerts/#", 2))
		sub.want("PSUBSCRIBE c++", confirmation("psubscribe", "c++", 3)) // no level is a wildcard: a glob
		pub.want("PUBLISH sensors/hall/temperature 21", ":1\r\n")
		pub.want("PUBLISH sensors/hall/up/temperature 21", ":0\r\n")
		pub.want("PUBLISH sensors/hall/humidity 60", ":0\r\n")
		pub.want("PUBLISH alerts 1", ":1\r\n")
		pub.want("PUBLISH alerts/hall/fire 2", ":1\r\n")
		sub.wantReply(patternMessage('*', "sensors/+/temperature", "sensors/hall/temperature", "21"))
		sub.wantReply(patternMessage('*', "alerts/#", "alerts", "1"))
		sub.wantReply(patternMessage('*', "alerts/#", "alerts/hall/fire", "2"))
		pub.want("PUBSUB NUMPAT", ":3\r\n")
		pub.want("PUBSUB CHANNELS", "*0\r\n")
		sub.want("UNSUBSCRIBE alerts/#", confirmation("unsubscribe", "alerts/#", 3)) // that is not a channel
		sub.want("PUNSUBSCRIBE alerts/#", confirmation("punsubscribe", "alerts/#", 2))
		pub.want("PUBLISH alerts/hall/fire 3", ":0\r\n")
	})
}

func TestInvalidSubjects(t *testing.T) {
	b := bus.New(bus.Options{Limits: bus.Limits{Event: event.Limits{SubjectLength: 20, SubjectLevels: 4}, GlobLength: 10}})
	s := serve(t, "", resp.Options{Bus: b}, engine.Limits{})
	c := s.dial()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"PUBLISH", "", "x"}, `-ERR invalid subject "": it is empty`},
		{[]string{"PUBLISH", "a\x00b", "x"}, `-ERR invalid subject "a\x00b": it is not UTF-8 text without U+0000`},
		{[]string{"PUBLISH", "\xff", "x"}, `-ERR invalid subject "\xff": it is not UTF-8 text without U+0000`},
		{[]string{"PUBLISH", "a/+", "x"}, `-ERR invalid subject "a/+": it has a wildcard in the wrong place`},
		{[]string{"PUBLISH", "c#", "x"}, `-ERR invalid subject "c#": it has a wildcard in the wrong place`},
		{[]string{"PUBLISH", strings.Repeat("x", 21), "x"}, `-ERR invalid subject "xxxxxxxxxxxxxxxxxxxxx": it is too long`},
		{[]string{"PUBLISH", "a/b/c/d/e", "x"}, `-ERR invalid subject "a/b/c/d/e": it has too many levels`},
		{[]string{"PUBLISH", "$SYS/a/b", "x"}, `-ERR publishing on "$SYS/a/b": the subject is reserved: only the server publishes on it`},
		{[]string{"PUBLISH", "$spate/dropped", "x"}, `-ERR publishing on "$spate/dropped": the subject is reserved: only the server publishes on it`},
		{[]string{"SUBSCRIBE", "ok", "a/+"}, `-ERR invalid subject "a/+": it has a wildcard in the wrong place`},
		{[]string{"SUBSCRIBE", "ok", ""}, `-ERR invalid subject "": it is empty`},
		{[]string{"PSUBSCRIBE", "ok*", "#/a"}, `-ERR invalid filter "#/a": it has a wildcard in the wrong place`},
		{[]string{"PSUBSCRIBE", "ok*", "01234567890"}, `-ERR invalid pattern "01234567890": it is too long`},
		{[]string{"PSUBSCRIBE", "ok*", "a/b/c/d/e/#"}, `-ERR invalid filter "a/b/c/d/e/#": it has too many levels`},
	} {
		c.send(request(tc.args...))
		c.wantReply(tc.want + "\r\n")
	}
	c.want("PUBSUB NUMSUB ok", "*2\r\n$2\r\nok\r\n:0\r\n") // what was named before an invalid one is taken back
	c.want("PUBSUB NUMPAT", ":0\r\n")
	c.want("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n")
	c.want("PING", "+PONG\r\n")
}

func TestPromiseLimits(t *testing.T) {
	b := bus.New(bus.Options{Limits: bus.Limits{ClientSubscriptions: 3, ClientGlobs: 1}})
	s := serve(t, "", resp.Options{Bus: b}, engine.Limits{})
	c := s.dial()
	c.want("SUBSCRIBE a b c d", "-ERR cannot subscribe to \"d\": the limit of 3 subscriptions of one client is reached: there are too many\r\n")
	c.want("PING", "+PONG\r\n")
	c.want("PSUBSCRIBE a*", confirmation("psubscribe", "a*", 1))
	c.want("PSUBSCRIBE b*", "-ERR cannot subscribe to \"b*\": the limit of 1 patterns of one client is reached: there are too many\r\n")
	c.want("SUBSCRIBE a", confirmation("subscribe", "a", 2))
	c.want("SUBSCRIBE a", confirmation("subscribe", "a", 2))
	c.want("SUBSCRIBE b", confirmation("subscribe", "b", 3))
	c.want("SUBSCRIBE c", "-ERR cannot subscribe to \"c\": the limit of 3 subscriptions of one client is reached: there are too many\r\n")
}

// TestPromiseDelivery subscribes while others publish without a pause: the confirmation must come before the first
// message, nothing may come after that of the end, and what is published in between once it was read is delivered.
func TestPromiseDelivery(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{Buffered: 64 << 20})
		stop := make(chan struct{})
		var publishers sync.WaitGroup
		for range 2 {
			pub := s.dial()
			publishers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						pub.ask("PUBLISH busy x")
					}
				}
			})
		}
		sub, own := s.dial(), s.dial()
		for range 50 {
			sub.want("SUBSCRIBE busy", confirmation("subscribe", "busy", 1))
			own.want("PUBLISH busy mine", ":1\r\n")
			for sub.reply() != message('*', "busy", "mine") {
			}
			sub.send(request("UNSUBSCRIBE", "busy") + request("PING", "after"))
			for got := sub.reply(); got != confirmation("unsubscribe", "busy", 0); got = sub.reply() {
				if got != message('*', "busy", "x") {
					t.Fatalf("%q before the end", got)
				}
			}
			sub.wantReply("$5\r\nafter\r\n") // and not a message
		}
		close(stop)
		publishers.Wait()
	})
}

// TestPromiseOrder: what one connection publishes reaches each subscriber in that order, by whatever subscription.
func TestPromiseOrder(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{Buffered: 64 << 20})
		const publishers, events = 4, 2000
		subscribers := []*client{s.dial(), s.dial(), s.dial()}
		subscribers[0].ask("SUBSCRIBE order/0")
		for i := 1; i < publishers; i++ {
			subscribers[0].ask(fmt.Sprintf("SUBSCRIBE order/%d", i))
		}
		subscribers[1].ask("PSUBSCRIBE order/+")
		subscribers[2].ask("HELLO 3")
		subscribers[2].ask("PSUBSCRIBE o*")
		var all sync.WaitGroup
		for p := range publishers {
			pub := s.dial()
			all.Go(func() {
				var batch strings.Builder
				for n := range events {
					batch.WriteString(request("PUBLISH", fmt.Sprintf("order/%d", p), fmt.Sprintf("%d:%d", p, n)))
				}
				pub.send(batch.String())
				for range events {
					pub.wantReply(":3\r\n")
				}
			})
		}
		for _, sub := range subscribers {
			all.Go(func() {
				next := [publishers]int{}
				for range publishers * events {
					lines := strings.Split(sub.reply(), "\r\n")
					var p, n int
					if _, err := fmt.Sscanf(lines[len(lines)-2], "%d:%d", &p, &n); err != nil || n != next[p] {
						t.Errorf("event %d of publisher %d in place of %d (%v)", n, p, next[p], err)
						return
					}
					next[p]++
				}
			})
		}
		all.Wait()
	})
}

// TestPromiseOverflow pushes to a client that does not read, under each policy: the publisher is not held up (but by
// Block), every drop is counted, and what arrives is whole and in order.
func TestPromiseOverflow(t *testing.T) {
	payload := strings.Repeat("x", 10_000)
	flood := func(t *testing.T, driver string, policy engine.Overflow) (*server, *client, int) {
		s := serve(t, driver, resp.Options{Overflow: policy}, engine.Limits{Buffered: 64 << 10})
		sub, pub := s.dial(), s.dial()
		sub.ask("SUBSCRIBE flood")
		const events = 2_000 // 20 MB: more than the kernel's buffers hold
		accepted := 0
		for i := range events {
			if pub.ask(fmt.Sprintf("PUBLISH flood %d:%s", i, payload)) == ":1\r\n" {
				accepted++
			}
		}
		return s, sub, events - accepted
	}
	eachDriver(t, func(t *testing.T, driver string) {
		t.Run("disconnect", func(t *testing.T) {
			s, sub, _ := flood(t, driver, engine.Disconnect)
			sub.rest()
			s.closedFor(engine.ReasonOverflow)
			s.alive()
		})
		for policy, name := range map[engine.Overflow]string{engine.DropNewest: "drop newest", engine.DropOldest: "drop oldest"} {
			t.Run(name, func(t *testing.T) {
				s, sub, _ := flood(t, driver, policy)
				if s.Stats().Dropped == 0 {
					t.Fatal("nothing was dropped, or it was not counted")
				}
				s.dial().ask("PUBLISH flood last")
				last := -1
				for n := 0; n < 2_000-int(s.Stats().Dropped); n++ {
					lines := strings.Split(sub.reply(), "\r\n")
					var i int
					if _, err := fmt.Sscanf(lines[len(lines)-2], "%d:", &i); err != nil {
						break // the last one
					}
					if i <= last {
						t.Fatalf("event %d after %d", i, last)
					}
					last = i
				}
			})
		}
	})
}

// TestPromiseBlock holds up the publisher until the subscriber reads, and loses nothing.
func TestPromiseBlock(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{Overflow: engine.Block}, engine.Limits{Buffered: 64 << 10})
		sub, pub := s.dial(), s.dial()
		sub.ask("SUBSCRIBE flood")
		const events = 20_000
		payload := strings.Repeat("x", 1000)
		var publisher sync.WaitGroup
		publisher.Go(func() {
			for i := range events {
				pub.want(fmt.Sprintf("PUBLISH flood %d:%s", i, payload), ":1\r\n")
			}
		})
		for i := range events {
			if i == events/2 { // a confirmation amid the flood neither is lost nor loses anything
				sub.send(request("SUBSCRIBE", "other"))
			}
			got := sub.reply()
			if got == confirmation("subscribe", "other", 2) {
				got = sub.reply()
			}
			if want := message('*', "flood", fmt.Sprintf("%d:%s", i, payload)); got != want {
				t.Fatalf("%.60q in place of %.60q", got, want)
			}
		}
		publisher.Wait()
	})
}

// TestManySubscriptions subscribes to 100 000 subjects, which all end with the connection.
func TestManySubscriptions(t *testing.T) {
	b := bus.New(bus.Options{})
	s := serve(t, "", resp.Options{Bus: b}, engine.Limits{})
	c := s.dial()
	const n, batch = 100_000, 1000
	for i := 0; i < n; i += batch {
		args := []string{"SUBSCRIBE"}
		for j := range batch {
			args = append(args, fmt.Sprintf("many/%d", i+j))
		}
		c.send(request(args...))
		for j := range batch {
			if got, want := c.reply(), confirmation("subscribe", args[1+j], i+j+1); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
	}
	c.want("SUBSCRIBE one/more", "-ERR cannot subscribe to \"one/more\": the limit of 100000 subscriptions of one client is reached: there are too many\r\n")
	pub := s.dial()
	pub.want("PUBLISH many/99999 x", ":1\r\n")
	c.wantReply(message('*', "many/99999", "x"))
	c.send(request("UNSUBSCRIBE"))
	for i := range n {
		if got := c.reply(); !strings.HasSuffix(got, fmt.Sprintf("\r\n:%d\r\n", n-1-i)) {
			t.Fatalf("%q at %d", got, i)
		}
	}
	c.want("SUBSCRIBE a b", confirmation("subscribe", "a", 1))
	c.Close()
	eventually(t, "the end of all subscriptions", func() bool { return b.Stats().Subscriptions == 0 })
}

// TestSharedBus shows that what others publish on the bus arrives too, and the other way round.
func TestSharedBus(t *testing.T) {
	b := bus.New(bus.Options{})
	s := serve(t, "", resp.Options{Bus: b}, engine.Limits{})
	c := s.dial()
	c.ask("SUBSCRIBE a")
	if n, err := b.PublishLive(&event.Event{Subject: "a", Data: []byte("x")}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	c.wantReply(message('*', "a", "x"))
	q, err := b.NewQueue("b", bus.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	s.dial().want("PUBLISH b y", ":1\r\n")
	e, err := q.Next(t.Context())
	if err != nil || e.Subject != "b" || string(e.Data) != "y" {
		t.Errorf("%+v, %v", e, err)
	}
}
