package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

var soakTime = flag.Duration("soak", 2*time.Second, "how long TestSoak runs on each driver")

// soakLimits are small, so that they are reached, and short, but not so short
// that a busy machine reaches them for clients that do nothing wrong.
var soakLimits = engine.Limits{
	Connections: 150, PerAddress: 120, Handshakes: 8, Message: 64 << 10,
	Buffered: 64 << 10, BufferedTotal: 16 << 20,
	HandshakeTimeout: 4 * time.Second, FirstTimeout: 4 * time.Second, RequestTimeout: 4 * time.Second,
	IdleTimeout: 4 * time.Second, WriteTimeout: 4 * time.Second, LingerTimeout: soon,
}

// TestSoak has clients of every kind, good, bad and unlucky, use one engine at
// the same time, while connections are killed, messages pushed, listeners
// opened and closed and certificates loaded again. Whatever a client gets is
// checked; at the end nothing is left.
func TestSoak(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		serve(t, driver, "tls13", &lines{handle: echoLine}, engine.Limits{}).dial().ask("so that the runtime has what it keeps")
		goroutines, fds := runtime.NumGoroutine(), descriptors(t)
		k := newSoak(t, driver)
		if testing.Short() {
			*soakTime = soon
		}
		k.run(*soakTime)
		k.quiet()
		k.places()
		k.run(soon) // and now a shutdown in the middle of it
		k.ended()
		waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
		waitFor(t, "descriptors to be given back", func() bool { return descriptors(t) <= fds })
	})
}

// soak is the engine under test and what uses it.
type soak struct {
	t         *testing.T
	e         *engine.Engine
	driver    string
	certs     *engine.Certificates
	certDir   string
	listeners []*engine.Listener
	hub       hub
	log       logBuffer
	clients   sync.WaitGroup
	helpers   sync.WaitGroup
	stop      chan struct{}
	ending    atomic.Bool    // the engine shuts down
	checked   []atomic.Int64 // clients of each kind that are done
}

