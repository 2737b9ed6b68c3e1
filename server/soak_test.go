package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/task"
	"go.uber.org/goleak"
)

var soakFor = flag.Duration("soak", 5*time.Second, "how long TestSoak runs, over all drivers")

// soakConfig has limits that are reached all the time.
const soakConfig = `listen: [resp://127.0.0.1:0, resp+tls://127.0.0.1:0, echo://127.0.0.1:0, http://127.0.0.1:0, http+tls://127.0.0.1:0]
engine: %s
tls: {cert: %s, key: %s}
drain_timeout: 5s
log: {level: error}
limits: {connections: 150, message: 64KiB, buffered: 256KiB, first_timeout: 500ms, request_timeout: 500ms, handshake_timeout: 500ms, write_timeout: 500ms, linger_timeout: 100ms}
http: {limits: {connections: 50, header_timeout: 500ms, idle_timeout: 500ms, write_timeout: 500ms}}
`

// What may be left after all clients have gone: pools keep some buffers, and the collector some garbage.
const (
	spareHeap        = 24 << 20
	spareDescriptors = 3
	spareGoroutines  = 8
)

// TestSoak has clients of every kind come and go at random, decent ones and hostile ones, while connections are killed and
// configuration and certificates are reloaded. One decent client is there all the time and must never notice. In the end no
// goroutine, no descriptor and no memory is left behind. `make soak` runs it for ten minutes under the race detector.
func TestSoak(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) { soak(t, driver, *soakFor/time.Duration(len(drivers()))) })
	}
}

func soak(t *testing.T, driver string, long time.Duration) {
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "localhost")
	k := start(t, fmt.Sprintf(soakConfig, driver, cert, key))
	s := &soaker{k: k, dir: dir, seed: uint64(time.Now().UnixNano())}
	t.Logf("seed %d", s.seed)
	s.spell(t, min(long/4, 2*time.Second)) // fills the pools
	before := s.settled(t)
	s.spell(t, long)
	after := s.settled(t)
	t.Logf("%d visits; before %s, after %s", s.visits.Load(), before, after)
	if after.heap > before.heap+spareHeap || after.descriptors > before.descriptors+spareDescriptors || after.goroutines > before.goroutines+spareGoroutines {
		t.Errorf("something is left behind: before %s, after %s\n%s", before, after, stacks())
	}
	if err := k.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// A soaker sends clients.
type soaker struct {
	k      *kit
	dir    string
	seed   uint64
	spells uint64
	visits atomic.Int64
}

// visit is what one client does, once. Errors of hostile clients and of those that are killed are no errors.
type visit func(ctx context.Context, r *rand.Rand)

// spell lets all kinds of clients visit for a while.
func (s *soaker) spell(t *testing.T, long time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var scope task.Scope
	s.spells++
	guest := uint64(0)
	send := func(n int, name string, v visit) {
		for range n {
			guest++
			r := rand.New(rand.NewPCG(s.seed+s.spells, guest))
			scope.Go(context.WithoutCancel(ctx), name, func(context.Context) error {
				for ctx.Err() == nil {
					v(ctx, r)
					s.visits.Add(1)
					pause(ctx, r, 20*time.Millisecond)
				}
				return nil
			})
		}
	}
	send(1, "decent", s.decent)
	send(6, "pipeline", s.pipeline)
	send(4, "echo", s.echo)
	send(6, "subscriber", s.subscriber)
	send(3, "publisher", s.publisher)
	send(4, "slow reader", s.slowReader)
	send(4, "nonsense", s.nonsense)
	send(4, "secure", s.secure)
	send(3, "browser", s.browser)
	send(4, "silent", s.silent)
	send(1, "killer", s.killer)
	send(1, "reloader", s.reloader)
	if err := scope.Wait(); err != nil {
		t.Errorf("a client: %v", err)
	}
}

