package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// drivers are those that every test of behavior runs against.
func drivers() []string {
	if runtime.GOOS == "linux" {
		return []string{engine.Epoll, engine.Net}
	}
	return []string{engine.Net}
}

// carriers are the ways to reach a protocol.
var carriers = []string{"tcp", "unix", "tls12", "tls13"}

// eachDriver runs f once for each driver.
func eachDriver(t *testing.T, f func(t *testing.T, driver string)) {
	for _, d := range drivers() {
		t.Run(d, func(t *testing.T) { f(t, d) })
	}
}

// eachCarrier runs f for each driver and each carrier.
func eachCarrier(t *testing.T, f func(t *testing.T, driver, carrier string)) {
	for _, d := range drivers() {
		for _, c := range carriers {
			t.Run(d+"/"+c, func(t *testing.T) { f(t, d, c) })
		}
	}
}

// lines is a protocol of one request a line, handled by a function.
type lines struct {
	handle func(c *engine.Conn, line string) error
	opened func(c *engine.Conn)
	closed func(c *engine.Conn, why error)
	drain  func(c *engine.Conn)
	served func() // after each call of Serve
}

func (p *lines) Name() string { return "lines" }

func (p *lines) Open(c *engine.Conn) engine.Session {
	if p.opened != nil {
		p.opened(c)
	}
	if p.drain != nil {
		return drainingSession{lineSession{p}}
	}
	return lineSession{p}
}

type lineSession struct{ p *lines }

func (s lineSession) Serve(c *engine.Conn, in []byte) (int, error) {
	used := 0
	if s.p.served != nil {
		defer s.p.served()
	}
	for !c.Closing() {
		line, _, ok := bytes.Cut(in[used:], []byte("\n"))
		if !ok {
			return used, nil
		}
		used += len(line) + 1
		if err := s.p.handle(c, string(line)); err != nil {
			return used, err
		}
	}
	return used, nil
}

func (s lineSession) Close(c *engine.Conn, why error) {
	if s.p.closed != nil {
		s.p.closed(c, why)
	}
}

type drainingSession struct{ lineSession }

func (s drainingSession) Drain(c *engine.Conn) { s.p.drain(c) }

// echoLine answers a line with itself.
func echoLine(c *engine.Conn, line string) error {
	_, err := c.Write([]byte(line + "\n"))
	return err
}

// server is an engine with one listener, shut down at the end of the test.
type server struct {
	*engine.Engine
	t        testing.TB
	listener *engine.Listener
	carrier  string
	log      *logBuffer
	down     sync.Once
	downErr  error
}

func serve(t testing.TB, driver, carrier string, p engine.Protocol, l engine.Limits) *server {
	t.Helper()
	if l.LingerTimeout == 0 {
		l.LingerTimeout = 200 * time.Millisecond // clients of tests rarely close first
	}
	s := &server{t: t, carrier: carrier, log: &logBuffer{}}
	e, err := engine.New(engine.Options{
		Driver: driver, Limits: l,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Engine = e
	o := engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: p}
	switch carrier {
	case "unix":
		o.Network, o.Address = "unix", filepath.Join(t.TempDir(), "s")
	case "tls12", "tls13":
		o.TLS = serverTLS(t)
	}
	if s.listener, err = e.Listen(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.shutdown(5 * time.Second) })
	return s
}

// secureUnix opens another listener, for TLS on a Unix socket.
func (s *server) secureUnix() *engine.Listener {
	s.t.Helper()
	l, err := s.Listen(s.t.Context(), engine.ListenOptions{
		Network: "unix", Address: filepath.Join(s.t.TempDir(), "tls"), Protocol: s.listener.Protocol(), TLS: serverTLS(s.t),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// shutdown shuts the engine down, once, and returns its error.
func (s *server) shutdown(timeout time.Duration) error {
	s.down.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		s.downErr = s.Shutdown(ctx)
	})
	return s.downErr
}

// dial connects a client, which is closed at the end of the test.
func (s *server) dial() *client {
	s.t.Helper()
	c, err := s.tryDial()
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *server) tryDial() (*client, error) {
	addr := s.listener.Addr()
	raw, err := net.DialTimeout(addr.Network(), addr.String(), 10*time.Second)
	if err != nil {
		return nil, err
	}
	nc := raw
	if strings.HasPrefix(s.carrier, "tls") {
		conf := clientTLS()
		conf.MaxVersion = tls.VersionTLS13
		if s.carrier == "tls12" {
			conf.MaxVersion = tls.VersionTLS12
		}
		tc := tls.Client(raw, conf)
		if err := tc.Handshake(); err != nil {
			_ = raw.Close()
			return nil, err
		}
		nc = tc
	}
	return s.client(raw, nc), nil
}

// client wraps a connection to the server, which is closed with the test.
func (s *server) client(raw, nc net.Conn) *client {
	s.t.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second)) // a hang fails the test
	return &client{Conn: nc, raw: raw, r: bufio.NewReaderSize(nc, 64<<10), t: s.t}
}

// client is a connection that the test speaks on.
type client struct {
	net.Conn
	raw net.Conn
	r   *bufio.Reader
	t   testing.TB
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// line reads one line.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a line: got %q and %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// ask sends a line and returns the answer.
func (c *client) ask(s string) string {
	c.t.Helper()
	c.send(s + "\n")
	return c.line()
}

// rest reads until the server closes and returns what came; a reset fails the
// test.
func (c *client) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("reading to the end: %v after %d bytes", err, len(b))
	}
	return string(b)
}

// gone waits until the connection has ended, however that is.
func (c *client) gone() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); isTimeout(err) {
		c.t.Fatal("the server did not close the connection")
	}
}

// buffered tells whether n bytes have come, without taking them.
func (c *client) buffered(n int) bool {
	c.t.Helper()
	_, err := c.r.Peek(n)
	return err == nil
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// waitFor waits until cond holds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		runtime.Gosched()
		<-time.After(time.Millisecond)
	}
}

// closedFor waits until n connections have ended for reason r.
func (s *server) closedFor(r engine.Reason, n uint64) {
	s.t.Helper()
	waitFor(s.t, r.String(), func() bool { return s.Stats().Closed[r] >= n })
}

// logged waits until a line of the log holds all the words.
func (s *server) logged(words ...string) {
	s.t.Helper()
	waitFor(s.t, "a log line with "+strings.Join(words, ", "), func() bool {
	lines:
		for line := range strings.Lines(s.log.String()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return true
		}
		return false
	})
}

// logBuffer collects the log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// authority is a certificate authority of the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var testCA = sync.OnceValue(func() *authority { return newAuthority("test authority") })

func newAuthority(name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authority{cert, key}
}

// issue returns the PEM of a new certificate and its key.
func (a *authority) issue(name string) (cert, key []byte) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, k.Public(), a.key)
	if err != nil {
		panic(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	return pemCertificate(der), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// write puts a new certificate for name into dir and returns the files.
func (a *authority) write(t testing.TB, dir, name string) engine.CertificateFiles {
	t.Helper()
	cert, key := a.issue(name)
	f := engine.CertificateFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, b := range map[string][]byte{f.Cert: cert, f.Key: key} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func pemCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	certs, err := engine.LoadCertificates(testCA().write(t, t.TempDir(), "spate.test"))
	if err != nil {
		t.Fatal(err)
	}
	return certs.Config()
}

func clientTLS() *tls.Config {
	return &tls.Config{RootCAs: testCA().pool(), ServerName: "spate.test"}
}
