package websocket

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
)

// An Endpoint is what is served at one path. Open is needed.
type Endpoint struct {
	// Name appears in the list of connections and in errors: "mqtt".
	Name string
	// Subprotocols are those that it speaks, the best first. Default: none is agreed on.
	// A client that offers none of them is served without, as RFC 6455 has it,
	// and refused on a strict listener.
	Subprotocols []string
	// Open makes the session of a connection, which is a [Session] or
	// [Messages]. It is called on the connection's task, before the client is
	// told that it has a WebSocket, so it must not write; an error refuses the
	// client, with the status of a [Refusal] and otherwise as a failure of the
	// server.
	Open func(c *Conn, h *Handshake) (any, error)
}

// A Handshake is a request for a WebSocket that follows the protocol.
type Handshake struct {
	// Request is what the client has sent. It has no body.
	Request *http.Request
	// Subprotocol is the one that was agreed on, or none.
	Subprotocol string
	// Compress may be set by Endpoint.Open to let the client send compressed
	// messages, which only a session of [Messages] can have. Danger: what is
	// compressed costs time and memory, so only clients that are known should.
	Compress bool
	// Strict says that the listener wants clients to be held to the letter of the
	// specification.
	Strict bool

	ep      *endpoint
	deflate bool // the client offers what we can agree on
}

// A Refusal is why a client gets no WebSocket.
type Refusal struct {
	// Status is that of the answer, such as 403.
	Status int
	// Text tells the client why, and what to do.
	Text string
	// Header is sent with it. Default: nothing.
	Header http.Header
}

// Error is the text.
func (r *Refusal) Error() string { return r.Text }

func refuse(status int, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Text: fmt.Sprintf(format, args...)}
}

// Options configure a [Protocol]. Endpoints are needed.
type Options struct {
	// Endpoints are what is served, by path: "/mqtt".
	Endpoints map[string]Endpoint
	// Origins are those whose pages may connect, as browsers write them:
	// "https://app.example.com". Default: only pages of the very host and port
	// that they connect to. Danger: such a page can do what the browser's user can.
	Origins []string
	// Hosts are the names, besides addresses and localhost, under which a
	// listener may be called that only this machine can reach. Default: none.
	// Danger: whoever controls the DNS of a name in this list can have browsers
	// on this machine connect.
	Hosts []string
	// Limits bound what clients can do. Each has a default.
	Limits Limits
}

// An endpoint is an Endpoint with what the Protocol adds.
type endpoint struct {
	Endpoint
	limits Limits
	packer *packer
}

// A Protocol makes WebSockets of connections. It is an [engine.Protocol], for listeners of its own; connections that another server has
// accepted and read the request of become WebSockets with Check and Session.
type Protocol struct {
	endpoints map[string]*endpoint
	origins   []string
	hosts     []string
	limits    Limits
	strict    bool
}

var _ engine.Protocol = (*Protocol)(nil)

// New returns a protocol that serves the endpoints.
func New(o Options) (*Protocol, error) {
	p := &Protocol{endpoints: make(map[string]*endpoint), origins: o.Origins, hosts: o.Hosts, limits: o.Limits.withDefaults()}
	pack := &packer{bound: int64(p.limits.Inflated)}
	var errs []error
	for path, ep := range o.Endpoints {
		if !strings.HasPrefix(path, "/") || ep.Open == nil {
			errs = append(errs, fmt.Errorf("the WebSocket endpoint %q needs a path that begins with a slash, and Open", path))
		}
		ep.Name = cmp.Or(ep.Name, strings.Trim(path, "/"))
		p.endpoints[path] = &endpoint{ep, p.limits, pack}
	}
	if len(p.endpoints) == 0 {
		errs = append(errs, errors.New("a WebSocket listener needs endpoints"))
	}
	return p, errors.Join(errs...)
}

// Name is the protocol's name in logs and lists.
func (*Protocol) Name() string { return "websocket" }

// Open begins with the handshake.
func (*Protocol) Open(c *engine.Conn) engine.Session { return (*carrier)(&Conn{Conn: c}) }

// Strict returns the protocol of strict listeners, with the same endpoints.
func (p *Protocol) Strict() *Protocol {
	strict := *p
	strict.strict = true
	return &strict
}

// Paths returns the paths of the endpoints, sorted.
func (p *Protocol) Paths() []string { return slices.Sorted(maps.Keys(p.endpoints)) }

// local tells whether a listener can be reached from this machine only, over the network.
func local(l *engine.Listener) bool {
	return l.Addr().Network() != "unix" && auth.Local(l.Addr())
}
