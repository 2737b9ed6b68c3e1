package engine_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// recorder keeps what a client has read from its socket.
type recorder struct {
	net.Conn
	got bytes.Buffer
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.got.Write(p[:n])
	return n, err
}

// lastRecord returns the type of the last TLS record; 0 if it is cut.
func (r *recorder) lastRecord() byte {
	last, b := byte(0), r.got.Bytes()
	for len(b) >= 5 {
		n := 5 + int(b[3])<<8 + int(b[4])
		if len(b) < n {
			return 0
		}
		last, b = b[0], b[n:]
	}
	return last
}

// record connects a TLS 1.2 client, whose record types can be seen.
func (s *server) record() (*client, *recorder) {
	s.t.Helper()
	addr := s.listener.Addr()
	raw, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	r := &recorder{Conn: raw}
	conf := clientTLS()
	conf.MaxVersion = tls.VersionTLS12
	return s.client(raw, tls.Client(r, conf)), r
}

const recordAlert = 21 // RFC 8446, section 5.1

// TLS connections end with close_notify, without which the peer cannot tell
// the end from an attack: also when the peer said good-bye first, and when the
// socket has no room for it just then.
func TestCloseNotify(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		p := &lines{handle: func(c *engine.Conn, line string) error {
			if line == "echo" {
				return echoLine(c, line)
			}
			for range len(line) {
				_, _ = c.WriteThrough(make([]byte, 1000))
			}
			return engine.Because(engine.ReasonQuit, nil)
		}}
		s := serve(t, driver, "unix", p, engine.Limits{LingerTimeout: 5 * time.Second})
		s.listener = s.secureUnix()
		t.Run("after the peer's", func(t *testing.T) {
			c, r := s.record()
			c.ask("echo")
			if err := c.Conn.(*tls.Conn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			c.rest()
			if got := r.lastRecord(); got != recordAlert {
				t.Errorf("the last record is of type %d", got)
			}
		})
		t.Run("without room", func(t *testing.T) {
			// A Unix socket takes the same number of messages each time; one
			// of these fills it to the brim.
			for n := 50; n < 130; n++ {
				c, r := s.record()
				c.send(strings.Repeat("q", n) + "\n")
				<-time.After(time.Millisecond)
				c.rest()
				_ = c.raw.Close()
				if got := r.lastRecord(); got != recordAlert {
					t.Errorf("after %d messages the last record is of type %d", n, got)
				}
			}
		})
	})
}

// only returns the engine's one connection, also before its session is open.
func (s *server) only() *engine.Conn {
	s.t.Helper()
	var found *engine.Conn
	waitFor(s.t, "the connection", func() bool {
		for c := range s.Connections {
			found = c
		}
		return found != nil
	})
	return found
}

func (s *server) dialRaw() net.Conn {
	s.t.Helper()
	addr := s.listener.Addr()
	raw, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second))
	s.t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// Nothing leaves in clear: what is pushed during the handshake waits for its
// end, and is thrown away if it fails.
func TestPushDuringHandshake(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		for _, write := range []struct {
			name string
			do   func(c *engine.Conn) error
		}{
			{"push", func(c *engine.Conn) error { return c.Push([]byte("secret\n"), engine.Disconnect) }},
			{"write", func(c *engine.Conn) error { _, err := c.Write([]byte("secret\n")); return err }},
			{"write through", func(c *engine.Conn) error { _, err := c.WriteThrough([]byte("secret\n")); return err }},
		} {
			t.Run(write.name, func(t *testing.T) {
				s := serve(t, driver, "tls13", &lines{handle: echoLine}, engine.Limits{})
				raw := s.dialRaw()
				if err := write.do(s.only()); err != nil {
					t.Fatal(err)
				}
				c := s.client(raw, tls.Client(raw, clientTLS()))
				if got := c.line(); got != "secret" {
					t.Errorf("got %q", got)
				}
				c.ask("hello")
				_ = c.Close()
				waitFor(t, "the connection to end", func() bool { return s.Stats().Connections == 0 })
				bad := s.dialRaw()
				if err := write.do(s.only()); err != nil {
					t.Fatal(err)
				}
				_, _ = bad.Write([]byte("no handshake at all"))
				got, _ := io.ReadAll(bad)
				if bytes.Contains(got, []byte("secret")) {
					t.Errorf("got %q in clear", got)
				}
				s.closedFor(engine.ReasonHandshake, 1)
				waitFor(t, "the buffer to be given back", func() bool { return s.Stats().Buffered == 0 })
			})
		}
	})
}

// A peer that has not even finished its handshake holds nobody up: neither the
// one who closes it nor a shutdown.
func TestCloseDuringHandshake(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		for _, reason := range []engine.Reason{engine.ReasonKilled, engine.ReasonQuit, engine.ReasonShutdown} {
			t.Run(reason.String(), func(t *testing.T) {
				s := serve(t, driver, "tls13", &lines{handle: echoLine}, engine.Limits{})
				raw := s.dialRaw()
				_, _ = raw.Write([]byte("\x16\x03\x01"))
				c := s.only()
				waitFor(t, "the handshake to begin", func() bool { return s.Stats().Handshakes == 1 })
				if reason == engine.ReasonShutdown {
					if err := s.shutdown(5 * time.Second); err != nil {
						t.Error(err)
					}
				} else {
					c.Close(reason, nil)
				}
				s.closedFor(reason, 1)
				_, _ = io.Copy(io.Discard, raw)
				waitFor(t, "the handshake to end", func() bool { return s.Stats().Handshakes == 0 })
			})
		}
	})
}
