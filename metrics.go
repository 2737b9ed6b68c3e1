package spate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// newRegistry returns a registry with the build, and the counters of Go and of the process.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewBuildInfoCollector(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// A collector reads the counters of an App's parts when /metrics is asked for, so
// that counting costs the parts nothing but their own atomic additions.
type collector struct{ app *App }

// Describe implements prometheus.Collector. It sends nothing, which makes the
// collector an unchecked one: its metrics are those that Collect writes down.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := sheet{out}
	s.door("engine", c.app.engine.Stats())
	s.door("http", c.app.door.Stats())
	c.listeners(s)
	c.resp(s)
	c.mqtt(s)
	c.bus(s)
	c.durable(s)
	c.auth(s)
	tasks := c.app.tasks.Stats()
	s.gauge("tasks", "Tasks that are running now.", float64(tasks.Live))
	s.count("tasks_started_total", "Tasks that were started.", tasks.Started)
	s.count("tasks_failed_total", "Tasks that ended with an error.", tasks.Failed)
	s.count("tasks_panicked_total", "Tasks that panicked.", tasks.Panicked)
	draining := 0.0
	if c.app.draining.Load() {
		draining = 1
	}
	s.gauge("draining", "1 while the server drains.", draining)
}

// listeners counts the open connections of each listener.
func (c *collector) listeners(s sheet) {
	open := make(map[string]int)
	for _, name := range c.app.names() {
		open[name] = 0
	}
	for conn := range c.app.engine.Connections {
		open[conn.Listener().Name()]++
	}
	for conn := range c.app.door.Connections {
		open[conn.Listener]++
	}
	for name, n := range open {
		s.gauge("listener_connections", "Open connections, by listener.", float64(n), "listener", name)
	}
}

func (c *collector) resp(s sheet) {
	r := c.app.resp.Stats()
	s.count("resp_commands_total", "Requests that were run.", r.Commands)
	s.count("resp_errors_total", "Requests that were answered with an error.", r.Errors)
	s.count("resp_unknown_total", "Requests for a command that does not exist.", r.Unknown)
	s.count("resp_denied_total", "Requests that were denied.", r.Denied)
	s.latency("resp_request_seconds", "Time from when a request was taken up to when its reply was written; "+
		"requests that arrived together count as the last of them.", r)
}

func (c *collector) bus(s sheet) {
	b := c.app.bus.Stats()
	s.count("bus_published_total", "Events that were published.", b.Published)
	s.count("bus_delivered_total", "Events accepted by a subscription, once for each.", b.Delivered)
	s.count("bus_dropped_total", "Events that a subscription did not accept, or discarded later.", b.Dropped)
	s.count("bus_panics_total", "Subscribers that panicked.", b.Panics)
	s.gauge("bus_subscriptions", "Subscriptions now.", float64(b.Subscriptions))
	s.gauge("bus_filters", "Distinct filters now, without globs.", float64(b.Filters))
	s.gauge("bus_patterns", "Distinct filters with wildcards and distinct globs now.", float64(b.Patterns))
}

func (c *collector) auth(s sheet) {
	a := c.app.auth.Stats()
	const logins = "Logins, by result."
	s.count("auth_logins_total", logins, a.Accepted, "result", "accepted")
	s.count("auth_logins_total", logins, a.Refused, "result", "refused")
	s.count("auth_logins_total", logins, a.Limited, "result", "limited")
	s.count("auth_logins_total", logins, a.Busy, "result", "busy")
	s.count("auth_forbidden_total", "Actions that access rules denied.", a.Forbidden)
	s.count("auth_password_cache_hits_total", "Passwords that were not hashed because they were right a short while ago.", a.CacheHits)
	s.count("auth_key_fetches_total", "Requests to key servers.", a.KeyFetches)
	s.count("auth_key_failures_total", "Requests to key servers that failed.", a.KeyFailures)
	s.count("auth_key_breaks_total", "How often the circuit breaker of a key server has opened.", a.KeyBreaks)
	s.count("auth_key_refused_total", "Logins that were refused without waiting for a key server.", a.KeyRefused)
	s.gauge("auth_key_breakers_open", "Key servers whose circuit breaker is open now.", float64(a.KeyBreakersOpen))
	s.count("auth_audit_lines_total", "Audit lines written.", a.AuditLines)
	s.count("auth_audit_suppressed_total", "Audit lines left out because of their rate.", a.AuditSuppressed)
	s.gauge("auth_tracked_addresses", "Addresses of which failed logins are remembered.", float64(a.Addresses))
}

// A sheet is what one collection writes its lines to.
type sheet struct{ out chan<- prometheus.Metric }

// door writes the counters of the engine or of the HTTP door.
func (s sheet) door(name string, e engine.Stats) {
	s.count("connections_accepted_total", "Connections that were admitted.", e.Accepted, "door", name)
	for _, r := range engine.Reasons() {
		s.count("connections_closed_total", "Connections that ended or were refused, by reason.", e.Closed[r], "door", name, "reason", r.String())
	}
	s.count("accept_errors_total", "Failures of accept, such as running out of descriptors.", e.AcceptErrors, "door", name)
	s.count("handler_panics_total", "Handlers that panicked.", e.Panics, "door", name)
	s.count("received_bytes_total", "Bytes read from peers, after decryption.", e.BytesIn, "door", name)
	s.count("sent_bytes_total", "Bytes written to peers, before encryption.", e.BytesOut, "door", name)
	s.gauge("connections", "Open connections.", float64(e.Connections), "door", name)
	if name != "engine" {
		return
	}
	s.count("output_dropped_total", "Messages that overflow policies dropped.", e.Dropped)
	s.gauge("buffered_bytes", "Bytes held for partial requests and waiting output.", float64(e.Buffered))
	s.gauge("tls_handshakes", "TLS handshakes under way.", float64(e.Handshakes))
	s.gauge("workers", "Goroutines that serve connections (epoll driver).", float64(e.Workers))
}

// count writes a counter; labels are pairs of a name and a value.
func (s sheet) count(name, help string, value uint64, labels ...string) {
	s.write(prometheus.CounterValue, name, help, float64(value), labels)
}

func (s sheet) gauge(name, help string, value float64, labels ...string) {
	s.write(prometheus.GaugeValue, name, help, value, labels)
}

// latency writes a histogram.
func (s sheet) latency(name, help string, r resp.Stats) {
	below, all := make(map[float64]uint64, len(r.Latency)), uint64(0)
	for _, b := range r.Latency {
		all += b.Count
		if b.UpTo > 0 {
			below[b.UpTo.Seconds()] = all
		}
	}
	s.histogram(name, help, all, r.Time, below)
}

// histogram writes a histogram: how many there were in all, how long they took together, and how many took at most so many seconds.
func (s sheet) histogram(name, help string, all uint64, sum time.Duration, below map[float64]uint64) {
	desc := prometheus.NewDesc("spate_"+name, help, nil, nil)
	m, err := prometheus.NewConstHistogram(desc, all, sum.Seconds(), below)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err) // /metrics reports it
	}
	s.out <- m
}

func (s sheet) write(kind prometheus.ValueType, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	desc := prometheus.NewDesc("spate_"+name, help, names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, value, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err) // /metrics reports it
	}
	s.out <- m
}
