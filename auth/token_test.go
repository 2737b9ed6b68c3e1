package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// signer is somebody's private key.
type signer struct {
	id  string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

// rsaKey is made once, because that takes long.
var rsaKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func newSigner(id string, alg jose.SignatureAlgorithm) signer {
	switch alg {
	case jose.RS256:
		return signer{id, alg, rsaKey()}
	case jose.ES256:
		return signer{id, alg, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	default:
		_, key := must2(ed25519.GenerateKey(rand.Reader))
		return signer{id, jose.EdDSA, key}
	}
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func (s signer) sign(claims map[string]any) string {
	opts := &jose.SignerOptions{}
	if s.id != "" {
		opts.WithHeader("kid", s.id)
	}
	j := must(jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, opts))
	return must(must(j.Sign(must(json.Marshal(claims)))).CompactSerialize())
}

func jwks(signers ...signer) []byte {
	var set jose.JSONWebKeySet
	for _, s := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Algorithm: string(s.alg), Use: "sig"})
	}
	return must(json.Marshal(set))
}

func pemOf(signers ...signer) []byte {
	var out bytes.Buffer
	for _, s := range signers {
		_ = pem.Encode(&out, &pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(s.key.Public()))})
	}
	return out.Bytes()
}

const testIssuer, testAudience = "https://id.example.com/", "spate"

