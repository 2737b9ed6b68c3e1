package engine_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/spate-io/spate/engine"
)

// soakClients are the kinds of clients. Each connects, does one thing, and
// leaves. Being refused because of a limit is no failure for any of them.
var soakClients = [...]func(k *soak, rng *rand.Rand){
	soakEcho, soakEchoKilled, soakSlow, soakReset, soakFlood, soakFarewell,
	soakSubscribe, soakDeaf, soakHandshake, soakGarbage, soakPanic, soakBlock, soakDrip,
}

// soakConn is a client's connection.
type soakConn struct {
	net.Conn
	raw    net.Conn
	secure bool
}

// dial connects to one of the listeners. It returns nil if that fails, which
// limits and shutdown may be the reason for.
func (k *soak) dial(rng *rand.Rand) *soakConn {
	l := k.listeners[rng.IntN(len(k.listeners))]
	raw, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), 5*time.Second)
	if err != nil {
		return nil
	}
	_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
	c := &soakConn{raw, raw, l.Secure()}
	if c.secure {
		conf := clientTLS()
		conf.MaxVersion = tls.VersionTLS12 + uint16(rng.IntN(2))
		tc := tls.Client(raw, conf)
		if tc.Handshake() != nil {
			_ = raw.Close()
			return nil
		}
		c.Conn = tc
	}
	return c
}

// reset closes the connection the hard way.
func (c *soakConn) reset() {
	if tc, ok := c.raw.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = c.raw.Close()
}

// closeWrite says that nothing more comes.
func (c *soakConn) closeWrite() { _ = c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// soakRefused tells whether a connection that ended with err after n bytes may
// just have been refused, or cut off by the shutdown.
func (k *soak) refused(n int, err error) bool {
	return k.stopped() || k.ending.Load() || n == 0 && !isTimeout(err)
}

// echo sends size bytes in random pieces and returns how many came back right.
func (c *soakConn) echo(k *soak, rng *rand.Rand, mode byte, size int) (int, error) {
	msg := make([]byte, size)
	for i := range msg {
		msg[i] = byte(rng.Uint32())
	}
	pieces := rand.New(rand.NewPCG(rng.Uint64(), 0))
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		_, err := c.Write([]byte{mode})
		for rest := msg; len(rest) > 0 && err == nil; {
			n := min(len(rest), 1+pieces.IntN(1<<(pieces.IntN(16))))
			_, err = c.Write(rest[:n])
			rest = rest[n:]
		}
		if err == nil {
			c.closeWrite()
		}
	})
	got, buf := 0, make([]byte, 1+rng.IntN(32<<10))
	for {
		n, err := c.Read(buf)
		if got+n > size || !bytes.Equal(buf[:n], msg[got:got+n]) {
			k.t.Errorf("byte %d to %d of %d are wrong", got, got+n, size)
			_ = c.raw.Close()
			return got, nil
		}
		got += n
		if err != nil {
			if got < size {
				_ = c.raw.Close()
			}
			return got, err
		}
	}
}

func soakEcho(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	size := rng.IntN(1 << rng.IntN(21))
	if got, err := c.echo(k, rng, 'E', size); (got != size || err != io.EOF) && !k.refused(got, err) {
		k.t.Errorf("%d of %d bytes were echoed (%v, %s, TLS: %t)", got, size, err, c.raw.RemoteAddr(), c.secure)
	}
}

func soakEchoKilled(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	if got, err := c.echo(k, rng, 'e', rng.IntN(1<<20)); isTimeout(err) {
		k.t.Errorf("after %d bytes nothing came any more, nor the end", got)
	}
}

// soakSlow reads slowly at first, and gets everything.
func soakSlow(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	const size = 1 << 20
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		_, _ = c.Write([]byte{'E'})
		_, _ = c.Write(make([]byte, size))
		c.closeWrite()
	})
	got, err := 0, error(nil)
	for buf := make([]byte, 16<<10); err == nil; {
		var n int
		n, err = c.Read(buf)
		if got += n; got < size/4 {
			<-time.After(time.Duration(rng.IntN(5)) * time.Millisecond)
		}
	}
	_ = c.raw.Close()
	if (got != size || err != io.EOF) && !k.refused(got, err) {
		k.t.Errorf("the slow reader got %d of %d bytes (%v, %s, TLS: %t)", got, size, err, c.raw.RemoteAddr(), c.secure)
	}
}

func soakReset(k *soak, rng *rand.Rand) {
	if c := k.dial(rng); c != nil {
		_, _ = c.Write(bytes.Repeat([]byte{'E'}, 1+rng.IntN(100_000)))
		c.reset()
	}
}

