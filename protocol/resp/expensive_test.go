package resp_test

import (
	"context"
	"fmt"
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
