package spate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/echo"
	"github.com/spate-io/spate/protocol/mqtt"
)

// A Listener says where to listen and what to speak there. Only URL is needed.
type Listener struct {
	// URL is PROTOCOL://ADDRESS: echo, resp, mqtt, ws or http, optionally with +tls (mqtts for MQTT, wss for WebSockets) or
	// +unix, and HOST:PORT or the path of a Unix socket. Port 0 chooses a free one.
	URL string
	// Certificates are for +tls. Default: Options.Certificates.
	Certificates *engine.Certificates
	// Insecure lets an echo listener be reached from other machines, although
	// echo asks nobody who they are. Default: no. Danger: anybody may use it.
	Insecure bool
	// Strict has a listener refuse what the specification of MQTT forbids and many clients do nevertheless, also over WebSockets. Default: no.
	Strict bool
	// Driver is engine.Epoll or engine.Net. Default: Options.Driver.
	Driver string
}

// A socket is a listener that is open and not served yet.
type socket struct {
	name     string // its URL with the port that it got
	at       address
	ln       net.Listener
	protocol engine.Protocol // nil for http
	tls      *tls.Config
	driver   string
	strict   bool
}

// Listen opens a listener at a URL such as "resp://127.0.0.1:6379"; see
// [Listener.URL]. Run serves it. The address has the port that was chosen for
// port 0. An error is returned by Run as well, so that a short program need not
// look at it here.
func (a *App) Listen(url string) (net.Addr, error) { return a.ListenWith(Listener{URL: url}) }

// ListenWith is Listen with more to say.
func (a *App) ListenWith(l Listener) (net.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase != phaseNew {
		return nil, ErrRun
	}
	if len(a.errs) > 0 {
		return nil, errors.Join(a.errs...)
	}
	s, err := a.open(l)
	if err != nil {
		a.errs = append(a.errs, err)
		return nil, err
	}
	a.sockets = append(a.sockets, s)
	return s.ln.Addr(), nil
}

// open checks what l says and opens its socket.
func (a *App) open(l Listener) (*socket, error) {
	at, err := parseAddress(l.URL)
	if err != nil {
		return nil, err
	}
	s := &socket{at: at, driver: l.Driver, strict: l.Strict}
	switch at.protocol {
	case "echo":
		s.protocol = echo.Protocol{}
	case "resp":
		s.protocol = a.resp
	case "ws":
		s.protocol = a.door.WebSockets(l.Strict)
	case "mqtt":
		s.protocol = a.mqtt.Protocol(mqtt.ListenerOptions{Strict: l.Strict})
	}
	if at.tls {
		certs := l.Certificates
		if certs == nil {
			certs = a.opts.Certificates
		}
		if certs == nil {
			return nil, fmt.Errorf("cannot listen on %s: TLS needs a certificate and its key: set Certificates of the Listener or of the Options", l.URL)
		}
		s.tls = certs.Config()
	}
	if s.ln, err = engine.Bind(context.Background(), at.network, at.host); err != nil {
		return nil, cannotListen(at, err)
	}
	s.name = at.resolved(s.ln.Addr())
	if err := a.mayExpose(s, l.Insecure); err != nil {
		return nil, errors.Join(err, s.ln.Close())
	}
	return s, nil
}

// Validate reports what is wrong with the listener and can be seen without opening
// it: its URL, and, when nobody is authenticated (open), an address that other machines
// can reach.
func (l Listener) Validate(open bool) error {
	at, err := parseAddress(l.URL)
	if err != nil {
		return err
	}
	guarded := !open && at.protocol != "echo" || l.Insecure && at.protocol == "echo"
	if at.network == "unix" || guarded {
		return nil
	}
	host, _, _ := net.SplitHostPort(at.host)
	ip, err := netip.ParseAddr(host)
	if host != "" && (err != nil || ip.Unmap().IsLoopback()) {
		return nil // a name is looked up, and judged, when it is opened
	}
	return exposed(at)
}

// exposed says why a listener is refused, and what to do.
func exposed(at address) error {
	if at.protocol == "echo" {
		return fmt.Errorf("refusing to listen on %s: echo answers everybody who can reach it; "+
			"listen on 127.0.0.1, or say insecure: true for this listener", at)
	}
	return fmt.Errorf("refusing to listen on %s: it is %w; configure auth (users, tokens or certificates, and roles), or listen on 127.0.0.1", at, auth.ErrExposed)
}

// mayExpose refuses a listener that strangers could use.
func (a *App) mayExpose(s *socket, insecure bool) error {
	safe := a.auth.RequireFor(s.ln.Addr()) == nil
	if s.at.protocol == "echo" {
		safe = insecure || auth.Local(s.ln.Addr())
	}
	if !safe {
		return exposed(s.at)
	}
	return nil
}

// cannotListen says in one sentence why a socket could not be opened, and what to do.
func cannotListen(at address, err error) error {
	hint := ""
	if st, statErr := os.Lstat(at.host); at.network == "unix" && statErr == nil && st.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("cannot listen on %s: %s exists and is not a socket; remove it, or choose another path", at, at.host)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s: another program is using this address; stop it, or choose another one (%w)", at, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		hint = "; choose a port from 1024 up or a directory that is writable"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "; no interface of this machine has it"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("cannot listen on %s: %w%s", at, err, hint)
}
