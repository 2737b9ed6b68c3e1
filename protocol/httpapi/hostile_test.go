package httpapi_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
)

// quick are limits that a test reaches in a moment.
func quick() httpapi.Limits {
	return httpapi.Limits{
		HandshakeTimeout: 200 * time.Millisecond, HeaderTimeout: 200 * time.Millisecond,
		RequestTimeout: 300 * time.Millisecond, IdleTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond,
	}
}

// send writes without caring whether anybody reads.
func send(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

// TestHostile is one row for each thing that a client of HTTP can do wrong. Whatever it is, the connection ends with a
// coded reason that is logged and counted, and another client is served meanwhile and afterwards.
func TestHostile(t *testing.T) {
	random := make([]byte, 4096)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(random)
	for _, test := range []struct {
		name   string
		secure bool
		attack func(k *kit, c net.Conn)
		want   engine.Reason
		answer string // the beginning of what the offender is told; "" if it is told nothing
	}{
		{name: "says nothing", attack: func(*kit, net.Conn) {}, want: engine.ReasonFirstTimeout},
		{name: "a header that never ends", attack: func(_ *kit, c net.Conn) {
			send(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: a")
		}, want: engine.ReasonRequestTimeout},
		{name: "a byte now and then", attack: func(_ *kit, c net.Conn) {
			for i := range 100 {
				if _, err := c.Write([]byte{"GET /livez HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[i]}); err != nil {
					return
				}
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				if _, err := c.Read(make([]byte, 1)); err == io.EOF {
					return
				}
			}
		}, want: engine.ReasonRequestTimeout},
		{name: "silence after a request", attack: func(k *kit, c net.Conn) { k.askOn(c, "GET", "/livez") }, want: engine.ReasonIdleTimeout},
		{name: "half of a second request", attack: func(k *kit, c net.Conn) {
			k.askOn(c, "GET", "/livez")
			send(c, "GET /livez HT")
		}, want: engine.ReasonRequestTimeout},
		{name: "a huge header", attack: func(_ *kit, c net.Conn) {
			send(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Huge: "+strings.Repeat("a", 1<<20))
		}, want: engine.ReasonTooLarge, answer: "HTTP/1.1 431 "},
		{name: "a huge line", attack: func(_ *kit, c net.Conn) {
			send(c, "GET /"+strings.Repeat("a", 1<<20)+" HTTP/1.1\r\n\r\n")
		}, want: engine.ReasonTooLarge, answer: "HTTP/1.1 431 "},
		{name: "very many headers", attack: func(_ *kit, c net.Conn) {
			send(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n"+strings.Repeat("A: b\r\n", 100_000))
		}, want: engine.ReasonTooLarge, answer: "HTTP/1.1 431 "},
		{name: "random bytes", attack: func(_ *kit, c net.Conn) {
			send(c, string(random)+"\r\n\r\n")
		}, want: engine.ReasonProtocol, answer: "HTTP/1.1 400 "},
		{name: "another protocol", attack: func(_ *kit, c net.Conn) {
			send(c, "*1\r\n$4\r\nPING\r\n")
		}, want: engine.ReasonProtocol, answer: "HTTP/1.1 400 "},
		{name: "HTTP/2 without being asked", attack: func(_ *kit, c net.Conn) {
			send(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		}, want: engine.ReasonProtocol, answer: "HTTP/1.1 505 "},
		{name: "two lengths (request smuggling)", attack: func(_ *kit, c net.Conn) {
			send(c, "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na")
		}, want: engine.ReasonProtocol, answer: "HTTP/1.1 400 "},
		{name: "a length and chunks (request smuggling)", attack: func(_ *kit, c net.Conn) {
			send(c, "POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x, chunked\r\nContent-Length: 2\r\n\r\na")
		}, want: engine.ReasonProtocol, answer: "HTTP/1.1 501 "},
		{name: "a length that overflows", attack: func(_ *kit, c net.Conn) {
			send(c, "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\na")
		}, want: engine.ReasonProtocol, answer: "HTTP/1.1 400 "},
		{name: "a body that never comes", attack: func(_ *kit, c net.Conn) {
			send(c, "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\na")
		}, want: engine.ReasonRequestTimeout, answer: "HTTP/1.1 405 "},
		{name: "never reads", attack: func(_ *kit, c net.Conn) {
			_ = c.(*net.TCPConn).SetReadBuffer(4096)
			send(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}, want: engine.ReasonWriteTimeout},
		{name: "no TLS", secure: true, attack: func(_ *kit, c net.Conn) {
			send(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}, want: engine.ReasonHandshake},
		{name: "a handshake that never comes", secure: true, attack: func(*kit, net.Conn) {}, want: engine.ReasonHandshakeTimeout},
		{name: "an old TLS", secure: true, attack: func(_ *kit, c net.Conn) {
			_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}).Handshake()
		}, want: engine.ReasonHandshake},
		{name: "silence after the handshake", secure: true, attack: func(_ *kit, c net.Conn) {
			_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
		}, want: engine.ReasonFirstTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			registry.MustRegister(large{})
			s := setup{options: httpapi.Options{Limits: quick(), Metrics: registry}}
			if test.secure {
				s.tls = &tls.Config{Certificates: []tls.Certificate{certificate(t, "localhost")}, MinVersion: tls.VersionTLS12}
			}
			k := start(t, s)
			c := k.dial()
			test.attack(k, c)
			k.wantServed(test.secure)
			k.wantClosed(test.want)
			k.wantServed(test.secure)
			if test.answer != "" {
				_ = c.SetDeadline(time.Now().Add(patience))
				if got, _ := io.ReadAll(c); !bytes.HasPrefix(got, []byte(test.answer)) {
					t.Errorf("the offender was told %.100q, want %q", got, test.answer)
				}
			}
			if n := len(k.open()); n > 0 {
				t.Errorf("%d connections are left", n)
			}
		})
	}
}

// wantServed checks that another client is served.
func (k *kit) wantServed(secure bool) {
	k.t.Helper()
	c := k.dial()
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if got := k.askOn(c, "GET", "/livez", "Connection: close"); got.status != http.StatusOK {
		k.t.Errorf("another client: %d %s", got.status, got.body)
	}
	_, _ = io.Copy(io.Discard, c) // until the server has closed, and so forgotten, the connection
	c.Close()
}

func (k *kit) open() (all []engine.Info) {
	for i := range k.Connections {
		all = append(all, i)
	}
	return all
}

// large is a collector of 16 MiB of metrics, more than the buffers of a connection hold.
type large struct{}

func (large) Describe(chan<- *prometheus.Desc) {}

func (large) Collect(out chan<- prometheus.Metric) {
	long := strings.Repeat("x", 64<<10)
	for i := range 256 {
		desc := prometheus.NewDesc("large", "Large.", []string{"number", "text"}, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, fmt.Sprint(i), long)
	}
}

// More connections than the limit are refused at once, counted and logged, and those that are there go on.
func TestTooManyConnections(t *testing.T) {
	for _, test := range []struct {
		limits httpapi.Limits
		want   engine.Reason
	}{
		{httpapi.Limits{Connections: 3, PerAddress: 100}, engine.ReasonTooMany},
		{httpapi.Limits{Connections: 100, PerAddress: 3}, engine.ReasonTooManyAddress},
	} {
		t.Run(test.want.String(), func(t *testing.T) {
			k := start(t, setup{options: httpapi.Options{Limits: test.limits}})
			var inside []net.Conn
			for range 3 {
				c := k.dial()
				k.askOn(c, "GET", "/livez")
				inside = append(inside, c)
			}
			for range 5 {
				if n, err := k.dial().Read(make([]byte, 1)); err == nil {
					t.Errorf("one too many was sent %d bytes", n)
				}
			}
			k.wantClosed(test.want)
			if n := k.Stats().Closed[test.want]; n != 5 {
				t.Errorf("%d were counted, want 5", n)
			}
			for _, c := range inside {
				if got := k.askOn(c, "GET", "/livez"); got.status != http.StatusOK {
					t.Error("one that was inside:", got)
				}
			}
			inside[0].Close()
			k.wantClosed(engine.ReasonPeer)
			if got := k.ask("GET", "/livez"); got.status != http.StatusOK {
				t.Error("one for whom there is room again:", got)
			}
		})
	}
}

// Answers that cost much are few at a time; the others are told to come again.
func TestHeavyRequestsAreFew(t *testing.T) {
	gate := &gate{entered: make(chan struct{}, 100), release: make(chan struct{})}
	registry := prometheus.NewRegistry()
	registry.MustRegister(gate)
	k := start(t, setup{options: httpapi.Options{Metrics: registry}})
	const most = 8
	var asking sync.WaitGroup
	for range most {
		c := k.dial()
		asking.Go(func() { k.askOn(c, "GET", "/metrics") })
	}
	for range most {
		<-gate.entered
	}
	if got := k.ask("GET", "/metrics"); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Error("one too many:", got)
	}
	if got := k.ask("GET", "/livez"); got.status != http.StatusOK {
		t.Error("health:", got)
	}
	close(gate.release)
	asking.Wait()
	if got := k.ask("GET", "/metrics"); got.status != http.StatusOK {
		t.Error("afterwards:", got)
	}
}

// gate is a collector that waits.
type gate struct{ entered, release chan struct{} }

func (*gate) Describe(chan<- *prometheus.Desc) {}

func (g *gate) Collect(chan<- prometheus.Metric) {
	g.entered <- struct{}{}
	<-g.release
}

// A panic ends one connection, with the stack in the log.
func TestPanic(t *testing.T) {
	k := start(t, setup{options: httpapi.Options{Ready: func() error { panic("no") }}})
	c := k.dial()
	send(c, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("an answer: %q", got)
	}
	l := k.log.wait(t, "the panic", func(l line) bool { return strings.Contains(l.msg, "panicked") })
	if !strings.Contains(l.attrs["stack"], "hostile_test.go") || l.attrs["panic"] != "no" {
		t.Errorf("%+v", l)
	}
	k.wantClosed(engine.ReasonPanic)
	if k.Stats().Panics != 1 {
		t.Errorf("%+v", k.Stats())
	}
	k.wantServed(false)
}

// A crowd of slow clients costs no more than its limit: the memory of a connection and of one header each.
func TestMemoryIsBounded(t *testing.T) {
	const crowd = 200
	k := start(t, setup{options: httpapi.Options{Limits: httpapi.Limits{Connections: crowd, PerAddress: crowd}}})
	before := heap()
	for range crowd + 100 {
		c := k.dial()
		send(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Large: "+strings.Repeat("a", 15<<10))
	}
	k.wantClosed(engine.ReasonTooMany)
	const perConnection = 64 << 10
	if grown := heap() - before; grown > crowd*perConnection {
		t.Errorf("%d connections hold %d bytes each, at most %d wanted", crowd, grown/crowd, perConnection)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