// pause waits for a random time up to most.
func pause(ctx context.Context, r *rand.Rand, most time.Duration) {
	timer := time.NewTimer(duration(r, most))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// enter connects to a listener, or fails when the server is full.
func (s *soaker) enter(scheme string) (net.Conn, error) {
	addr := s.k.addr(scheme)
	c, err := net.Dial(addr.Network(), addr.String())
	if err == nil {
		err = c.SetDeadline(time.Now().Add(5 * time.Second))
	}
	return c, err
}

// leave closes a connection, now and then with a reset.
func leave(c net.Conn, r *rand.Rand) {
	if tcp, ok := c.(*net.TCPConn); ok && r.IntN(4) == 0 {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// decent is one client that stays for the whole spell and must not notice the others.
func (s *soaker) decent(ctx context.Context, r *rand.Rand) {
	c, err := s.enter("resp")
	if err != nil {
		s.k.t.Errorf("the decent client: %v", err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Time{})
	in := bufio.NewReader(c)
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return
	}
	if line, err := in.ReadString('\n'); line != "+PONG\r\n" {
		if line != "" { // else it was refused at the door, and tries again
			s.k.t.Errorf("the decent client was answered %q, %v", line, err)
		}
		return
	}
	for ctx.Err() == nil {
		start := time.Now()
		_ = c.SetDeadline(start.Add(patience))
		if _, err := io.WriteString(c, "PING\r\n"); err != nil {
			s.k.t.Errorf("the decent client: %v", err)
			return
		}
		if line, err := in.ReadString('\n'); line != "+PONG\r\n" {
			s.k.t.Errorf("the decent client was answered %q, %v", line, err)
			return
		}
		pause(ctx, r, 10*time.Millisecond)
	}
}

func (s *soaker) pipeline(_ context.Context, r *rand.Rand) {
	c, err := s.enter("resp")
	if err != nil {
		return
	}
	defer leave(c, r)
	in := bufio.NewReader(c)
	for range r.IntN(5) {
		n := 1 + r.IntN(300)
		if _, err := io.WriteString(c, strings.Repeat("*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\n", n)); err != nil {
			return
		}
		for range n {
			line, err := in.ReadString('\n')
			if err != nil || line == "" {
				return // killed
			}
			if line != "$3\r\n" {
				s.k.t.Errorf("ECHO was answered %q", line)
				return
			}
			if line, err = in.ReadString('\n'); err == nil && line != "abc\r\n" {
				s.k.t.Errorf("ECHO was answered %q", line)
				return
			}
		}
	}
}

func (s *soaker) echo(_ context.Context, r *rand.Rand) {
	c, err := s.enter("echo")
	if err != nil {
		return
	}
	defer leave(c, r)
	sent := make([]byte, 1+r.IntN(100<<10))
	for i := range sent {
		sent[i] = byte(r.Uint32())
	}
	var writing task.Scope
	writing.Go(context.Background(), "echo", func(context.Context) error {
		_, _ = c.Write(sent)
		return nil
	})
	got, _ := io.ReadAll(io.LimitReader(c, int64(len(sent))))
	_ = writing.Wait()
	if !strings.HasPrefix(string(sent), string(got)) {
		s.k.t.Error("echo sent other bytes than it was sent")
	}
}

func (s *soaker) subscriber(_ context.Context, r *rand.Rand) {
	c, err := s.enter("resp")
	if err != nil {
		return
	}
	defer leave(c, r)
	command := []string{"SUBSCRIBE news/1", "PSUBSCRIBE news/*", "PSUBSCRIBE news/+", "SUBSCRIBE news/1 news/2 news/3"}[r.IntN(4)]
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c, int64(r.IntN(200<<10)))) // ends by the deadline at the latest
	_ = c.SetDeadline(time.Now().Add(duration(r, 500*time.Millisecond)))
	_, _ = io.Copy(io.Discard, c)
}

func (s *soaker) publisher(_ context.Context, r *rand.Rand) {
	c, err := s.enter("resp")
	if err != nil {
		return
	}
	defer leave(c, r)
	in := bufio.NewReader(c)
	payload := strings.Repeat("x", r.IntN(16<<10))
	for i := range r.IntN(200) {
		if _, err := fmt.Fprintf(c, "*3\r\n$7\r\nPUBLISH\r\n$6\r\nnews/%d\r\n$%d\r\n%s\r\n", i%10, len(payload), payload); err != nil {
			return
		}
		if line, err := in.ReadString('\n'); err == nil && !strings.HasPrefix(line, ":") {
			s.k.t.Errorf("PUBLISH was answered %q", line)
		}
	}
}

// slowReader subscribes and reads nothing until it is thrown out, or has had enough.
func (s *soaker) slowReader(ctx context.Context, r *rand.Rand) {
	c, err := s.enter("resp")
	if err != nil {
		return
	}
	defer leave(c, r)
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	_, _ = io.WriteString(c, "PSUBSCRIBE *\r\n")
	pause(ctx, r, 2*time.Second)
}

func (s *soaker) nonsense(_ context.Context, r *rand.Rand) {
	c, err := s.enter([]string{"resp", "resp+tls", "http", "http+tls"}[r.IntN(4)])
	if err != nil {
		return
	}
	defer leave(c, r)
	junk := make([]byte, r.IntN(100<<10))
	for i := range junk {
		junk[i] = byte(r.Uint32())
	}
	starts := []string{"", "*3\r\n$", "*1\r\n$99999999\r\n", "GET / HTTP/1.1\r\nX: ", "\x16\x03\x01", "PUBLISH a "}
	_, _ = c.Write(append([]byte(starts[r.IntN(len(starts))]), junk...))
	if r.IntN(2) == 0 {
		_ = c.SetReadDeadline(time.Now().Add(duration(r, time.Second)))
		_, _ = io.Copy(io.Discard, c)
	}
}

func (s *soaker) secure(_ context.Context, r *rand.Rand) {
	raw, err := s.enter("resp+tls")
	if err != nil {
		return
	}
	defer leave(raw, r)
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	if c.Handshake() != nil {
		return
	}
	for range r.IntN(20) {
		if _, err := io.WriteString(c, "PING\r\n"); err != nil {
			return
		}
		got := make([]byte, 7)
		if _, err := io.ReadFull(c, got); err == nil && string(got) != "+PONG\r\n" {
			s.k.t.Errorf("PING was answered %q", got)
		}
	}
	if r.IntN(2) == 0 {
		_ = c.Close()
	}
}

func (s *soaker) browser(_ context.Context, r *rand.Rand) {
	c, err := s.enter("http")
	if err != nil {
		return
	}
	defer leave(c, r)
	path := []string{"/livez", "/metrics", "/debug/connections", "/debug/tasks?format=json", "/nowhere"}[r.IntN(5)]
	request := "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	if r.IntN(4) == 0 {
		request = request[:r.IntN(len(request))]
	}
	_, _ = io.WriteString(c, request)
	if r.IntN(3) > 0 {
		_, _ = io.Copy(io.Discard, c)
	}
}

