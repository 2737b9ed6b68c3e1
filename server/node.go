package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/store/pebblestore"
	"go.opentelemetry.io/otel/trace"
)

// Options are what the process gives to a [Node]. The zero value works.
type Options struct {
	// Sources are read again by Reload. Default: none, and Reload has nothing to do but to read certificates and keys again.
	Sources Sources
	// Log takes the log. Default: nobody.
	Log io.Writer
	// Terminal says that a person reads Log. Default: a machine, which gets JSON.
	Terminal bool
	// Version is that of the program, for the log. Default: not logged.
	Version string
	// Tracer makes a span for each request. Default: none are made.
	Tracer trace.Tracer
	// Embedded says how the store in the data directory is opened. Default: see spate.Options.
	Embedded pebblestore.Options
}

// A Node is a server made from a configuration. Its listeners are open when it is made.
type Node struct {
	opts  Options
	app   *spate.App
	log   *slog.Logger
	level *slog.LevelVar
	data  io.Closer // the lock of the data directory
	open  []opened

	mu     sync.Mutex // guards reloading
	config Config     // in effect
	certs  map[TLS]*certificate
}

// A certificate is what is loaded, and what its files held then.
type certificate struct {
	*engine.Certificates
	sum [sha256.Size]byte
}

// opened is a listener with the address that it got.
type opened struct {
	url      string
	addr     net.Addr
	listener Listener
}

// New makes a node and opens its listeners, so that an address that is taken is
// an error here and not later. Run serves; a node that is not run must be closed.
func New(s *Settings, o Options) (*Node, error) {
	n := &Node{opts: o, config: s.Config, level: new(slog.LevelVar), certs: make(map[TLS]*certificate)}
	if err := n.level.UnmarshalText([]byte(s.Log.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	out := o.Log
	if out == nil {
		out = io.Discard
	}
	n.log = newLogger(out, s.Log.Format == "text" || s.Log.Format == "auto" && o.Terminal, n.level)
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) build() error {
	c := &n.config
	var err error
	if n.data, err = lockData(c.Data); err != nil {
		return err
	}
	n.app = spate.New(spate.Options{
		Data: c.Data, Embedded: n.opts.Embedded, Streams: c.Streams, CreateStreams: createStreams(c),
		Driver: c.Engine, Limits: c.Limits, HTTP: c.HTTP.Limits, WebSocket: c.WebSocket.Limits, MQTT: c.MQTT.options(c.Limits.Message), Devices: c.Devices, RESP: c.RESP.Limits, Overflow: overflows()[c.RESP.Overflow],
		Bus: c.Bus, Auth: c.Auth, Hosts: c.HTTP.Hosts, Origins: c.HTTP.Origins, PProf: c.HTTP.PProf,
		DrainTimeout: orNone(c.DrainTimeout), Logger: n.log, Tracer: n.opts.Tracer,
	})
	for _, l := range c.Listen {
		if err := n.listen(l); err != nil {
			return err
		}
	}
	n.warn()
	return nil
}

// createStreams tells whether XADD may make streams.
func createStreams(c *Config) bool {
	if c.RESP.CreateStreams != "auto" {
		return c.RESP.CreateStreams == "yes"
	}
	for _, l := range c.Listen {
		if strings.HasPrefix(l.URL, "resp") && (spate.Listener{URL: l.URL}).Validate(true) != nil {
			return false
		}
	}
	return true
}

// orNone is a duration of which zero means none rather than the default.
func orNone[T ~int64](d T) T {
	if d == 0 {
		return none
	}
	return d
}

func (n *Node) listen(l Listener) error {
	about := spate.Listener{URL: l.URL, Strict: l.Strict, Insecure: l.Insecure, Driver: l.Engine}
	if secure(l.URL) {
		certs, err := n.certificates(l)
		if err != nil {
			return fmt.Errorf("cannot listen on %s: %w", l.URL, err)
		}
		about.Certificates = certs
	}
	addr, err := n.app.ListenWith(about)
	if err != nil {
		return err
	}
	n.open = append(n.open, opened{url: withPort(l.URL, addr), addr: addr, listener: l})
	return nil
}

// secure tells whether a listener speaks TLS.
func secure(url string) bool {
	scheme, _, _ := strings.Cut(url, "://")
	return strings.HasSuffix(scheme, "+tls") || scheme == "mqtts" || scheme == "wss"
}

// withPort is the URL as it was asked for, with the port that the listener got.
func withPort(url string, addr net.Addr) string {
	scheme, rest, _ := strings.Cut(url, "://")
	if tcp, ok := addr.(*net.TCPAddr); ok {
		host, _, _ := net.SplitHostPort(rest)
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	return scheme + "://" + addr.String()
}

// tlsOf returns the files of a listener, which stand in place of all that is configured for the rest.
func (n *Node) tlsOf(l Listener) TLS {
	if l.TLS == (TLS{}) {
		return n.config.TLS
	}
	return l.TLS
}

// certificates returns those of a listener, loaded once for all that share them.
func (n *Node) certificates(l Listener) (*engine.Certificates, error) {
	files := n.tlsOf(l)
	if certs := n.certs[files]; certs != nil {
		return certs.Certificates, nil
	}
	sum := files.sum()
	certs, err := engine.LoadCertificates(files.files())
	if err == nil {
		n.certs[files] = &certificate{Certificates: certs, sum: sum}
	}
	return certs, err
}

// warn says at start what is allowed but dangerous.
func (n *Node) warn() {
	for _, o := range n.open {
		switch {
		case auth.Local(o.addr) || secure(o.url):
		case strings.HasPrefix(o.url, "echo"):
			n.log.Warn("everybody who can reach this listener may use it", "listener", o.url)
		default:
			n.log.Warn("passwords and data cross the network in the clear: use +tls", "listener", o.url)
		}
	}
	file := n.opts.Sources.File
	if st, err := os.Stat(file); err == nil && len(n.config.Auth.Users) > 0 && st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		n.log.Warn("other users of this machine can read the password hashes: chmod 600", "file", file)
	}
}

// Run serves until ctx ends, and then drains; see spate.App.Run. It closes the node.
func (n *Node) Run(ctx context.Context) error {
	n.log.Info("starting", "version", n.opts.Version, "authentication", n.app.Auth().Enabled(), "engine", n.config.Engine)
	return errors.Join(n.app.Run(ctx), n.Close())
}

// Close releases a node that was not run. A second time it does nothing.
func (n *Node) Close() error {
	var errs []error
	if n.app != nil {
		errs = append(errs, n.app.Close())
	}
	if n.data != nil {
		errs = append(errs, n.data.Close())
		n.data = nil
	}
	return errors.Join(errs...)
}

// Addrs are the addresses of the listeners, in the order of the configuration.
func (n *Node) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(n.open))
	for i, o := range n.open {
		addrs[i] = o.addr
	}
	return addrs
}

// Logger returns the log of the node.
func (n *Node) Logger() *slog.Logger { return n.log }

// App returns what the node serves with.
func (n *Node) App() *spate.App { return n.app }
