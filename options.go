package spate

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/resp"
	"github.com/spate-io/spate/protocol/websocket"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/stream"
	"go.opentelemetry.io/otel/trace"
)

// Options configure an [App]. The zero value is good: no authentication, on
// loopback only.
type Options struct {
	// Driver is engine.Epoll or engine.Net. Default: epoll on Linux, net elsewhere.
	Driver string
	// Limits bound what peers can make the engine hold. Each has a default.
	Limits engine.Limits
	// HTTP bounds what clients of the http listeners can. Each has a default.
	HTTP httpapi.Limits
	// WebSocket bounds what clients of WebSockets can, on ws and http listeners. Each has a default.
	WebSocket websocket.Limits
	// RESP bounds what clients of the resp listeners can. Each has a default.
	RESP resp.Limits
	// MQTT says how MQTT behaves, and bounds what clients of the mqtt listeners can. Each has a default.
	MQTT mqtt.Config
	// Bus bounds what clients can make the bus do. Each has a default.
	Bus bus.Limits
	// Commands are request types of your own, which resp listeners serve beside
	// the built-in ones. Default: none.
	Commands []resp.Command
	// Data is the directory in which the embedded store keeps streams, consumers and state, in "store" as `spate serve` does. Default: none,
	// and then nothing can be stored, unless Store is set. Two processes cannot share one.
	Data string
	// Embedded says how the store in Data is opened, such as how much memory it takes. Its clock and its logger are those of the App. Default: see pebblestore.Options.
	Embedded pebblestore.Options
	// Store keeps streams, consumers and state, instead of the embedded store. The App does not close it. Default: none.
	Store store.Store
	// Streams are made when the App is, and changed if they were configured otherwise. Default: none.
	Streams []stream.Config
	// CreateStreams lets XADD make a stream for a key that none captures. Default: it fails. Danger: whoever may publish can
	// then make streams, each of which stays until it is removed.
	CreateStreams bool
	// Middleware is put around every handler that is added with package bus, the first one outermost, inside of what measures
	// them (bus.Metrics, and bus.Tracing with a Tracer). Default: none.
	Middleware []bus.Middleware
	// Devices says which clients are devices, and what is kept of them. Default: every client with an identifier that it has chosen itself. Without a store
	// there are none.
	Devices device.Config
	// Overflow says what happens to events for a subscriber that reads too slowly.
	// Default: engine.Disconnect, as in Redis.
	Overflow engine.Overflow
	// Auth says who may do what. Default: everybody on this machine may do
	// everything, and nobody else can connect.
	Auth auth.Config
	// Certificates are for +tls listeners that have none of their own. Default: none.
	Certificates *engine.Certificates
	// Hosts are the names, besides addresses and localhost, under which a local
	// http listener may be called. Default: none. Danger: whoever controls the
	// DNS of such a name can have browsers on this machine call the server.
	Hosts []string
	// Origins are those whose pages may call the HTTP API: "https://app.example.com". Default: none but the door's own. Danger: such a
	// page can do what the browser's user can.
	Origins []string
	// PProf serves Go's profiles on the http listeners. Default: off. Danger:
	// they show function names and timing, and cost CPU.
	PProf bool
	// DrainTimeout is how long Run waits for requests to finish once its context
	// has ended. Default 10 s; a negative one does not wait.
	DrainTimeout time.Duration
	// Metrics is where all counters are registered and what /metrics shows.
	// Default: a registry of its own, with those of Go and of the process.
	Metrics *prometheus.Registry
	// Logger takes the log. Default: slog.Default().
	Logger *slog.Logger
	// Tracer makes a span for each request. Default: none are made.
	Tracer trace.Tracer
	// Clock tells the time of events and tokens. Default: time.Now.
	Clock func() time.Time
}

// DefaultDrainTimeout is the default of Options.DrainTimeout. Orchestrators send
// SIGKILL after 30 s or 10 s; most requests take milliseconds.
const DefaultDrainTimeout = 10 * time.Second

// middleware is what is put around handlers: all are measured, and traced where there is a tracer.
func (o *Options) middleware() []bus.Middleware {
	all := []bus.Middleware{bus.Metrics(o.Metrics)}
	if o.Tracer != nil {
		all = append(all, bus.Tracing(o.Tracer))
	}
	return append(all, o.Middleware...)
}

func (o Options) withDefaults() Options {
	if o.DrainTimeout == 0 {
		o.DrainTimeout = DefaultDrainTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = newRegistry()
	}
	return o
}
