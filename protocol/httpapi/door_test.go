package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/task"
)

func TestReadiness(t *testing.T) {
	var mu sync.Mutex
	why := error(nil)
	k := start(t, setup{options: httpapi.Options{Ready: func() error {
		mu.Lock()
		defer mu.Unlock()
		return why
	}}})
	if got := k.ask("GET", "/readyz"); got.status != http.StatusOK || got.body != "ok\n" {
		t.Error(got)
	}
	mu.Lock()
	why = errors.New("draining")
	mu.Unlock()
	if got := k.ask("GET", "/readyz"); got.status != http.StatusServiceUnavailable || got.body != "draining\n" {
		t.Error(got)
	}
	if got := k.ask("GET", "/livez"); got.status != http.StatusOK {
		t.Error("a server that drains is alive:", got)
	}
}

func TestPages(t *testing.T) {
	var tasks task.Registry
	var scope task.Scope
	release := make(chan struct{})
	scope.Go(task.WithRegistry(t.Context(), &tasks), "reading <b>\x1b[31m", func(context.Context) error {
		<-release
		return nil
	})
	t.Cleanup(func() {
		close(release)
		if err := scope.Wait(); err != nil {
			t.Error(err)
		}
	})
	k := start(t, setup{options: httpapi.Options{Tasks: &tasks}})
	for _, test := range []struct {
		name, path, accept string
		kind               string
		want, unwanted     string
	}{
		{"text for curl", "/debug/tasks", "*/*", "text/plain", "reading <b>?[31m", "\x1b"},
		{"HTML for a browser", "/debug/tasks", "text/html,*/*;q=0.8", "text/html", "reading &lt;b&gt;", "<b>"},
		{"JSON for a program", "/debug/tasks", "application/json", "application/json", `"name":"reading`, "\x1b"},
		{"JSON on demand", "/debug/tasks?format=json", "text/html", "application/json", `"age_seconds":`, "\x1b"},
		{"connections", "/debug/connections", "", "text/plain", "serving", "waiting to be"},
		{"connections in JSON", "/debug/connections?format=json", "", "application/json", `,"idle_seconds":`, `"age":`},
		{"connections of one listener", "/debug/connections?listener=other", "", "text/plain", "0 in all", "serving"},
		{"the list of pages", "/debug/", "text/html", "text/html", `<a href="/debug/connections">`, "pprof"},
		{"metrics", "/metrics", "", "text/plain", "spate_http_request_seconds_count{code=\"200\",route=\"GET /debug/tasks\"}", "evil"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := k.ask("GET", test.path, "Accept: "+test.accept)
			if got.status != http.StatusOK || !strings.HasPrefix(got.header.Get("Content-Type"), test.kind) {
				t.Errorf("%d %s, want %s", got.status, got.header.Get("Content-Type"), test.kind)
			}
			if !strings.Contains(got.body, test.want) || strings.Contains(got.body, test.unwanted) {
				t.Errorf("want %q and not %q in:\n%s", test.want, test.unwanted, got.body)
			}
		})
	}
	var rows []engine.Info
	if err := json.Unmarshal([]byte(k.ask("GET", "/debug/connections?format=json").body), &rows); err != nil || len(rows) == 0 || rows[0].Protocol != "http" {
		t.Errorf("%v %+v", err, rows)
	}
	if got := k.ask("GET", "/"); got.status != http.StatusSeeOther || got.header.Get("Location") != "/debug/" {
		t.Error(got)
	}
}

func TestPProfIsOffUntilAskedFor(t *testing.T) {
	for on, want := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		k := start(t, setup{options: httpapi.Options{PProf: on}})
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=1"} {
			if got := k.ask("GET", path); got.status != want {
				t.Errorf("pprof %t: %s: %d, want %d", on, path, got.status, want)
			}
		}
	}
}

