package resp

import (
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
)

// Options configure a [Protocol]. The zero value is good for a server that nobody else can reach.
type Options struct {
	// Commands are request types of your own, beside those that are built in.
	Commands []Command
	// Bus carries PUBLISH and SUBSCRIBE. Default: one of its own, which no other protocol shares.
	Bus *bus.Bus
	// Auth decides who may do what. Default: everybody may do everything. Danger: never leave it out on a listener
	// that other machines can reach; see [auth.Auth.RequireFor].
	Auth *auth.Auth
	// CreateStreams lets XADD and XGROUP CREATE … MKSTREAM make a stream for a key that none captures. Default: they fail. Danger: whoever may
	// publish can then make streams, up to stream.MaxStreams, each of which stays until it is removed.
	CreateStreams bool
	// Overflow says what happens to messages for a subscriber that reads too slowly. Default
	// [engine.Disconnect], as in Redis. Danger of [engine.Block]: one such subscriber holds up those who publish to it.
	Overflow engine.Overflow
	// Limits bound what a peer can make this package hold.
	Limits Limits
	// Logger takes the log. Default: slog.Default().
	Logger *slog.Logger
	// Tracer makes a span for each request. Default: none. It costs nothing without one, and about a microsecond with.
	Tracer trace.Tracer
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
	// Version of the server is shown by INFO. Default: the version of the module in the binary's build information.
	Version string
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Bus == nil {
		o.Bus = bus.New(bus.Options{Clock: o.Clock, Logger: o.Logger})
	}
	if o.Version == "" {
		o.Version = builtVersion()
	}
	o.Limits = o.Limits.withDefaults()
	return o
}
