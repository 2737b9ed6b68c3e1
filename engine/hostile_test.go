package engine_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// hostile is one thing that a client does to harm, and what becomes of it.
type hostile struct {
	name   string
	on     string // carriers that begin so
	limits engine.Limits
	attack func(s *server)
	want   engine.Reason
}

var hostiles = []hostile{
	{"a byte at a time, slowly", "", engine.Limits{RequestTimeout: soon}, func(s *server) {
		c := s.dial()
		for s.Stats().Closed[engine.ReasonRequestTimeout] == 0 {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			<-time.After(30 * time.Millisecond)
		}
	}, engine.ReasonRequestTimeout},
	{"a byte at a time, quickly and without end", "", engine.Limits{Message: 20_000}, func(s *server) {
		c := s.dial()
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
		}
	}, engine.ReasonTooLarge},
	{"half open", "", engine.Limits{IdleTimeout: late}, func(s *server) { s.dial().ask("hello") }, engine.ReasonIdleTimeout},
	{"connects and says nothing", "", engine.Limits{FirstTimeout: late}, func(s *server) { s.dial() }, engine.ReasonFirstTimeout},
	{"never reads what is pushed, disconnect", "", engine.Limits{Buffered: 64 << 10}, func(s *server) {
		s.dial().ask("push disconnect")
	}, engine.ReasonOverflow},
	{"never reads what is pushed, drop newest", "", engine.Limits{Buffered: 64 << 10, WriteTimeout: soon}, func(s *server) {
		s.dial().ask("push newest")
	}, engine.ReasonWriteTimeout},
	{"never reads what is pushed, drop oldest", "", engine.Limits{Buffered: 64 << 10, WriteTimeout: soon}, func(s *server) {
		s.dial().ask("push oldest")
	}, engine.ReasonWriteTimeout},
	{"never reads what is pushed, block", "", engine.Limits{Buffered: 64 << 10, WriteTimeout: soon}, func(s *server) {
		s.dial().ask("push block")
	}, engine.ReasonWriteTimeout},
	{"never reads its answers", "", engine.Limits{Buffered: 64 << 10, WriteTimeout: soon}, func(s *server) {
		c := s.dial()
		request := []byte(strings.Repeat("r", 1000) + "\n")
		for {
			if _, err := c.Write(request); err != nil {
				return
			}
		}
	}, engine.ReasonWriteTimeout},
	{"goes on after the end", "", engine.Limits{}, func(s *server) {
		c := s.dial()
		c.send("quit\n")
		for {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}, engine.ReasonQuit},
	{"half a handshake, over and over", "tls", engine.Limits{}, func(s *server) {
		hello := clientHello()
		for n := 0; n < len(hello); n += 20 {
			raw := s.dialRaw()
			_, _ = raw.Write(hello[:n])
			_ = raw.Close()
		}
	}, engine.ReasonHandshake},
	{"a handshake a byte at a time", "tls", engine.Limits{HandshakeTimeout: late}, func(s *server) {
		raw := s.dialRaw()
		for _, b := range clientHello() {
			if _, err := raw.Write([]byte{b}); err != nil {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}, engine.ReasonHandshakeTimeout},
	{"no TLS at all", "tls", engine.Limits{}, func(s *server) {
		_, _ = s.dialRaw().Write([]byte(strings.Repeat("PING\r\n", 1000)))
	}, engine.ReasonHandshake},
	{"the handshake twice", "tls", engine.Limits{}, func(s *server) {
		c := s.dial()
		c.ask("hello")
		_, _ = c.raw.Write(clientHello())
		c.gone()
	}, engine.ReasonProtocol},
	{"garbage after the handshake", "tls", engine.Limits{}, func(s *server) {
		c := s.dial()
		c.ask("hello")
		_, _ = c.raw.Write([]byte(strings.Repeat("garbage", 1000)))
		c.gone()
	}, engine.ReasonProtocol},
	{"key updates without end", "tls13", engine.Limits{WriteTimeout: soon}, updateKeys, engine.ReasonNone},
}

// Hostile clients: the process lives, memory stays bounded, the others are
// served, and the offender is closed with a reason that is counted and logged.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, driver, carrier string) {
		t.Parallel()
		for _, h := range hostiles {
			if strings.HasPrefix(carrier, h.on) {
				t.Run(h.name, func(t *testing.T) {
					t.Parallel()
					testHostile(t, driver, carrier, h)
				})
			}
		}
	})
}

