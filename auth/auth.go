package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what the process gives to an [Auth]. The zero value works.
type Options struct {
	// Logger receives the audit lines. Default: none. Danger: without it nobody sees who was denied.
	Logger *slog.Logger

	// Now is the clock. Default [time.Now].
	Now func() time.Time

	// HTTPClient fetches keys from [Issuer.KeysURL]. Default: a client of its own
	// that uses the proxy of the environment. Redirects to anything but https are
	// refused and each request is limited to 5 seconds whatever the client says.
	HTTPClient *http.Client
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Origin is where a request comes from.
type Origin struct {
	// Door is the protocol or listener, such as resp, for the audit line.
	Door string

	// Addr is the remote address; the zero Addr stands for a Unix socket.
	Addr netip.Addr
}

func (o Origin) text() string {
	if !o.Addr.IsValid() {
		return "unix"
	}
	return o.Addr.String()
}

// Auth decides who somebody is and what they may do. All methods are safe for
// concurrent use.
type Auth struct {
	opts    Options
	snap    atomic.Pointer[snapshot]
	tries   *tries
	audit   *auditor
	remotes *remotes
	open    Identity
	count   counters

	reload sync.Mutex
	closed atomic.Bool
}

// New makes an Auth. It fails with everything that is wrong with the
// configuration, see [Config.Validate]. Close it after use.
func New(config Config, opts Options) (*Auth, error) {
	opts = opts.withDefaults()
	a := &Auth{opts: opts, tries: newTries(opts.Now), audit: newAuditor(opts)}
	a.remotes = newRemotes(opts, &a.count)
	s, err := compile(config, a.remotes)
	if err != nil {
		return nil, err
	}
	a.install(s)
	a.open = a.identity(s, &principal{method: MethodOpen})
	return a, nil
}

// Reload replaces the configuration, or leaves it as it is and fails. It empties
// the cache of passwords, and every identity made before is decided again at its
// next use. It does not turn authentication off: see [ErrTurnedOff].
func (a *Auth) Reload(config Config) error {
	install, err := a.Prepare(config)
	if err != nil {
		return err
	}
	install()
	return nil
}

// Prepare does of Reload what can fail, and changes nothing: who decides is the
// old configuration until install is called, which need not happen. Of several
// that were prepared, the one that is installed last counts; one that would turn
// authentication off after another has turned it on does nothing.
func (a *Auth) Prepare(config Config) (install func(), err error) {
	s, err := compile(config, a.remotes)
	if err != nil {
		return nil, err
	}
	if a.Enabled() && !s.enabled {
		return nil, fmt.Errorf("reloading auth: %w", ErrTurnedOff)
	}
	return sync.OnceFunc(func() {
		a.reload.Lock()
		defer a.reload.Unlock()
		if s.enabled || !a.Enabled() {
			a.install(s)
		}
	}), nil
}

func (a *Auth) install(s *snapshot) {
	s.generation = a.Generation() + 1
	a.tries.set(s.burst, s.every)
	a.remotes.keep(s)
	a.snap.Store(s)
}

// Close stops fetching keys and waits until that has ended. Logins fail afterwards.
func (a *Auth) Close() error {
	a.closed.Store(true)
	a.remotes.close()
	return nil
}

// Enabled reports whether authentication is configured.
func (a *Auth) Enabled() bool { return a.snap.Load().enabled }

// Generation grows with every reload. Reading it costs one atomic load: a door
// that keeps a decision, such as a subscription, keeps the generation beside it
// and decides again when it has changed.
func (a *Auth) Generation() uint64 {
	if s := a.snap.Load(); s != nil {
		return s.generation
	}
	return 0
}

// Local reports whether a listener at the address can only be reached from this
// machine: a Unix socket or a loopback address.
func Local(listener net.Addr) bool {
	switch addr := listener.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return addr.IP.IsLoopback()
	default:
		return false
	}
}

// RequireFor fails with [ErrExposed] when the listener can be reached from other
// machines and authentication is not configured. The server calls it before it
// serves a listener.
func (a *Auth) RequireFor(listener net.Addr) error {
	if a.Enabled() || Local(listener) {
		return nil
	}
	return fmt.Errorf("listener %s is %w: configure auth (users, tokens or certificates, and roles), or listen on 127.0.0.1", listener, ErrExposed)
}

