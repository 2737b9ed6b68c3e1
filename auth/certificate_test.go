package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority() authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return authority{must(x509.ParseCertificate(der)), key}
}

// issue signs a certificate with the names of the template.
func (a authority) issue(template x509.Certificate) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template.SerialNumber = big.NewInt(2)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	der := must(x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

// verified is the state of a connection of which the certificate was verified.
func (a authority) verified(cert tls.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{HandshakeComplete: true, VerifiedChains: [][]*x509.Certificate{{cert.Leaf, a.cert}}}
}

func fingerprint(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	return hex.EncodeToString(sum[:])
}

func mapped(rules ...CertificateRule) Config {
	config := people()
	config.Certificates = rules
	config.Tries.Burst = 1000
	return config
}

func TestCertificateRules(t *testing.T) {
	ca := newAuthority()
	spiffe := must(url.Parse("spiffe://example.com/device/d7"))
	cert := ca.issue(x509.Certificate{
		Subject: pkix.Name{CommonName: "Device 7"}, DNSNames: []string{"D7.devices.example.com", "alias.example.com"},
		URIs: []*url.URL{spiffe}, EmailAddresses: []string{"ops@Example.com"},
	})
	print := fingerprint(cert)
	colons := strings.ToUpper(strings.Join(slices.Collect(func(yield func(string) bool) {
		for pair := range slices.Chunk([]byte(print), 2) {
			if !yield(string(pair)) {
				return
			}
		}
	}), ":"))
	cases := []struct {
		name string
		rule CertificateRule
		user string // empty: refused
	}{
		{"common name", CertificateRule{CommonName: "Device 7", User: "d7"}, "d7"},
		{"common name with *", CertificateRule{CommonName: "Device *", User: "dev-{match}"}, "dev-7"},
		{"common name in another case", CertificateRule{CommonName: "device 7", User: "d7"}, ""},
		{"a part of the common name", CertificateRule{CommonName: "Device", User: "d7"}, ""},
		{"DNS", CertificateRule{DNS: "d7.DEVICES.example.com", User: "{name}"}, "d7.devices.example.com"},
		{"DNS with *", CertificateRule{DNS: "*.devices.example.com", User: "{match}"}, "d7"},
		{"DNS is not a suffix", CertificateRule{DNS: "*.example.org", User: "{match}"}, ""},
		{"* does not span dots", CertificateRule{DNS: "*.com", User: "x"}, ""},
		{"the second name", CertificateRule{DNS: "alias.example.com", User: "a"}, "a"},
		{"URI", CertificateRule{URI: "spiffe://example.com/device/*", User: "{match}"}, "d7"},
		{"* does not span slashes", CertificateRule{URI: "spiffe://*/d7", User: "{match}"}, ""},
		{"mail", CertificateRule{Email: "*@example.com", User: "{name}"}, "ops@example.com"},
		{"mail of another domain", CertificateRule{Email: "*@example.co", User: "{name}"}, ""},
		{"fingerprint", CertificateRule{SHA256: print, User: "d7"}, "d7"},
		{"fingerprint with colons", CertificateRule{SHA256: colons, User: "d7"}, "d7"},
		{"another fingerprint", CertificateRule{SHA256: strings.Repeat("0", 64), User: "d7"}, ""},
		{"DNS rule for a common name", CertificateRule{DNS: "Device 7", User: "d7"}, ""},
		{"* stands for something", CertificateRule{CommonName: "Device 7*", User: "d7"}, ""},
	}
	for _, c := range cases {
		c.rule.Roles = []string{"device"}
		a, _ := start(t, mapped(c.rule), Options{})
		id, err := a.Certificate(t.Context(), peer, ca.verified(cert))
		if id.User() != c.user || (c.user == "") != errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v, %v", c.name, id, err)
		}
		if c.user != "" && (!slices.Equal(id.Roles(), []string{"device"}) || !id.Expires().Equal(cert.Leaf.NotAfter) || id.Method() != MethodCertificate) {
			t.Errorf("%s: roles %v until %s", c.name, id.Roles(), id.Expires())
		}
	}
}

