package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// Handler handles one event. What it returns decides what becomes of it, see the package comment. The context ends when the
// consumer stops; it carries the delivery, see [FromContext].
type Handler func(ctx context.Context, d *Delivery) error

// BatchHandler handles events of one partition, in order, all or none: an error is the error of each.
type BatchHandler func(ctx context.Context, deliveries []*Delivery) error

// Config describes a consumer. The zero value of each field but Name and Stream is good.
type Config struct {
	// Name identifies the consumer, and its place in the stream, for as long as it is not removed.
	Name string
	// Stream is what it reads.
	Stream string
	// Filter selects subjects of the stream. Default: all.
	Filter string
	// From is where a consumer begins that has no place yet. Default: the beginning.
	From stream.From
	// Concurrency is how many keys are handled at the same time. Default [DefaultConcurrency].
	Concurrency int
	// InFlight is how many events of a partition are in memory: being handled, waiting for one of their key, or to be
	// committed. Default [DefaultInFlight]. What a stalled handler costs is this.
	InFlight int
	// InFlightBytes is the same in bytes. Default [DefaultInFlightBytes].
	InFlightBytes int
	// BatchSize is how many events a [BatchHandler] is given at most. Default [DefaultBatchSize].
	BatchSize int
	// Retry says how often, and when, a handler that failed is called again. After the last attempt the event becomes a dead
	// letter. Its zero value tries 10 times, over 16 s on average.
	Retry task.Backoff
	// Timeout is how long a handler may take before its context ends. Default: for ever.
	Timeout time.Duration
}

// Defaults of [Config].
const (
	DefaultConcurrency   = 256
	DefaultInFlight      = 4096
	DefaultInFlightBytes = 32 << 20
	DefaultBatchSize     = 256
)

// Skip is an error that means: the event is done with, keep nothing of what the handler wanted to store or publish.
var Skip = errors.New("skip this event") //nolint:revive,staticcheck // no failure but an answer, as io.EOF is one

// RetryAfter returns an error that means: try again after d, however often it has been tried.
func RetryAfter(d time.Duration) error { return &retryAfter{d} }

type retryAfter struct{ after time.Duration }

func (r *retryAfter) Error() string { return fmt.Sprintf("try again after %v", r.after) }

// Dead returns an error that means: this event will never be handled, make it a dead letter now.
func Dead(err error) error { return &dead{err} }

type dead struct{ error }

func (d *dead) Unwrap() error { return d.error }

// withDefaults checks a configuration and fills it in.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" || len(c.Name) > maxName {
		return c, fmt.Errorf("a consumer's name must have 1 to %d bytes, not %d", maxName, len(c.Name))
	}
	for _, o := range []struct {
		name string
		n    int
	}{{"Concurrency", c.Concurrency}, {"InFlight", c.InFlight}, {"InFlightBytes", c.InFlightBytes}, {"BatchSize", c.BatchSize}, {"Timeout", int(c.Timeout)}} {
		if o.n < 0 {
			return c, fmt.Errorf("consumer %q: %s must not be negative; 0 is the default", c.Name, o.name)
		}
	}
	c.Concurrency = orDefault(c.Concurrency, DefaultConcurrency)
	c.InFlight = orDefault(c.InFlight, DefaultInFlight)
	c.InFlightBytes = orDefault(c.InFlightBytes, DefaultInFlightBytes)
	c.BatchSize = min(orDefault(c.BatchSize, DefaultBatchSize), c.InFlight)
	if c.Retry.Attempts == 0 {
		c.Retry.Attempts = defaultAttempts
	}
	return c, nil
}

func orDefault[T int | time.Duration](n, def T) T {
	if n <= 0 {
		return def
	}
	return n
}
