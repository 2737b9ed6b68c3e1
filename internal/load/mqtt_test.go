package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// mqttRunOf runs against a broker for a short time, and for a longer one where so little was done that nothing could be
// measured: the machine may have other things to do. It returns nil where there is no epoll.
func mqttRunOf(t *testing.T, f *fakeBroker, o MQTTOptions) *MQTTResult {
	t.Helper()
	for o.Duration = max(o.Duration, 80*time.Millisecond); ; o.Duration *= 4 {
		r, err := mqttTry(t, f, o)
		if errors.Is(err, errors.ErrUnsupported) && !pollable() {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		little := r.Sent == 0 || o.Subscribers > 0 && r.Delivered == 0 || o.QoS > 0 && r.Acked == 0
		if plain := f.change == nil && f.refuse == nil && !f.mute && o.Restart == nil; !plain || o.Publishers == 0 || !little || o.Duration > time.Second {
			return r
		}
	}
}

func mqttTry(t *testing.T, f *fakeBroker, o MQTTOptions) (*MQTTResult, error) {
	t.Helper()
	return mqttTryFor(t.Context(), t, f, o)
}

func mqttTryFor(ctx context.Context, t *testing.T, f *fakeBroker, o MQTTOptions) (*MQTTResult, error) {
	t.Helper()
	scheme, path, found := strings.Cut(o.URL, "/")
	o.URL = "mqtt://" + serve(t, nil, f.handle)
	if found {
		o.URL = scheme + strings.TrimPrefix(o.URL, "mqtt") + "/" + path
	}
	return MQTT(ctx, o)
}

func TestMQTTPairs(t *testing.T) {
	for _, c := range []MQTTOptions{
		{Publishers: 1, Subscribers: 1},
		{Publishers: 7, Subscribers: 7, QoS: 1, Inflight: 3},
		{Publishers: 3, Subscribers: 6, QoS: 2, Version: 4, Size: 300},
		{Publishers: 2, Subscribers: 5, Topic: "everybody", QoS: 1, Size: 8},
		{Publishers: 1, Subscribers: 20, Topic: "everybody"},
		{Publishers: 2, Subscribers: 2, Size: 70_000, QoS: 2, Inflight: 2, Duration: 300 * time.Millisecond},
		{Publishers: 3, Subscribers: 3, Rate: 1000, QoS: 1},
		{Publishers: 2, Subscribers: 2, URL: "ws/mqtt", QoS: 2},
		{Publishers: 2, Subscribers: 2, URL: "ws/mqtt", Size: 70_000, Inflight: 2, Duration: 300 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%d to %d, QoS %d, %d B, %s", c.Publishers, c.Subscribers, c.QoS, c.Size, c.URL), func(t *testing.T) {
			c.PID, c.Warmup = os.Getpid(), 10*time.Millisecond
			r := mqttRunOf(t, newFakeBroker(), c)
			if r == nil {
				return
			}
			if r.Sent == 0 || r.Delivered == 0 || r.Lost+r.Unacked+r.Repeated != 0 || r.Elapsed < c.Duration {
				t.Errorf("%+v", summary(r))
			}
			if (c.QoS > 0) != (r.Acked > 0 && r.Ack.Count() > 0) || (c.Size != 8) != (r.Latency.Count() > 0) {
				t.Errorf("%d acknowledged, latencies: %d and %d", r.Acked, r.Ack.Count(), r.Latency.Count())
			}
			if r.CPU == 0 || r.PerCPUSecond() == 0 || r.CPUPerMessage() == 0 || r.Memory.Connected == 0 || r.Memory.After == 0 {
				t.Errorf("the server's CPU time %v, memory %+v", r.CPU, r.Memory)
			}
			if due := uint64(c.Rate * r.Elapsed.Seconds()); c.Rate > 0 && (r.Latency.Count() > due+2) {
				t.Errorf("%d latencies, and %d were due", r.Latency.Count(), due)
			}
		})
	}
}

func summary(r *MQTTResult) string {
	return fmt.Sprintf("%d sent, %d acknowledged, %d delivered, %d lost, %d not acknowledged, %d repeated in %v",
		r.Sent, r.Acked, r.Delivered, r.Lost, r.Unacked, r.Repeated, r.Elapsed)
}

// Without subscribers QoS 0 is as fast as the server reads, and QoS 1 as it acknowledges.
func TestMQTTWithoutSubscribers(t *testing.T) {
	for qos := range 2 {
		o := MQTTOptions{Publishers: 2, QoS: qos, Offline: qos}
		if r := mqttRunOf(t, newFakeBroker(), o); r != nil && (r.messages() == 0 || r.Unacked != 0) {
			t.Errorf("QoS %d: %s", qos, summary(r))
		}
	}
}

