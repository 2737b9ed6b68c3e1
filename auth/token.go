package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// issuer is an [Issuer], prepared.
type issuer struct {
	name       string
	audience   []string
	algorithms []jose.SignatureAlgorithm
	userClaim  string
	userPrefix string
	rolesClaim string
	roles      []string
	leeway     time.Duration
	keys       keySource
	binding    string
}

// bind sums up all that decided who the bearer of a token is. An identity made
// under another binding is no longer valid.
func (i *issuer) bind(in Issuer) {
	i.binding = fmt.Sprintf("%q %q %q %q %q %q", i.audience, i.algorithms, i.userClaim, i.userPrefix, i.rolesClaim, in.KeysURL)
}

// tokenSource is what a token said, after it was verified.
type tokenSource struct {
	issuer  string
	binding string
	key     keyPrint
	claimed []string
}

func (t tokenSource) roles(s *snapshot, _ string) ([]string, error) {
	i, known := s.issuers[t.issuer]
	if !known || i.binding != t.binding || i.keys.withdrawn(t.key) {
		return nil, ErrWithdrawn
	}
	return slices.Concat(i.roles, t.claimed), nil
}

// checkToken verifies a token: first who claims to have issued it and with what,
// then the signature with a key of that issuer and of that kind, then the claims.
// Nothing that the token says about keys (jwk, jku, x5u, x5c) is used.
func checkToken(ctx context.Context, s *snapshot, now time.Time, text string) (*principal, error) {
	if len(text) > maxTokenBytes {
		return nil, refuse("", "the token is too long")
	}
	token, err := jwt.ParseSigned(text, signatures)
	if err != nil || len(token.Headers) != 1 {
		return nil, refuse("", "not a token signed with RS256, ES256 or EdDSA")
	}
	var unverified struct {
		Issuer string `json:"iss"`
	}
	if err := token.UnsafeClaimsWithoutVerification(&unverified); err != nil {
		return nil, refuse("", "the token's claims cannot be read")
	}
	i, known := s.issuers[unverified.Issuer]
	if !known {
		return nil, refuse("", "the token is from an issuer that is not configured")
	}
	alg := jose.SignatureAlgorithm(token.Headers[0].Algorithm)
	if !slices.Contains(i.algorithms, alg) {
		return nil, refuse("", "the token is signed with an algorithm that its issuer does not use")
	}
	keys, err := i.keys.find(ctx, token.Headers[0].KeyID, alg)
	if err != nil {
		return nil, err
	}
	var claims jwt.Claims
	var all map[string]any
	for _, k := range keys {
		if err := token.Claims(k.key, &claims, &all); err == nil {
			return i.principal(claims, all, k.print, now)
		}
	}
	return nil, refuse("", "the token's signature is wrong")
}

// principal checks claims that were signed.
func (i *issuer) principal(claims jwt.Claims, all map[string]any, key keyPrint, now time.Time) (*principal, error) {
	if claims.Expiry == nil {
		return nil, refuse("", "the token does not expire")
	}
	expected := jwt.Expected{Issuer: i.name, AnyAudience: i.audience, Time: now}
	if err := claims.ValidateWithLeeway(expected, i.leeway); err != nil {
		return nil, refuse("", claimReason(err))
	}
	name, ok := claim(all, i.userClaim).(string)
	if !ok || name == "" {
		return nil, refuse("", "the token has no claim "+i.userClaim+" that names a user")
	}
	user := i.userPrefix + name
	if err := checkName(user); err != nil {
		return nil, refuse("", "the user name in the token "+err.Error())
	}
	var claimed []string
	if i.rolesClaim != "" {
		claimed = rolesIn(claim(all, i.rolesClaim))
	}
	return &principal{
		names: names{user: user}, method: MethodToken, expires: claims.Expiry.Time().Add(i.leeway),
		source: tokenSource{issuer: i.name, binding: i.binding, key: key, claimed: claimed},
	}, nil
}

func claimReason(err error) string {
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return "the token has expired"
	case errors.Is(err, jwt.ErrInvalidAudience):
		return "the token is for another audience"
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return "the token is from another issuer"
	default:
		return "the token is not valid yet"
	}
}

// claim finds a claim by its whole name or, level by level, by the parts between dots.
func claim(all map[string]any, name string) any {
	if value, found := all[name]; found {
		return value
	}
	first, rest, more := strings.Cut(name, ".")
	inner, ok := all[first].(map[string]any)
	if !more || !ok {
		return nil
	}
	return claim(inner, rest)
}

// rolesIn reads a list of texts, or a text separated by spaces.
func rolesIn(value any) []string {
	var roles []string
	switch value := value.(type) {
	case string:
		roles = strings.Fields(value)
	case []any:
		for _, item := range value {
			if name, ok := item.(string); ok {
				roles = append(roles, name)
			}
		}
	}
	roles = slices.DeleteFunc(roles, func(name string) bool { return len(name) > maxNameBytes })
	return roles[:min(len(roles), maxTokenRoles)]
}
