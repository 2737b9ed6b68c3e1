package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// ListenOptions describe a listener. Network, Address and Protocol are needed.
type ListenOptions struct {
	// Name appears in logs and metrics. Default: the protocol's name.
	Name string
	// Network is "tcp", "tcp4", "tcp6" or "unix".
	Network string
	// Address is "host:port", or the path of the Unix socket.
	Address string
	// Protocol speaks on its connections.
	Protocol Protocol
	// TLS is used for every connection when it is set. Use
	// [Certificates.Config] for certificates that can be reloaded.
	TLS *tls.Config
	// Driver overrides Options.Driver for this listener.
	Driver string
	// AcceptRate is the number of connections accepted in a second, with a burst of a fiftieth of it, if that is less than Limits.AcceptRate. Default: only that counts.
	// It is for protocols whose clients all come back at once, and of which opening a connection is the least that they ask for.
	AcceptRate int
}

// A Listener accepts connections for one protocol on one address.
type Listener struct {
	eng      *Engine
	name     string
	proto    Protocol
	tls      *tls.Config
	ln       net.Listener
	dup      io.Closer // what the driver accepts from, if that is not ln
	driver   driver
	accepted atomic.Uint64
	pace     pace
	closed   chan struct{}
	quiet    time.Time // until when refusals are not logged again
}

// Name returns the listener's name.
func (l *Listener) Name() string { return l.name }

// Addr returns the address that it listens on.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Protocol returns the protocol of its connections.
func (l *Listener) Protocol() Protocol { return l.proto }

// Secure tells whether its connections use TLS.
func (l *Listener) Secure() bool { return l.tls != nil }

// Accepted returns the number of connections that it has admitted.
func (l *Listener) Accepted() uint64 { return l.accepted.Load() }

// Listen opens a socket with [Bind] and serves connections on it until
// Shutdown or Close.
func (e *Engine) Listen(ctx context.Context, o ListenOptions) (*Listener, error) {
	ln, err := Bind(ctx, o.Network, o.Address)
	if err != nil {
		return nil, err
	}
	l, err := e.Serve(ln, o)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return l, nil
}

// Serve is Listen for a listener that exists already, and is closed by the
// engine. One that is not a *net.TCPListener or *net.UnixListener, such as an
// in-memory one, needs the Net driver.
func (e *Engine) Serve(ln net.Listener, o ListenOptions) (*Listener, error) {
	l, err := e.newListener(ln, o)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping.Load() {
		return nil, ErrStopped
	}
	e.listeners = append(e.listeners, l)
	e.accepting.Go(l.run)
	return l, nil
}

// newListener makes a listener that does not accept yet.
func (e *Engine) newListener(ln net.Listener, o ListenOptions) (*Listener, error) {
	if o.Protocol == nil {
		return nil, errors.New("a listener needs a protocol")
	}
	name := o.Driver
	if name == "" {
		name = e.opts.Driver
	}
	_, adopts := ln.(adopting)
	if _, ok := ln.(filer); !ok && !adopts && name == Epoll {
		return nil, fmt.Errorf("serving %s: the %q driver needs a TCP or Unix listener; use %q", ln.Addr(), Epoll, Net)
	}
	d, err := e.driver(name)
	if err != nil {
		return nil, fmt.Errorf("serving %s with the %q driver: %w", ln.Addr(), name, err)
	}
	l := &Listener{
		eng: e, name: o.Name, proto: o.Protocol, tls: o.TLS, ln: ln, driver: d,
		pace: newPace(e.limits.AcceptRate, o.AcceptRate), closed: make(chan struct{}),
	}
	if l.name == "" {
		l.name = o.Protocol.Name()
	}
	return l, nil
}

// Close stops accepting. Connections that were accepted stay.
func (l *Listener) Close() error {
	l.eng.mu.Lock()
	defer l.eng.mu.Unlock()
	select {
	case <-l.closed:
		return nil
	default:
		close(l.closed)
	}
	l.eng.listeners = slices.DeleteFunc(l.eng.listeners, func(o *Listener) bool { return o == l })
	err := l.ln.Close()
	if l.dup != nil {
		err = errors.Join(err, l.dup.Close())
	}
	return err
}

// filer is a listener with a socket of the operating system.
type filer interface{ File() (*os.File, error) }

func (l *Listener) run() {
	if err := l.driver.accept(l); err != nil && !l.isClosed() {
		l.eng.log.Error("a listener stopped", "listener", l.name, "addr", l.Addr().String(), "error", err)
	}
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// ready waits until the accept rate allows another connection. It returns false
// once the listener closes.
func (l *Listener) ready() bool {
	d := l.pace.take(time.Now())
	return d == 0 || l.sleep(d)
}

// admit decides about a connection from addr before anything is allocated for
// it. A refusal is counted, and logged once a second.
func (l *Listener) admit(addr netip.Addr) bool {
	r := l.eng.table.admit(addr, &l.eng.limits)
	if r == ReasonNone {
		return true
	}
	l.eng.stats.closed[r].Add(1)
	if now := time.Now(); now.After(l.quiet) {
		l.quiet = now.Add(time.Second)
		l.eng.log.Warn("connection refused", "reason", r.String(), "listener", l.name, "remote", addr.String())
	}
	return false
}

// failed handles an error of accept. Running out of descriptors or memory
// passes; accepting backs off, says so once and goes on.
func (l *Listener) failed(err error, backoff *time.Duration) bool {
	if l.isClosed() {
		return false
	}
	switch {
	case errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EINTR):
		return true
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed):
		return false
	}
	l.eng.stats.acceptFail.Add(1)
	if *backoff == 0 {
		*backoff = 5 * time.Millisecond
		l.eng.log.Warn("cannot accept connections; trying again", "listener", l.name, "error", err)
	} else {
		*backoff = min(2**backoff, time.Second)
	}
	return l.sleep(*backoff)
}

// recovered says that accepting works again after failed.
func (l *Listener) recovered(backoff *time.Duration) {
	if *backoff != 0 {
		*backoff = 0
		l.eng.log.Info("accepting connections again", "listener", l.name)
	}
}

// sleep waits for d; it returns false if the listener closes meanwhile.
func (l *Listener) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

// newPace returns the pace of a listener whose protocol may have one of its own.
func newPace(limit, own int) pace {
	if own > 0 && own < limit {
		return pace{rate: own, burst: max(1, own/50)}
	}
	return pace{rate: limit, burst: limit}
}

// pace is a token bucket.
type pace struct {
	rate   int // tokens that come in a second
	burst  int // tokens that it holds
	tokens float64
	last   time.Time
}

// take takes a token and returns how long to wait for it.
func (p *pace) take(now time.Time) time.Duration {
	if p.rate == maxInt {
		return 0
	}
	rate := float64(p.rate)
	if p.last.IsZero() {
		p.tokens = float64(p.burst)
	} else {
		p.tokens = min(float64(p.burst), p.tokens+now.Sub(p.last).Seconds()*rate)
	}
	p.last = now
	p.tokens--
	if p.tokens >= 0 {
		return 0
	}
	return time.Duration(-p.tokens / rate * float64(time.Second))
}
