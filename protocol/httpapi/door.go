package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/websocket"
	"github.com/spate-io/spate/task"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Options configure a [Door]. Auth is needed; the zero value of the rest works.
type Options struct {
	// Auth decides who may see the pages.
	Auth *auth.Auth
	// Engine is the one whose connections /debug/connections lists. Default: none.
	Engine *engine.Engine
	// Tasks is what /debug/tasks lists. Default: none.
	Tasks *task.Registry
	// Metrics is what /metrics shows, and where the door registers its own
	// counters. Default: a registry of its own.
	Metrics *prometheus.Registry
	// Ready says why the server does not take work, or nil if it does. Default: it does.
	Ready func() error
	// Limits bound what clients can make the door hold.
	Limits Limits
	// Hosts are the names, besides addresses and localhost, under which the door
	// may be called on a listener that only this machine can reach: those of a
	// proxy on this machine. Default: none. Danger: whoever controls the DNS of a
	// name in this list can have browsers on this machine call the door.
	Hosts []string
	// PProf serves Go's profiles under /debug/pprof/. Default: off. Danger:
	// profiles show file names, function names and timing, and cost CPU.
	PProf bool
	// Bus is what the API below /v1/ publishes to and reads from. Default: none,
	// and the API is not served.
	Bus *bus.Bus
	// Consumers is what the API manages consumers and dead letters with.
	// Default: none, and there are none to manage.
	Consumers Consumers
	// Devices is what the API looks at and changes devices with. Default: none.
	Devices *device.Service
	// Sessions are those of MQTT clients, which the API looks at and ends. Default: none.
	Sessions Sessions
	// WebSockets are what is served at paths of the door besides the API's own
	// /v1/ws. They need Engine, which adopts their connections. Default: none.
	WebSockets map[string]websocket.Endpoint
	// WebSocket bounds what clients of WebSockets can do. Each has a default.
	WebSocket websocket.Limits
	// Origins are those whose pages may call the API and connect to WebSockets, as browsers write them:
	// "https://app.example.com". Default: none but the door's own. Danger: such a
	// page can do what the browser's user can.
	Origins []string
	// Event bounds events, subjects and filters, and is what the Bus has been
	// given. Default: the constants of package event.
	Event event.Limits
	// Logger takes the log. Default: none.
	Logger *slog.Logger
	// Tracer makes a span for each request. Default: none are made.
	Tracer trace.Tracer
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.withDefaults()
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	return o
}

// A Door serves HTTP on any number of listeners. Its methods may be called from
// any goroutine.
type Door struct {
	opts   Options
	server *http.Server
	cross  *http.CrossOriginProtection
	heavy  chan struct{} // a token for each heavy request under way
	meter  *meter
	ws     *websocket.Protocol // nil if no WebSocket is served

	closings closings // of the log
	nextID   atomic.Uint64

	buffered atomic.Int64    // bytes of bodies
	draining context.Context // ends when subscriptions must
	drain    context.CancelFunc

	mu        sync.Mutex
	conns     map[*conn]struct{}
	addrs     map[addressKey]int
	listeners []*listener
	stopping  bool

	subscribers int                // subscriptions under way
	subscribed  map[addressKey]int // and from where
	count       engine.Stats       // the totals; Connections and Buffered are not kept here
}