// soakFlood sends without reading, for as long as that goes.
func soakFlood(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.reset()
	_ = c.raw.SetWriteDeadline(time.Now().Add(time.Duration(rng.IntN(300)) * time.Millisecond))
	for err := error(nil); err == nil; {
		_, err = c.Write(bytes.Repeat([]byte{'E'}, 32<<10))
	}
}

// soakFarewell gets all of a farewell, although it goes on sending.
func soakFarewell(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	size := 1 + rng.IntN(10_000)
	_, err := c.Write([]byte("Q" + string(bytes.Repeat([]byte("x"), size)) + "\n" + "and more"))
	b, readErr := io.ReadAll(c)
	if (len(b) != size*100 || readErr != nil) && err == nil && !k.refused(len(b), readErr) {
		k.t.Errorf("%d of %d bytes of the farewell came (%v)", len(b), size*100, readErr)
	}
}

// soakSubscribe reads what is pushed and checks each pusher's order.
func soakSubscribe(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	mode, policy := "Ss"[rng.IntN(2)], engine.Overflow(1+rng.IntN(3))
	if _, err := fmt.Fprintf(c, "%c%d", mode, policy); err != nil {
		return
	}
	next := map[byte]uint32{}
	for end := time.Now().Add(time.Duration(rng.IntN(500)) * time.Millisecond); time.Now().Before(end); {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		size, pusher, number := binary.BigEndian.Uint32(head), head[4], binary.BigEndian.Uint32(head[5:])
		if size < 12 || size > 4000 {
			k.t.Errorf("a message of %d bytes came", size)
			return
		}
		m := make([]byte, size)
		copy(m, head)
		if _, err := io.ReadFull(c, m[9:]); err != nil {
			return
		}
		if !bytes.Equal(m, soakMessage(pusher, number, int(size))) {
			k.t.Errorf("message %d of pusher %d is mixed up", number, pusher)
			return
		}
		if want, seen := next[pusher]; seen && (number < want || number > want && policy == engine.Block) {
			k.t.Errorf("message %d of pusher %d came instead of %d", number, pusher, want)
			return
		}
		next[pusher] = number + 1
	}
}

// soakDeaf subscribes and does not read, until it is cut off.
func soakDeaf(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	_, _ = fmt.Fprintf(c, "S%d", rng.IntN(4))
	select {
	case <-k.stop:
	case <-time.After(time.Duration(rng.IntN(1500)) * time.Millisecond):
	}
}

// soakHandshake begins a handshake and stops somewhere.
func soakHandshake(k *soak, rng *rand.Rand) {
	raw, err := net.DialTimeout("tcp", k.listeners[2].Addr().String(), 5*time.Second)
	if err != nil {
		return
	}
	defer raw.Close()
	hello := clientHello()
	_, _ = raw.Write(hello[:rng.IntN(len(hello))])
	if rng.IntN(2) == 0 {
		_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, raw); isTimeout(err) {
			k.t.Error("half a handshake stayed open")
		}
	}
}

// soakGarbage says something that is nothing.
func soakGarbage(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	garbage := make([]byte, 1+rng.IntN(10_000))
	for i := range garbage {
		garbage[i] = '0' + byte(rng.IntN(10))
	}
	if rng.IntN(2) == 0 {
		_, _ = c.raw.Write(garbage)
	} else {
		_, _ = c.Write(garbage)
	}
	if _, err := io.Copy(io.Discard, c.raw); isTimeout(err) {
		k.t.Error("garbage left a connection open")
	}
}

func soakPanic(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	_, _ = c.Write([]byte("P"))
	if _, err := io.Copy(io.Discard, c); isTimeout(err) {
		k.t.Error("a panic left a connection open")
	}
}

// soakBlock leaves while its handler blocks. It may be killed.
func soakBlock(k *soak, rng *rand.Rand) {
	if c := k.dial(rng); c != nil {
		_, _ = c.Write([]byte("b"))
		<-time.After(time.Duration(rng.IntN(20)) * time.Millisecond)
		c.reset()
	}
}

// soakDrip sends a byte now and then.
func soakDrip(k *soak, rng *rand.Rand) {
	c := k.dial(rng)
	if c == nil {
		return
	}
	defer c.raw.Close()
	for range 20 {
		if _, err := c.Write([]byte("E")); err != nil {
			return
		}
		<-time.After(time.Duration(rng.IntN(10)) * time.Millisecond)
	}
}
