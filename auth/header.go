package auth

import (
	"context"
	"encoding/base64"
	"strings"
)

// Header authenticates by the values of the HTTP header Authorization, as given
// in http.Header.Values: Basic with a name and a password or token (RFC 7617, see
// [Auth.Credentials]), or Bearer with a token (RFC 6750). None is [ErrNotAuthenticated], more than one is
// refused. No other header names anybody, whatever a proxy may have put there.
func (a *Auth) Header(ctx context.Context, from Origin, values []string) (Identity, error) {
	if len(values) == 0 {
		return Identity{}, ErrNotAuthenticated
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	rest = strings.TrimSpace(rest)
	if len(values) == 1 && strings.EqualFold(scheme, "Bearer") {
		return a.Token(ctx, from, NewSecret(rest))
	}
	if len(values) == 1 && strings.EqualFold(scheme, "Basic") && len(rest) <= 2*(maxNameBytes+maxTokenBytes) {
		text, err := base64.StdEncoding.DecodeString(rest)
		user, password, found := strings.Cut(string(text), ":")
		if err == nil && found {
			return a.Credentials(ctx, from, user, NewSecret(password))
		}
	}
	return a.login(ctx, from, methodHeader, func(context.Context, *snapshot) (*principal, error) {
		return nil, refuse("", "the header Authorization is not one Basic or Bearer")
	})
}

// methodHeader is for audit lines about headers that name no method.
const methodHeader Method = "header"