func testHostile(t *testing.T, driver, carrier string, h hostile) {
	var pushers sync.WaitGroup
	s := serve(t, driver, carrier, &lines{handle: pushing(&pushers)}, h.limits)
	stop := make(chan struct{})
	var neighbor sync.WaitGroup
	good := s.dial()
	neighbor.Go(func() {
		for {
			if got := good.ask("still here"); got != "still here" {
				t.Errorf("another client got %q", got)
			}
			if held := s.Stats().Buffered; held > 4<<20 {
				t.Errorf("%d bytes are held", held)
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	h.attack(s)
	if h.want == engine.ReasonNone { // the drivers differ in who notices
		waitFor(t, "the offender to be closed", func() bool { return s.Stats().Connections == 1 })
		for h.want = range s.Stats().Closed {
		}
	}
	s.closedFor(h.want, 1)
	s.logged(h.want.String())
	pushers.Wait()
	close(stop)
	neighbor.Wait()
	waitFor(t, "memory to be given back", func() bool { return s.Stats().Buffered == 0 })
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 512<<20 { // of all that run at the same time
		t.Errorf("the heap has %d MB", m.HeapAlloc>>20)
	}
}

// pushing is a handler that echoes, ends with "quit", and with "push" and a
// policy pushes without end.
func pushing(pushers *sync.WaitGroup) func(*engine.Conn, string) error {
	message := []byte(strings.Repeat("x", 10_000) + "\n")
	policies := map[string]engine.Overflow{
		"push disconnect": engine.Disconnect, "push newest": engine.DropNewest,
		"push oldest": engine.DropOldest, "push block": engine.Block,
	}
	return func(c *engine.Conn, line string) error {
		if line == "quit" {
			return engine.Because(engine.ReasonQuit, nil)
		}
		if policy, ok := policies[line]; ok {
			pushers.Go(func() {
				for !errors.Is(c.Push(message, policy), engine.ErrClosed) {
					runtime.Gosched()
				}
			})
		}
		return echoLine(c, line)
	}
}

// clientHello returns the first message of a handshake.
func clientHello() []byte {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		_ = tls.Client(ours, clientTLS()).Handshake()
		_ = ours.Close()
	}()
	b := make([]byte, 4096)
	n, _ := io.ReadAtLeast(theirs, b, 5)
	rest, _ := io.ReadFull(theirs, b[n:5+int(b[3])<<8+int(b[4])])
	return b[:n+rest]
}

// updateKeys asks for a new key before every byte, each of which makes the
// server answer, and never reads (RFC 8446, section 4.6.3).
func updateKeys(s *server) {
	raw, err := net.Dial("unix", s.secureUnix().Addr().String()) // which fills soon
	if err != nil {
		s.t.Error(err)
		return
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second))
	conf := clientTLS()
	var log bytes.Buffer
	conf.KeyLogWriter = &log
	tc := tls.Client(raw, conf)
	if err := tc.Handshake(); err != nil {
		s.t.Error(err)
		return
	}
	if suite := tc.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		s.t.Errorf("this test does not know %s", tls.CipherSuiteName(suite))
		return
	}
	_, line, _ := strings.Cut(log.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	secret, err := hex.DecodeString(strings.TrimSpace(strings.Split(line, "\n")[0])[65:])
	if err != nil {
		s.t.Error(err)
		return
	}
	for seq := uint64(0); ; seq = 1 {
		// A key_update that requests one, and a byte of data with the new key.
		records := seal(secret, seq, 22, []byte{24, 0, 0, 1, 1})
		secret = expand(secret, "traffic upd", 32)
		records = append(records, seal(secret, 0, 23, []byte("x"))...)
		if _, err := raw.Write(records); err != nil {
			return
		}
	}
}

// seal returns a TLS 1.3 record (RFC 8446, section 5.2).
func seal(secret []byte, seq uint64, kind byte, plain []byte) []byte {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	nonce := expand(secret, "iv", 12)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^seq)
	record := []byte{23, 3, 3, 0, byte(len(plain) + 1 + aead.Overhead())}
	return aead.Seal(record, nonce, append(plain, kind), record[:5:5])
}

// expand is HKDF-Expand-Label with SHA-256 (RFC 8446, section 7.1).
func expand(secret []byte, label string, n int) []byte {
	info := []byte{0, byte(n), byte(6 + len(label))}
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}