// good are claims that are accepted; change overrides some, nil removes one.
func good(change map[string]any) map[string]any {
	claims := map[string]any{
		"iss": testIssuer, "aud": testAudience, "sub": "anna",
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func tokens(t testing.TB, keys []byte, change func(*Issuer)) Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	i := Issuer{Issuer: testIssuer, Audience: []string{"other", testAudience}, KeysFile: path, Roles: []string{"device"}}
	if change != nil {
		change(&i)
	}
	config := people()
	config.Tokens = []Issuer{i}
	config.Tries = Tries{Burst: 1000}
	return config
}

func bearer(t *testing.T, a *Auth, token string) (Identity, error) {
	t.Helper()
	return a.Token(t.Context(), peer, NewSecret(token))
}

func TestTokenAlgorithms(t *testing.T) {
	for _, alg := range signatures {
		s := newSigner("key-1", alg)
		for form, keys := range map[string][]byte{"JWKS": jwks(s), "PEM": pemOf(s)} {
			a, _ := start(t, tokens(t, keys, nil), Options{})
			id, err := bearer(t, a, s.sign(good(nil)))
			if err != nil || id.User() != "anna" || id.Method() != MethodToken || !slices.Equal(id.Roles(), []string{"device"}) {
				t.Errorf("%s, %s: %v %v, %v", alg, form, id, id.Roles(), err)
			}
			if left := time.Until(id.Expires()); left < 59*time.Minute || left > 61*time.Minute {
				t.Errorf("%s, %s: it expires in %s", alg, form, left)
			}
			if !a.CanPublish(id, "devices/anna/x") || a.CanPublish(id, "devices/bert/x") || a.CanAdmin(id) {
				t.Errorf("%s, %s: the rights are not those of the role", alg, form)
			}
		}
	}
}

// hostileTokens are made from a good token, its key and a key of somebody else.
func hostileTokens(key, other signer, ok string) map[string]string {
	now := time.Now()
	parts := strings.Split(ok, ".")
	raw := func(header string, payload string, signature []byte) string {
		b64 := base64.RawURLEncoding
		return b64.EncodeToString([]byte(header)) + "." + payload + "." + b64.EncodeToString(signature)
	}
	// Algorithm confusion: the public key, which anybody has, as the secret of an HMAC.
	public := pemOf(key)
	mac := hmac.New(sha256.New, public)
	hs := raw(`{"alg":"HS256","kid":"key-1"}`, parts[1], nil)
	mac.Write([]byte(hs[:strings.LastIndex(hs, ".")]))
	embedded := must(jose.NewSigner(jose.SigningKey{Algorithm: other.alg, Key: other.key}, &jose.SignerOptions{EmbedJWK: true}))
	return map[string]string{
		"empty":                      "",
		"no token":                   "abc",
		"two parts":                  parts[0] + "." + parts[1],
		"none":                       raw(`{"alg":"none"}`, parts[1], nil),
		"None":                       raw(`{"alg":"NoNe","kid":"key-1"}`, parts[1], nil),
		"no algorithm":               raw(`{"kid":"key-1"}`, parts[1], nil),
		"none with a signature":      raw(`{"alg":"none"}`, parts[1], []byte("x")),
		"no signature":               parts[0] + "." + parts[1] + ".",
		"HS256 with the public key":  raw(`{"alg":"HS256","kid":"key-1"}`, parts[1], mac.Sum(nil)),
		"RS512":                      signer{"key-1", jose.RS512, key.key}.sign(good(nil)),
		"PS256":                      signer{"key-1", jose.PS256, key.key}.sign(good(nil)),
		"another key":                other.sign(good(nil)),
		"another key, embedded":      must(must(embedded.Sign(must(json.Marshal(good(nil))))).CompactSerialize()),
		"another RSA key":            signer{"key-1", jose.RS256, must(rsa.GenerateKey(rand.Reader, 2048))}.sign(good(nil)),
		"unknown key":                signer{"key-2", jose.RS256, key.key}.sign(good(nil)),
		"changed claims":             parts[0] + "." + strings.Split(other.sign(good(map[string]any{"sub": "root"})), ".")[1] + "." + parts[2],
		"expired":                    key.sign(good(map[string]any{"exp": now.Add(-time.Minute).Unix()})),
		"never expires":              key.sign(good(map[string]any{"exp": nil})),
		"expires as text":            key.sign(good(map[string]any{"exp": "tomorrow"})),
		"not yet valid":              key.sign(good(map[string]any{"nbf": now.Add(time.Minute).Unix()})),
		"issued tomorrow":            key.sign(good(map[string]any{"iat": now.Add(24 * time.Hour).Unix()})),
		"another issuer":             key.sign(good(map[string]any{"iss": "https://evil.example.com/"})),
		"issuer without slash":       key.sign(good(map[string]any{"iss": strings.TrimSuffix(testIssuer, "/")})),
		"no issuer":                  key.sign(good(map[string]any{"iss": nil})),
		"issuer is a list":           key.sign(good(map[string]any{"iss": []string{testIssuer}})),
		"another audience":           key.sign(good(map[string]any{"aud": "billing"})),
		"no audience":                key.sign(good(map[string]any{"aud": nil})),
		"empty audience":             key.sign(good(map[string]any{"aud": []string{}})),
		"audience in another case":   key.sign(good(map[string]any{"aud": "SPATE"})),
		"no user":                    key.sign(good(map[string]any{"sub": nil})),
		"user is a number":           key.sign(good(map[string]any{"sub": 42})),
		"user is a wildcard":         key.sign(good(map[string]any{"sub": "#"})),
		"user has a level":           key.sign(good(map[string]any{"sub": "anna/x"})),
		"user is hidden":             key.sign(good(map[string]any{"sub": "$SYS"})),
		"too long":                   key.sign(good(map[string]any{"x": strings.Repeat("x", maxTokenBytes)})),
		"with a byte more":           ok + "A",
		"in JSON":                    `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"unknown critical extension": critical(key),
	}
}

// TestHostileTokens are the tokens that must never be accepted.
func TestHostileTokens(t *testing.T) {
	key, other := newSigner("key-1", jose.RS256), newSigner("key-1", jose.EdDSA)
	a, log := start(t, tokens(t, jwks(key), nil), Options{})
	ok := key.sign(good(nil))
	if _, err := bearer(t, a, ok); err != nil {
		t.Fatal(err)
	}
	cases := hostileTokens(key, other, ok)
	for name, token := range cases {
		id, err := bearer(t, a, token)
		if !errors.Is(err, ErrDenied) || err.Error() != ErrDenied.Error() || !id.IsZero() {
			t.Errorf("%s: %v, %v", name, id, err)
		}
		if id, err := a.Credentials(t.Context(), peer, TokenUser, NewSecret(token)); !errors.Is(err, ErrDenied) || !id.IsZero() {
			t.Errorf("%s in place of a password: %v, %v", name, id, err)
		}
	}
	if s := a.Stats(); s.Refused != uint64(2*len(cases)) {
		t.Errorf("%d refused, want %d", s.Refused, 2*len(cases))
	}
	parts := strings.Split(ok, ".")
	if strings.Contains(log.String(), parts[1]) || strings.Contains(log.String(), parts[2]) {
		t.Error("the log holds a token")
	}
}

func critical(s signer) string {
	opts := (&jose.SignerOptions{}).WithHeader("kid", s.id).WithHeader("crit", []string{"exp2"}).WithHeader("exp2", 1)
	j := must(jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, opts))
	return must(must(j.Sign(must(json.Marshal(good(nil))))).CompactSerialize())
}

func TestBearerHeader(t *testing.T) {
	key := newSigner("k", jose.EdDSA)
	a, _ := start(t, tokens(t, jwks(key), nil), Options{})
	header := "bearer " + key.sign(good(nil))
	if id, err := a.Header(t.Context(), peer, []string{header}); err != nil || id.User() != "anna" {
		t.Errorf("%v, %v", id, err)
	}
	if _, err := a.Header(t.Context(), peer, []string{header, header}); !errors.Is(err, ErrDenied) {
		t.Errorf("twice: %v", err)
	}
}

// TestTokenKeyKinds: a key is only used for the algorithm of its kind and of its issuer.
func TestTokenKeyKinds(t *testing.T) {
	rs, es, ed := newSigner("", jose.RS256), newSigner("", jose.ES256), newSigner("", jose.EdDSA)
	a, _ := start(t, tokens(t, pemOf(rs, es, ed), func(i *Issuer) { i.Algorithms = []string{"ES256", "EdDSA"} }), Options{})
	for _, s := range []signer{es, ed} {
		if _, err := bearer(t, a, s.sign(good(nil))); err != nil {
			t.Errorf("%s: %v", s.alg, err)
		}
	}
	if _, err := bearer(t, a, rs.sign(good(nil))); !errors.Is(err, ErrDenied) {
		t.Errorf("an algorithm that is not configured: %v", err)
	}
	set := must(parsePEM(pemOf(rs, es, ed)))
	for i, alg := range signatures {
		if found := set.lookup("any", alg); len(found) != 1 || found[0].print != set[i].print {
			t.Errorf("%s finds %d keys", alg, len(found))
		}
	}
}

func TestTokenClaims(t *testing.T) {
	key := newSigner("k", jose.EdDSA)
	cases := []struct {
		name   string
		change func(*Issuer)
		claims map[string]any
		user   string
		roles  []string
	}{
		{"roles of the issuer only", nil, map[string]any{"roles": "operator"}, "anna", []string{"device"}},
		{"a list", func(i *Issuer) { i.RolesClaim = "roles" }, map[string]any{"roles": []any{"operator", "unknown", 7, "device"}}, "anna", []string{"device", "operator"}},
		{"a text", func(i *Issuer) { i.RolesClaim = "scope" }, map[string]any{"scope": "openid operator"}, "anna", []string{"device", "operator"}},
		{"nested", func(i *Issuer) { i.RolesClaim = "realm_access.roles" }, map[string]any{"realm_access": map[string]any{"roles": []string{"operator"}}}, "anna", []string{"device", "operator"}},
		{"a name with dots", func(i *Issuer) { i.RolesClaim = "https://x.example/roles" }, map[string]any{"https://x.example/roles": []string{"operator"}}, "anna", []string{"device", "operator"}},
		{"missing", func(i *Issuer) { i.RolesClaim = "a.b.c" }, map[string]any{"a": map[string]any{"b": "c"}}, "anna", []string{"device"}},
		{"another kind", func(i *Issuer) { i.RolesClaim = "roles" }, map[string]any{"roles": map[string]any{"operator": true}}, "anna", []string{"device"}},
		{"user and prefix", func(i *Issuer) { i.UserClaim, i.UserPrefix = "email", "id:" }, map[string]any{"email": "b@example.com"}, "id:b@example.com", []string{"device"}},
		{"several audiences", nil, map[string]any{"aud": []string{"x", "spate"}}, "anna", []string{"device"}},
		{"within the leeway", nil, map[string]any{"exp": time.Now().Add(-10 * time.Second).Unix()}, "anna", []string{"device"}},
	}
	for _, c := range cases {
		a, _ := start(t, tokens(t, jwks(key), c.change), Options{})
		id, err := bearer(t, a, key.sign(good(c.claims)))
		if err != nil || id.User() != c.user || !slices.Equal(id.Roles(), c.roles) {
			t.Errorf("%s: %v with roles %v, %v", c.name, id, id.Roles(), err)
		}
	}
	many := make([]any, 10_000)
	for i := range many {
		many[i] = "operator"
	}
	if n := len(rolesIn(many)); n != maxTokenRoles {
		t.Errorf("%d roles are kept", n)
	}
}

// TestTokenExpiresWhileConnected: rights end with the token, at every method.
func TestTokenExpiresWhileConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSigner("k", jose.EdDSA)
		a, _ := start(t, tokens(t, jwks(key), nil), Options{})
		id, err := bearer(t, a, key.sign(good(nil)))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(id.Expires()) - time.Nanosecond)
		if !a.CanReceive(id, "news") || a.Refresh(id) != nil {
			t.Error("the right ends too early")
		}
		time.Sleep(time.Nanosecond)
		if a.CanReceive(id, "news") || a.CanPublish(id, "devices/anna/x") || a.CanSubscribe(id, "news") {
			t.Error("the right outlives the token")
		}
		if err := a.Authorize(peer, id, ActionReceive, "news"); !errors.Is(err, ErrExpired) || !errors.Is(a.Refresh(id), ErrExpired) {
			t.Errorf("it says %v", err)
		}
	})
}

func TestTokenReload(t *testing.T) {
	key, next := newSigner("k", jose.EdDSA), newSigner("k", jose.EdDSA)
	config := tokens(t, jwks(key), nil)
	a, _ := start(t, config, Options{})
	id, err := bearer(t, a, key.sign(good(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *Config){
		"the issuer is removed":     func(c *Config) { c.Tokens = nil },
		"the audience changes":      func(c *Config) { c.Tokens[0].Audience = []string{"x"} },
		"the prefix changes":        func(c *Config) { c.Tokens[0].UserPrefix = "id:" },
		"the algorithm is removed":  func(c *Config) { c.Tokens[0].Algorithms = []string{"RS256"} },
		"the key leaves the file":   func(c *Config) { c.Tokens = tokens(t, jwks(next), nil).Tokens },
		"the issuer's roles change": func(c *Config) { c.Tokens[0].Roles = []string{"operator"} },
	} {
		changed := config
		changed.Tokens = slices.Clone(config.Tokens)
		changed.Roles = maps.Clone(config.Roles)
		change(&changed)
		if err := a.Reload(changed); err != nil {
			t.Fatal(err)
		}
		err := a.Refresh(id)
		if name == "the issuer's roles change" {
			if err != nil || !a.CanAdmin(id) {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.Is(err, ErrWithdrawn) || a.CanReceive(id, "news") {
			t.Errorf("%s: %v", name, err)
		}
		if err := a.Reload(config); err != nil {
			t.Fatal(err)
		}
		if err := a.Refresh(id); err != nil {
			t.Errorf("%s and comes back: %v", name, err)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	key := newSigner("k", jose.ES256)
	weak := signer{"w", jose.RS256, must(rsa.GenerateKey(rand.Reader, 1024))}
	p384 := signer{"p", jose.ES384, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}
	private := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.key, KeyID: "k"}}}))
	symmetric := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte("0123456789abcdef"), KeyID: "k"}}}))
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"empty": {nil, "there is none"}, "text": {[]byte("hello"), "there is none"},
		"private key": {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "only public keys"},
		"private JWK": {private, "private or symmetric"}, "symmetric JWK": {symmetric, "private or symmetric"},
		"broken": {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), "cannot be read"},
		"P-384":  {pemOf(p384), "P-256"}, "RSA 1024": {pemOf(weak), "1024 bits"},
		"other kinds": {jwks(p384), "there is none"}, "no JSON": {[]byte("{"), "not a JWK set"},
		"huge": {bytes.Repeat([]byte("x"), maxKeyBytes+1), "more than"}, "many": {bytes.Repeat(pemOf(key), maxKeys+1), "more than"},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readKeyFile(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if set, err := parseJWKS([]byte(`{"keys":[{"kty":"unknown"},{"kty":"EC"},7,null]}`), false); err != nil || len(set) != 0 {
		t.Errorf("unknown kinds: %v, %v", set, err)
	}
}

func FuzzToken(f *testing.F) {
	key := newSigner("k", jose.EdDSA)
	a, err := New(tokens(f, jwks(key), nil), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = a.Close() })
	f.Add(key.sign(good(nil))[1:])
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := checkToken(t.Context(), a.snap.Load(), time.Now(), text); err == nil {
			t.Fatalf("%q is accepted as %s", text, p.user)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(jwks(newSigner("k", jose.EdDSA)))
	f.Add(pemOf(newSigner("k", jose.ES256)))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, strict := range []bool{true, false} {
			if set, err := parseJWKS(text, strict); err == nil && len(set) > maxKeys {
				t.Fatal("too many keys")
			}
		}
		_, _ = parsePEM(text)
	})
}
