package spate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/resp"
	"github.com/spate-io/spate/protocol/websocket"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// An App is a server: listeners and what they serve. Its methods may be called
// from any goroutine.
type App struct {
	opts     Options
	engine   *engine.Engine
	auth     *auth.Auth
	durable  *durable // nil without a store
	bus      *bus.Bus
	handlers handlers
	devices  *device.Service // nil without a store
	resp     *resp.Protocol
	mqtt     *mqtt.Broker
	stopMQTT context.CancelFunc
	door     *httpapi.Door
	tasks    task.Registry
	draining atomic.Bool

	mu      sync.Mutex
	sockets []*socket
	errs    []error // of New and Listen, for Run
	phase   phase
}

// phase is how far the life of an App has got.
type phase uint8

const (
	phaseNew phase = iota
	phaseRunning
	phaseClosed
)

// ErrRun is returned by a second Run, by Run after Close, and by Listen after either.
var ErrRun = errors.New("the app has been run or closed already: make a new one")

// errDraining is what /readyz says while the server drains.
var errDraining = errors.New("draining: the server is shutting down")

// New makes an App that listens to nothing yet. What is wrong with the options
// is reported by Listen and Run. An App that is not run must be closed.
func New(o Options) *App {
	a := &App{opts: o.withDefaults()}
	if err := a.build(); err != nil {
		a.errs = append(a.errs, err)
	}
	return a
}

func (a *App) build() error {
	o := &a.opts
	var err error
	if a.durable, err = openDurable(o); err != nil {
		return err
	}
	a.bus = bus.New(bus.Options{Limits: o.Bus, Clock: o.Clock, Logger: o.Logger, Log: a.durable.log()})
	var abort context.Context
	abort, a.handlers.abort = context.WithCancel(context.Background())
	a.handlers.node = bus.NewNode(bus.NodeOptions{
		Bus: a.bus, Middleware: o.middleware(), Logger: o.Logger, Clock: o.Clock, Grace: max(time.Nanosecond, o.DrainTimeout), Abort: abort,
	})
	if err = a.openDevices(); err != nil {
		return err
	}
	if a.auth, err = auth.New(o.Auth, auth.Options{Logger: o.Logger, Now: o.Clock}); err != nil {
		return fmt.Errorf("the section auth of the configuration is not usable: %w", err)
	}
	a.engine, err = engine.New(engine.Options{
		Driver: o.Driver, Limits: o.Limits, Logger: o.Logger, Context: task.WithRegistry(context.Background(), &a.tasks),
	})
	if err != nil {
		return err
	}
	a.resp, err = resp.New(resp.Options{
		Commands: o.Commands, Bus: a.bus, CreateStreams: o.CreateStreams, Auth: a.auth, Overflow: o.Overflow, Limits: o.RESP,
		Logger: o.Logger, Tracer: o.Tracer, Clock: o.Clock,
	})
	if err != nil {
		return err
	}
	a.mqtt, err = mqtt.New(context.Background(), mqtt.Options{
		Config: o.MQTT, Bus: a.bus, Auth: a.auth, Event: o.Bus.Event, Devices: a.clients(), Logger: o.Logger, Clock: o.Clock,
	})
	if err != nil {
		return err
	}
	a.door, err = httpapi.New(httpapi.Options{
		Auth: a.auth, Engine: a.engine, Tasks: &a.tasks, Metrics: o.Metrics, Ready: a.ready, Limits: o.HTTP,
		Hosts: o.Hosts, PProf: o.PProf, Logger: o.Logger, Tracer: o.Tracer,
		Bus: a.bus, Consumers: a.manager(), Devices: a.devices, Sessions: sessions{a.mqtt}, Origins: o.Origins, WebSocket: o.WebSocket,
		WebSockets: map[string]websocket.Endpoint{mqtt.WebSocketPath: a.mqtt.WebSocket()}, Event: o.Bus.Event,
	})
	if err != nil {
		return err
	}
	return o.Metrics.Register(&collector{app: a})
}

