package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// binary is the path of the server, which TestMain builds.
var binary string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "spate-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "spate")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/spate")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A node is a server that runs in a process of its own.
type node struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err output
	done     chan struct{}
	args     []string          // what it was started with
	urls     map[string]string // address by scheme
}

// output keeps what a process writes, and tells when there is more.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.text.Write(p)
}

func (o *output) look() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.text.String(), o.more
}

// wait waits until the output contains a text.
func (n *node) wait(o *output, want string) string {
	n.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		text, more := o.look()
		if strings.Contains(text, want) {
			return text
		}
		select {
		case <-more:
		case <-n.done:
			out, _ := n.out.look()
			log, _ := n.err.look()
			n.t.Fatalf("the server ended without %q:\n%s%s", want, out, log)
		case <-timeout.C:
			n.t.Fatalf("no %q in\n%s", want, text)
		}
	}
}

var listening = regexp.MustCompile(`(?m)^  ([a-z+]+)://(\S+)$`)

// serve starts a node and waits until it says what it listens on. The end of the test ends it.
func serve(t *testing.T, args ...string) *node {
	t.Helper()
	if !slices.Contains(args, "--data") {
		args = append(args, "--data", t.TempDir())
	}
	n := &node{t: t, cmd: exec.Command(binary, append([]string{"serve"}, args...)...), done: make(chan struct{}), args: args, urls: map[string]string{}}
	n.cmd.Stdout, n.cmd.Stderr = &n.out, &n.err
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = n.cmd.Wait() // the tests look at the exit code
		close(n.done)
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		<-n.done
		if log, _ := n.err.look(); t.Failed() || strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
			t.Logf("the log of the server:\n%s", log)
		}
	})
	for _, m := range listening.FindAllStringSubmatch(n.wait(&n.out, "Try:"), -1) {
		n.urls[m[1]] = m[2]
	}
	return n
}

// restart kills the node and starts it again with the same data, on the same ports.
func (n *node) restart(t *testing.T) *node {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	n.exit()
	args := slices.Clone(n.args)
	for i, arg := range args {
		if scheme, _, ok := strings.Cut(arg, "://"); ok && strings.HasSuffix(arg, ":0") {
			args[i] = scheme + "://" + n.urls[scheme]
		}
	}
	return serve(t, args...)
}

// local starts a node with resp and http on free ports.
func local(t *testing.T, args ...string) *node {
	t.Helper()
	return serve(t, append([]string{"--listen", "resp://127.0.0.1:0", "--listen", "http://127.0.0.1:0"}, args...)...)
}

// port is the port of the first listener of a scheme.
func (n *node) port(scheme string) string {
	addr := n.urls[scheme]
	return addr[strings.LastIndex(addr, ":")+1:]
}

// exit waits until the node has ended, and returns its exit code.
func (n *node) exit() int {
	n.t.Helper()
	select {
	case <-n.done:
	case <-time.After(patience):
		n.t.Fatal("the server does not end")
	}
	return n.cmd.ProcessState.ExitCode()
}

func (n *node) signal(s os.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// run runs a program to its end and returns what it prints.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%s is missing: apt-get install redis-tools mosquitto-clients curl", name)
	}
	return string(out), err
}

// must is run for a program that has to succeed.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := run(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// write writes a file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate writes a certificate for localhost that signs itself, and its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
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

// trusting is what a client needs to trust the certificate in a file.
func trusting(t *testing.T, cert string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// guarded is a configuration with the users anna, who may do everything below news, and root; the password of both is "secret".
func guarded(t *testing.T, listen string) string {
	t.Helper()
	password := hashOf(t, "secret")
	return "listen: " + listen + "\nauth:\n  users:\n    - {name: anna, password: '" + password + "', roles: [news]}\n    - {name: root, password: '" + password +
		"', roles: [all]}\n  roles:\n    news: {publish: ['news/#'], subscribe: ['news/#']}\n    all: {publish: ['#'], subscribe: ['#'], admin: true}\n"
}

// hashOf is what the configuration has of a password.
func hashOf(t *testing.T, password string) string {
	t.Helper()
	cmd := exec.Command(binary, "hash-password")
	cmd.Stdin = strings.NewReader(password + "\n")
	hash, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(hash))
}
