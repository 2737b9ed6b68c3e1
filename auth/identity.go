package auth

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// Method is how somebody was authenticated.
type Method string

// The methods.
const (
	MethodOpen        Method = "open" // authentication is not configured, on loopback
	MethodPassword    Method = "password"
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
	user    string
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

// grant is what an identity may do under one configuration.
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
	return slog.GroupValue(slog.String("user", id.User()), slog.String("method", string(id.Method())))
}

// grantFor decides what the principal may do under the snapshot.
func (s *snapshot) grantFor(p *principal) *grant {
	g := &grant{generation: s.generation, rights: &rights{}}
	if p.method == MethodOpen {
		if s.enabled {
			g.err = ErrNotAuthenticated
			return g
		}
		g.rights = &rights{admin: true, open: true}
		return g
	}
	roles, err := p.source.roles(s, p.user)
	if err != nil {
		g.err = err
		return g
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(roles))) {
		if role, known := s.roles[name]; known {
			g.roles = append(g.roles, name)
			g.rights.add(role, p.user)
		}
	}
	return g
}