func TestMQTTCountsWhatIsLostAndRepeated(t *testing.T) {
	seen := 0
	lossy := func(payload []byte) []byte {
		if seen++; seen == 5 {
			return nil
		}
		return payload
	}
	f := newFakeBroker()
	f.change = lossy
	if r := mqttRunOf(t, f, MQTTOptions{Publishers: 1, Subscribers: 1}); r != nil && (r.Lost != 1 || r.Repeated != 0) {
		t.Errorf("one was lost: %s", summary(r))
	}
	f = newFakeBroker()
	f.change = func(payload []byte) []byte {
		if n := binary.LittleEndian.Uint32(payload[4:]); n == 9 {
			binary.LittleEndian.PutUint32(payload[4:], 8)
		}
		return payload
	}
	if r := mqttRunOf(t, f, MQTTOptions{Publishers: 1, Subscribers: 1, QoS: 1}); r != nil && (r.Lost != 1 || r.Repeated != 1) {
		t.Errorf("one came twice in place of another: %s", summary(r))
	}
}

// What is under way when nothing answers any more is counted at the end.
func TestMQTTCountsWhatIsNotAcknowledged(t *testing.T) {
	f := newFakeBroker()
	f.mute = true
	if r := mqttRunOf(t, f, MQTTOptions{Publishers: 2, Subscribers: 2, QoS: 1, Inflight: 5, patience: 100 * time.Millisecond}); r != nil && (r.Unacked != 10 || r.Lost != 0) {
		t.Error(summary(r))
	}
}

