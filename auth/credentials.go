package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// TokenUser is a user name that nobody has. Given with a token in place of a
// password, it stands for whoever the token names: for protocols and clients that
// cannot leave the name out.
const TokenUser = "$token"

// Credentials authenticates by a user name and what stands in the place of a
// password: a password, or a JSON Web Token for protocols that have no place of
// its own for one, such as MQTT's CONNECT. A token is what comes with [TokenUser],
// and while issuers are configured whatever has the form of a token; its user name
// must be empty, TokenUser, or that of the token's user. Which of the two it is
// does not depend on the name, so that it tells nobody which names exist.
//
// It blocks as [Auth.Password] and [Auth.Token] do.
func (a *Auth) Credentials(ctx context.Context, from Origin, user string, password Secret) (Identity, error) {
	if user != TokenUser && (len(a.snap.Load().issuers) == 0 || !tokenForm(password.Reveal())) {
		return a.Password(ctx, from, user, password)
	}
	return a.login(ctx, from, MethodToken, func(ctx context.Context, s *snapshot) (*principal, error) {
		p, err := checkToken(ctx, s, a.opts.Now(), password.Reveal())
		if err == nil && user != "" && user != TokenUser && user != p.user {
			return nil, refuse(p.user, "the token comes with the name of another user")
		}
		return p, err
	})
}

// tokenForm reports whether a text has the form of a signed token (RFC 7515,
// section 3.1): three parts in base64url, of which the first is an object in JSON
// that names an algorithm. No password that people or programs make does.
func tokenForm(text string) bool {
	if len(text) > maxTokenBytes || strings.Count(text, ".") != 2 {
		return false
	}
	head, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	header, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || !base64URL(payload) || !base64URL(signature) {
		return false
	}
	var object struct {
		Algorithm *string `json:"alg"`
	}
	return json.Unmarshal(header, &object) == nil && object.Algorithm != nil
}

func base64URL(text string) bool {
	for i := range len(text) {
		c := text[i]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