// Auth returns what decides who may do what. It is nil if the options were wrong.
func (a *App) Auth() *auth.Auth { return a.auth }

// Bus returns what events travel on.
func (a *App) Bus() *bus.Bus { return a.bus }

// Node returns what the handlers of the app are added to: it makes an App a [bus.Host]. It is nil if the options were wrong.
func (a *App) Node() *bus.Node { return a.handlers.node }

// Consumers returns the durable consumers of the app, to look at and to manage. It is nil without a store.
func (a *App) Consumers() *consumer.Set {
	if a.handlers.node == nil {
		return nil
	}
	return a.handlers.node.Consumers()
}

// manager is what the HTTP door manages consumers with: an interface that is nil without a store.
func (a *App) manager() httpapi.Consumers {
	if set := a.Consumers(); set != nil {
		return set
	}
	return nil
}

// openDevices reads what the store knows of devices.
func (a *App) openDevices() (err error) {
	if a.durable == nil {
		return nil
	}
	heard := func(id string) (time.Time, bool) {
		if a.mqtt == nil { // it is made later
			return time.Time{}, false
		}
		return a.mqtt.LastHeard(id)
	}
	a.devices, err = device.New(context.Background(), device.Options{
		Config: a.opts.Devices, Bus: a.bus, Consumers: a.Consumers(), LastHeard: heard, Logger: a.opts.Logger, Clock: a.opts.Clock,
	})
	return err
}

// clients is what MQTT tells about who connects: an interface that is nil without a store.
func (a *App) clients() mqtt.Devices {
	if a.devices != nil {
		return a.devices
	}
	return nil
}

// MQTT returns the MQTT broker, for its counters and its sessions. It is nil if the options were wrong.
func (a *App) MQTT() *mqtt.Broker { return a.mqtt }

// Devices returns what is known of devices. It is nil without a store.
func (a *App) Devices() *device.Service { return a.devices }

// Streams returns the streams of the app. It is nil without a store.
func (a *App) Streams() *stream.Log { return a.durable.log() }

// Engine returns what accepts connections, for its counters and connections. It
// is nil if the options were wrong.
func (a *App) Engine() *engine.Engine { return a.engine }

// Connections returns the number of open connections, over all listeners.
func (a *App) Connections() int {
	return a.engine.Stats().Connections + a.door.Stats().Connections
}

// Tasks returns the list of the app's tasks, which /debug/tasks shows. Handlers
// that spawn tasks under their context are in it.
func (a *App) Tasks() *task.Registry { return &a.tasks }

// ready is what /readyz asks.
func (a *App) ready() error {
	if a.draining.Load() {
		return errDraining
	}
	return a.durable.health()
}

// Run serves every listener until ctx ends, and then drains, see the package
// comment. It returns nil if nothing had to be cut off. It closes the App.
func (a *App) Run(ctx context.Context) error {
	sockets, err := a.begin()
	if err != nil {
		return errors.Join(err, a.Close())
	}
	var doors task.Scope
	base := task.WithRegistry(context.WithoutCancel(ctx), &a.tasks)
	working, stop := context.WithCancel(base)
	defer stop()
	doors.Go(working, "release memory", newReleaser().run)
	var brokering context.Context
	brokering, a.stopMQTT = context.WithCancel(base) // it writes how far sessions have got when the last connection has ended
	broken := make(chan error, len(sockets)+vitals)  // http listeners that fail, handlers, and what is vital
	doors.Go(base, "mqtt", vital(brokering, "mqtt", a.opts.Logger, broken, a.mqtt.Run))
	a.handlers.start(base, a.durable, a.devices, a.opts.Logger, broken)
	for _, s := range sockets {
		if err = a.serve(base, &doors, s, broken); err != nil {
			break
		}
		a.opts.Logger.Info("listening", "listener", s.name)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-broken:
		}
	}
	stop()
	return errors.Join(err, a.drain(&doors))
}

