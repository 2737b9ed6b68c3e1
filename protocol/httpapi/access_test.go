package httpapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/protocol/httpapi"
)

// users are root, who may administer, and anna, who may not. The password of both is "secret".
func users(t *testing.T) auth.Config {
	t.Helper()
	hash, err := auth.HashPassword(auth.NewSecret("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return auth.Config{
		Users: []auth.User{
			{Name: "root", Password: auth.NewSecret(hash), Roles: []string{"operator"}},
			{Name: "anna", Password: auth.NewSecret(hash), Roles: []string{"guest"}},
			{Name: "bert", Password: auth.NewSecret(hash), Roles: []string{"operator"}},
		},
		Certificates: []auth.CertificateRule{{CommonName: "scraper", User: "scraper", Roles: []string{"operator"}}},
		Roles:        map[string]auth.Role{"operator": {Admin: true}, "guest": {Subscribe: []string{"#"}}},
		Tries:        auth.Tries{Burst: 3},
	}
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestAccess(t *testing.T) {
	k := start(t, setup{auth: users(t)})
	for _, test := range []struct {
		name, path string
		header     []string
		want       int
	}{
		{"health is for everybody", "/livez", nil, http.StatusOK},
		{"readiness is for everybody", "/readyz", nil, http.StatusOK},
		{"nobody", "/metrics", nil, http.StatusUnauthorized},
		{"an administrator", "/metrics", []string{basic("root", "secret")}, http.StatusOK},
		{"an administrator, page", "/debug/tasks", []string{basic("root", "secret")}, http.StatusOK},
		{"a user without the right", "/debug/connections", []string{basic("anna", "secret")}, http.StatusForbidden},
		{"a header that a proxy would set", "/metrics", []string{"X-Remote-User: root", "X-Forwarded-User: root"}, http.StatusUnauthorized},
		{"two headers", "/metrics", []string{basic("root", "secret"), basic("root", "secret")}, http.StatusUnauthorized},
		{"a token that is none", "/metrics", []string{"Authorization: Bearer abc"}, http.StatusUnauthorized},
		{"a wrong password", "/metrics", []string{basic("root", "wrong")}, http.StatusUnauthorized},
		{"a right one, after too many tries", "/metrics", []string{basic("bert", "secret")}, http.StatusTooManyRequests},
		{"a right one that is known here, after too many tries", "/metrics", []string{basic("root", "secret")}, http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := k.ask("GET", test.path, test.header...)
			if got.status != test.want {
				t.Errorf("%s: %d %s, want %d", test.path, got.status, got.body, test.want)
			}
			if test.want == http.StatusUnauthorized && len(got.header["Www-Authenticate"]) != 2 {
				t.Errorf("the client is not told how to authenticate: %v", got.header)
			}
		})
	}
}

// A certificate that a rule names is as good as a password; one that verifies and names nobody is not.
func TestAccessByCertificate(t *testing.T) {
	server, scraper, other := certificate(t, "localhost"), certificate(t, "scraper"), certificate(t, "other")
	authorities := x509.NewCertPool()
	authorities.AddCert(scraper.Leaf)
	authorities.AddCert(other.Leaf)
	k := start(t, setup{auth: users(t), tls: &tls.Config{
		Certificates: []tls.Certificate{server}, ClientCAs: authorities, ClientAuth: tls.VerifyClientCertIfGiven,
	}})
	roots := x509.NewCertPool()
	roots.AddCert(server.Leaf)
	for _, test := range []struct {
		name  string
		certs []tls.Certificate
		want  int
	}{
		{"none", nil, http.StatusUnauthorized},
		{"one that a rule names", []tls.Certificate{scraper}, http.StatusOK},
		{"one that names nobody", []tls.Certificate{other}, http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := tls.Client(k.dial(), &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: test.certs})
			if got := k.askOn(c, "GET", "/metrics"); got.status != test.want {
				t.Errorf("%d %s, want %d", got.status, got.body, test.want)
			}
		})
	}
	for range 10 { // more than the tries of an address
		c := tls.Client(k.dial(), &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{other}})
		if got := k.askOn(c, "GET", "/metrics"); got.status != http.StatusUnauthorized {
			t.Errorf("a certificate that names nobody: %d %s", got.status, got.body)
		}
	}
	c := tls.Client(k.dial(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if got := k.askOn(c, "GET", "/metrics", basic("root", "secret")); got.status != http.StatusOK {
		t.Errorf("a certificate that names nobody locks out who has a password: %d %s", got.status, got.body)
	}
}

// While nobody is authenticated, the pages are for this machine: also through a Unix socket.
func TestAccessOpen(t *testing.T) {
	for _, s := range []setup{{}, {network: "unix", host: socketPath(t)}} {
		k := start(t, s)
		if got := k.ask("GET", "/debug/tasks"); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", k.addr.Network(), got.status, got.body)
		}
	}
	k := start(t, setup{network: "tcp", host: "0.0.0.0:0"})
	if got := k.ask("GET", "/debug/tasks"); got.status != http.StatusUnauthorized {
		t.Errorf("a listener that is not local: %d %s", got.status, got.body)
	}
}

// A browser on this machine is not a way in for web pages.
func TestWebPagesOfOthers(t *testing.T) {
	k := start(t, setup{options: httpapi.Options{Hosts: []string{"spate.example.com"}}})
	for _, test := range []struct {
		name, method string
		header       []string
		want         int
	}{
		{"localhost", "GET", []string{"Host: localhost:8080"}, http.StatusOK},
		{"an address", "GET", []string{"Host: 127.0.0.1:8080"}, http.StatusOK},
		{"an IPv6 address", "GET", []string{"Host: [::1]:8080"}, http.StatusOK},
		{"a configured name", "GET", []string{"Host: spate.example.com"}, http.StatusOK},
		{"a name that was rebound", "GET", []string{"Host: evil.example.com:8080"}, http.StatusForbidden},
		{"a name that looks like ours", "GET", []string{"Host: localhost.example.com"}, http.StatusForbidden},
		{"no name", "GET", []string{"Host:"}, http.StatusOK},
		{"a post of another origin", "POST", []string{"Origin: https://evil.example.com", "Sec-Fetch-Site: cross-site"}, http.StatusForbidden},
		{"a post without an origin", "POST", nil, http.StatusMethodNotAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := k.ask(test.method, "/debug/connections", test.header...)
			if got.status != test.want {
				t.Errorf("%d %s, want %d", got.status, got.body, test.want)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("X-Content-Type-Options") != "nosniff" ||
				got.header.Get("Content-Security-Policy") == "" || got.header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
				t.Errorf("the headers do not keep pages of others out: %v", got.header)
			}
		})
	}
}