func TestKeepAlive(t *testing.T) {
	k := start(t, setup{})
	c := k.dial()
	for range 3 {
		if got := k.askOn(c, "GET", "/livez"); got.status != http.StatusOK {
			t.Error(got)
		}
	}
	if s := k.Stats(); s.Accepted != 1 || s.BytesIn == 0 || s.BytesOut == 0 {
		t.Errorf("%+v", s)
	}
	c.Close()
	k.wantClosed(engine.ReasonPeer)
	c = k.dial()
	send(c, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	k.wantClosed(engine.ReasonQuit)
}

// Shutdown closes at once who waits for nothing, and lets the others finish.
func TestShutdown(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	k := start(t, setup{options: httpapi.Options{Ready: func() error {
		close(entered)
		<-release
		return nil
	}}})
	silent, idle, busy := k.dial(), k.dial(), k.dial()
	k.askOn(idle, "GET", "/livez")
	answer := make(chan reply, 1)
	go func() { answer <- k.askOn(busy, "GET", "/readyz") }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- k.Shutdown(t.Context()) }()
	for _, c := range []interface{ Read([]byte) (int, error) }{silent, idle} {
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d bytes from a connection that should be closed", n)
		}
	}
	close(release)
	if got := <-answer; got.status != http.StatusOK {
		t.Error("the request under way:", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := k.Stats().Closed[engine.ReasonShutdown]; n == 0 {
		t.Errorf("%+v", k.Stats())
	}
	if err := k.Shutdown(t.Context()); err != engine.ErrStopped {
		t.Errorf("a second shutdown: %v", err)
	}
}

// A shutdown whose time is over cuts off what is left, and says so.
func TestShutdownCutsOff(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	k := start(t, setup{options: httpapi.Options{Ready: func() error {
		close(entered)
		<-release
		return nil
	}}})
	c := k.dial()
	if _, err := c.Write([]byte("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 HTTP requests were cut off") {
		t.Error(err)
	}
	close(release)
}

func TestTracing(t *testing.T) {
	tracer := &spans{}
	k := start(t, setup{options: httpapi.Options{Tracer: tracer}})
	k.ask("GET", "/livez", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	k.log.wait(t, "the request", func(l line) bool { return l.msg == "request" })
	if got := tracer.parent.TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the span's parent is of trace %s", got)
	}
}

func TestNewNeedsItsOwnNames(t *testing.T) {
	k := start(t, setup{options: httpapi.Options{Metrics: prometheus.NewRegistry()}})
	if got := k.ask("GET", "/metrics"); strings.Contains(got.body, "go_goroutines") {
		t.Error("a registry that was passed in is added to")
	}
	if _, err := httpapi.New(httpapi.Options{}); err == nil {
		t.Error("a door without an Auth")
	}
}

// TestPaths: whatever the path looks like, an API answers in its own words, and never with the redirect of a ServeMux.
func TestPaths(t *testing.T) {
	k := startAPI(t, setup{consumers: true}, "orders orders/#", "a/b a/b", "a//b a2", ".. dots", ". dot")
	for _, path := range []string{
		"/v1/streams//events", "//v1/streams", "/v1//streams", "/v1/streams//", "/v1/streams/", "/v1/streams/../streams", "/v1/streams/orders/../orders",
		"/v1/streams/./orders", "/v1/streams/orders/", "/v1/streams/orders//events", "/v1/streams/orders/events/", "/v1/", "/v1//", "/v1/..", "/v1/../v1/streams",
		"/v1/streams/%2F", "/v1/streams/%2E", "/v1%2Fstreams", "/v1/streams/orders%2Fevents", "/v1/streams/%2e%2e/orders", "/v1/consumers//pause",
		"/v1/consumers/../streams", "/v1/dead//redrive", "/v1/dead/", "/v1/problems/", "/v1/problems//", "/v1/openapi.json/", "/v1/subscribe/", "/v1/events/", "/v1/backup/",
		"/v1/nothing", "/debug//tasks", "/debug/../v1/streams", "//", "/v1/streams/%00", "/v1/streams/%ff", "/v1/streams/" + strings.Repeat("x", 2000), "/metrics/", "/livez/", "//livez",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "PATCH", "PUT"} {
			got := k.send(method, path, "{}", "Content-Type: application/json")
			if path == "/v1/streams/%2E" && method != "POST" && method != "PUT" {
				continue // the stream "."
			}
			if got.status != http.StatusNotFound && got.status != http.StatusMethodNotAllowed || got.header.Get("Location") != "" || strings.Contains(got.body, "<") {
				t.Errorf("%s %s: %d %v %.200s", method, path, got.status, got.header, got.body)
			}
			if strings.HasPrefix(path, "/v1/") && got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %v %.200s", method, path, got.header, got.body)
			}
		}
	}
	for path, name := range map[string]string{"orders": "orders", "a%2Fb": "a/b", "a%2F%2Fb": "a//b", "%2E%2E": "..", "%2e%2E": "..", "%6frders": "orders"} {
		got := k.ask("GET", "/v1/streams/"+path).want(t, http.StatusOK)
		if got["config"].(map[string]any)["name"] != name {
			t.Errorf("%s is %v", path, got)
		}
	}
	for path, subject := range map[string]string{"a//b": "a//b", "/a": "/a", "a/": "a/", "../a": "../a", "a/./b": "a/./b", "x%2Fb": "x/b", "//": "//"} {
		if got := k.send("POST", "/v1/publish/"+path, "x").want(t, http.StatusAccepted); got["subject"] != subject {
			t.Errorf("%s is %v", path, got)
		}
	}
}