// New returns a door that serves nothing yet. It fails when its counters cannot
// be registered.
func New(o Options) (*Door, error) {
	if o.Auth == nil {
		return nil, errors.New("the HTTP door needs an Auth to ask")
	}
	d := &Door{
		opts:  o.withDefaults(),
		cross: http.NewCrossOriginProtection(),
		heavy: make(chan struct{}, maxHeavy),
		conns: make(map[*conn]struct{}),
		addrs: make(map[addressKey]int),
		meter: newMeter(),

		subscribed: make(map[addressKey]int),
	}
	d.closings.log = d.opts.Logger
	d.draining, d.drain = context.WithCancel(context.Background())
	for _, origin := range o.Origins {
		if err := CheckOrigin(origin); err != nil {
			return nil, err
		}
		if err := d.cross.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("the origins of pages that may call the API: %w", err)
		}
	}
	var err error
	if d.ws, err = d.webSockets(); err != nil {
		return nil, err
	}
	d.count.Closed = make(map[engine.Reason]uint64)
	for _, c := range []prometheus.Collector{d.meter.seconds, subscriptionsGauge(d)} {
		if err := d.opts.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("registering the HTTP door's counters: %w", err)
		}
	}
	l := d.opts.Limits
	d.server = &http.Server{
		Handler:           d.guard(d.routes()),
		ReadHeaderTimeout: l.HeaderTimeout,
		ReadTimeout:       l.RequestTimeout,
		IdleTimeout:       l.IdleTimeout,
		MaxHeaderBytes:    max(1, l.Header-headerSlop),
		ErrorLog:          slog.NewLogLogger(d.opts.Logger.Handler(), slog.LevelDebug),
		ConnContext:       withConn,
		ConnState:         connState,
		Protocols:         new(http.Protocols),
		// OPTIONS * is refused like every other path that is not there.
		DisableGeneralOptionsHandler: true,
	}
	// HTTP/1.1 only: this door needs no multiplexing, and a connection is then
	// one request at a time.
	d.server.Protocols.SetHTTP1(true)
	return d, nil
}

// headerSlop is what net/http adds to MaxHeaderBytes for its buffer.
const headerSlop = 4096

// ServeOptions describe a listener.
type ServeOptions struct {
	// Name appears in logs and on the debug pages. Default: "http".
	Name string
	// TLS is used for every connection when it is set. Default: plain.
	TLS *tls.Config
	// Strict has its WebSockets held to the letter of their specifications, see
	// [websocket.Handshake]. Default: no.
	Strict bool
}

// Serve accepts connections from ln until it closes or Shutdown is called, and
// returns nil then. It closes ln.
func (d *Door) Serve(ln net.Listener, o ServeOptions) error {
	l := &listener{Listener: ln, door: d, name: o.Name, tls: o.TLS, ws: d.WebSockets(o.Strict), local: auth.Local(ln.Addr()), closed: make(chan struct{})}
	if l.name == "" {
		l.name = "http"
	}
	if err := l.prepareAdoption(); err != nil {
		return errors.Join(err, ln.Close())
	}
	d.mu.Lock()
	if d.stopping {
		d.mu.Unlock()
		return errors.Join(engine.ErrStopped, ln.Close())
	}
	d.listeners = append(d.listeners, l)
	d.mu.Unlock()
	err := d.server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || l.isClosed() {
		return nil
	}
	return fmt.Errorf("serving HTTP on %s: %w", ln.Addr(), err)
}

// Shutdown stops accepting, closes connections that wait for a request, and
// waits for the others to finish theirs. When ctx ends it closes them too, and
// returns an error that says how many. It may be called once.
func (d *Door) Shutdown(ctx context.Context) error {
	d.mu.Lock()
	if d.stopping {
		d.mu.Unlock()
		return engine.ErrStopped
	}
	d.stopping = true
	d.drain()
	for c := range d.conns {
		c.closeIdle()
	}
	d.mu.Unlock()
	defer d.closings.stop()
	err := d.server.Shutdown(ctx)
	if err == nil {
		return nil
	}
	left := d.Stats().Connections
	if closed := d.server.Close(); closed != nil {
		err = closed
	} else {
		err = fmt.Errorf("%d HTTP requests were cut off: they did not finish within the drain timeout", left)
	}
	return err
}

// Stats returns the door's counters. Buffered, Dropped and Workers are zero.
func (d *Door) Stats() engine.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.count
	s.Connections = len(d.conns)
	s.Closed = make(map[engine.Reason]uint64, len(d.count.Closed))
	for r, n := range d.count.Closed {
		s.Closed[r] = n
	}
	for c := range d.conns {
		s.BytesIn += c.in.Load()
		s.BytesOut += c.out.Load()
	}
	return s
}

// Connections calls yield with a description of every open connection until it
// returns false. It works on a copy.
func (d *Door) Connections(yield func(engine.Info) bool) {
	d.mu.Lock()
	all := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		if !yield(c.info()) {
			return
		}
	}
}
