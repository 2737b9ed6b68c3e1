package httpapi_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen. Nothing takes it all but a failure.
const patience = 20 * time.Second

// A kit is a door with one listener, and the log that it writes.
type kit struct {
	*httpapi.Door
	t    *testing.T
	addr net.Addr
	log  *recorded
	auth *auth.Auth
}

// setup is what a test changes about the door.
type setup struct {
	options httpapi.Options
	auth    auth.Config
	tls     *tls.Config
	network string // default tcp
	host    string // default 127.0.0.1:0

	consumers bool // the API has consumers, see apiKit.set
	devices   bool // and devices, see apiKit.keepDevices
}

func start(t *testing.T, s setup) *kit {
	t.Helper()
	k := &kit{t: t, log: &recorded{lines: make(chan line, 10000)}}
	logger := slog.New(k.log)
	a, err := auth.New(s.auth, auth.Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	k.auth, s.options.Auth, s.options.Logger = a, a, logger
	if k.Door, err = httpapi.New(s.options); err != nil {
		t.Fatal(err)
	}
	if s.network == "" {
		s.network, s.host = "tcp", "127.0.0.1:0"
	}
	ln, err := net.Listen(s.network, s.host)
	if err != nil {
		t.Fatal(err)
	}
	k.addr = ln.Addr()
	served := make(chan error, 1)
	go func() { served <- k.Serve(ln, httpapi.ServeOptions{TLS: s.tls}) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := k.Shutdown(ctx); err != nil && err != engine.ErrStopped {
			t.Errorf("shutting down: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// dial opens a plain connection, which the end of the test closes.
func (k *kit) dial() net.Conn {
	k.t.Helper()
	c, err := net.Dial(k.addr.Network(), k.addr.String())
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		k.t.Fatal(err)
	}
	return c
}

// A reply is what a request was answered with.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends one request on a connection of its own.
func (k *kit) ask(method, path string, header ...string) reply {
	k.t.Helper()
	c := k.dial()
	defer c.Close()
	return k.askOn(c, method, path, header...)
}

// askOn sends one request on a connection. Header lines are given as "Name: value".
func (k *kit) askOn(c net.Conn, method, path string, header ...string) reply {
	k.t.Helper()
	text := method + " " + path + " HTTP/1.1\r\n"
	if !strings.Contains(strings.Join(header, "\n"), "Host:") {
		text += "Host: localhost\r\n"
	}
	for _, h := range header {
		text += h + "\r\n"
	}
	if _, err := io.WriteString(c, text+"\r\n"); err != nil {
		k.t.Fatalf("%s %s: %v", method, path, err)
	}
	return k.read(c)
}

func (k *kit) read(c net.Conn) reply {
	k.t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		k.t.Fatalf("reading a response: %v", err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		k.t.Fatalf("reading a body: %v", err)
	}
	return reply{r.StatusCode, r.Header, string(body)}
}

// wantClosed waits until a connection has ended for a reason, which is logged and counted.
func (k *kit) wantClosed(why engine.Reason) {
	k.t.Helper()
	k.log.wait(k.t, fmt.Sprintf("a connection that closed because of %s", why), func(l line) bool {
		return l.attrs["reason"] == why.String()
	})
	if k.Stats().Closed[why] == 0 {
		k.t.Errorf("%s was logged and not counted", why)
	}
}

// A line is one line of the log.
type line struct {
	level slog.Level
	msg   string
	attrs map[string]string
}

// recorded is a handler that keeps the log.
type recorded struct{ lines chan line }

func (r *recorded) Enabled(context.Context, slog.Level) bool { return true }

func (r *recorded) Handle(_ context.Context, rec slog.Record) error {
	l := line{rec.Level, rec.Message, map[string]string{}}
	rec.Attrs(func(a slog.Attr) bool {
		l.attrs[a.Key] = a.Value.String()
		return true
	})
	select {
	case r.lines <- l:
	default: // nobody waits for what comes after ten thousand lines
	}
	return nil
}

func (r *recorded) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *recorded) WithGroup(string) slog.Handler      { return r }

// wait reads the log up to the line that matches.
func (r *recorded) wait(t *testing.T, what string, match func(line) bool) line {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case l := <-r.lines:
			if match(l) {
				return l
			}
		case <-timeout.C:
			t.Fatalf("%s is missing in the log", what)
		}
	}
}

// certificate makes a certificate that signs itself, for a server or a client.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "s") }