func newSoak(t *testing.T, driver string) *soak {
	k := &soak{
		t: t, driver: driver, certDir: t.TempDir(), stop: make(chan struct{}),
		checked: make([]atomic.Int64, len(soakClients)),
	}
	var err error
	k.certs, err = engine.LoadCertificates(testCA().write(t, k.certDir, "spate.test"))
	if err != nil {
		t.Fatal(err)
	}
	k.e, err = engine.New(engine.Options{
		Driver: driver, Limits: soakLimits,
		Logger: slog.New(slog.NewTextHandler(&k.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, o := range []engine.ListenOptions{
		{Network: "tcp", Address: "127.0.0.1:0"},
		{Network: "unix", Address: filepath.Join(dir, "plain")},
		{Network: "tcp", Address: "127.0.0.1:0", TLS: k.certs.Config()},
		{Network: "unix", Address: filepath.Join(dir, "tls"), TLS: k.certs.Config()},
	} {
		o.Protocol, o.Name = &soakProtocol{k}, fmt.Sprint("soak", i)
		l, err := k.e.Listen(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		k.listeners = append(k.listeners, l)
	}
	return k
}

// run has everybody do their thing for d.
func (k *soak) run(d time.Duration) {
	time.AfterFunc(d, func() { close(k.stop) })
	for i := range 60 {
		k.clients.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))
			for !k.stopped() {
				kind := rng.IntN(len(soakClients))
				soakClients[kind](k, rng)
				k.checked[kind].Add(1)
			}
		})
	}
	for i := range 3 {
		k.helpers.Go(func() { k.push(i) })
	}
	for _, help := range []func(){k.kill, k.watch, k.reload, k.open} {
		k.helpers.Go(help)
	}
}

func (k *soak) stopped() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

// quiet waits until all that run started is over, and checks that nothing is
// left of it.
func (k *soak) quiet() {
	t := k.t
	k.clients.Wait()
	k.helpers.Wait()
	k.stop = make(chan struct{})
	k.gone()
	k.nothingLeft()
	for kind := range k.checked {
		if k.checked[kind].Swap(0) == 0 {
			t.Logf("clients of kind %d never ran", kind)
		}
	}
}

func (k *soak) nothingLeft() {
	st := k.e.Stats()
	var ended uint64
	for r, n := range st.Closed {
		if r != engine.ReasonTooMany && r != engine.ReasonTooManyAddress {
			ended += n
		}
	}
	if ended != st.Accepted || st.Buffered != 0 || st.Handshakes != 0 || st.Connections != 0 {
		k.t.Errorf("%d connections ended; %+v", ended, st)
	}
	if n := k.hub.size(); n != 0 {
		k.t.Errorf("%d sessions were not closed", n)
	}
	k.t.Logf("%+v", st)
}

// places checks that all places of an address can be taken again.
func (k *soak) places() {
	var conns []net.Conn
	for i := range soakLimits.PerAddress {
		c, err := net.Dial("tcp", k.listeners[0].Addr().String())
		if err != nil {
			k.t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		conns = append(conns, c)
		_, _ = c.Write([]byte("E!"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			k.t.Fatalf("the place of connection %d is taken: %v", i, err)
		}
	}
	for _, c := range conns {
		_ = c.Close()
	}
	k.gone()
}

// gone waits for all connections to end.
func (k *soak) gone() {
	deadline := time.Now().Add(20 * time.Second)
	for k.e.Stats().Connections > 0 {
		if time.Now().After(deadline) {
			for c := range k.e.Connections {
				k.t.Errorf("still there: %+v", c.Info())
			}
			k.t.FailNow()
		}
		<-time.After(time.Millisecond)
	}
}

// ended shuts the engine down while it is used.
func (k *soak) ended() {
	<-time.After(soon / 2)
	k.ending.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := k.e.Shutdown(ctx); err != nil {
		k.t.Logf("shutdown: %v", err) // who does not read is cut off
	}
	k.clients.Wait()
	k.helpers.Wait()
	k.nothingLeft()
}

// push is a publisher: every subscriber gets its own consecutive numbers.
func (k *soak) push(id int) {
	rng := rand.New(rand.NewPCG(uint64(id), 7))
	next := map[*soakSession]uint32{}
	for !k.stopped() {
		for _, s := range k.hub.all() {
			m := soakMessage(byte(id), next[s], 12+rng.IntN(3000))
			next[s]++
			err := s.c.Push(m, s.policy)
			if err != nil && !errors.Is(err, engine.ErrClosed) && !errors.Is(err, engine.ErrDropped) {
				k.t.Error(err)
			}
			if errors.Is(err, engine.ErrClosed) {
				delete(next, s)
			}
		}
		<-time.After(time.Millisecond)
	}
}

// soakMessage is a message that shows when it is cut or mixed up.
func soakMessage(pusher byte, number uint32, size int) []byte {
	m := bytes.Repeat([]byte{pusher ^ byte(number)}, size)
	binary.BigEndian.PutUint32(m, uint32(size))
	m[4] = pusher
	binary.BigEndian.PutUint32(m[5:], number)
	return m
}

// kill ends connections at random that expect it.
func (k *soak) kill() {
	reasons := []engine.Reason{engine.ReasonKilled, engine.ReasonQuit, engine.ReasonDenied, engine.ReasonReset}
	for !k.stopped() {
		for c := range k.e.Connections {
			if s, ok := c.Session().(*soakSession); ok && s.mortal.Load() && rand.IntN(20) == 0 {
				c.Close(reasons[rand.IntN(len(reasons))], errors.New("by the test"))
				if err := c.Push([]byte("x"), engine.Block); !errors.Is(err, engine.ErrClosed) {
					k.t.Errorf("pushing to a closed connection returned %v", err)
				}
			}
		}
		<-time.After(5 * time.Millisecond)
	}
}

// watch asks for all that can be asked for.
func (k *soak) watch() {
	for !k.stopped() {
		for c := range k.e.Connections {
			_ = c.Info()
			_ = c.TLS()
			_ = c.Closing()
			if rand.IntN(10) == 0 {
				_ = c.Context()
			}
		}
		if st := k.e.Stats(); st.Buffered > 3*soakLimits.BufferedTotal || st.Connections > soakLimits.Connections {
			k.t.Errorf("%+v", st)
		}
		<-time.After(3 * time.Millisecond)
	}
}

// reload loads new certificates.
func (k *soak) reload() {
	for !k.stopped() {
		testCA().write(k.t, k.certDir, "spate.test")
		if err := k.certs.Reload(); err != nil {
			k.t.Error(err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// open opens listeners and closes them with connections in their queues.
func (k *soak) open() {
	for !k.stopped() {
		o := engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: &soakProtocol{k}}
		if rand.IntN(2) == 0 {
			o.TLS = k.certs.Config()
		}
		l, err := k.e.Listen(context.Background(), o)
		if err != nil {
			if !errors.Is(err, engine.ErrStopped) {
				k.t.Error(err)
			}
			return
		}
		for range rand.IntN(5) {
			if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
				k.clients.Go(func() {
					_, _ = c.Write([]byte("E!"))
					_ = c.SetDeadline(time.Now().Add(time.Duration(rand.IntN(20)) * time.Millisecond))
					_, _ = c.Read(make([]byte, 1))
					_ = c.Close()
				})
			}
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			k.t.Error(err)
		}
		<-time.After(time.Millisecond)
	}
}
