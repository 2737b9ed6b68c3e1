package auth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What may stand in [CertificateRule.User] for parts of the name that matched.
const (
	matchPlaceholder = "{match}"
	namePlaceholder  = "{name}"
)

// certNames are the names of one certificate: all that is kept of it.
type certNames struct {
	common, dns, uri, email []string
	sha256                  string
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// namesOf reads the names of a certificate. Common names are read from the list
// of attributes, because a certificate may hold several and the package x509
// shows only the last.
func namesOf(cert *x509.Certificate) (certNames, error) {
	var n certNames
	for _, attribute := range cert.Subject.Names {
		if text, ok := attribute.Value.(string); ok && attribute.Type.Equal(oidCommonName) {
			n.common = append(n.common, text)
		}
	}
	for _, name := range cert.DNSNames {
		n.dns = append(n.dns, strings.ToLower(name))
	}
	for _, u := range cert.URIs {
		n.uri = append(n.uri, u.String())
	}
	for _, address := range cert.EmailAddresses {
		n.email = append(n.email, strings.ToLower(address))
	}
	if max(len(n.common), len(n.dns), len(n.uri), len(n.email)) > maxCertNames {
		return certNames{}, errors.New("the certificate has too many names")
	}
	sum := sha256.Sum256(cert.Raw)
	n.sha256 = hex.EncodeToString(sum[:])
	return n, nil
}

// certRule is a [CertificateRule], prepared.
type certRule struct {
	names        func(certNames) []string
	before       string
	wild         bool
	after        string
	user         string
	grantedRoles []string
}

func compileCertRule(r CertificateRule) (certRule, error) {
	var out certRule
	var pattern string
	set := 0
	choose := func(text string, names func(certNames) []string) {
		if text != "" {
			set++
			pattern, out.names = text, names
		}
	}
	choose(r.CommonName, func(n certNames) []string { return n.common })
	choose(strings.ToLower(r.DNS), func(n certNames) []string { return n.dns })
	choose(r.URI, func(n certNames) []string { return n.uri })
	choose(strings.ToLower(r.Email), func(n certNames) []string { return n.email })
	choose(strings.ToLower(strings.ReplaceAll(r.SHA256, ":", "")), func(n certNames) []string { return []string{n.sha256} })
	if set != 1 {
		return out, errors.New("exactly one of common_name, dns, uri, email and sha256 must be set")
	}
	if r.SHA256 != "" {
		if sum, err := hex.DecodeString(pattern); err != nil || len(sum) != sha256.Size {
			return out, errors.New("sha256 is not 64 hexadecimal digits")
		}
	}
	if r.URI != "" && strings.Contains(r.User, namePlaceholder) {
		return out, errors.New("user has {name}, but a URI holds slashes, which no user name may; use * and {match}")
	}
	out.before, out.after, out.wild = strings.Cut(pattern, "*")
	if strings.Contains(out.after, "*") {
		return out, fmt.Errorf("%q has more than one *", pattern)
	}
	out.user, out.grantedRoles = r.User, r.Roles
	return out, out.checkUser()
}

// checkUser tries the user with a sample of what could stand in it.
func (r *certRule) checkUser() error {
	if strings.Contains(r.user, matchPlaceholder) && !r.wild {
		return errors.New("user has {match}, but there is no * in the name that it could stand for")
	}
	sample := strings.NewReplacer(matchPlaceholder, "x", namePlaceholder, "x").Replace(r.user)
	if err := checkName(sample); err != nil {
		return fmt.Errorf("user %w", err)
	}
	return nil
}

// match returns what * stood for in the name.
func (r *certRule) match(name string) (match string, ok bool) {
	if !r.wild {
		return "", name == r.before
	}
	if len(name) <= len(r.before)+len(r.after) || !strings.HasPrefix(name, r.before) || !strings.HasSuffix(name, r.after) {
		return "", false
	}
	match = name[len(r.before) : len(name)-len(r.after)]
	return match, !strings.ContainsAny(match, "./@:")
}

// userOf returns the one user that the rule gives to the certificate, or none.
func (r *certRule) userOf(names certNames) (user string, err error) {
	for _, name := range r.names(names) {
		match, ok := r.match(name)
		if !ok {
			continue
		}
		u := strings.NewReplacer(matchPlaceholder, match, namePlaceholder, name).Replace(r.user)
		if user != "" && u != user {
			return "", errors.New("the certificate has several names that give several users")
		}
		user = u
	}
	return user, nil
}

// certUser finds the first rule that names the certificate.
func (s *snapshot) certUser(names certNames) (user string, roles []string, err error) {
	for i := range s.certs {
		user, err = s.certs[i].userOf(names)
		if err != nil {
			return "", nil, err
		}
		if user == "" {
			continue
		}
		if err := checkName(user); err != nil {
			return "", nil, fmt.Errorf("the user name that the certificate gives %w", err)
		}
		return user, s.certs[i].grantedRoles, nil
	}
	return "", nil, errors.New("the certificate is valid, but no rule says whose it is")
}

// certSource is the names of the certificate of a login.
type certSource certNames

func (c certSource) roles(s *snapshot, user string) ([]string, error) {
	now, roles, err := s.certUser(certNames(c))
	if err != nil || now != user {
		return nil, ErrWithdrawn
	}
	return roles, nil
}

func checkCertificate(s *snapshot, now time.Time, state *tls.ConnectionState) (*principal, error) {
	if state == nil || !state.HandshakeComplete || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil, refuse("", "no verified client certificate")
	}
	leaf := state.VerifiedChains[0][0]
	expires := leaf.NotAfter
	for _, cert := range state.VerifiedChains[0] {
		if cert.NotAfter.Before(expires) {
			expires = cert.NotAfter
		}
	}
	if now.Before(leaf.NotBefore) || !now.Before(expires) {
		return nil, refuse("", "the certificate is not valid now")
	}
	given, err := namesOf(leaf)
	if err != nil {
		return nil, refuse("", err.Error())
	}
	user, _, err := s.certUser(given)
	if err != nil {
		return nil, refuse("", err.Error())
	}
	return &principal{names: names{user: user}, method: MethodCertificate, expires: expires, source: certSource(given.clone())}, nil
}

// clone keeps the names without the certificate that they are part of.
func (n certNames) clone() certNames {
	return certNames{
		common: cloneTexts(n.common), dns: cloneTexts(n.dns),
		uri: cloneTexts(n.uri), email: cloneTexts(n.email), sha256: n.sha256,
	}
}

func cloneTexts(texts []string) []string {
	out := slices.Clone(texts)
	for i := range out {
		out[i] = strings.Clone(out[i])
	}
	return out
}
