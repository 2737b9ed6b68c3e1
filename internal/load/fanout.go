package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// FanoutOptions say what a fan-out does: one connection publishes, the others
// are subscribed to the same channel with the Redis protocol. Address is
// required.
type FanoutOptions struct {
	// Address is the server's, host:port.
	Address string
	// Subscribers is how many connections receive each message. Default 1 000.
	Subscribers int
	// Size is the length of a message in bytes, at least 16. Default 64.
	Size int
	// Pipeline is the number of PUBLISH commands under way at the same time.
	// Default 1.
	Pipeline int
	// Lag is how many messages may be published that the slowest subscriber
	// has yet to receive; publishing waits beyond it. Default 1 000, which fits
	// the buffers of every server. With 1, each message waits until everybody
	// has the one before it.
	Lag int
	// Warmup is how long to publish before measuring. Default 0.
	Warmup time.Duration
	// Duration is how long to measure. Default 10 s.
	Duration time.Duration
	// PID is the process whose CPU time is measured; zero means none.
	PID int
}

// FanoutResult is what a fan-out measured. Every delivery was compared with
// what was published, in order.
type FanoutResult struct {
	Elapsed   time.Duration
	Delivered uint64 // messages received while measuring, over all subscribers
	Missed    uint64 // deliveries that never came, of the whole run
	CPU       time.Duration
	Latency   Histogram // from publishing a message to its last delivery
}

// PerCPUSecond returns the deliveries for each second of the server's CPU time.
func (r *FanoutResult) PerCPUSecond() float64 {
	if r.CPU == 0 {
		return 0
	}
	return float64(r.Delivered) / r.CPU.Seconds()
}

// fanoutChannel is the channel on which a fan-out publishes.
const fanoutChannel = "fanout"

// minFanoutSize has room for the number of a message.
const minFanoutSize = 16

var errOutOfOrder = errors.New("a message came that was not the next one")

var errFanoutOptions = errors.New("subscribers, pipeline, lag and durations must be positive and within the limits, and a message at least 16 bytes")

func (o FanoutOptions) withDefaults() (FanoutOptions, error) {
	o.Subscribers = cmp.Or(o.Subscribers, 1000)
	o.Size = cmp.Or(o.Size, 64)
	o.Pipeline = cmp.Or(o.Pipeline, 1)
	o.Lag = cmp.Or(o.Lag, 1000)
	o.Duration = cmp.Or(o.Duration, 10*time.Second)
	switch {
	case o.Address == "":
		return o, errNoAddress
	case o.Subscribers < 1, o.Subscribers > MaxConns, o.Size < minFanoutSize, o.Size > MaxReply, o.Pipeline < 1,
		o.Pipeline > MaxPipeline, o.Lag < 1, o.Lag > MaxPipeline, o.Warmup < 0, o.Duration < 0:
		return o, errFanoutOptions
	}
	return o, nil
}

// Fanout publishes until the time is over or ctx ends, waits for what is still
// on its way, and returns what it measured. It needs epoll.
func Fanout(ctx context.Context, o FanoutOptions) (*FanoutResult, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("preparing the fan-out: %w", err)
	}
	if !pollable() {
		return nil, fmt.Errorf("preparing the fan-out: %w on this system, it needs epoll", errors.ErrUnsupported)
	}
	conns, err := Dial(ctx, Options{
		Address: o.Address, Conns: 1 + o.Subscribers,
		Prepare: func(i int, c net.Conn) error {
			if i == 0 {
				return nil // the publisher
			}
			return Ask(c, []string{"SUBSCRIBE", fanoutChannel})
		},
	})
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	return runFanout(ctx, &o, conns)
}

// A message is one that is under way to the subscribers.
type message struct {
	at        time.Duration // when it was published
	payload   []byte
	delivered int
}

// payload writes message number seq over b.
func payload(b []byte, seq uint64) {
	const digits = "0123456789abcdef"
	for i := minFanoutSize - 1; i >= 0; i-- {
		b[i] = digits[seq&15]
		seq >>= 4
	}
}
