package resp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// eachDriver runs f once for each driver of the engine.
func eachDriver(t *testing.T, f func(t *testing.T, driver string)) {
	drivers := []string{engine.Net}
	if runtime.GOOS == "linux" {
		drivers = append(drivers, engine.Epoll)
	}
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) { f(t, d) })
	}
}

// server is an engine with one listener that speaks RESP, shut down at the end of the test.
type server struct {
	*engine.Engine
	t        testing.TB
	proto    *resp.Protocol
	listener *engine.Listener
	log      *logBuffer
}

func serve(t testing.TB, driver string, o resp.Options, limits engine.Limits) *server {
	t.Helper()
	return serveOn(t, driver, o, limits, engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0"})
}

func serveUnix(t testing.TB, driver string, o resp.Options) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "resp") // t.TempDir is too long for a socket's name on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return serveOn(t, driver, o, engine.Limits{}, engine.ListenOptions{Network: "unix", Address: filepath.Join(dir, "s")})
}

func serveOn(t testing.TB, driver string, o resp.Options, limits engine.Limits, on engine.ListenOptions) *server {
	t.Helper()
	logs := &logBuffer{}
	o.Logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := engine.New(engine.Options{Driver: driver, Limits: limits, Logger: o.Logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil && !errors.Is(err, engine.ErrStopped) {
			t.Errorf("shutting down: %v", err)
		}
	})
	p, err := resp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	on.Protocol = p
	l, err := e.Listen(t.Context(), on)
	if err != nil {
		t.Fatal(err)
	}
	return &server{Engine: e, t: t, proto: p, listener: l, log: logs}
}

func (s *server) dial() *client {
	s.t.Helper()
	return dial(s.t, "tcp", s.listener.Addr().String())
}

// closedFor waits until a connection has ended for the reason, which must be counted and logged.
func (s *server) closedFor(r engine.Reason) {
	s.t.Helper()
	eventually(s.t, "a connection that ended for "+r.String(), func() bool { return s.Stats().Closed[r] > 0 })
	eventually(s.t, "the log of "+r.String(), func() bool { return strings.Contains(s.log.String(), "reason="+r.String()) })
}

// alive checks that another client is served as if nothing had happened.
func (s *server) alive() {
	s.t.Helper()
	c := s.dial()
	c.want("PING alive", "$5\r\nalive\r\n")
	c.Close()
}

// eventually waits until ok, which nobody announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come within %v", what, patience)
		}
	}
}

// client is a raw connection that reads whole replies.
type client struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
	n  int // markers sent
}

func dial(t testing.TB, network, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newClient(t, c)
}

func newClient(t testing.TB, c net.Conn) *client {
	_ = c.SetDeadline(time.Now().Add(3 * patience))
	return &client{Conn: c, t: t, in: bufio.NewReader(c)}
}

// send writes bytes as they are.
func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatalf("sending %.60q: %v", raw, err)
	}
}

// reply reads one reply, or what the server pushes.
func (c *client) reply() string {
	c.t.Helper()
	got, err := readReply(c.in)
	if err != nil {
		c.t.Fatalf("reading a reply: %v, after %.200q", err, got)
	}
	return got
}

// ask sends a request that is written as a line of words and returns its reply.
func (c *client) ask(line string) string {
	c.t.Helper()
	c.send(request(strings.Fields(line)...))
	return c.reply()
}

// want asks and compares.
func (c *client) want(line, want string) {
	c.t.Helper()
	if got := c.ask(line); got != want {
		c.t.Errorf("%s: %.300q, want %.300q", line, got, want)
	}
}

// wantReply compares what the server says next.
func (c *client) wantReply(want string) {
	c.t.Helper()
	if got := c.reply(); got != want {
		c.t.Errorf("got %.300q, want %.300q", got, want)
	}
}

// rest reads until the server closes, and closes too.
func (c *client) rest() string {
	c.t.Helper()
	defer c.Close()
	got, err := io.ReadAll(c.in)
	if err != nil && !isReset(err) {
		c.t.Fatalf("the server did not close: %v", err)
	}
	return string(got)
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// exchange sends bytes, and then a command that nobody knows, and returns every reply before that one's. It works in any
// state of the connection. Closed tells that the server has closed in between.
func (c *client) exchange(raw string) (replies []string, closed bool) {
	c.t.Helper()
	c.n++
	marker := "END-" + strconv.Itoa(c.n)
	if _, err := io.WriteString(c, raw+request(marker)); err != nil {
		return nil, true
	}
	for {
		got, err := readReply(c.in)
		if err == io.EOF || isReset(err) {
			return replies, true
		}
		if err != nil {
			c.t.Fatalf("%.100q: %v, after %.300q %.300q", raw, err, replies, got)
		}
		if strings.Contains(got, "'"+marker+"'") {
			return replies, false
		}
		replies = append(replies, got)
	}
}

// request writes a request of these arguments.
func request(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

// readReply reads one reply of any type, with all that is inside it.
func readReply(in *bufio.Reader) (string, error) {
	var b strings.Builder
	err := copyReply(&b, in)
	return b.String(), err
}

func copyReply(b *strings.Builder, in *bufio.Reader) error {
	line, err := in.ReadString('\n')
	b.WriteString(line)
	if err != nil || len(line) < 3 {
		return err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=':
		if n >= 0 {
			_, err = io.CopyN(b, in, int64(n)+2)
		}
		return err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return nil
	}
	for ; n > 0 && err == nil; n-- {
		err = copyReply(b, in)
	}
	return err
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
