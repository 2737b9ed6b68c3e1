package resp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// TestLatency counts each request that was run once, and in the bucket of what its sender waited for: a slow request makes
// slow what arrived with it, unless the replies before it were sent first. What was not run is not counted.
func TestLatency(t *testing.T) {
	const slow = 300 * time.Millisecond
	wait := func(ctx context.Context, _ *resp.Request) error {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
		}
		return nil
	}
	for _, test := range []struct {
		name, pipeline string
		replies        string
		total, slow    uint64
	}{
		{"one", "PING\r\n", "+PONG\r\n", 1, 0},
		{"several at once", "PING\r\nPING\r\nPING\r\n", "+PONG\r\n+PONG\r\n+PONG\r\n", 3, 0},
		{"errors", "PING\r\nFAIL\r\n", "+PONG\r\n-ERR by the test\r\n", 2, 0},
		{"not run", "NOSUCH\r\nECHO\r\n", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n-ERR wrong number of arguments for 'echo' command\r\n", 0, 0},
		{"a slow one", "SLOW\r\n", "+OK\r\n", 1, 1},
		{"a slow one among others", "PING\r\nSLOW\r\nPING\r\n", "+PONG\r\n+OK\r\n+PONG\r\n", 3, 3},
		{"a slow one that says so", "PING\r\nWAIT\r\nPING\r\n", "+PONG\r\n+OK\r\n+PONG\r\n", 3, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, "", resp.Options{Commands: []resp.Command{
				{Name: "SLOW", Arity: 1, Run: wait},
				{Name: "WAIT", Arity: 1, Run: wait, Flags: resp.Blocking},
				{Name: "FAIL", Arity: 1, Run: func(context.Context, *resp.Request) error { return errors.New("by the test") }},
			}}, engine.Limits{})
			c := s.dial()
			c.send(test.pipeline)
			for reply := range strings.SplitAfterSeq(test.replies, "\r\n") {
				if reply != "" {
					c.wantReply(reply)
				}
			}
			c.Close()
			eventually(t, "the end of the connection", func() bool { return s.Stats().Connections == 0 }) // all of it is counted by then
			stats := s.proto.Stats()
			var total, longer uint64
			for _, b := range stats.Latency {
				total += b.Count
				if b.UpTo == 0 || b.UpTo > 250*time.Millisecond {
					longer += b.Count
				}
			}
			if total != test.total || total != stats.Commands || longer < test.slow || test.slow > 0 && longer > test.slow {
				t.Errorf("%d requests, of which %d took 250 ms; want %d and %d: %+v", total, longer, test.total, test.slow, stats)
			}
			if least := time.Duration(test.slow) * slow; stats.Time < least {
				t.Errorf("they took %v in all, want %v at least", stats.Time, least)
			}
		})
	}
}
