package load

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// broker answers SUBSCRIBE and PUBLISH. It changes each message that it
// delivers with change, which may return nothing.
func broker(change func(subscriber int, message string) string) func(net.Conn) {
	var mu sync.Mutex
	var subscribers []net.Conn
	return func(c net.Conn) {
		redis(func(words []string) string {
			mu.Lock()
			defer mu.Unlock()
			if words[0] == "SUBSCRIBE" {
				subscribers = append(subscribers, c)
				return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(words[1]), words[1])
			}
			for i, s := range subscribers {
				if m := change(i, words[2]); m != "" {
					_, _ = s.Write(AppendCommand(nil, "message", words[1], m))
				}
			}
			return fmt.Sprintf(":%d\r\n", len(subscribers))
		})(c)
	}
}

func same(_ int, message string) string { return message }

func TestFanoutReachesEverybody(t *testing.T) {
	for _, c := range []struct{ pipeline, lag, size int }{{1, 1, 64}, {1, 1000, 16}, {16, 100, 64}, {64, 10, 5000}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			r, err := Fanout(t.Context(), FanoutOptions{
				Address: serve(t, nil, broker(same)), Subscribers: 20, Size: c.size, Pipeline: c.pipeline, Lag: c.lag,
				Warmup: 20 * time.Millisecond, Duration: 100 * time.Millisecond, PID: os.Getpid(),
			})
			if !pollable() {
				if !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Missed != 0 || r.Delivered == 0 || r.Latency.Count() == 0 || r.PerCPUSecond() == 0 {
				t.Errorf("%d delivered, %d missed, %d latencies, %v per CPU second", r.Delivered, r.Missed, r.Latency.Count(), r.PerCPUSecond())
			}
		})
	}
}

func TestFanoutCountsWhatIsMissed(t *testing.T) {
	if !pollable() {
		return
	}
	lossy := func(subscriber int, message string) string {
		if subscriber == 3 && strings.HasPrefix(message, "0000000000000007") {
			return ""
		}
		return message
	}
	r, err := Fanout(t.Context(), FanoutOptions{
		Address: serve(t, nil, broker(lossy)), Subscribers: 5, Lag: 100, Duration: 50 * time.Millisecond,
	})
	if err != nil || r.Missed != 1 {
		t.Errorf("error %v, %+v", err, r.Missed)
	}
}

func TestFanoutStopsAtAnotherMessage(t *testing.T) {
	if !pollable() {
		return
	}
	for name, change := range map[string]func(int, string) string{
		"changed": func(_ int, m string) string { return strings.Replace(m, "x", "y", 1) },
		"shorter": func(_ int, m string) string { return m[1:] + "z" },
	} {
		_, err := Fanout(t.Context(), FanoutOptions{
			Address: serve(t, nil, broker(change)), Subscribers: 2, Duration: 100 * time.Millisecond,
		})
		if !errors.Is(err, errOutOfOrder) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFanoutOptionsThatCannotBe(t *testing.T) {
	for _, o := range []FanoutOptions{
		{}, {Address: "x", Size: 15}, {Address: "x", Subscribers: -1}, {Address: "x", Lag: -1}, {Address: "x", Pipeline: MaxPipeline + 1},
	} {
		if _, err := Fanout(t.Context(), o); !errors.Is(err, errNoAddress) && !errors.Is(err, errFanoutOptions) {
			t.Errorf("%+v: error %v", o, err)
		}
	}
}
