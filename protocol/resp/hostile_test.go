package resp_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// unharmed checks that the server serves others, has panicked nowhere and holds nothing for clients that are gone.
func (s *server) unharmed() {
	s.t.Helper()
	s.alive()
	eventually(s.t, "the release of all buffers", func() bool { return s.Stats().Buffered == 0 })
	if n := s.Stats().Panics; n > 0 {
		s.t.Errorf("%d panics: %s", n, s.log)
	}
}

// hangUp sends what is left to send, says that nothing more comes, and reads until the server closes.
func (c *client) hangUp() {
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, c.in)
	c.Close()
}

func TestHostileRandomBytes(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		r := rand.New(rand.NewPCG(1, 2))
		starts := []string{"", "*", "*3\r\n", "*2\r\n$4\r\nECHO\r\n$", "\"", "*1\r\n$"}
		for i := range 300 {
			junk := make([]byte, r.IntN(3000))
			for j := range junk {
				junk[j] = byte(r.Uint32())
				if i%2 == 0 { // such that more of it is understood
					junk[j] = "*$1234567890-\r\n \"'\\xPINGabc\x00"[int(junk[j])%28]
				}
			}
			c := s.dial()
			_, _ = c.Write(append([]byte(starts[i%len(starts)]), junk...))
			c.hangUp()
		}
		s.unharmed()
	})
}

// TestHostileTruncated ends the connection at every offset of a stream.
func TestHostileTruncated(t *testing.T) {
	stream := "PING\r\n" + request("SUBSCRIBE", "a", "b") + request("HELLO", "3") + request("PUBLISH", "a", "0123456789") + "UNSUBSCRIBE\r\n"
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		for i := range len(stream) {
			c := s.dial()
			c.send(stream[:i])
			c.hangUp()
		}
		s.unharmed()
		s.closedFor(engine.ReasonPeer)
	})
}

// TestHostileLengths announces what it does not send. Nothing may be allocated for it.
func TestHostileLengths(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		var held []*client
		for range 200 {
			c := s.dial()
			c.send("*1048576\r\n$1000000\r\nx") // all within the limits
			held = append(held, c)
		}
		eventually(t, "the requests to arrive", func() bool { return s.Stats().BytesIn >= 200*21 })
		s.alive()
		if b := s.Stats().Buffered; b > 200*2048 {
			t.Errorf("%d bytes are held for 200 announcements", b)
		}
		for _, c := range held {
			c.Close()
		}
		for _, raw := range []string{"*1\r\n$1048576\r\n", "*1\r\n$536870912\r\n", "*1\r\n$9223372036854775807\r\n", "*1048577\r\n", "*2147483647\r\n"} {
			c := s.dial()
			c.send(raw)
			if got := c.rest(); !strings.HasPrefix(got, "-ERR Protocol error: invalid ") {
				t.Errorf("%q: %q", raw, got)
			}
		}
		s.closedFor(engine.ReasonProtocol)
		c := s.dial() // many arguments that are short one by one
		go io.Copy(c, strings.NewReader("*1000000\r\n"+strings.Repeat("$1000\r\n"+strings.Repeat("x", 1000)+"\r\n", 2000)))
		if got := c.rest(); !strings.HasPrefix(got, "-ERR Protocol error: invalid bulk length: the request is larger than limits.message allows, which is ") {
			t.Errorf("%q", got)
		}
		s.unharmed()
	})
}

// TestHostileSlow sends a byte now and then; the first request of a connection and every later one have a deadline.
func TestHostileSlow(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{RequestTimeout: 300 * time.Millisecond, LingerTimeout: 100 * time.Millisecond})
		c := s.dial()
		c.want("PING", "+PONG\r\n")
		stream := request("ECHO", strings.Repeat("x", 1000))
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range len(stream) {
			<-tick.C
			if _, err := io.WriteString(c, stream[i:i+1]); err != nil {
				break
			}
			if s.Stats().Closed[engine.ReasonRequestTimeout] > 0 {
				break
			}
		}
		c.Close()
		s.closedFor(engine.ReasonRequestTimeout)
		s.unharmed()
	})
}

// TestHostileManyArguments is one request of 150 000 arguments in small pieces.
func TestHostileManyArguments(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		c := s.dial()
		const n = 150_000
		stream := fmt.Sprintf("*%d\r\n$4\r\nPING\r\n", n+1) + strings.Repeat("$0\r\n\r\n", n)
		go func() {
			for piece := range slices.Chunk([]byte(stream), 100) {
				if _, err := c.Write(piece); err != nil {
					return
				}
			}
		}()
		c.wantReply("-ERR wrong number of arguments for 'ping' command\r\n")
		c.Close()
		s.unharmed()
	})
}