// TestHostileCertificates: certificates that verify and must not let anybody in.
func TestHostileCertificates(t *testing.T) {
	ca := newAuthority()
	rules := []CertificateRule{
		{DNS: "*.devices.example.com", User: "{match}", Roles: []string{"device"}},
		{CommonName: "*", User: "{name}", Roles: []string{"device"}},
	}
	a, log := start(t, mapped(rules...), Options{})
	named := func(cn string, dns ...string) tls.Certificate {
		return ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: cn}, DNSNames: dns})
	}
	twoNames := ca.issue(x509.Certificate{Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: oidCommonName, Value: "anna"}, {Type: oidCommonName, Value: "bert"},
	}}})
	many := make([]string, maxCertNames+1)
	for i := range many {
		many[i] = "x.example.com"
	}
	expired := ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: "anna"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	future := ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: "anna"}, NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)})
	cases := map[string]*tls.ConnectionState{
		"no state":               nil,
		"no certificate":         {HandshakeComplete: true},
		"not verified":           {HandshakeComplete: true, PeerCertificates: []*x509.Certificate{named("anna").Leaf}},
		"handshake not complete": {VerifiedChains: [][]*x509.Certificate{{named("anna").Leaf}}},
		"empty chain":            {HandshakeComplete: true, VerifiedChains: [][]*x509.Certificate{{}}},
		"names nobody":           ca.verified(ca.issue(x509.Certificate{Subject: pkix.Name{Organization: []string{"x"}}})),
		"another DNS name":       ca.verified(named("", "d7.example.com")),
		"wildcard name":          ca.verified(named("+")),
		"wildcard certificate":   ca.verified(named("", "*.devices.example.com")),
		"name with levels":       ca.verified(named("a/b")),
		"hidden name":            ca.verified(named("$SYS")),
		"two users by DNS":       ca.verified(named("", "a.devices.example.com", "b.devices.example.com")),
		"two common names":       ca.verified(twoNames),
		"too many names":         ca.verified(named("anna", many...)),
		"expired":                ca.verified(expired),
		"not yet valid":          ca.verified(future),
	}
	for name, state := range cases {
		if id, err := a.Certificate(t.Context(), peer, state); !errors.Is(err, ErrDenied) || !id.IsZero() {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
	if !strings.Contains(log.String(), "no rule says whose it is") {
		t.Error("the audit does not say that the certificate names nobody")
	}
	if id, err := a.Certificate(t.Context(), peer, ca.verified(named("", "a.devices.example.com", "A.devices.example.com"))); err != nil || id.User() != "a" {
		t.Errorf("two names of one user: %v, %v", id, err)
	}
	if n := len(a.snap.Load().certs); n != len(rules) {
		t.Errorf("%d rules", n)
	}
}

func TestFirstRuleWins(t *testing.T) {
	ca := newAuthority()
	a, _ := start(t, mapped(
		CertificateRule{CommonName: "root", User: "first", Roles: []string{"device"}},
		CertificateRule{CommonName: "*", User: "second", Roles: []string{"operator"}},
	), Options{})
	cert := ca.verified(ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: "root"}}))
	id, err := a.Certificate(t.Context(), peer, cert)
	if err != nil || id.User() != "first" || a.CanAdmin(id) {
		t.Errorf("%v with %v, %v", id, id.Roles(), err)
	}
	// A reload that maps the certificate to somebody else ends the login.
	if err := a.Reload(mapped(CertificateRule{CommonName: "*", User: "second", Roles: []string{"operator"}})); err != nil {
		t.Fatal(err)
	}
	if err := a.Refresh(id); !errors.Is(err, ErrWithdrawn) || a.CanAdmin(id) {
		t.Errorf("after a reload: %v", err)
	}
	if err := a.Reload(mapped(CertificateRule{CommonName: "root", User: "first", Roles: []string{"operator"}})); err != nil {
		t.Fatal(err)
	}
	if err := a.Refresh(id); err != nil || !a.CanAdmin(id) {
		t.Errorf("after other roles: %v", err)
	}
}

func TestCertificateExpiresWhileConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority()
		a, _ := start(t, mapped(CertificateRule{CommonName: "*", User: "{name}", Roles: []string{"device"}}), Options{})
		id, err := a.Certificate(t.Context(), peer, ca.verified(ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: "anna"}})))
		if err != nil || !a.CanReceive(id, "news") {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if a.CanReceive(id, "news") || !errors.Is(a.Refresh(id), ErrExpired) {
			t.Error("the right outlives the certificate")
		}
	})
}

// TestCertificateOfRealHandshake takes the state from crypto/tls, with a
// certificate that the server's pool knows and with one that it does not.
func TestCertificateOfRealHandshake(t *testing.T) {
	ca, stranger := newAuthority(), newAuthority()
	a, _ := start(t, mapped(CertificateRule{CommonName: "*", User: "{name}", Roles: []string{"device"}}), Options{})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server := ca.issue(x509.Certificate{DNSNames: []string{"server"}})
	for _, c := range []struct {
		name   string
		mode   tls.ClientAuthType
		issuer authority
		user   string
	}{
		{"verified", tls.VerifyClientCertIfGiven, ca, "anna"},
		{"only asked for", tls.RequestClientCert, ca, ""},
		{"any", tls.RequireAnyClientCert, stranger, ""},
	} {
		config := &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: c.mode}
		client := c.issuer.issue(x509.Certificate{Subject: pkix.Name{CommonName: "anna"}})
		state := handshake(t, config, &tls.Config{RootCAs: pool, ServerName: "server", Certificates: []tls.Certificate{client}})
		id, err := a.Certificate(t.Context(), peer, &state)
		if id.User() != c.user || (c.user == "") != errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v, %v", c.name, id, err)
		}
	}
}

func handshake(t *testing.T, server, client *tls.Config) tls.ConnectionState {
	t.Helper()
	left, right := net.Pipe()
	done := make(chan error, 1)
	go func() {
		c := tls.Client(right, client)
		err := c.Handshake()
		if err == nil {
			_, _ = c.Read(make([]byte, 1)) // the ticket of TLS 1.3, then the end
		}
		done <- err
	}()
	s := tls.Server(left, server)
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	state := s.ConnectionState()
	_ = left.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return state
}
