package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// MQTTOptions say what a run with MQTT does. URL is required, and connections of at least one kind.
type MQTTOptions struct {
	// URL is the server's: mqtt://HOST:PORT, or ws://HOST:PORT/PATH.
	URL string
	// Version is the protocol level, 4 (for 3.1.1) or 5. Default 5.
	Version int
	// User and Password are sent with each CONNECT, if they are set.
	User     string
	Password []byte

	// Publishers is how many connections publish.
	Publishers int
	// Subscribers is how many connections are subscribed to what is published.
	Subscribers int
	// Connections is how many connections are idle, each subscribed to a filter of its own.
	Connections int
	// Offline is how many sessions are subscribed to everything that is published and have gone away, so that the
	// server stores it for them. It needs Version 5, whose sessions expire by themselves.
	Offline int
	// Stalled is how many of the subscribers stop reading when the warm-up is over. Nobody waits for them.
	Stalled int
	// Durable gives subscribers and idle connections sessions that outlive their connections. It needs Version 5.
	Durable bool

	// Topic is the topic that is published to. With {} in it each publisher has a topic of its own, and subscriber
	// number s is subscribed to the topic of publisher s modulo Publishers. Without, everybody publishes to one topic
	// and each subscriber receives everything. Default bench/{}.
	Topic string
	// QoS is that of publishing and of subscribing: 0, 1 or 2.
	QoS int
	// Size is the length of a payload, at least 8 bytes. Latency is measured from 16 on. Default 16.
	Size int
	// Inflight is how many messages of a publisher may be under way: not yet received by each subscriber, or not yet
	// acknowledged. Publishing waits beyond it, so no server can win by dropping. Default 20.
	Inflight int
	// Rate is the number of messages published in a second, over all publishers; zero means as many as Inflight allows.
	Rate float64

	// Storm drops all idle connections at the same time after the measuring, and lets them come back at once.
	Storm bool
	// Away is how long they are away before they come back. Default 0.
	Away time.Duration
	// Restart, if set, is called in place of dropping the idle connections, and must end the server and start it again.
	// It is called while nothing is published.
	Restart func() error

	// Warmup is how long to publish before measuring. Default 0.
	Warmup time.Duration
	// Duration is how long to measure. Default 10 s.
	Duration time.Duration
	// Settle is how long to rest before the server's memory is read. Default 0: it is read at once.
	Settle time.Duration
	// PID is the process whose CPU time and memory are measured; zero means none.
	PID int
	// Progress, if set, is called about once in a second while publishing. Its requests are deliveries, or what was
	// sent when there are no subscribers.
	Progress func(Progress)

	patience time.Duration // for tests; writeOffAfter
}

// MQTTResult is what a run with MQTT measured. Every delivery was compared with what was published.
type MQTTResult struct {
	Connecting time.Duration // how long it took until all were connected and subscribed

	Elapsed   time.Duration // how long publishing was measured
	Sent      uint64        // messages sent while measuring
	Acked     uint64        // of QoS 1 and 2: acknowledged while measuring
	Delivered uint64        // messages received while measuring, over all subscribers that read
	Lost      uint64        // deliveries that never came, of the whole run
	Unacked   uint64        // of QoS 1 and 2: never acknowledged, of the whole run
	Repeated  uint64        // deliveries that came again, or after a later one, of the whole run
	Late      uint64        // of a run with a rate, and in a storm: left over a millisecond late by the generator's own fault
	CPU       time.Duration
	Ack       Histogram // from when a message was sent, or due, to its acknowledgement
	Latency   Histogram // and to its delivery

	Ending error // why sessions that outlive their connections could not be ended, if so; nil otherwise

	StalledClosed int // stalled subscribers that the server closed
	Memory        Memory
	Storm         Storm
}

// Memory is the resident memory of the server, in bytes.
type Memory struct {
	Before    int64 // after 100 connections have come and gone
	Connected int64 // with all connections, before anything is published
	After     int64 // when publishing has ended
}

// Storm is what came of all idle connections coming back at once.
type Storm struct {
	All     time.Duration // from when all had been dropped, and away, until the last was connected and subscribed again
	Back    Histogram     // of each of them
	Retries uint64        // attempts that were refused or broken off
	Latency Histogram     // of the publishers and subscribers, which stayed connected, meanwhile
}

// PerCPUSecond returns the messages that were delivered, or sent if nobody is subscribed, for each second of the
// server's CPU time.
func (r *MQTTResult) PerCPUSecond() float64 {
	if r.CPU == 0 {
		return 0
	}
	return float64(r.messages()) / r.CPU.Seconds()
}

// messages are what the server's work is divided by.
func (r *MQTTResult) messages() uint64 {
	switch {
	case r.Delivered > 0:
		return r.Delivered
	case r.Acked > 0:
		return r.Acked
	}
	return r.Sent
}

// CPUPerMessage returns the server's CPU time for each of them, or zero if it was not measured.
func (r *MQTTResult) CPUPerMessage() time.Duration {
	return time.Duration(float64(r.CPU) / float64(max(r.messages(), 1)))
}

