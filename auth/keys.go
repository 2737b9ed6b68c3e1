package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// signatures are the algorithms that are ever accepted. Symmetric ones and none are not among them.
var signatures = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// keySource finds the keys that may have signed a token.
type keySource interface {
	// find returns the keys with the identifier and for the algorithm; it may
	// wait. Its error is a refusal, ErrUnavailable or ErrBusy.
	find(ctx context.Context, id string, alg jose.SignatureAlgorithm) ([]verifyKey, error)
	// withdrawn reports whether a key that was good before is known to be no longer.
	withdrawn(print keyPrint) bool
}

// keyPrint identifies a key by its contents.
type keyPrint [sha256.Size]byte

// verifyKey is a public key and the one algorithm that it is for.
type verifyKey struct {
	id    string // may be empty: then it stands for every identifier
	alg   jose.SignatureAlgorithm
	key   any
	print keyPrint
}

// newVerifyKey binds a key to the algorithm of its kind, so that no token can
// choose another (RFC 8725, section 3.1).
func newVerifyKey(id string, key any) (verifyKey, error) {
	k := verifyKey{id: id, key: key}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return k, fmt.Errorf("an RSA key has %d bits; at least %d are needed", key.N.BitLen(), minRSABits)
		}
		k.alg = jose.RS256
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return k, errors.New("an elliptic curve key is not on P-256, which ES256 needs")
		}
		k.alg = jose.ES256
	case ed25519.PublicKey:
		k.alg = jose.EdDSA
	default:
		return k, errors.New("a key is not a public key for RS256, ES256 or EdDSA")
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return k, errors.New("a public key cannot be encoded")
	}
	k.print = sha256.Sum256(der)
	return k, nil
}

// keySet is a fixed set of keys, and the source of those from a file.
type keySet []verifyKey

func (s keySet) lookup(id string, alg jose.SignatureAlgorithm) []verifyKey {
	var found []verifyKey
	for _, k := range s {
		if k.alg == alg && (id == "" || k.id == "" || k.id == id) {
			found = append(found, k)
		}
	}
	return found
}

func (s keySet) find(_ context.Context, id string, alg jose.SignatureAlgorithm) ([]verifyKey, error) {
	if found := s.lookup(id, alg); len(found) > 0 {
		return found, nil
	}
	return nil, refuse("", "the token names a key that the issuer does not have")
}

func (s keySet) withdrawn(print keyPrint) bool {
	for _, k := range s {
		if k.print == print {
			return false
		}
	}
	return true
}

// readKeyFile reads PEM or a JWK set. A file with a secret in it is refused: it
// is a sign that the issuer's private key lies where it should not.
func readKeyFile(path string) (keySet, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading public keys: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxKeyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading public keys: %w", err)
	}
	if len(text) > maxKeyBytes {
		return nil, fmt.Errorf("reading public keys from %s: it has more than %d bytes", path, maxKeyBytes)
	}
	var set keySet
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		set, err = parseJWKS(text, true)
	} else {
		set, err = parsePEM(text)
	}
	if err == nil && len(set) == 0 {
		err = errors.New("there is none; PEM public keys, certificates or a JWK set are accepted")
	}
	if err != nil {
		return nil, fmt.Errorf("reading public keys from %s: %w", path, err)
	}
	return set, nil
}

func parsePEM(text []byte) (keySet, error) {
	var set keySet
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return set, nil
		}
		key, err := parsePEMBlock(block)
		if err != nil {
			return nil, err
		}
		k, err := newVerifyKey("", key)
		if err != nil {
			return nil, err
		}
		if set = append(set, k); len(set) > maxKeys {
			return nil, fmt.Errorf("there are more than %d", maxKeys)
		}
	}
}

func parsePEMBlock(block *pem.Block) (key any, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		return nil, fmt.Errorf("it holds a %q; only public keys belong here", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("a %s cannot be read", block.Type)
	}
	return key, nil
}

// parseJWKS reads a JWK set (RFC 7517). Keys of unknown kinds and for other uses
// are passed over, as section 5 asks; in a strict set, one that is not public is an error.
func parseJWKS(text []byte, strict bool) (keySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, errors.New("it is not a JWK set in JSON")
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("there are more than %d keys", maxKeys)
	}
	var set keySet
	for _, item := range raw.Keys {
		var jwk jose.JSONWebKey
		if err := jwk.UnmarshalJSON(item); err != nil {
			continue
		}
		if !jwk.IsPublic() {
			if strict {
				return nil, errors.New("it holds a private or symmetric key; only public keys belong here")
			}
			continue
		}
		k, err := newVerifyKey(jwk.KeyID, jwk.Key)
		if err != nil || jwk.Use != "" && jwk.Use != "sig" || jwk.Algorithm != "" && jwk.Algorithm != string(k.alg) {
			continue
		}
		set = append(set, k)
	}
	return set, nil
}
