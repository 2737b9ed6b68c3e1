package auth

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Method is how somebody was authenticated.
type Method string

// The methods.
const (
	MethodOpen        Method = "open" // authentication is not configured, on loopback
	MethodPassword    Method = "password"
	MethodSCRAM       Method = "scram"
	MethodToken       Method = "token"
	MethodCertificate Method = "certificate"
)

// Identity is who a connection belongs to. Only [Auth] makes one; the zero value
// is nobody and may do nothing. It is one pointer, is safe for concurrent use,
// and its rights follow the configuration of its Auth.
type Identity struct {
	p *principal
}

// principal does not change except for current.
type principal struct {
	names
	method  Method
	expires time.Time
	source  source
	current atomic.Pointer[grant]
}

// source is what an identity was made from, kept to decide again after a reload.
type source interface {
	// roles returns what the user has under the snapshot, or why the identity is no longer valid.
	roles(s *snapshot, user string) ([]string, error)
}

// grant is what an identity may do under one configuration. All with the same
// roles share one.
type grant struct {
	generation uint64
	roles      []string
	rights     *rights
	err        error
}

// User is the name of the user. It holds no character that means something in a
// filter. It is empty for nobody and while authentication is not configured.
func (id Identity) User() string {
	if id.p == nil {
		return ""
	}
	return id.p.user
}

// Client is the client identifier of the connection, see [Auth.WithClient];
// empty for none. Unlike in the name of the user, any character may be in it.
func (id Identity) Client() string {
	if id.p == nil {
		return ""
	}
	return id.p.client
}

// Method is how the user was authenticated; empty for nobody.
func (id Identity) Method() Method {
	if id.p == nil {
		return ""
	}
	return id.p.method
}

// Roles are the roles of the user, sorted, as of the last decision or [Auth.Refresh].
func (id Identity) Roles() []string {
	if id.p == nil {
		return nil
	}
	return slices.Clone(id.p.current.Load().roles)
}

// Expires is when the token or certificate ends; zero for never. Every decision
// after that is a denial; a door closes the connection then.
func (id Identity) Expires() time.Time {
	if id.p == nil {
		return time.Time{}
	}
	return id.p.expires
}

// IsZero reports whether the identity is nobody.
func (id Identity) IsZero() bool { return id.p == nil }

// String is the user and the method, for people.
func (id Identity) String() string {
	switch id.Method() {
	case "":
		return "nobody"
	case MethodOpen:
		return "anybody (open)"
	default:
		return id.User() + " (" + string(id.Method()) + ")"
	}
}

// LogValue implements [slog.LogValuer].
func (id Identity) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("user", id.User()), slog.String("method", string(id.Method()))}
	if client := id.Client(); client != "" {
		attrs = append(attrs, slog.String("client", clip(client)))
	}
	return slog.GroupValue(attrs...)
}

// grantFor decides what the principal may do under the snapshot.
func (s *snapshot) grantFor(p *principal) *grant {
	if p.method == MethodOpen {
		if s.enabled {
			return &grant{generation: s.generation, err: ErrNotAuthenticated}
		}
		return &grant{generation: s.generation, rights: &rights{admin: true, open: true}}
	}
	roles, err := p.source.roles(s, p.user)
	if err != nil {
		return &grant{generation: s.generation, err: err}
	}
	g := s.grantOf(roles)
	if p.client != "" && !g.rights.mayUse(&p.names) {
		return &grant{generation: s.generation, err: ErrClient}
	}
	return g
}

// grants are kept by the roles that they are for, so that ten thousand clients of
// one role share one.
type grants struct {
	mu      sync.Mutex
	byRoles map[string]*grant
}

// grantOf returns what those with the roles may do; roles that do not exist are ignored.
func (s *snapshot) grantOf(roles []string) *grant {
	known := slices.DeleteFunc(slices.Clone(roles), func(name string) bool { return s.roles[name] == nil })
	slices.Sort(known)
	known = slices.Compact(known)
	key := strings.Join(known, "\n") // no name of a role holds one
	s.grants.mu.Lock()
	defer s.grants.mu.Unlock()
	if g := s.grants.byRoles[key]; g != nil {
		return g
	}
	g := &grant{generation: s.generation, roles: known, rights: &rights{}}
	for _, name := range known {
		g.rights.add(s.roles[name])
	}
	if len(s.grants.byRoles) >= maxGrants {
		clear(s.grants.byRoles)
	}
	s.grants.byRoles[key] = g
	return g
}
