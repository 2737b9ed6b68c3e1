//go:build !race

package engine_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/echo"
)

// answering are the ways to answer a request.
var answering = map[string]func(c *engine.Conn, p []byte) error{
	"write":         func(c *engine.Conn, p []byte) error { _, err := c.Write(p); return err },
	"write through": func(c *engine.Conn, p []byte) error { _, err := c.WriteThrough(p); return err },
	"push":          func(c *engine.Conn, p []byte) error { return c.Push(p, engine.Disconnect) },
}

// answerer is a protocol that answers with what it got.
type answerer struct {
	answer func(c *engine.Conn, p []byte) error
}

func (answerer) Name() string { return "answerer" }

func (a answerer) Open(*engine.Conn) engine.Session { return a }

func (a answerer) Serve(c *engine.Conn, in []byte) (int, error) { return len(in), a.answer(c, in) }

func (answerer) Close(*engine.Conn, error) {}

// pingPong returns a function that sends a request and reads the answer.
func pingPong(t testing.TB, c *client) func() {
	request, answer := []byte("a request of some bytes\n"), make([]byte, 24)
	return func() {
		if _, err := c.Conn.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.Conn, answer); err != nil {
			t.Fatal(err)
		}
	}
}

// A request and its answer cost no garbage, whichever way it is answered: what
// there is under TLS is crypto/tls's, one for each attempt to read at either
// end; with the net driver, a push costs the start of a goroutine.
func TestNoGarbage(t *testing.T) {
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		for name, answer := range answering {
			t.Run(name, func(t *testing.T) {
				bound := 0.0
				if strings.HasPrefix(carrier, "tls") {
					bound = 3
				}
				if driver == engine.Net && name == "push" {
					bound += 2
				}
				s := serve(t, driver, carrier, answerer{answer}, engine.Limits{})
				once := pingPong(t, s.dial())
				for range 100 {
					once()
				}
				if n := testing.AllocsPerRun(2000, once); n > bound {
					t.Errorf("%v allocations for each request, %v at most", n, bound)
				}
			})
		}
	})
}

// What a request and its answer take, one connection at a time and one after
// the other.
func BenchmarkPingPong(b *testing.B) {
	for _, driver := range drivers() {
		for _, carrier := range carriers {
			b.Run(driver+"/"+carrier, func(b *testing.B) {
				s := serve(b, driver, carrier, echo.Protocol{}, engine.Limits{})
				once := pingPong(b, s.dial())
				b.ReportAllocs()
				for b.Loop() {
					once()
				}
			})
		}
	}
}

// What a byte costs that comes and goes in large pieces.
func BenchmarkStream(b *testing.B) {
	for _, driver := range drivers() {
		for _, carrier := range carriers {
			b.Run(driver+"/"+carrier, func(b *testing.B) {
				s := serve(b, driver, carrier, echo.Protocol{}, engine.Limits{})
				c := s.dial()
				piece := make([]byte, 256<<10)
				b.SetBytes(int64(len(piece)))
				var sending sync.WaitGroup
				sending.Go(func() {
					for range b.N {
						if _, err := c.Conn.Write(piece); err != nil {
							b.Error(err)
							return
						}
					}
				})
				got := make([]byte, len(piece))
				for range b.N {
					if _, err := io.ReadFull(c.Conn, got); err != nil {
						b.Fatal(err)
					}
				}
				sending.Wait()
			})
		}
	}
}
