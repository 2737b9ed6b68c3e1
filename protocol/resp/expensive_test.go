package resp_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// TestUnsubscribeCostsWhatItNames asks a thousand times for the end of nothing, with many subscriptions of the other kind:
// listing them each time took 75 ms.
func TestUnsubscribeCostsWhatItNames(t *testing.T) {
	s := serve(t, "", resp.Options{}, engine.Limits{})
	c := s.dial()
	const n, asked = 50_000, 1000
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("s%d", i)
	}
	go c.send(request(append([]string{"SUBSCRIBE"}, names...)...))
	for range n {
		c.reply()
	}
	began := time.Now()
	go c.send(strings.Repeat(request("UNSUBSCRIBE", "nosuch")+request("PUNSUBSCRIBE"), asked))
	for range asked {
		c.wantReply(fmt.Sprintf("*3\r\n$11\r\nunsubscribe\r\n$6\r\nnosuch\r\n:%d\r\n", n))
		c.wantReply(fmt.Sprintf("*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:%d\r\n", n))
	}
	if d := time.Since(began); d > patience/2 {
		t.Errorf("%d requests took %v", 2*asked, d)
	}
}

// TestClosingEndsThePipeline closes the connection in the first of many requests: the rest is not served.
func TestClosingEndsThePipeline(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		var ran atomic.Int64
		s := serve(t, driver, resp.Options{Commands: []resp.Command{{Name: "LEAVE", Arity: 1, Run: func(_ context.Context, r *resp.Request) error {
			ran.Add(1)
			r.Conn().Close(engine.ReasonKilled, nil)
			return nil
		}}}}, engine.Limits{})
		c := s.dial()
		c.send(strings.Repeat(request("LEAVE"), 500))
		c.rest()
		s.closedFor(engine.ReasonKilled)
		s.unharmed()
		if n := ran.Load(); n != 1 {
			t.Errorf("%d requests were served of a connection that the first had closed", n)
		}
	})
}

// TestManyNamesOneReply asks for the description of one command many times in one request: the reply is sent as it grows.
func TestManyNamesOneReply(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{Buffered: 256 << 10})
		c := s.dial()
		const n = 50_000
		for _, sub := range []string{"INFO", "DOCS"} {
			one := c.ask("COMMAND " + sub + " ping")
			head, each, _ := strings.Cut(one, "\r\n")
			words := append([]string{"COMMAND", sub}, strings.Split(strings.Repeat("ping ", n-1)+"ping", " ")...)
			go c.send(request(words...))
			before := s.Stats().BytesOut
			eventually(t, "a part of the reply", func() bool { return s.Stats().BytesOut > before })
			if b := s.Stats().Buffered; b > 4<<20 {
				t.Errorf("%s: %d bytes wait", sub, b)
			}
			count := n
			if head == "*2" {
				count = 2 * n
			}
			want := fmt.Sprintf("*%d\r\n", count) + strings.Repeat(each, n)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c.in, got); err != nil || string(got) != want {
				t.Errorf("%s: not the %d bytes that it should be (%v)", sub, len(want), err)
			}
		}
	})
}
