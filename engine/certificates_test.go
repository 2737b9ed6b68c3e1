package engine_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spate-io/spate/engine"
)

// Certificates are exchanged while connections are open; a bad one changes
// nothing.
func TestCertificateReload(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		dir := t.TempDir()
		certs, err := engine.LoadCertificates(testCA().write(t, dir, "one.test"))
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{})
		l, err := s.Listen(t.Context(), engine.ListenOptions{
			Network: "tcp", Address: "127.0.0.1:0", Protocol: &lines{handle: echoLine}, TLS: certs.Config(),
		})
		if err != nil {
			t.Fatal(err)
		}
		name := func(want string) *tls.Conn {
			t.Helper()
			c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: testCA().pool(), ServerName: want})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		first := name("one.test")
		testCA().write(t, dir, "two.test")
		if err := certs.Reload(); err != nil {
			t.Fatal(err)
		}
		name("two.test")
		if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := certs.Reload(); err == nil || !strings.Contains(err.Error(), "key.pem") {
			t.Errorf("a bad key: %v", err)
		}
		name("two.test")
		if _, err := first.Write([]byte("still here\n")); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 11)
		if n, err := first.Read(buf); err != nil || string(buf[:n]) != "still here\n" {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	})
}

// A client certificate is asked for, verified, and there for the session.
func TestClientCertificates(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		dir := t.TempDir()
		files := testCA().write(t, dir, "spate.test")
		files.ClientCA, files.RequireClient = filepath.Join(dir, "ca.pem"), true
		caPEM := pemCertificate(testCA().cert.Raw)
		if err := os.WriteFile(files.ClientCA, caPEM, 0o600); err != nil {
			t.Fatal(err)
		}
		certs, err := engine.LoadCertificates(files)
		if err != nil {
			t.Fatal(err)
		}
		p := &lines{handle: func(c *engine.Conn, _ string) error {
			return echoLine(c, c.TLS().PeerCertificates[0].Subject.CommonName)
		}}
		s := serve(t, driver, "tcp", p, engine.Limits{})
		l, err := s.Listen(t.Context(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: p, TLS: certs.Config()})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			ca   *authority
			want string
		}{{"known authority", testCA(), "device-7\n"}, {"unknown authority", newAuthority("other"), ""}, {"none", nil, ""}} {
			t.Run(tt.name, func(t *testing.T) {
				conf := clientTLS()
				if tt.ca != nil {
					cert, key := tt.ca.issue("device-7")
					pair, err := tls.X509KeyPair(cert, key)
					if err != nil {
						t.Fatal(err)
					}
					conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
				}
				if got := askOnce(l.Addr(), conf); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
		s.closedFor(engine.ReasonHandshake, 2)
	})
}

// askOnce sends a line and returns the answer, or "" if there is none.
func askOnce(addr net.Addr, conf *tls.Config) string {
	c, err := tls.Dial("tcp", addr.String(), conf)
	if err != nil {
		return ""
	}
	defer c.Close()
	_, _ = c.Write([]byte("who\n"))
	buf := make([]byte, 100)
	n, _ := c.Read(buf)
	return string(buf[:n])
}

func TestCertificateErrors(t *testing.T) {
	dir := t.TempDir()
	good := testCA().write(t, dir, "spate.test")
	junk := filepath.Join(dir, "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files engine.CertificateFiles
		want  string
	}{
		{"nothing", engine.CertificateFiles{}, "needs a certificate file"},
		{"missing", engine.CertificateFiles{Cert: filepath.Join(dir, "no.pem"), Key: good.Key}, "no.pem"},
		{"junk", engine.CertificateFiles{Cert: junk, Key: good.Key}, "junk.pem"},
		{"missing authority", engine.CertificateFiles{Cert: good.Cert, Key: good.Key, ClientCA: filepath.Join(dir, "no.pem")}, "no.pem"},
		{"junk authority", engine.CertificateFiles{Cert: good.Cert, Key: good.Key, ClientCA: junk}, "no certificate"},
		{"no authority", engine.CertificateFiles{Cert: good.Cert, Key: good.Key, RequireClient: true}, "authorities"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := engine.LoadCertificates(tt.files); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