// TestHostileNeverReads asks for replies and does not read them: it is not read either, and ended after a while.
func TestHostileNeverReads(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{Buffered: 256 << 10, WriteTimeout: 500 * time.Millisecond})
		c := s.dial()
		go io.Copy(c, strings.NewReader(strings.Repeat(request("ECHO", strings.Repeat("x", 10_000)), 5000)))
		most := int64(0)
		eventually(t, "the end", func() bool {
			most = max(most, s.Stats().Buffered)
			return s.Stats().Closed[engine.ReasonWriteTimeout] > 0
		})
		if most > 2<<20 {
			t.Errorf("%d bytes were held", most)
		}
		s.closedFor(engine.ReasonWriteTimeout)
		s.unharmed()
	})
}

// TestHostilePushed does not read what is pushed to it, nor the confirmations of its subscriptions.
func TestHostilePushed(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{Buffered: 256 << 10})
		pub := s.dial()
		for range 3 {
			c := s.dial()
			go io.Copy(c, strings.NewReader(strings.Repeat(request("SUBSCRIBE", "news", "other")+request("UNSUBSCRIBE", "other"), 50_000)))
		}
		payload := strings.Repeat("x", 5000)
		eventually(t, "subscribers", func() bool { return pub.ask("PUBLISH news x") == ":3\r\n" })
		for i := 0; s.Stats().Closed[engine.ReasonOverflow] < 3; i++ {
			if i > 100_000 {
				t.Fatal("they are still there")
			}
			began := time.Now()
			pub.ask("PUBLISH news " + payload)
			if d := time.Since(began); d > 5*time.Second {
				t.Fatalf("the publisher was held up for %v", d)
			}
		}
		s.closedFor(engine.ReasonOverflow)
		pub.want("PUBLISH news x", ":0\r\n")
		s.unharmed()
	})
}

func TestHostileSubjects(t *testing.T) {
	s := serve(t, "", resp.Options{}, engine.Limits{})
	c := s.dial()
	for _, subject := range []string{strings.Repeat("/", 200), strings.Repeat("/", 100_000), strings.Repeat("a/", 400), strings.Repeat("x", 100_000)} {
		for _, ask := range []string{"PUBLISH %s x", "SUBSCRIBE %s", "PSUBSCRIBE %s/#"} {
			if got := c.ask(fmt.Sprintf(ask, subject)); !strings.HasPrefix(got, "-ERR invalid ") || len(got) > 200 {
				t.Errorf("%.40q: %.200q", subject, got)
			}
		}
	}
	s.unharmed()
}

// TestHostileGlobs subscribes to patterns that take exponential time with a naive matcher.
func TestHostileGlobs(t *testing.T) {
	s := serve(t, "", resp.Options{}, engine.Limits{})
	for i := range 10 {
		c := s.dial()
		for j := range 20 {
			pattern := strings.Repeat("*a", 60) + strings.Repeat("?", j) + fmt.Sprint(i) + "b"
			c.want("PSUBSCRIBE "+pattern, confirmation("psubscribe", pattern, j+1))
		}
	}
	pub := s.dial()
	began := time.Now()
	for range 10 {
		pub.want("PUBLISH "+strings.Repeat("a", 1000)+" x", ":0\r\n")
	}
	if d := time.Since(began); d > patience {
		t.Errorf("ten events took %v", d)
	}
	s.unharmed()
}

// TestHostileReconnects connects, subscribes and breaks off, many at a time, while others publish.
func TestHostileReconnects(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		before := runtime.NumGoroutine()
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 50 {
					c, err := net.Dial("tcp", s.listener.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(c, request("SUBSCRIBE", "news")+request("PSUBSCRIBE", "n*"))
					if i%2 == 0 {
						_ = c.(*net.TCPConn).SetLinger(0) // a reset
					}
					c.Close()
				}
			})
		}
		pub := s.dial()
		for range 500 {
			pub.ask("PUBLISH news x")
		}
		all.Wait()
		eventually(t, "the end of all subscriptions", func() bool { return pub.ask("PUBLISH news x") == ":0\r\n" })
		eventually(t, "the end of their goroutines", func() bool { return runtime.NumGoroutine() <= before+10 })
		s.unharmed()
	})
}

func FuzzConnection(f *testing.F) {
	for _, sc := range append(scripts(), guestScripts()...) {
		var all strings.Builder
		for _, st := range sc.steps {
			_, raw := st.parse()
			all.WriteString(raw)
		}
		if all.Len() < 5000 {
			f.Add([]byte(all.String()))
		}
	}
	s := serve(f, "", resp.Options{}, engine.Limits{})
	f.Fuzz(func(t *testing.T, in []byte) {
		c := dial(t, "tcp", s.listener.Addr().String())
		_, _ = c.Write(in)
		c.hangUp()
		if n := s.Stats().Panics; n > 0 {
			t.Fatalf("%d panics: %s", n, s.log)
		}
	})
}
