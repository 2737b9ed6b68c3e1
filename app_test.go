package spate_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/task"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// quiet are options for tests that do not look at the log, and whose clients do not hurry to close.
func quiet() spate.Options {
	return spate.Options{Logger: slog.New(slog.DiscardHandler), Limits: engine.Limits{LingerTimeout: time.Millisecond}}
}

// run runs the app until the test ends, and wants it to end well. stop ends it earlier.
func run(t *testing.T, app *spate.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func listen(t *testing.T, app *spate.App, url string) net.Addr {
	t.Helper()
	addr, err := app.Listen(url)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a line and returns the first line of the answer.
func ask(t *testing.T, c net.Conn, line string) string {
	t.Helper()
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSpace(answer)
}

func get(t *testing.T, addr net.Addr, path string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	r, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://" + addr.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// Every protocol over every network that it can have, in one app.
func TestProtocols(t *testing.T) {
	app := spate.New(quiet())
	dir := t.TempDir()
	echo, echoUnix := listen(t, app, "echo://127.0.0.1:0"), listen(t, app, "echo+unix://"+dir+"/echo")
	redis, redisUnix := listen(t, app, "resp://127.0.0.1:0"), listen(t, app, "resp+unix://"+dir+"/resp")
	web, v6 := listen(t, app, "http://127.0.0.1:0"), listen(t, app, "http://localhost:0")
	other, err := app.ListenWith(spate.Listener{URL: "echo://127.0.0.1:0", Driver: engine.Net})
	if err != nil {
		t.Fatal(err)
	}
	run(t, app)
	for _, addr := range []net.Addr{echo, echoUnix, other} {
		if got := ask(t, dial(t, addr), "hello"); got != "hello" {
			t.Errorf("%s: %q", addr, got)
		}
	}
	for _, addr := range []net.Addr{redis, redisUnix} {
		if got := ask(t, dial(t, addr), "PING"); got != "+PONG" {
			t.Errorf("%s: %q", addr, got)
		}
	}
	for _, addr := range []net.Addr{web, v6} {
		if status, body := get(t, addr, "/readyz"); status != http.StatusOK {
			t.Errorf("%s: %d %s", addr, status, body)
		}
	}
}

// Peers that come before Run wait for it.
func TestListenComesBeforeRun(t *testing.T) {
	app := spate.New(quiet())
	c := dial(t, listen(t, app, "echo://127.0.0.1:0"))
	if _, err := io.WriteString(c, "early\n"); err != nil {
		t.Fatal(err)
	}
	run(t, app)
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || got != "early\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// What an app was told wrongly is said by Listen, and again by Run.
func TestOptionsThatAreWrong(t *testing.T) {
	for _, test := range []struct {
		name string
		o    spate.Options
		want string
	}{
		{"a driver that does not exist", spate.Options{Driver: "kqueue"}, "no such driver"},
		{"auth without a role", spate.Options{Auth: auth.Config{Users: []auth.User{{Name: "a"}}}}, "auth.roles"},
		{"a command without a name", spate.Options{Commands: []resp.Command{{}}}, "a name is one word"},
		{"a command that is there already", spate.Options{Commands: []resp.Command{{Name: "PING", Arity: 1, Run: greet}}}, "two commands are called PING"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.Logger = slog.New(slog.DiscardHandler)
			app := spate.New(test.o)
			if _, err := app.Listen("resp://127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Listen: %v, want %q", err, test.want)
			}
			if err := app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Run: %v, want %q", err, test.want)
			}
		})
	}
}

func TestLife(t *testing.T) {
	app := spate.New(quiet())
	addr := listen(t, app, "resp://127.0.0.1:0")
	stop := run(t, app)
	c := dial(t, addr)
	ask(t, c, "PING")
	if _, err := app.Listen("resp://127.0.0.1:0"); !errors.Is(err, spate.ErrRun) {
		t.Errorf("Listen while running: %v", err)
	}
	stop()
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes, %v from a server that has stopped", n, err)
	}
	if err := app.Run(t.Context()); !errors.Is(err, spate.ErrRun) {
		t.Errorf("Run again: %v", err)
	}
	if err := app.Close(); err != nil {
		t.Errorf("Close after Run: %v", err)
	}
	closed := spate.New(quiet())
	listen(t, closed, "echo://"+addr.String()) // the port is free again
	if err := errors.Join(closed.Close(), closed.Close()); err != nil {
		t.Error(err)
	}
	if err := closed.Run(t.Context()); !errors.Is(err, spate.ErrRun) {
		t.Errorf("Run after Close: %v", err)
	}
}

