package resp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// issuer signs tokens.
type issuer struct {
	key  ed25519.PrivateKey
	file string
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(public))})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return issuer{key, file}
}

func (i issuer) token(user string, expires time.Time) string {
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: i.key}, nil))
	claims := must(json.Marshal(map[string]any{"iss": "https://id.example.com/", "aud": "spate", "sub": user, "exp": expires.Unix()}))
	return must(must(signer.Sign(claims)).CompactSerialize())
}

// clock is one that the test turns.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// TestToken logs in with bearer tokens, and lets them expire.
func TestToken(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		from, clock := newIssuer(t), &clock{}
		config := rules()
		config.Tokens = []auth.Issuer{{Issuer: "https://id.example.com/", Audience: []string{"spate"}, KeysFile: from.file, Roles: []string{"foo"}}}
		a, err := auth.New(config, auth.Options{Now: clock.now})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		s := serve(t, driver, resp.Options{Auth: a}, engine.Limits{})
		token := from.token("carol", time.Now().Add(time.Hour))
		admin, waits, asks := s.dial(), s.dial(), s.dial()
		admin.want("AUTH "+password, "+OK\r\n")
		waits.want("AUTH $token "+token+"x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		waits.want("AUTH dora "+token, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		waits.want("AUTH carol "+token, "+OK\r\n")
		waits.want("AUTH "+resp.TokenUser+" "+token, "+OK\r\n")
		waits.want("ACL WHOAMI", "$5\r\ncarol\r\n")
		asks.ask("HELLO 3 AUTH $token " + token)
		asks.want("PUBLISH foo/a x", ":0\r\n")
		waits.want("SUBSCRIBE foo/a", confirmation("subscribe", "foo/a", 1))
		admin.want("PUBLISH foo/a x", ":1\r\n")
		waits.wantReply(message('*', "foo/a", "x"))

		clock.ahead.Store(int64(2 * time.Hour))
		admin.want("PUBLISH foo/a secret", ":0\r\n")
		if got := waits.rest(); got != "" {
			t.Errorf("it still got %q", got)
		}
		asks.send(request("PING"))
		if got := asks.rest(); got != noAuth {
			t.Errorf("it got %q", got)
		}
		s.closedFor(engine.ReasonDenied)
		again := s.dial()
		again.want("AUTH $token "+from.token("carol", time.Now().Add(3*time.Hour)), "+OK\r\n")
		if strings.Contains(s.log.String(), token) {
			t.Error("a token was logged")
		}
	})
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return authority{must(x509.ParseCertificate(der)), key}
}

func (a authority) issue(name string) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCertificate logs in by the handshake, with a certificate that a rule maps to a user.
func TestCertificate(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		ca := newAuthority(t)
		pool := x509.NewCertPool()
		pool.AddCert(ca.cert)
		config := rules()
		config.Tries = auth.Tries{Burst: 3, Every: time.Hour}
		config.Certificates = []auth.CertificateRule{{CommonName: "sensor-*", User: "{name}", Roles: []string{"own"}}}
		a, err := auth.New(config, auth.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		s := serveOn(t, driver, resp.Options{Auth: a}, engine.Limits{}, engine.ListenOptions{
			Network: "tcp", Address: "127.0.0.1:0",
			TLS: &tls.Config{Certificates: []tls.Certificate{ca.issue("server")}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven},
		})
		connect := func(certs ...tls.Certificate) *client {
			conn, err := tls.Dial("tcp", s.listener.Addr().String(), &tls.Config{RootCAs: pool, Certificates: certs})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return newClient(t, conn)
		}
		known := connect(ca.issue("sensor-7"))
		known.want("ACL WHOAMI", "$8\r\nsensor-7\r\n")
		known.want("PUBLISH users/sensor-7 x", ":0\r\n")
		known.want("PUBLISH users/ann x", noChannel)
		known.want("AUTH ann "+password, "+OK\r\n")
		known.want("RESET", "+RESET\r\n")
		known.want("ACL WHOAMI", "$8\r\nsensor-7\r\n") // which is where the connection began
		strangers := ca.issue("printer")
		for range 10 { // more than the tries of an address: none of them is a login
			connect(strangers).want("PING", noAuth)
		}
		stranger := connect(strangers)
		stranger.want("PING", noAuth)
		stranger.want("AUTH ann "+password, "+OK\r\n")
		nobody := connect()
		nobody.want("PING", noAuth)
	})
}
