package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"go.uber.org/goleak"
)

// leakless is testing.M that also looks for goroutines that were left behind.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){"spate": main})
}

// patience is how long a script waits for what must happen.
const patience = 30 * time.Second

// TestScripts runs testdata/script: each is the use of the command by a person. Besides testscript's own commands
// there are those below.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", os.Getenv("GORACE"))
			all := &servers{byName: make(map[string]*serving)}
			env.Values[serversKey{}] = all
			env.Defer(all.kill)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"shop": shop, "until": until, "damage": damage,
			"collector": collector, "traced": traced, "start": start, "printed": printed, "signal": sendSignal, "finish": finish, "logged": logged, "ask": ask, "hold": hold, "clog": clog, "client": mqttClient,
		},
	})
}

type serversKey struct{}

// collector starts what traces are exported to, and says so in the environment.
func collector(ts *testscript.TestScript, _ bool, _ []string) {
	s := all(ts)
	s.spans = make(chan []byte, 100)
	s.collector = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.URL.Path == "/v1/traces" {
			s.spans <- body
		}
	}))
	ts.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.collector.URL)
}

// traced WORD… waits until all words, which are names of spans and services, were in an export.
func traced(ts *testscript.TestScript, _ bool, args []string) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var exported []byte
	for _, word := range args {
		for !bytes.Contains(exported, []byte(word)) {
			select {
			case body := <-all(ts).spans:
				exported = append(exported, body...)
			case <-timeout.C:
				ts.Fatalf("no export has %q", word)
			}
		}
	}
}

// servers are those that a script has started.
type servers struct {
	byName    map[string]*serving
	collector *httptest.Server
	spans     chan []byte
	held      []io.Closer
}

func (s *servers) kill() {
	for _, one := range s.byName {
		_ = one.cmd.Process.Kill()
		<-one.done
	}
	for _, c := range s.held {
		c.Close()
	}
	if s.collector != nil {
		s.collector.Close()
	}
}

// serving is a process that serves.
type serving struct {
	cmd      *exec.Cmd
	out, err output
	done     chan struct{}
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

// look returns the text so far, and a channel that is closed when there is more.
func (o *output) look() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.text.String(), o.more
}

// wait waits until the output matches, or the process ends.
func (s *serving) wait(ts *testscript.TestScript, o *output, what *regexp.Regexp) string {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		text, more := o.look()
		if what.MatchString(text) {
			return text
		}
		select {
		case <-more:
		case <-s.done:
			if text, _ := o.look(); what.MatchString(text) {
				return text
			}
			ts.Fatalf("the process ended without %s:\n%s%s", what, s.out.text.String(), s.err.text.String())
		case <-timeout.C:
			ts.Fatalf("no %s in\n%s", what, text)
		}
	}
}

func all(ts *testscript.TestScript) *servers { return ts.Value(serversKey{}).(*servers) }

func named(ts *testscript.TestScript, name string) *serving {
	s := all(ts).byName[name]
	if s == nil {
		ts.Fatalf("no process is called %s", name)
	}
	return s
}

var listening = regexp.MustCompile(`(?m)^  ([a-z+]+)://(\S+)$`)

// start NAME ARGS… runs spate with ARGS in the background until it says what it listens on. The address of the first
// listener of each scheme is in the variable NAME_SCHEME, and its port in NAME_SCHEME_PORT.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME ARGS…")
	}
	path, err := exec.LookPath("spate")
	ts.Check(err)
	s := &serving{cmd: exec.Command(path, args[1:]...), done: make(chan struct{})}
	s.cmd.Dir = ts.Getenv("WORK")
	s.cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("WORK"))
	for _, name := range []string{"SPATE_CONFIG", "SPATE_LOG_LEVEL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_BSP_SCHEDULE_DELAY", "TMPDIR"} {
		if value := ts.Getenv(name); value != "" {
			s.cmd.Env = append(s.cmd.Env, name+"="+value)
		}
	}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.err
	ts.Check(s.cmd.Start())
	go func() {
		_ = s.cmd.Wait() // finish looks at the exit code
		close(s.done)
	}()
	all(ts).byName[args[0]] = s
	text := s.wait(ts, &s.out, regexp.MustCompile(`Try:`))
	for _, m := range listening.FindAllStringSubmatch(text, -1) {
		name := args[0] + "_" + strings.ReplaceAll(m[1], "+", "_")
		if ts.Getenv(name) == "" {
			ts.Setenv(name, m[2])
			ts.Setenv(name+"_PORT", m[2][strings.LastIndex(m[2], ":")+1:])
		}
	}
}

