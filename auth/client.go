package auth

import (
	"errors"
	"fmt"
	"strings"
)

// ActionClient is the use of a client identifier, for the audit line alone: see [Auth.WithClient].
const ActionClient Action = "use client identifier"

// WithClient returns the identity as that of a connection with an MQTT client
// identifier: {client} in a filter stands for it, and audit lines name it. It
// fails with [ErrClient] and an audit line when the roles of the user say which
// identifiers may be used and this is none of them, also for one that the server
// has assigned, and with [ErrNotAuthenticated], [ErrExpired] or [ErrWithdrawn].
//
// That a session belongs to the user who made it is for the broker to check: an
// identifier that a user may use can be that of somebody else's session. An
// empty identifier is none. The caller bounds the identifier, which is kept. It costs one principal of 96
// bytes; the old one is garbage. Nothing is kept of it while authentication is
// not configured, since no rule could ask for it.
func (a *Auth) WithClient(from Origin, id Identity, client string) (Identity, error) {
	if id.p == nil {
		return Identity{}, ErrNotAuthenticated
	}
	if id.p.method == MethodOpen || id.p.client == client {
		if err := a.Refresh(id); err != nil {
			return Identity{}, err
		}
		return id, nil
	}
	p := &principal{names: names{user: id.p.user, client: client}, method: id.p.method, expires: id.p.expires, source: id.p.source}
	bound := a.identity(a.snap.Load(), p)
	if err := a.Refresh(bound); err != nil {
		a.count.forbidden.Add(1)
		a.denied(denial{from: from, user: p.user, action: string(ActionClient), target: client, reason: reasonOf(err)})
		return Identity{}, err
	}
	return bound, nil
}

// clientPattern is one of [Role.Clients], prepared.
type clientPattern struct {
	before, after template
	wild          bool
}

func compileClient(text string) clientPattern {
	before, after, wild := strings.Cut(text, "*")
	return clientPattern{before: parseTemplate(before), after: parseTemplate(after), wild: wild}
}

func (c *clientPattern) match(client string, who *names) bool {
	if !c.wild {
		return c.before.is(client, who)
	}
	rest, ok := c.before.cutPrefix(client, who)
	if !ok {
		return false
	}
	rest, ok = c.after.cutSuffix(rest, who)
	return ok && rest != ""
}

// mayUse reports whether the client identifier may be used.
func (r *rights) mayUse(who *names) bool {
	for i := range r.clients {
		if r.clients[i].match(who.client, who) {
			return true
		}
	}
	return len(r.clients) == 0
}

// checkClient refuses patterns that are none.
func checkClient(text string) error {
	switch {
	case text == "":
		return errors.New("is empty; write a client identifier, such as {user} or {user}-*")
	case len(text) > maxFilterBytes:
		return fmt.Errorf("has %d bytes; at most %d are accepted", len(text), maxFilterBytes)
	case strings.Count(text, "*") > 1:
		return fmt.Errorf("%q has more than one *", text)
	}
	return checkPlaceholders(text, userPlaceholder)
}

// checkPlaceholders refuses braces that belong to none of the placeholders.
func checkPlaceholders(text string, known ...string) error {
	rest := text
	for _, p := range known {
		rest = strings.ReplaceAll(rest, p, "")
	}
	if strings.ContainsAny(rest, "{}") {
		return fmt.Errorf("%q has a placeholder other than %s", text, strings.Join(known, " and "))
	}
	return nil
}