// A context that ends with a cause ends an app in peace.
func TestRunEndsWithACause(t *testing.T) {
	app := spate.New(quiet())
	listen(t, app, "http://127.0.0.1:0")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := app.Run(ctx); err != nil {
		t.Error(err)
	}
}

// A shutdown answers what was asked, says that it drains meanwhile, and cuts off what does not end.
func TestDrain(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	wait := resp.Command{Name: "WAITFOR", Arity: 1, Run: func(ctx context.Context, r *resp.Request) error {
		close(entered)
		<-release
		return nil
	}}
	o := quiet()
	o.Commands = []resp.Command{wait}
	app := spate.New(o)
	redis, web := listen(t, app, "resp://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	busy, idle := dial(t, redis), dial(t, redis)
	ask(t, idle, "PING")
	if _, err := io.WriteString(busy, "WAITFOR\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	cancel()
	if rest, err := io.ReadAll(idle); err != nil {
		t.Errorf("an idle client was told %q, %v", rest, err)
	}
	if status, body := get(t, web, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: %d %s", status, body)
	}
	if status, _ := get(t, web, "/livez"); status != http.StatusOK {
		t.Errorf("/livez while draining: %d", status)
	}
	close(release)
	if got, err := io.ReadAll(busy); err != nil || string(got) != "+OK\r\n" {
		t.Errorf("a request under way was answered with %q, %v", got, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A drain ends the subscriptions of browsers at once, while the engine still waits for a request, and tells them.
func TestDrainEndsSubscribers(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	o := quiet()
	o.Commands = []resp.Command{{Name: "WAITFOR", Arity: 1, Run: func(context.Context, *resp.Request) error {
		close(entered)
		<-release
		return nil
	}}}
	app := spate.New(o)
	redis, web := listen(t, app, "resp://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	subscriber, busy := dial(t, web), dial(t, redis)
	if got := ask(t, subscriber, "GET /v1/subscribe?filter=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"); got != "HTTP/1.1 200 OK" {
		t.Fatal(got)
	}
	if _, err := io.WriteString(busy, "WAITFOR\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	cancel()
	rest, err := io.ReadAll(subscriber) // the end comes though a request is under way
	if err != nil || !strings.Contains(string(rest), ": closed: the server is shutting down\n") {
		t.Errorf("the subscriber was told %q, %v", rest, err)
	}
	close(release)
	start := time.Now()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > spate.DefaultDrainTimeout/2 {
		t.Errorf("Run took another %v to return", took)
	}
}

func TestDrainTimeout(t *testing.T) {
	entered := make(chan struct{})
	o := quiet()
	o.DrainTimeout = -1
	o.Commands = []resp.Command{{Name: "WAITFOR", Arity: 1, Run: func(ctx context.Context, r *resp.Request) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}}
	app := spate.New(o)
	addr := listen(t, app, "resp://127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	if _, err := io.WriteString(dial(t, addr), "WAITFOR\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "1 connections were cut off") {
		t.Errorf("Run: %v", err)
	}
}

// The counters have the names that dashboards and alerts will know.
func TestMetrics(t *testing.T) {
	app := spate.New(quiet())
	redis, web := listen(t, app, "resp://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	run(t, app)
	c := dial(t, redis)
	ask(t, c, "PING")
	ask(t, c, "NOSUCH")
	status, body := get(t, web, "/metrics")
	for start := time.Now(); !strings.Contains(body, "spate_resp_unknown_total 1") && time.Since(start) < patience; {
		status, body = get(t, web, "/metrics") // a batch is counted once it has been answered
	}
	if status != http.StatusOK {
		t.Fatal(status, body)
	}
	for _, want := range []string{
		`spate_connections{door="engine"} 1`,
		`spate_connections_accepted_total{door="engine"} 1`,
		`spate_connections_closed_total{door="engine",reason="idle-timeout"} 0`,
		`spate_listener_connections{listener="resp://` + redis.String() + `"} 1`,
		"spate_resp_unknown_total 1",
		`spate_resp_request_seconds_bucket{le="2.5e-05"} `,
		`spate_resp_request_seconds_bucket{le="5"} 1`,
		`spate_resp_request_seconds_bucket{le="+Inf"} 1`,
		"spate_resp_request_seconds_sum ",
		"spate_resp_request_seconds_count 1",
		"spate_bus_published_total 0",
		`spate_auth_logins_total{result="refused"} 0`,
		"spate_tasks 4",
		"spate_draining 0",
		"go_goroutines ",
		"go_build_info{",
		"process_open_fds ",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	for _, r := range engine.Reasons() {
		if !strings.Contains(body, `door="http",reason="`+r.String()+`"`) {
			t.Errorf("/metrics lacks the reason %s", r)
		}
	}
}

// Isolation: a handler that panics ends its connection, after the replies before it, and nothing else.
func TestPromiseIsolation(t *testing.T) {
	for _, driver := range []string{"", engine.Net} {
		o, release := quiet(), make(chan struct{})
		o.Driver = driver
		o.Commands = []resp.Command{
			{Name: "PANIC", Arity: 1, Run: func(context.Context, *resp.Request) error { panic("on purpose") }},
			{Name: "BLOCK", Arity: 1, Run: func(context.Context, *resp.Request) error {
				<-release
				return nil
			}},
		}
		app := spate.New(o)
		addr := listen(t, app, "resp://127.0.0.1:0")
		stop := run(t, app)
		other := dial(t, addr)
		ask(t, other, "PING")
		for range 20 { // handlers that block hold up nobody
			if _, err := io.WriteString(dial(t, addr), "BLOCK\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		c := dial(t, addr)
		if _, err := io.WriteString(c, "PING\r\nPANIC\r\nPING\r\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "+PONG\r\n" {
			t.Errorf("the connection of a handler that panics got %q, %v", got, err)
		}
		if got := ask(t, other, "PING"); got != "+PONG" {
			t.Errorf("another connection got %q", got)
		}
		for start := time.Now(); app.Engine().Stats().Closed[engine.ReasonPanic] == 0; ask(t, other, "PING") {
			if time.Since(start) > patience {
				t.Fatalf("the end of the connection is not counted: %+v", app.Engine().Stats())
			}
		}
		if n := app.Engine().Stats().Panics; n != 1 {
			t.Errorf("%d panics were counted", n)
		}
		close(release)
		stop()
	}
}

// A task that a handler spawns under its context is in the list of tasks for as long as it runs.
func TestTasksOfHandlers(t *testing.T) {
	release := make(chan struct{})
	o := quiet()
	o.Commands = []resp.Command{{Name: "MEASURE", Arity: 1, Run: func(ctx context.Context, _ *resp.Request) error {
		var s task.Scope
		s.Go(ctx, "measuring the hall", func(context.Context) error {
			<-release
			return nil
		})
		return s.Wait()
	}}}
	app := spate.New(o)
	redis, web := listen(t, app, "resp://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	run(t, app)
	c := dial(t, redis)
	if _, err := io.WriteString(c, "MEASURE\r\n"); err != nil {
		t.Fatal(err)
	}
	tasksWith := func(want bool) {
		t.Helper()
		for start := time.Now(); ; {
			_, body := get(t, web, "/debug/tasks")
			if strings.Contains(body, "measuring the hall") == want {
				return
			}
			if time.Since(start) > patience {
				t.Fatalf("the task of the handler is listed: %v, want %v:\n%s", !want, want, body)
			}
		}
	}
	tasksWith(true)
	close(release)
	if answer, err := bufio.NewReader(c).ReadString('\n'); err != nil || answer != "+OK\r\n" {
		t.Errorf("%q, %v", answer, err)
	}
	tasksWith(false)
}

// A part of the server that panics ends it, with the reason in the log: it does not go on without that part.
func TestVitalPartPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var broken atomic.Bool
		o := quiet()
		o.Driver = engine.Net
		store := memstore.New(memstore.Options{})
		defer store.Close()
		o.Store, o.Logger = store, slog.New(slog.NewTextHandler(&log, nil))
		o.Clock = func() time.Time {
			if broken.Load() {
				panic("the clock has stopped")
			}
			return time.Now()
		}
		app := spate.New(o)
		done := make(chan error, 1)
		go func() { done <- app.Run(t.Context()) }()
		synctest.Wait()
		broken.Store(true)
		if err := <-done; err == nil || !strings.Contains(err.Error(), "a part of the server has failed") || !strings.Contains(err.Error(), "the clock has stopped") {
			t.Errorf("it ended with %v", err)
		}
		if text := log.String(); !strings.Contains(text, "a part of the server has failed") || !strings.Contains(text, "error.stack=") || !strings.Contains(text, "TestVitalPartPanics") {
			t.Errorf("the log has no stack:\n%s", text)
		}
	})
}