// signal NAME SIGNAL sends a signal.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}
	ts.Check(named(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// finish NAME CODE waits until the process ends, with an exit code.
func finish(ts *testscript.TestScript, _ bool, args []string) {
	s := named(ts, args[0])
	select {
	case <-s.done:
	case <-time.After(patience):
		ts.Fatalf("%s does not end:\n%s", args[0], s.err.text.String())
	}
	if want, err := strconv.Atoi(args[1]); err != nil || s.cmd.ProcessState.ExitCode() != want {
		ts.Fatalf("exit code %d, want %s:\n%s", s.cmd.ProcessState.ExitCode(), args[1], s.err.text.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), s.out.text.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), s.err.text.Bytes(), 0o600))
}

// logged NAME REGEXP waits until the process has logged something.
func logged(ts *testscript.TestScript, _ bool, args []string) {
	s := named(ts, args[0])
	s.wait(ts, &s.err, regexp.MustCompile(args[1]))
}

// printed NAME REGEXP waits until the process has printed something.
func printed(ts *testscript.TestScript, _ bool, args []string) {
	s := named(ts, args[0])
	s.wait(ts, &s.out, regexp.MustCompile(args[1]))
}

// ask ADDR LINE WANT sends a line, in which \n is the end of one, and wants an answer that begins with WANT.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	c := connect(ts, args[0])
	defer c.Close()
	_, err := fmt.Fprintf(c, "%s\r\n", strings.ReplaceAll(args[1], `\n`, "\r\n"))
	ts.Check(err)
	got, err := bufio.NewReader(c).ReadString('\n')
	ts.Check(err)
	if strings.HasPrefix(got, args[2]) == neg {
		ts.Fatalf("%s was answered %q", args[1], got)
	}
}

// hold ADDR LINE sends a line, waits for an answer, and keeps the connection open until the script ends.
func hold(ts *testscript.TestScript, _ bool, args []string) {
	c := connect(ts, args[0])
	all(ts).held = append(all(ts).held, c)
	_, err := fmt.Fprintf(c, "%s\r\n", args[1])
	ts.Check(err)
	_, err = c.Read(make([]byte, 1))
	ts.Check(err)
}

// mqttClient ADDR ID stay|leave connects with MQTT, makes a session that lasts an hour, subscribes to a/# and stays until the script ends, or leaves.
func mqttClient(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := mqttclient.Dial(ctx, "mqtt://"+args[0], mqttclient.Options{ClientID: args[1], Resume: true, SessionExpiry: 3600})
	ts.Check(err)
	all(ts).held = append(all(ts).held, closing(c.Close))
	_, err = c.Subscribe(ctx, packet.Subscription{Filter: "a/#", QoS: 1, NoLocal: true})
	ts.Check(err)
	if args[2] == "leave" {
		ts.Check(c.Disconnect())
	}
}

// closing is a Close that does not fail.
type closing func()

// Close implements io.Closer.
func (c closing) Close() error {
	c()
	return nil
}

// clog ADDR sends to an echo server without reading, until the server takes no more, and keeps the connection open until
// the script ends.
func clog(ts *testscript.TestScript, _ bool, args []string) {
	c := connect(ts, args[0])
	all(ts).held = append(all(ts).held, c)
	chunk := make([]byte, 1<<20)
	for {
		ts.Check(c.SetWriteDeadline(time.Now().Add(time.Second)))
		if _, err := c.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			ts.Fatalf("sending to %s: %v", args[0], err)
		}
	}
}

func connect(ts *testscript.TestScript, addr string) net.Conn {
	network := "tcp"
	if strings.Contains(addr, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, addr)
	ts.Check(err)
	ts.Check(c.SetDeadline(time.Now().Add(patience)))
	return c
}