// Open returns the identity that may do everything, while authentication is not
// configured and both the listener and the peer are on this machine. Otherwise it
// fails with [ErrNotAuthenticated].
func (a *Auth) Open(from Origin, listener net.Addr) (Identity, error) {
	if a.Enabled() {
		return Identity{}, ErrNotAuthenticated // the usual first state of a connection: no audit line
	}
	if !Local(listener) || from.Addr.IsValid() && !from.Addr.Unmap().IsLoopback() {
		a.denied(denial{from: from, action: "connect", reason: "authentication is not configured and the listener is not local"})
		return Identity{}, ErrNotAuthenticated
	}
	return a.open, nil
}

// Password authenticates a user by name and password. It may take as long as a
// password hash takes (about 20 ms) and waits for at most 10 seconds, or until ctx
// ends, while too many others are being hashed. A password that was right from
// the same address a short while ago takes neither a hash nor a try.
func (a *Auth) Password(ctx context.Context, from Origin, user string, password Secret) (Identity, error) {
	if a.closed.Load() {
		return Identity{}, ErrClosed
	}
	before, v := a.snap.Load(), visitor{user: user, addr: block(from.Addr)}
	p, counted := a.recalled(before, v, password.Reveal())
	if p != nil {
		return a.accept(before, p), nil
	}
	return a.login(ctx, from, MethodPassword, func(ctx context.Context, s *snapshot) (*principal, error) {
		if counted {
			before.cache.repaid(v, before.every)
		}
		p, err := a.checkPassword(ctx, s, user, password)
		if err == nil {
			s.cache.visited(visitor{user: p.user, addr: v.addr}, s.cache.key(p.user, password.Reveal()))
		}
		return p, err
	})
}

// Token authenticates the bearer of a JSON Web Token (RFC 7519). It may wait for
// the issuer's keys, for at most 10 seconds or until ctx ends.
func (a *Auth) Token(ctx context.Context, from Origin, token Secret) (Identity, error) {
	return a.login(ctx, from, MethodToken, func(ctx context.Context, s *snapshot) (*principal, error) {
		return checkToken(ctx, s, a.opts.Now(), token.Reveal())
	})
}

// Certificate authenticates the client of a TLS connection whose handshake has
// verified a client certificate. It is an error to have none. It takes no try: a
// certificate cannot be guessed, and many a client shows one wherever it is asked
// for one, without meaning to log in. It does not block.
func (a *Auth) Certificate(_ context.Context, from Origin, state *tls.ConnectionState) (Identity, error) {
	if a.closed.Load() {
		return Identity{}, ErrClosed
	}
	s := a.snap.Load()
	p, err := checkCertificate(s, a.opts.Now(), state)
	if err != nil {
		return Identity{}, a.refused(from, MethodCertificate, err)
	}
	return a.accept(s, p), nil
}

// refusal is why somebody is refused: user and reason are for the audit line alone.
type refusal struct{ user, reason string }

func (r *refusal) Error() string { return r.reason }

func refuse(user, reason string) error { return &refusal{user: user, reason: reason} }

// login is the way of all credentials that can be guessed: tries, check, audit.
func (a *Auth) login(ctx context.Context, from Origin, method Method,
	check func(context.Context, *snapshot) (*principal, error),
) (Identity, error) {
	if a.closed.Load() {
		return Identity{}, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, maxVerifyWait)
	defer cancel()
	addr := block(from.Addr)
	if err := a.tries.acquire(ctx, addr); err != nil {
		return Identity{}, a.refused(from, method, err)
	}
	failed := true // also when check panics
	defer func() { a.tries.settle(addr, failed) }()
	s := a.snap.Load()
	p, err := check(ctx, s)
	var why *refusal
	failed = errors.As(err, &why)
	if err != nil {
		return Identity{}, a.refused(from, method, err)
	}
	return a.accept(s, p), nil
}

func (a *Auth) accept(s *snapshot, p *principal) Identity {
	a.count.accepted.Add(1)
	return a.identity(s, p)
}

// refused counts and audits a failed login and returns what the client may know.
func (a *Auth) refused(from Origin, method Method, err error) error {
	d := denial{from: from, action: "log in with " + string(method), reason: err.Error()}
	var why *refusal
	switch {
	case errors.As(err, &why):
		a.count.refused.Add(1)
		d.user, err = why.user, ErrDenied
	case errors.Is(err, ErrTooManyTries):
		a.count.limited.Add(1)
		d.reason = "too many failed tries from this address"
	default:
		a.count.busy.Add(1)
	}
	a.denied(d)
	return err
}

func (a *Auth) denied(d denial) { a.audit.deny(d) }

func (a *Auth) identity(s *snapshot, p *principal) Identity {
	p.current.Store(s.grantFor(p))
	return Identity{p: p}
}