// PerSession returns by how many bytes the server grew for each of so many connections.
func (m Memory) PerSession(connections int) float64 {
	return float64(m.Connected-m.Before) / float64(max(connections, 1))
}

// The sizes of payloads that hold the number of a message, and also its time.
const (
	minMQTTSize   = 8
	timedMQTTSize = 16
)

// The errors of options that cannot be.
var (
	errMQTTURL     = errors.New("the address of an MQTT server is mqtt://HOST:PORT or ws://HOST:PORT/PATH")
	errMQTTOptions = fmt.Errorf("the number of connections must be from 1 to %d, messages under way from 1 to 65535, a payload from %d bytes to %d, QoS 0 to 2, version 4 or 5",
		MaxConns, minMQTTSize, MaxReply)
	errMQTTMatrix  = fmt.Errorf("publishers and subscribers of one topic may be %d when multiplied", MaxConns)
	errMQTTTopic   = errors.New("a topic is 1 to 1000 bytes without + and # in it")
	errMQTTDurable = errors.New("sessions that outlive their connection need version 5, where they expire by themselves")
	errMQTTStalled = errors.New("subscribers that stop reading are some of the subscribers, and need publishers")
	errMQTTStorm   = errors.New("a storm needs idle connections, which come back")
)

// placeholder is where a topic has the number of its publisher.
const placeholder = "{}"

func (o MQTTOptions) withDefaults() (MQTTOptions, error) {
	o.Version = cmp.Or(o.Version, mqtt5)
	o.Topic = cmp.Or(o.Topic, "bench/"+placeholder)
	o.Size = cmp.Or(o.Size, timedMQTTSize)
	o.Inflight = cmp.Or(o.Inflight, 20)
	o.Duration = cmp.Or(o.Duration, 10*time.Second)
	o.patience = cmp.Or(o.patience, writeOffAfter)
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o, o.Check()
}

// Check reports what is wrong with options whose defaults are filled in.
func (o *MQTTOptions) Check() error {
	if _, err := parseMQTTURL(o.URL); err != nil {
		return err
	}
	everybody := o.Publishers + o.Subscribers + o.Connections + o.Offline
	switch {
	case o.Publishers < 0, o.Subscribers < 0, o.Connections < 0, o.Offline < 0, o.Stalled < 0, everybody < 1, everybody > MaxConns,
		o.Inflight < 1, o.Inflight > 1<<16-1, o.Size < minMQTTSize, o.Size > MaxReply, o.QoS < 0, o.QoS > 2,
		o.Version != mqtt311 && o.Version != mqtt5:
		return errMQTTOptions
	case !strings.Contains(o.Topic, placeholder) && o.Publishers*o.Subscribers > MaxConns:
		return errMQTTMatrix
	case o.Topic == "", len(o.Topic) > 1000, strings.ContainsAny(o.Topic, "+#\x00"):
		return errMQTTTopic
	case (o.Durable || o.Offline > 0) && o.Version != mqtt5:
		return errMQTTDurable
	case o.Stalled > 0 && (o.Stalled > o.Subscribers || o.Publishers == 0):
		return errMQTTStalled
	case (o.Storm || o.Restart != nil) && o.Connections == 0:
		return errMQTTStorm
	case o.Rate < 0 || o.Warmup < 0 || o.Duration < 0 || o.Settle < 0 || o.Away < 0:
		return errNegative
	case o.Rate > MaxRate:
		return errTooFast
	}
	return nil
}

// An mqttAddress is a parsed URL.
type mqttAddress struct {
	host string // and port
	path string // of a WebSocket, empty otherwise
}

func parseMQTTURL(text string) (a mqttAddress, err error) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" {
		return a, fmt.Errorf("%w: %q is not", errMQTTURL, text)
	}
	port := u.Port()
	switch {
	case u.Scheme == "mqtt" && strings.Trim(u.Path, "/") == "":
		port = cmp.Or(port, "1883")
	case u.Scheme == "ws":
		port = cmp.Or(port, "80")
		a.path = cmp.Or(u.EscapedPath(), "/mqtt")
	case u.Scheme == "mqtts" || u.Scheme == "wss":
		return a, fmt.Errorf("%w: the generator has no TLS for MQTT, so %q cannot be measured", errMQTTURL, text)
	default:
		return a, fmt.Errorf("%w: %q is not", errMQTTURL, text)
	}
	a.host = net.JoinHostPort(u.Hostname(), port)
	return a, nil
}

// MQTT connects, publishes until the time is over or ctx ends, and returns what it measured. Without publishers it
// returns once everybody is connected and, with a storm, is back. It needs epoll.
func MQTT(ctx context.Context, o MQTTOptions) (*MQTTResult, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("preparing the load: %w", err)
	}
	if !pollable() {
		return nil, fmt.Errorf("preparing the load: %w on this system, it needs epoll", errors.ErrUnsupported)
	}
	return runMQTT(ctx, &o)
}
