package engine_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// switched is a listener whose TLS can be adopted.
type switched struct {
	net.Listener
	tls *tls.Config
}

func (l switched) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil || l.tls == nil {
		return nc, err
	}
	return tls.Server(engine.NewSwitch(nc), l.tls), nil
}

// adopt starts an HTTP server all of whose connections the engine adopts. Refusals are answered with 503 and the error.
func adopt(t *testing.T, driver, carrier string, p engine.Protocol, l engine.Limits) *server {
	t.Helper()
	s := serve(t, driver, "tcp", p, l)
	s.carrier = carrier
	network, address := "tcp", "127.0.0.1:0"
	if carrier == "unix" {
		network, address = "unix", filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	adopter, err := s.Adopter(ln.Addr(), engine.ListenOptions{Name: "adopted", Protocol: p, Driver: driver})
	if err != nil {
		t.Fatal(err)
	}
	s.listener = adopter
	front := &http.Server{
		ReadTimeout: late, WriteTimeout: late, IdleTimeout: late,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			nc, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			read, err := buffered.Reader.Peek(buffered.Reader.Buffered())
			if err == nil {
				err = adopter.Adopt(nc, engine.AdoptOptions{Read: read, Open: p.Open})
			}
			if err != nil {
				_, _ = fmt.Fprintf(nc, "refused: %v\n", err)
				_ = nc.Close()
			}
		}),
	}
	accepting := switched{Listener: ln}
	if strings.HasPrefix(carrier, "tls") {
		accepting.tls = serverTLS(t)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := front.Serve(accepting); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		serving.Wait()
	})
	return s
}

const upgrade = "GET / HTTP/1.1\r\nHost: spate.test\r\n\r\n"

// What arrives around the time when a connection changes hands is neither lost nor doubled.
func TestAdopt(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		s := adopt(t, driver, carrier, &lines{handle: echoLine}, engine.Limits{})
		for try := range 20 {
			c := s.dial()
			first := upgrade
			for i := range try % 4 {
				first += fmt.Sprintf("early %d\n", i)
			}
			c.send(first)
			var sending sync.WaitGroup
			sending.Go(func() {
				for i := range 200 {
					if _, err := fmt.Fprintf(c.Conn, "%d%s\n", i, strings.Repeat("x", i*try%300)); err != nil {
						t.Error(err)
						return
					}
					if i%10 == try%10 {
						runtime.Gosched()
					}
				}
			})
			for i := range try % 4 {
				if got, want := c.line(), fmt.Sprintf("early %d", i); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			for i := range 200 {
				if got, want := c.line(), fmt.Sprint(i)+strings.Repeat("x", i*try%300); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			sending.Wait()
			_ = c.Close()
		}
		s.closedFor(engine.ReasonPeer, 20)
		if n := s.listener.Accepted(); n != 20 {
			t.Errorf("%d connections were counted", n)
		}
	})
}

// A connection that was adopted outlives the deadlines of the server that accepted it, and is listed.
func TestAdoptDeadlines(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		t.Parallel()
		s := adopt(t, driver, carrier, &lines{handle: echoLine}, engine.Limits{})
		c := s.dial()
		c.send(upgrade)
		c.ask("hello")
		<-time.After(late + soon)
		c.ask("still there")
		for conn := range s.Connections {
			info := conn.Info()
			if info.Listener != "adopted" || (conn.TLS() != nil) != strings.HasPrefix(carrier, "tls") || (carrier != "unix") != info.Addr.IsValid() {
				t.Errorf("got %+v", info)
			}
		}
	})
}

// While they wait, adopted connections hold no goroutine.
func TestAdoptedIdle(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // where the net driver is all there is
	}
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			s := adopt(t, engine.Epoll, carrier, &lines{handle: echoLine}, engine.Limits{})
			before := runtime.NumGoroutine()
			const n = 60
			for range n {
				c := s.dial()
				c.send(upgrade)
				c.ask("hello")
			}
			waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() < before+n/4 })
		})
	}
}

// A connection that may not be adopted is still its server's, and one that has gone makes room.
func TestAdoptLimits(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := adopt(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{PerAddress: 1})
		for range 3 {
			c := s.dial()
			c.send(upgrade)
			c.ask("hello")
			other := s.dial()
			other.send(upgrade)
			if got := other.line(); got != "refused: too-many-connections-from-address" {
				t.Errorf("got %q", got)
			}
			_ = c.Close()
			waitFor(t, "it to be gone", func() bool { return s.Stats().Connections == 0 })
		}
	})
}

// Each connection that is adopted while the engine shuts down is either refused or drained.
func TestAdoptShutdown(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		s := adopt(t, driver, carrier, &lines{handle: echoLine, drain: func(c *engine.Conn) { _, _ = c.Write([]byte("drained\n")) }}, engine.Limits{})
		var clients sync.WaitGroup
		begun := make(chan struct{}, 100)
		for range 8 {
			clients.Go(func() {
				for {
					c, err := s.tryDial()
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = c.Write([]byte(upgrade))
					begun <- struct{}{}
					said, err := c.r.ReadString('\n')
					_ = c.Close()
					switch said {
					case "drained\n":
					case "refused: the engine is stopped\n":
						return
					default:
						t.Errorf("got %q and %v", said, err)
						return
					}
				}
			})
		}
		for range 8 {
			<-begun
		}
		if err := s.shutdown(10 * time.Second); err != nil {
			t.Error(err)
		}
		clients.Wait()
	})
}

// What cannot be adopted is refused.
func TestAdoptRefused(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", &lines{handle: echoLine}, engine.Limits{})
		adopter, err := s.Adopter(s.listener.Addr(), engine.ListenOptions{Protocol: s.listener.Protocol()})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		all := []net.Conn{tls.Server(near, serverTLS(t)), tls.Server(engine.NewSwitch(near), serverTLS(t))}
		if driver == engine.Epoll {
			all = append(all, near) // it has no descriptor
		}
		for i, nc := range all {
			if err := adopter.Adopt(nc, engine.AdoptOptions{Open: s.listener.Protocol().Open}); err == nil {
				t.Errorf("%d was adopted", i)
			}
		}
		if n := s.Stats().Connections; n != 0 {
			t.Errorf("%d connections are counted", n)
		}
	})
}
