package auth

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestCredentials(t *testing.T) {
	key, other := newSigner("key-1", jose.EdDSA), newSigner("key-1", jose.EdDSA)
	a, log := start(t, tokens(t, jwks(key), nil), Options{})
	token, dora := key.sign(good(nil)), key.sign(good(map[string]any{"sub": "dora"}))
	cases := []struct {
		name, user, password string
		method               Method
		reason               string // in the audit line of who is refused
	}{
		{"password", "anna", "anna-secret", MethodPassword, ""},
		{"token and its user", "anna", token, MethodToken, ""},
		{"token and no user", "", token, MethodToken, ""},
		{"token and no user, written out", TokenUser, token, MethodToken, ""},
		{"token of somebody without a password", "dora", dora, MethodToken, ""},
		{"token and another user", "bert", token, "", "the name of another user"},
		{"token and a user that does not exist", "emil", token, "", "the name of another user"},
		{"token and the user in another case", "Anna", token, "", "the name of another user"},
		{"forged token", "anna", other.sign(good(nil)), "", "signature is wrong"},
		{"expired token", "anna", key.sign(good(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})), "", "the token has expired"},
		{"no token where one must be", TokenUser, "anna-secret", "", "not a token"},
		{"wrong password", "anna", "a.b.c", "", "wrong password"},
		{"nothing", "", "", "", "empty password"},
	}
	for _, c := range cases {
		before := len(log.String())
		id, err := a.Credentials(t.Context(), peer, c.user, NewSecret(c.password))
		line := log.String()[before:]
		if c.reason == "" && (err != nil || id.Method() != c.method || line != "") {
			t.Errorf("%s: %v, %v: %s", c.name, id, err, line)
		}
		if c.user != TokenUser { // the same by HTTP
			header := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.user+":"+c.password))
			if again, err := a.Header(t.Context(), peer, []string{header}); (err == nil) != (c.reason == "") || again.User() != id.User() {
				t.Errorf("%s, by a header: %v, %v", c.name, again, err)
			}
		}
		if c.reason != "" && (!errors.Is(err, ErrDenied) || !id.IsZero() || !strings.Contains(line, c.reason)) {
			t.Errorf("%s: %v, %v: %s", c.name, id, err, line)
		}
	}
	if strings.Contains(log.String(), "emil") || strings.Contains(log.String(), token) {
		t.Error("the log holds what was only claimed")
	}
}

// TestCredentialsTellNothing: neither by its time nor by its answer does a login
// tell whether a name exists, and without issuers every text is a password.
func TestCredentialsTellNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := newSigner("k1", jose.EdDSA).sign(good(nil))
		for issuers, config := range map[bool]Config{false: people(), true: tokens(t, jwks(newSigner("k1", jose.EdDSA)), nil)} {
			a, h := slow(t, config, 4)
			for _, password := range []string{"wrong", token} {
				hashes := int64(1)
				if issuers && password == token {
					hashes = 0
				}
				for _, user := range []string{"anna", "nobody"} {
					h.calls.Store(0)
					if _, err := a.Credentials(t.Context(), peer, user, NewSecret(password)); !errors.Is(err, ErrDenied) || h.calls.Load() != hashes {
						t.Errorf("issuers %v, user %s: %v after %d hashes, want %d", issuers, user, err, h.calls.Load(), hashes)
					}
				}
			}
		}
	})
}

func TestTokenForm(t *testing.T) {
	token := newSigner("k1", jose.EdDSA).sign(good(nil))
	parts := strings.Split(token, ".")
	for text, want := range map[string]bool{
		token: true, parts[0] + ".." + parts[2]: true, parts[0] + "..": true, "": false, "..": false, "a.b.c": false,
		parts[0] + "." + parts[1]: false, token + ".x": false, token + "!": false, token + "\n": false, " " + token: false,
		"e30.e30.x": false, "W10.x.y": false, "eyJhbGciOjF9.x.y": false, strings.Repeat("A", maxTokenBytes) + "..": false,
	} {
		if tokenForm(text) != want {
			t.Errorf("%.40q: %v", text, !want)
		}
	}
}
