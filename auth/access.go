package auth

import "errors"

// Action is something that access rules decide.
type Action string

// The actions. The target of each is what is given to [Auth.Authorize].
const (
	ActionPublish       Action = "publish"        // a subject
	ActionSubscribe     Action = "subscribe"      // a filter
	ActionSubscribeGlob Action = "subscribe glob" // a pattern of Redis' PSUBSCRIBE
	ActionReceive       Action = "receive"        // a subject of one event
	ActionAdmin         Action = "administer"     // a name for the audit line, such as CLIENT KILL
)

// CanPublish reports whether the identity may publish to the subject.
func (a *Auth) CanPublish(id Identity, subject string) bool {
	r, err := a.rightsOf(id)
	return err == nil && r.mayPublish(subject)
}

// CanSubscribe reports whether the identity may subscribe to the filter: one of
// its own filters must cover all of it.
func (a *Auth) CanSubscribe(id Identity, filter string) bool {
	r, err := a.rightsOf(id)
	return err == nil && r.maySubscribe(filter)
}

// CanSubscribeGlob reports whether the identity may subscribe to the Redis
// pattern: it may receive every subject that the pattern matches.
func (a *Auth) CanSubscribeGlob(id Identity, glob string) bool {
	r, err := a.rightsOf(id)
	return err == nil && r.maySubscribeGlob(glob)
}

// CanReceive reports whether the identity may receive an event with the subject.
// It is for events that were kept since a subscription was allowed: retained,
// queued, replayed.
func (a *Auth) CanReceive(id Identity, subject string) bool {
	r, err := a.rightsOf(id)
	return err == nil && r.mayReceive(subject)
}

// CanAdmin reports whether the identity may administer the server.
func (a *Auth) CanAdmin(id Identity) bool {
	r, err := a.rightsOf(id)
	return err == nil && r.admin
}

// Authorize decides like the Can methods, counts a denial and writes an audit
// line for it. It fails with [ErrForbidden], which says what is not permitted, [ErrNotAuthenticated], [ErrExpired]
// [ErrWithdrawn] or [ErrClient].
func (a *Auth) Authorize(from Origin, id Identity, action Action, target string) error {
	r, err := a.rightsOf(id)
	if err == nil && r.may(action, target) {
		return nil
	}
	reason := "no access rule allows it"
	if err != nil {
		reason = reasonOf(err)
	} else {
		err = forbid(action, target)
	}
	a.count.forbidden.Add(1)
	a.denied(denial{from: from, user: id.User(), client: id.Client(), action: string(action), target: target, reason: reason})
	return err
}

// Refresh reports whether the identity is still valid: nil, or why not, one of
// [ErrNotAuthenticated], [ErrExpired], [ErrWithdrawn] and [ErrClient]. A door calls it for its
// live connections after a reload and closes those for which it fails.
func (a *Auth) Refresh(id Identity) error {
	_, err := a.rightsOf(id)
	return err
}

// rightsOf returns what the identity may do now. It decides again when the
// configuration has changed since the last time, so that no door can forget to.
func (a *Auth) rightsOf(id Identity) (holder, error) {
	p := id.p
	if p == nil {
		return holder{}, ErrNotAuthenticated
	}
	g, s := p.current.Load(), a.snap.Load()
	if g.generation != s.generation {
		g = s.grantFor(p)
		p.current.Store(g)
	}
	if g.err != nil {
		return holder{}, g.err
	}
	if !p.expires.IsZero() && !a.opts.Now().Before(p.expires) {
		return holder{}, ErrExpired
	}
	return holder{rights: g.rights, who: &p.names}, nil
}

func (r holder) may(action Action, target string) bool {
	switch action {
	case ActionPublish:
		return r.mayPublish(target)
	case ActionSubscribe:
		return r.maySubscribe(target)
	case ActionSubscribeGlob:
		return r.maySubscribeGlob(target)
	case ActionReceive:
		return r.mayReceive(target)
	case ActionAdmin:
		return r.admin
	default:
		return false
	}
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrExpired):
		return "the token or certificate has expired"
	case errors.Is(err, ErrClient):
		return "no role of the user lists the client identifier"
	case errors.Is(err, ErrWithdrawn):
		return "the user or issuer was removed or changed"
	default:
		return "not logged in"
	}
}
