package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A meter counts and times requests. Its labels are routes of this package and
// status codes, so that no client can make it grow.
type meter struct{ seconds *prometheus.HistogramVec }

func newMeter() *meter {
	return &meter{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "spate_http_request_seconds",
		Help:    "Time to answer a request of the HTTP door, by route and status code.",
		Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10},
	}, []string{"route", "code"})}
}

func (m *meter) observe(route string, code int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	m.seconds.WithLabelValues(route, strconv.Itoa(code)).Observe(took.Seconds())
}

// subscriptionsGauge shows the subscriptions of the API that are under way.
func subscriptionsGauge(d *Door) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "spate_http_subscriptions", Help: "Subscriptions over HTTP (server-sent events).",
	}, func() float64 {
		d.mu.Lock()
		defer d.mu.Unlock()
		return float64(d.subscribers)
	})
}
