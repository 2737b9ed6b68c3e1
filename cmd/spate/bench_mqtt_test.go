package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/spate-io/spate/internal/load"
)

func TestBenchMQTTReport(t *testing.T) {
	flow := &load.MQTTResult{
		Connecting: 1234 * time.Millisecond, Elapsed: 10 * time.Second, Sent: 1_000_000, Acked: 999_999, Delivered: 2_000_000, Lost: 3, Repeated: 1,
		CPU: 8 * time.Second, StalledClosed: 1, Late: 5, Memory: load.Memory{Before: 10 << 20, Connected: 12 << 20, After: 20 << 20},
	}
	for _, d := range []time.Duration{time.Millisecond, 2 * time.Millisecond} {
		flow.Ack.Record(d)
		flow.Latency.Record(2 * d)
	}
	idle := &load.MQTTResult{Connecting: time.Second, Memory: load.Memory{Before: 10 << 20, Connected: 20 << 20, After: 20 << 20}}
	storm := &load.MQTTResult{Connecting: time.Second, Elapsed: time.Second, Sent: 1000, Delivered: 1000}
	storm.Storm.All, storm.Storm.Retries = 3*time.Second, 7
	storm.Storm.Back.Record(3 * time.Second)
	storm.Storm.Latency.Record(5 * time.Millisecond)
	for _, c := range []struct {
		name string
		o    load.MQTTOptions
		r    *load.MQTTResult
		want string
	}{
		{"flow", load.MQTTOptions{URL: "mqtt://h:1", Version: 5, Publishers: 1, Subscribers: 2, Stalled: 1, QoS: 1, Size: 16, Inflight: 20, PID: 9}, flow,
			`mqtt mqtt://h:1: MQTT 5.0, 1 publisher, 2 subscribers
  connected   after 1.23s
  load        QoS 1, 16 B, 20 under way each, 10s
  in          100000 messages/s, acknowledged after p50 1ms, p99 2ms, max 2ms
  out         200000 messages/s, delivered after p50 2.01ms, p99 4ms, max 4ms
  lost        3; repeated 1
  stalled     1 subscriber; the server closed 1
  late        5 left more than 1ms late because bench itself did not keep up
  server CPU  4µs per message, 250000 messages per CPU second, 80 % of one CPU
  memory      10240 KiB before, 12288 KiB connected, 20480 KiB at the end (process 9)
`},
		{"idle", load.MQTTOptions{URL: "ws://h:1/mqtt", Version: 4, Connections: 10240, Settle: time.Second, PID: 9}, idle,
			`mqtt ws://h:1/mqtt: MQTT 3.1.1, 10240 idle connections
  connected   after 1s
  memory      10240 KiB before, 20480 KiB connected (1024 B for each of the connections), 20480 KiB at the end (process 9)
`},
		{"storm", load.MQTTOptions{URL: "mqtt://h:1", Version: 5, Publishers: 1, Subscribers: 1, Connections: 5, Offline: 1, Rate: 1000, Size: 8, Storm: true}, storm,
			`mqtt mqtt://h:1: MQTT 5.0, 1 publisher, 1 subscriber, 5 idle connections, 1 offline session
  connected   after 1s
  load        QoS 0, 8 B, 1000 per second, 1s
  in          1000 messages/s
  out         1000 messages/s
  lost        0; repeated 0
  storm       all back after 3s; p50 3s, p99 3s; 7 attempts were refused
  meanwhile   p50 5ms, p99 5ms, max 5ms, from publishing to delivery between those that stayed
`},
	} {
		var b bytes.Buffer
		f := benchMQTTFlags{o: c.o}
		if f.report(&b, c.r); b.String() != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, &b, c.want)
		}
	}
}
