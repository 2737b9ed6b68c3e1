package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// serve starts a server and returns a client of it.
func serve(t *testing.T, o Options, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	o.Server = s.URL + "/"
	return open(t, o)
}

func open(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRequest(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		request Request
		want    string
	}{
		"a path with everything in it": {Options{}, Request{Method: "GET", Path: []string{"streams", "a/b c%?"}}, "GET /v1/streams/a%2Fb%20c%25%3F  "},
		"empty levels":                 {Options{}, Request{Method: "POST", Path: []string{"publish", "a//b"}, Body: []byte("x")}, "POST /v1/publish/a%2F%2Fb  x"},
		"JSON":                         {Options{}, Request{Method: "PATCH", Path: []string{"x"}, Body: map[string]int{"a": 1}}, `PATCH /v1/x application/json {"a":1}`},
		"a user":                       {Options{User: "anna", Password: "hunter2"}, Request{Method: "GET"}, "GET /v1/  Basic YW5uYTpodW50ZXIy"},
		"a token":                      {Options{Token: "abc"}, Request{Method: "GET"}, "GET /v1/  Bearer abc"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			c := serve(t, test.options, func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = fmt.Sprintf("%s %s %s %s%s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), body, r.Header.Get("Authorization"))
			})
			if err := c.Do(t.Context(), test.request, nil); err != nil || got != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		media  string
		body   string
		want   string
	}{
		"a problem":         {409, "application/problem+json", `{"title":"Conflict","status":409,"detail":"it is there"}`, "it is there"},
		"without a detail":  {409, "application/problem+json", `{"title":"Conflict","status":409}`, "Conflict"},
		"who are you":       {401, "application/problem+json", `{"title":"x","status":401,"detail":"log in"}`, "log in; say who you are with --user and --password-file, or --token-file"},
		"another server":    {404, "text/html", "<h1>no</h1>", "answered with status 404 and is perhaps no node of Spate"},
		"a broken problem":  {500, "application/problem+json", "{", "answered with status 500 and is perhaps no node of Spate"},
		"elsewhere":         {302, "", "", "answered with status 302 and is perhaps no node of Spate"},
		"no JSON":           {200, "application/json", "hello", "does not answer as a node of Spate does"},
		"what was asked of": {200, "application/json", `{"a":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.media)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			var into struct{ A int }
			err := c.Do(t.Context(), Request{Method: "GET", Path: []string{"x"}}, &into)
			if test.want == "" && (err != nil || into.A != 1) || test.want != "" && (err == nil || !strings.HasSuffix(err.Error(), test.want) && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
			var p *Problem
			if errors.As(err, &p) && p.Status != test.status {
				t.Errorf("status %d, want %d", p.Status, test.status)
			}
		})
	}
}

func TestServers(t *testing.T) {
	for server, want := range map[string]string{
		"":                 "must begin with http://",
		"localhost:8080":   "is not the URL of a server",
		"ftp://x":          "must begin with http://",
		"http://":          "names no host",
		"http://a:b@c":     "is not the URL of a server",
		"http://[::1":      "is not the URL of a server",
		"http+tls://a:1":   "",
		"https://a:1/base": "",
	} {
		c, err := New(Options{Server: server})
		if err == nil {
			c.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", server, err, want)
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = nil
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"an authority that is not known": {Options{Server: s.URL}, ": name the authority of its certificate with --ca ("},
		"one that is":                    {Options{Server: s.URL, TLS: &tls.Config{RootCAs: roots}}, ""},
		"none is asked":                  {Options{Server: s.URL, TLS: &tls.Config{InsecureSkipVerify: true}}, ""},
		"not TLS":                        {Options{Server: strings.Replace(s.URL, "https", "http", 1)}, "status 400 and is perhaps no node of Spate"},
	} {
		t.Run(name, func(t *testing.T) {
			err := open(t, test.options).Do(t.Context(), Request{Method: "GET"}, nil)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// Who awaits TLS hangs up on what is none: the error says what to write.
func TestHangsUp(t *testing.T) {
	c := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			err = conn.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
	err := c.Do(t.Context(), Request{Method: "GET"}, nil)
	if want := "; if it speaks https, write --server https://" + c.base.Host + " ("; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.URL.Path) }))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	defer s.Close()
	var got json.RawMessage
	if err := open(t, Options{Server: "http+unix://" + path}).Do(t.Context(), Request{Method: "GET", Path: []string{"streams"}}, &got); err != nil || string(got) != `"/v1/streams"` {
		t.Errorf("%s, %v", got, err)
	}
}

// An answer that was cut short is an error, whether the server says so or the connection does.
func TestRead(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(w http.ResponseWriter)
		want string
	}{
		"whole":     {func(http.ResponseWriter) {}, ""},
		"a trailer": {func(w http.ResponseWriter) { w.Header().Set("Spate-Error", "the disk is on fire") }, "the disk is on fire"},
		"cut off":   {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "ended early"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "Spate-Error")
				fmt.Fprint(w, "some data")
				_ = http.NewResponseController(w).Flush()
				test.end(w)
			})
			err := c.Read(t.Context(), Request{Method: "GET"}, func(r io.Reader) error {
				_, err := io.Copy(io.Discard, r)
				return err
			})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("that is enough")
	c := serve(t, Options{}, func(_ http.ResponseWriter, r *http.Request) {
		cancel(cause)
		<-r.Context().Done()
	})
	if err := c.Do(ctx, Request{Method: "GET"}, nil); !errors.Is(err, cause) {
		t.Error(err)
	}
}
