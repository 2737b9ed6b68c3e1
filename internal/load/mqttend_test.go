package load

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// Sessions that outlive their connections are ended when the run is, however that comes: the server would go on storing for them.
func TestMQTTEndsItsSessions(t *testing.T) {
	if !pollable() {
		return
	}
	for name, c := range map[string]struct {
		o     MQTTOptions
		least int // sessions
		at    int // the CONNECT that interrupts; zero means a message does, and below nothing
	}{
		"offline":                     {MQTTOptions{Publishers: 1, QoS: 1, Offline: 3}, 3, -1},
		"of subscribers":              {MQTTOptions{Publishers: 2, Subscribers: 2, Durable: true}, 2, -1},
		"of one that is stalled":      {MQTTOptions{Publishers: 1, Subscribers: 3, Stalled: 1, Durable: true, Topic: "all"}, 3, -1},
		"of WebSockets":               {MQTTOptions{URL: "ws/mqtt", Connections: 20, Durable: true}, 20, -1},
		"of those that came and went": {MQTTOptions{Connections: 1, Durable: true, PID: os.Getpid(), Settle: time.Millisecond}, mqttWarmConns, -1},
		"back from a storm":           {MQTTOptions{Connections: 20, Durable: true, Storm: true}, 40, -1},
		"interrupted":                 {MQTTOptions{Publishers: 1, Subscribers: 1, Offline: 2, Durable: true, Duration: time.Minute}, 3, 0},
		"interrupted at first":        {MQTTOptions{Connections: 500, Durable: true}, 1, 100},
		"interrupted in a storm":      {MQTTOptions{Connections: 20, Durable: true, Storm: true}, 20, 30},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeBroker()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.at == 0 {
				f.change = func(b []byte) []byte { cancel(); return b }
			}
			f.refuse = func(n int) byte {
				if n == c.at {
					cancel()
				}
				return 0
			}
			c.o.Duration = max(c.o.Duration, 20*time.Millisecond)
			r, err := mqttTryFor(ctx, t, f, c.o)
			if (err != nil) != (c.at > 0) || err == nil && r.Ending != nil {
				t.Errorf("error %v, result %+v", err, r)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.lasting < c.least || len(f.kept) != 0 {
				t.Errorf("%d sessions, at least %d were to be made; %d were left", f.lasting, c.least, len(f.kept))
			}
		})
	}
}

// A run whose sessions cannot be ended has been measured all the same, and says so.
func TestMQTTCannotEndItsSessions(t *testing.T) {
	if !pollable() {
		return
	}
	f := newFakeBroker()
	f.refuse = func(n int) byte {
		if n > 2 {
			return 0x97 // quota exceeded
		}
		return 0
	}
	r, err := mqttTry(t, f, MQTTOptions{Publishers: 1, QoS: 1, Offline: 1, Duration: 50 * time.Millisecond})
	if err != nil || r.Sent == 0 {
		t.Fatalf("error %v, result %+v", err, r)
	}
	if _, ok := errors.AsType[MQTTRefusal](r.Ending); !ok {
		t.Errorf("error %v", r.Ending)
	}
}