// silent says nothing, and waits to be thrown out or not.
func (s *soaker) silent(ctx context.Context, r *rand.Rand) {
	c, err := s.enter([]string{"resp", "resp+tls", "echo", "http", "http+tls"}[r.IntN(5)])
	if err != nil {
		return
	}
	defer leave(c, r)
	pause(ctx, r, time.Second)
}

// killer ends random subscribers.
func (s *soaker) killer(ctx context.Context, r *rand.Rand) {
	c, err := s.enter("resp")
	if err != nil {
		return
	}
	defer leave(c, r)
	in := bufio.NewReader(c)
	for range 5 {
		pause(ctx, r, 50*time.Millisecond)
		if _, err := io.WriteString(c, "CLIENT LIST\r\n"); err != nil {
			return
		}
		var size int
		header, err := in.ReadString('\n')
		if _, scanned := fmt.Sscanf(header, "$%d", &size); err != nil || scanned != nil {
			return
		}
		list := make([]byte, size+2)
		if _, err := io.ReadFull(in, list); err != nil {
			return
		}
		lines := strings.Split(strings.TrimSpace(string(list)), "\n")
		one := lines[r.IntN(len(lines))]
		id, _, _ := strings.Cut(strings.TrimPrefix(one, "id="), " ")
		if strings.Contains(one, " sub=0 psub=0 ") {
			continue
		}
		if _, err := fmt.Fprintf(c, "CLIENT KILL ID %s\r\n", id); err != nil {
			return
		}
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
	}
}

// reloader writes a new certificate and reloads, again and again.
func (s *soaker) reloader(ctx context.Context, r *rand.Rand) {
	writeCertificate(s.k.t, s.dir, "localhost")
	if err := s.k.Reload(); err != nil {
		s.k.t.Errorf("reloading: %v", err)
	}
	pause(ctx, r, 200*time.Millisecond)
}

// usage is what the process holds.
type usage struct {
	goroutines, descriptors int
	heap                    int64
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KiB", u.goroutines, u.descriptors, u.heap>>10)
}

// settled waits until every connection is gone, and returns what is held then.
func (s *soaker) settled(t *testing.T) usage {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		inside := s.k.App().Connections()
		if inside == 0 {
			break
		}
		if time.Since(start) > patience {
			t.Fatalf("%d connections do not end\n%s", inside, stacks())
		}
	}
	var u usage
	for range 5 { // a buffer leaves its pool with the second collection
		runtime.GC()
		<-tick.C
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heap, u.goroutines, u.descriptors = int64(m.HeapAlloc), runtime.NumGoroutine(), -1
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.descriptors = len(entries)
	}
	return u
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// duration is a random one up to most.
func duration(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}