func TestMQTTStopsAtAnotherMessage(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"shorter":          func(b []byte) []byte { return b[1:] },
		"changed":          func(b []byte) []byte { b[len(b)-1]++; return b },
		"of somebody else": func(b []byte) []byte { b[0]++; return b },
		"from the future":  func(b []byte) []byte { b[6]++; return b },
	} {
		f := newFakeBroker()
		f.change = change
		_, err := mqttTry(t, f, MQTTOptions{Publishers: 2, Subscribers: 2, Size: 20, Duration: time.Second})
		if !errors.Is(err, errMQTTWrong) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestMQTTIdle(t *testing.T) {
	for _, c := range []MQTTOptions{
		{Connections: 200, Settle: 10 * time.Millisecond, Durable: true}, {Connections: 10, URL: "ws/mqtt"}, {Connections: 10, Version: 4},
	} {
		f := newFakeBroker()
		c.PID = os.Getpid()
		r := mqttRunOf(t, f, c)
		if r == nil {
			return
		}
		if r.Connecting == 0 || r.Memory.Before == 0 || r.Memory.Connected == 0 {
			t.Errorf("%+v", r.Memory)
		}
		warm := 0
		if c.Settle > 0 {
			warm = mqttWarmConns
		}
		if c.Durable {
			warm += c.Connections // which end the sessions
		}
		if f.connects() != c.Connections+warm {
			t.Errorf("%d connections, %d were asked for", f.connects(), c.Connections)
		}
	}
	if got := (Memory{Before: 1000, Connected: 21000}).PerSession(20); got != 1000 {
		t.Errorf("%v bytes for each session", got)
	}
}

// In a storm all come back, also those that are refused at first, and the others go on.
func TestMQTTStorm(t *testing.T) {
	for _, url := range []string{"", "ws/mqtt"} {
		f := newFakeBroker()
		f.refuse = func(n int) byte {
			if n > 52 && n <= 60 {
				return 0x97 // quota exceeded
			}
			return 0
		}
		r := mqttRunOf(t, f, MQTTOptions{URL: url, Publishers: 1, Subscribers: 1, Connections: 50, Rate: 500, Storm: true, Away: time.Duration(len(url)) * 10 * time.Millisecond})
		if r == nil {
			return
		}
		s := &r.Storm
		if s.Back.Count() != 50 || s.Retries != 8 || s.All < retryAfter || s.Latency.Count() == 0 || r.Lost != 0 || f.connects() != 110 {
			t.Errorf("%d back after %v, %d attempts, %d connects, %d latencies; %s", s.Back.Count(), s.All, s.Retries, f.connects(), s.Latency.Count(), summary(r))
		}
	}
}

func TestMQTTRestart(t *testing.T) {
	restarted := 0
	r := mqttRunOf(t, newFakeBroker(), MQTTOptions{
		Connections: 20, Publishers: 1, Subscribers: 1,
		Restart: func() error { restarted++; return nil },
	})
	if r != nil && (restarted != 1 || r.Storm.Back.Count() != 20) {
		t.Errorf("%d restarts, %d back", restarted, r.Storm.Back.Count())
	}
	failed := errors.New("it does not start")
	_, err := mqttTry(t, newFakeBroker(), MQTTOptions{Connections: 2, Restart: func() error { return failed }})
	if !errors.Is(err, failed) && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}

// Nobody waits for a subscriber that does not read.
func TestMQTTStalled(t *testing.T) {
	for _, c := range []MQTTOptions{
		{Publishers: 1, Subscribers: 5, Stalled: 1, Topic: "everybody", QoS: 1}, {Publishers: 3, Subscribers: 3, Stalled: 2, QoS: 1},
	} {
		r := mqttRunOf(t, newFakeBroker(), c)
		if r != nil && (r.Delivered == 0 || r.Lost+r.Unacked+r.Repeated != 0) {
			t.Error(summary(r))
		}
	}
}

func TestMQTTRefused(t *testing.T) {
	if !pollable() {
		return
	}
	f := newFakeBroker()
	f.refuse = func(int) byte { return 0x87 }
	if _, err := mqttTry(t, f, MQTTOptions{Connections: 1, Durable: true}); err == nil || strings.Contains(err.Error(), "could not be ended") || !strings.Contains(err.Error(), "waiting for CONNACK: CONNECT was refused: reason code 0x87, not authorized") {
		t.Errorf("error %v", err)
	}
	f = newFakeBroker()
	f.maximum = 10
	if _, err := mqttTry(t, f, MQTTOptions{Publishers: 1, QoS: 1}); err == nil || !strings.Contains(err.Error(), "takes 10 messages under way") {
		t.Errorf("error %v", err)
	}
	address := serve(t, nil, echo)
	if _, err := MQTT(t.Context(), MQTTOptions{URL: "mqtt://" + address, Connections: 1}); err == nil || !strings.Contains(err.Error(), "answered with a packet of type 1") {
		t.Errorf("error %v", err)
	}
	if _, err := MQTT(t.Context(), MQTTOptions{URL: "ws://" + address, Connections: 1}); !errors.Is(err, errNotUpgraded) {
		t.Errorf("error %v", err)
	}
	if _, err := MQTT(t.Context(), MQTTOptions{URL: "mqtt://127.0.0.1:1", Connections: 1}); err == nil || !strings.Contains(err.Error(), "connecting to 127.0.0.1:1: connection refused") {
		t.Errorf("error %v", err)
	}
}

func TestMQTTOptionsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		o    MQTTOptions
		want error
	}{
		{MQTTOptions{}, errMQTTURL}, {MQTTOptions{URL: "mqtts://a:1", Connections: 1}, errMQTTURL}, {MQTTOptions{URL: "mqtt://a:1/path", Connections: 1}, errMQTTURL},
		{MQTTOptions{URL: "mqtt://a:1"}, errMQTTOptions}, {MQTTOptions{URL: "mqtt://a", Publishers: 1, QoS: 3}, errMQTTOptions},
		{MQTTOptions{URL: "mqtt://a", Publishers: 1, Size: 7}, errMQTTOptions}, {MQTTOptions{URL: "mqtt://a", Publishers: 1, Version: 3}, errMQTTOptions},
		{MQTTOptions{URL: "ws://a", Publishers: 1, Topic: "a/+"}, errMQTTTopic},
		{MQTTOptions{URL: "ws://a", Publishers: 2000, Subscribers: 2000, Topic: "a"}, errMQTTMatrix},
		{MQTTOptions{URL: "ws://a", Publishers: 1, Version: 4, Offline: 1}, errMQTTDurable},
		{MQTTOptions{URL: "ws://a", Publishers: 1, Subscribers: 1, Stalled: 2}, errMQTTStalled}, {MQTTOptions{URL: "ws://a", Publishers: 1, Storm: true}, errMQTTStorm},
		{MQTTOptions{URL: "ws://a", Publishers: 1, Rate: -1}, errNegative}, {MQTTOptions{URL: "ws://a", Publishers: 1, Rate: MaxRate + 1}, errTooFast},
	} {
		if _, err := MQTT(t.Context(), c.o); !errors.Is(err, c.want) {
			t.Errorf("%+v: error %v", c.o, err)
		}
	}
}
