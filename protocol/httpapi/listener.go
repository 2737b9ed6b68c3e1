package httpapi

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/websocket"
)

// A listener admits connections within the door's limits.
type listener struct {
	net.Listener
	door     *Door
	name     string
	tls      *tls.Config
	ws       *websocket.Protocol // what its WebSockets are; nil if there are none
	adopter  *engine.Listener    // of what becomes a WebSocket; nil if nothing can
	local    bool                // only this machine can reach it
	closing  sync.Once
	closed   chan struct{}
	accepted uint64    // guarded by Door.mu
	quiet    time.Time // until when refusals are not logged again; accept loop only
}

// Accept returns the next connection that the limits admit. Running out of
// descriptors or memory passes: it backs off, says so once, and goes on.
func (l *listener) Accept() (net.Conn, error) {
	var backoff time.Duration
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if !l.failed(err, &backoff) {
				return nil, err
			}
			continue
		}
		if backoff != 0 {
			backoff = 0
			l.door.opts.Logger.Info("accepting connections again", "listener", l.name)
		}
		if admitted := l.admit(c); admitted != nil {
			return admitted, nil
		}
		_ = c.Close()
	}
}

// failed handles an error of accept, and reports whether to go on.
func (l *listener) failed(err error, backoff *time.Duration) bool {
	if l.isClosed() || errors.Is(err, net.ErrClosed) {
		return false
	}
	if errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR) {
		return true
	}
	l.door.mu.Lock()
	l.door.count.AcceptErrors++
	l.door.mu.Unlock()
	if *backoff == 0 {
		*backoff = 5 * time.Millisecond
		l.door.opts.Logger.Warn("cannot accept connections; trying again", "listener", l.name, "error", err)
	} else {
		*backoff = min(2**backoff, maxBackoff)
	}
	t := time.NewTimer(*backoff)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

// Close stops accepting.
func (l *listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// addressKey is what Limits.PerAddress counts: an IPv4 address or an IPv6 /64;
// the zero value, which is not counted, for Unix sockets.
type addressKey struct{ addr netip.Addr }

func keyOf(a netip.Addr) addressKey {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return addressKey{p.Addr()}
		}
	}
	return addressKey{a}
}

// remoteOf is the address of the peer; it is not valid for Unix sockets.
func remoteOf(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// admit decides about c before anything is allocated for it. A refusal is
// counted, and logged once a second; it returns nil then.
func (l *listener) admit(socket net.Conn) *conn {
	remote := remoteOf(socket)
	d := l.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if why := d.refusesLocked(remote.Addr()); why != engine.ReasonNone {
		d.count.Closed[why]++
		if now := time.Now(); now.After(l.quiet) && why != engine.ReasonShutdown {
			l.quiet = now.Add(refusalEvery)
			d.opts.Logger.Warn("connection refused", "reason", why.String(), "listener", l.name, "remote", remote.Addr().String())
		}
		return nil
	}
	if remote.IsValid() {
		d.addrs[keyOf(remote.Addr())]++
	}
	d.count.Accepted++
	l.accepted++
	c := newConn(l, socket, remote)
	d.conns[c] = struct{}{}
	return c
}

func (d *Door) refusesLocked(addr netip.Addr) engine.Reason {
	switch {
	case d.stopping:
		return engine.ReasonShutdown
	case len(d.conns) >= d.opts.Limits.Connections:
		return engine.ReasonTooMany
	case addr.IsValid() && d.addrs[keyOf(addr)] >= d.opts.Limits.PerAddress:
		return engine.ReasonTooManyAddress
	}
	return engine.ReasonNone
}

// forget takes back what admit counted, and counts why c ended.
func (d *Door) forget(c *conn, why engine.Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
	d.count.Closed[why]++
	d.count.BytesIn += c.in.Load()
	d.count.BytesOut += c.out.Load()
	if !c.remote.IsValid() {
		return
	}
	key := keyOf(c.remote.Addr())
	if d.addrs[key]--; d.addrs[key] <= 0 {
		delete(d.addrs, key)
	}
}
