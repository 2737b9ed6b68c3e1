package server

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
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
)

// patience is how long a test waits for what must happen. Nothing takes it all but a failure.
const patience = 20 * time.Second

// drivers are those that this platform has.
func drivers() []string {
	if runtime.GOOS == "linux" {
		return []string{engine.Epoll, engine.Net}
	}
	return []string{engine.Net}
}

// A kit is a node that runs.
type kit struct {
	*Node
	t    *testing.T
	log  *lines
	path string // of its configuration file
	stop func() error
}

// start runs a node with a configuration until the test ends.
func start(t *testing.T, text string) *kit {
	t.Helper()
	t.Chdir(t.TempDir()) // where the data is, if the text does not say so
	log, path := newLines(), file(t, text)
	from := Sources{File: path}
	settings, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	k := startWith(t, settings, Options{Sources: from, Log: log})
	k.log, k.path = log, path
	return k
}

// startWith runs a node until the test ends.
func startWith(t *testing.T, settings *Settings, o Options) *kit {
	t.Helper()
	k := &kit{t: t}
	var err error
	if k.Node, err = New(settings, o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stopped := false
	k.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := k.stop(); err != nil {
			t.Errorf("stopping the node: %v", err)
		}
	})
	return k
}

// rewrite changes the configuration file.
func (k *kit) rewrite(text string) {
	k.t.Helper()
	if err := os.WriteFile(k.path, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// addr is the address of the first listener of a scheme.
func (k *kit) addr(scheme string) net.Addr {
	k.t.Helper()
	for _, o := range k.open {
		if strings.HasPrefix(o.url, scheme+"://") {
			return o.addr
		}
	}
	k.t.Fatalf("no listener speaks %s", scheme)
	return nil
}

// dial connects to the first listener of a scheme. The end of the test closes the connection.
func (k *kit) dial(scheme string) *client {
	k.t.Helper()
	addr := k.addr(scheme)
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		k.t.Fatal(err)
	}
	if strings.HasSuffix(scheme, "+tls") {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return &client{Conn: c, t: k.t, r: bufio.NewReader(c)}
}

// A client speaks lines.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.Conn, format, args...); err != nil {
		c.t.Fatalf("sending %.40q: %v", format, err)
	}
}

// line reads a line without its end.
func (c *client) line() string {
	c.t.Helper()
	text, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a line: %v", err)
	}
	return strings.TrimRight(text, "\r\n")
}

// ask sends a line and returns the first line of the answer.
func (c *client) ask(text string) string {
	c.t.Helper()
	c.send("%s\r\n", text)
	return c.line()
}

// rest reads until the server closes.
func (c *client) rest() string {
	text, _ := io.ReadAll(c.r)
	return string(text)
}

// get asks the http listener, as a user if one is given.
func (k *kit) get(path string, credentials ...string) (status int, body string) {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, "http://"+k.addr("http").String()+path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	if len(credentials) == 2 {
		r.SetBasicAuth(credentials[0], credentials[1])
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// wantLogged waits for the line about a connection that ended, or was refused, for a reason.
func (k *kit) wantLogged(why engine.Reason) {
	k.t.Helper()
	k.log.wait(k.t, "an end because of "+why.String(), func(l map[string]any) bool { return l["reason"] == why.String() })
}

// wantClosed waits until a connection has ended, or was refused, for a reason: it is in the log and in /metrics.
func (k *kit) wantClosed(door string, why engine.Reason) {
	k.t.Helper()
	k.wantLogged(why)
	_, metrics := k.get("/metrics")
	zero := fmt.Sprintf("spate_connections_closed_total{door=%q,reason=%q} 0\n", door, why)
	if strings.Contains(metrics, zero) || !strings.Contains(metrics, strings.TrimSuffix(zero, "0\n")) {
		k.t.Errorf("%s was logged and not counted", why)
	}
}

// wantServed checks that clients of every door are served.
func (k *kit) wantServed() {
	k.t.Helper()
	c := k.dial("resp")
	if got := c.ask("PING"); got != "+PONG" {
		k.t.Errorf("another client of resp was answered %q", got)
	}
	c.Close()
	if status, body := k.get("/livez"); status != http.StatusOK {
		k.t.Errorf("another client of http was answered %d %s", status, body)
	}
}

// lines is a log: each line of JSON that is written to it can be waited for, once.
type lines struct {
	mu    sync.Mutex
	all   []map[string]any
	added chan struct{} // closed, and made anew, with each line
}

func newLines() *lines { return &lines{added: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range bytes.Lines(p) {
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			return 0, fmt.Errorf("the log has a line that is not JSON: %s", text)
		}
		l.all = append(l.all, line)
	}
	close(l.added)
	l.added = make(chan struct{})
	return len(p), nil
}

// take removes and returns the first line that matches, or a channel that tells when there is another line.
func (l *lines) take(match func(map[string]any) bool) (map[string]any, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.all, match); i >= 0 {
		line := l.all[i]
		l.all = slices.Delete(l.all, i, i+1)
		return line, nil
	}
	return nil, l.added
}

// left are the lines that nobody has waited for.
func (l *lines) left() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text strings.Builder
	for _, line := range l.all {
		fmt.Fprintln(&text, line)
	}
	return text.String()
}

func (l *lines) wait(t *testing.T, what string, match func(map[string]any) bool) map[string]any {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		line, more := l.take(match)
		if line != nil {
			return line
		}
		select {
		case <-more:
		case <-timeout.C:
			t.Fatalf("%s is missing in the log; the rest of it:\n%v", what, l.left())
		}
	}
}

// message waits for a line by its message.
func (l *lines) message(t *testing.T, text string) map[string]any {
	t.Helper()
	return l.wait(t, fmt.Sprintf("%q", text), func(line map[string]any) bool { return line["msg"] == text })
}

// syncBuffer is a buffer that may be written to from several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// writeCertificate writes a certificate that signs itself, and its key, into a directory.
func writeCertificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// hash is a hash of the password "secret".
func hash(t *testing.T) string {
	t.Helper()
	text, err := auth.HashPassword(auth.NewSecret("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