// vitals is how many tasks there are without which an App ends: handlers, and three that are made with vital.
const vitals = 4

// vital returns a task that the App cannot do without: if it fails or panics while it should run, that is logged, and ends the App. Half a server would be worse:
// it looks alive, and what it does no longer is seen only when it is missed.
func vital(ctx context.Context, name string, log *slog.Logger, broken chan<- error, run func(context.Context) error) func(context.Context) error {
	return func(context.Context) error {
		err := task.Try(func() error { return run(ctx) })
		if err == nil || ctx.Err() != nil {
			return err
		}
		log.Error("a part of the server has failed, which ends it", "part", name, "error", err)
		broken <- fmt.Errorf("a part of the server has failed (%s); the log says where, please report it: %w", name, err)
		return nil
	}
}

// begin takes what Run serves, once.
func (a *App) begin() ([]*socket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.phase != phaseNew:
		return nil, ErrRun
	case len(a.errs) > 0:
		return nil, errors.Join(a.errs...)
	}
	a.phase = phaseRunning
	return a.sockets, nil
}

// serve starts serving one socket.
func (a *App) serve(ctx context.Context, doors *task.Scope, s *socket, broken chan<- error) error {
	if s.at.protocol == "http" {
		doors.Go(ctx, "listener "+s.name, func(context.Context) error {
			err := a.door.Serve(s.ln, httpapi.ServeOptions{Name: s.name, TLS: s.tls, Strict: s.strict})
			if err != nil {
				broken <- err
			}
			return nil
		})
		return nil
	}
	o := engine.ListenOptions{Name: s.name, Protocol: s.protocol, TLS: s.tls, Driver: s.driver}
	if s.at.protocol == "mqtt" || s.at.protocol == "ws" {
		o.AcceptRate = a.mqtt.ConnectRate()
	}
	_, err := a.engine.Serve(s.ln, o)
	return err
}

// drain ends what Run has started: subscriptions over HTTP, which would not end by themselves, then the engine, then the consumers, which
// finish what they are at, and the HTTP door last, so that the drain can be watched through it.
func (a *App) drain(doors *task.Scope) error {
	a.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), max(0, a.opts.DrainTimeout))
	defer cancel()
	start := time.Now()
	a.opts.Logger.Info("draining", "connections", a.Connections(), "timeout", max(0, a.opts.DrainTimeout))
	a.door.Drain()
	err := a.engine.Shutdown(ctx)
	a.stopMQTT()
	err = errors.Join(err, a.handlers.stop(ctx), a.door.Shutdown(ctx), doors.Wait(), a.auth.Close())
	late, cut := context.WithTimeout(context.Background(), max(a.opts.DrainTimeout-time.Since(start), cutOff))
	defer cut()
	err = errors.Join(err, a.bus.WaitFor(late), a.durable.close())
	a.mu.Lock()
	defer a.mu.Unlock()
	a.phase = phaseClosed
	for _, s := range a.sockets {
		_ = s.ln.Close() // those that were not served yet; the others are closed
	}
	if err != nil {
		return err
	}
	a.opts.Logger.Info("drained", "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// Close releases an App that was not run. After Run, or a second time, it does nothing.
func (a *App) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != phaseNew {
		return nil
	}
	a.phase = phaseClosed
	var errs []error
	for _, s := range a.sockets {
		errs = append(errs, s.ln.Close())
	}
	if a.engine != nil {
		errs = append(errs, a.engine.Shutdown(context.Background()))
	}
	if a.auth != nil {
		errs = append(errs, a.auth.Close())
	}
	if a.bus != nil {
		a.bus.Wait()
	}
	errs = append(errs, a.durable.close())
	return errors.Join(errs...)
}

// names are the names of the listeners.
func (a *App) names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := make([]string, len(a.sockets))
	for i, s := range a.sockets {
		names[i] = s.name
	}
	return names
}
