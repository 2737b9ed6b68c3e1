package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// snapshot is a configuration, checked and prepared. It does not change; a
// reload replaces it whole.
type snapshot struct {
	generation uint64
	enabled    bool
	accounts   map[string]*account
	order      []*account // the same, in the order of the configuration
	decoys     *decoys
	issuers    map[string]*issuer
	certs      []certRule
	roles      map[string]*rights
	grants     *grants
	slots      chan struct{} // one for each password that may be hashed at once
	cache      *passwordCache
	burst      int
	every      time.Duration
}

// compiler collects what is wrong, so that an operator sees all of it at once.
type compiler struct {
	config  Config
	remotes *remotes
	out     *snapshot
	errs    []error
}

// compile is the one way from a configuration to something that decides.
func compile(config Config, remotes *remotes) (*snapshot, error) {
	c := &compiler{config: config, remotes: remotes, out: &snapshot{
		enabled:  config.configured(),
		accounts: make(map[string]*account),
		issuers:  make(map[string]*issuer),
		roles:    make(map[string]*rights, len(config.Roles)),
		grants:   &grants{byRoles: make(map[string]*grant)},
	}}
	if c.out.enabled && len(config.Roles) == 0 {
		c.fail("auth.roles", errNoRoles)
	}
	for _, name := range sortedKeys(config.Roles) {
		c.role(name, config.Roles[name])
	}
	for i := range config.Users {
		c.user(fmt.Sprintf("auth.users[%d]", i), &config.Users[i])
	}
	for i := range config.Tokens {
		c.issuer(fmt.Sprintf("auth.tokens[%d]", i), config.Tokens[i])
	}
	for i := range config.Certificates {
		c.certificate(fmt.Sprintf("auth.certificates[%d]", i), config.Certificates[i])
	}
	c.out.decoys = newDecoys(c.out.order)
	c.limits()
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.out, nil
}

func (c *compiler) fail(path string, err error) {
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: %w", path, err))
	}
}

func (c *compiler) failf(path, format string, args ...any) {
	c.fail(path, fmt.Errorf(format, args...))
}

func (c *compiler) role(name string, role Role) {
	path := fmt.Sprintf("auth.roles.%s", name)
	if err := checkName(name); err != nil {
		c.failf("auth.roles", "the role name %q %w", name, err)
	}
	c.each(path+".publish", role.Publish, checkRule)
	c.each(path+".subscribe", role.Subscribe, checkRule)
	c.each(path+".clients", role.Clients, checkClient)
	if role.Clients != nil && len(role.Clients) == 0 {
		c.failf(path+".clients", "is empty; leave it out if every client identifier may be used, or list those that may")
	}
	c.out.roles[name] = compileRole(role)
}

func (c *compiler) each(path string, rules []string, check func(string) error) {
	if len(rules) > maxFilters {
		c.failf(path, "has %d rules; at most %d are accepted", len(rules), maxFilters)
		return
	}
	for i, rule := range rules {
		c.fail(fmt.Sprintf("%s[%d]", path, i), check(rule))
	}
}

func (c *compiler) knownRoles(path string, roles []string) {
	for i, name := range roles {
		if _, known := c.config.Roles[name]; !known {
			c.failf(fmt.Sprintf("%s.roles[%d]", path, i), "there is no role %q in auth.roles", name)
		}
	}
}

func (c *compiler) user(path string, u *User) {
	if err := checkName(u.Name); err != nil {
		c.failf(path+".name", "the user name %w", err)
	}
	if _, twice := c.out.accounts[u.Name]; twice {
		c.failf(path+".name", "the user %q is there already; give each name once", u.Name)
	}
	c.knownRoles(path, u.Roles)
	if u.Password.IsZero() && u.SCRAM.IsZero() {
		c.failf(path+".password", "is empty; make a hash with: spate hash-password")
		return
	}
	a := &account{name: u.Name, roles: u.Roles, secret: u.Password, scramSecret: u.SCRAM}
	if !u.SCRAM.IsZero() {
		c.verifier(path, a)
	}
	var err error
	if u.Password.IsZero() {
		a.hash, a.secret = a.scram, u.SCRAM
	} else if a.hash, err = parseHash(u.Password.Reveal()); err != nil {
		c.failf(path+".password", "%w", err)
		return
	}
	c.out.accounts[u.Name] = a
	c.out.order = append(c.out.order, a)
}

// verifier reads the verifier of a user. SCRAM clients prepare the name, so only
// a name that is prepared already can be found by one.
func (c *compiler) verifier(path string, a *account) {
	var err error
	if a.scram, err = parseVerifier(a.scramSecret.Reveal()); err != nil {
		c.failf(path+".scram", "%w", err)
		a.scram = &verifier{} // not used: there is an error
	}
	if name, err := saslprep(a.name); err == nil && name != a.name {
		c.failf(path+".name", "clients that use SCRAM write the name %q; give it in that form (RFC 4013)", name)
	} else if err != nil {
		c.failf(path+".name", "the user name %w", err)
	}
}

func (c *compiler) certificate(path string, r CertificateRule) {
	c.knownRoles(path, r.Roles)
	rule, err := compileCertRule(r)
	if err != nil {
		c.fail(path, err)
		return
	}
	c.out.certs = append(c.out.certs, rule)
}

// limits checks the cache and the tries, and counts the slots.
func (c *compiler) limits() {
	ttl := orElse(c.config.PasswordCache, defaultPasswordCache)
	if ttl < 0 || ttl > 24*time.Hour {
		c.failf("auth.password_cache", "%s is not between 1s and 24h; to turn the cache off set no_password_cache", ttl)
	}
	if c.config.NoPasswordCache {
		ttl = 0
	}
	c.out.cache = newPasswordCache(ttl)
	c.out.burst = orElse(c.config.Tries.Burst, defaultTriesBurst)
	c.out.every = orElse(c.config.Tries.Every, defaultTriesEvery)
	if c.out.burst < 1 || c.out.burst > 1_000_000 {
		c.failf("auth.tries.burst", "%d is not between 1 and 1000000", c.out.burst)
	}
	if c.out.every < time.Millisecond || c.out.every > time.Hour {
		c.failf("auth.tries.every", "%s is not between 1ms and 1h", c.out.every)
	}
	largest := 1
	for _, a := range c.out.order {
		largest = max(largest, a.hash.memory())
	}
	slots := min(runtime.GOMAXPROCS(0), maxSlots, verifyMemory/largest)
	c.out.slots = make(chan struct{}, max(1, slots))
}

func (c *compiler) issuer(path string, in Issuer) {
	out := &issuer{
		name:       in.Issuer,
		audience:   in.Audience,
		userClaim:  orElse(in.UserClaim, defaultUserClaim),
		userPrefix: in.UserPrefix,
		rolesClaim: in.RolesClaim,
		roles:      in.Roles,
		leeway:     orElse(in.Leeway, defaultLeeway),
	}
	if in.Issuer == "" {
		c.failf(path+".issuer", "is empty; it must be the iss of the tokens")
	} else if _, twice := c.out.issuers[in.Issuer]; twice {
		c.failf(path+".issuer", "%q is there already; give each issuer once", in.Issuer)
	}
	if len(in.Audience) == 0 || slices.Contains(in.Audience, "") {
		c.failf(path+".audience", "is empty; it must be the aud of tokens for this server, so that tokens for others are refused")
	}
	if out.leeway < 0 || out.leeway > 5*time.Minute {
		c.failf(path+".leeway", "%s is not between 0 and 5m", out.leeway)
	}
	if in.UserPrefix != "" {
		if err := checkName(in.UserPrefix + "x"); err != nil {
			c.failf(path+".user_prefix", "%w", err)
		}
	}
	c.knownRoles(path, in.Roles)
	out.algorithms = c.algorithms(path, in.Algorithms)
	out.keys = c.keys(path, in)
	out.bind(in)
	c.out.issuers[in.Issuer] = out
}

func (c *compiler) algorithms(path string, names []string) []jose.SignatureAlgorithm {
	if len(names) == 0 {
		return signatures
	}
	var out []jose.SignatureAlgorithm
	for i, name := range names {
		alg := jose.SignatureAlgorithm(name)
		if !slices.Contains(signatures, alg) {
			c.failf(fmt.Sprintf("%s.algorithms[%d]", path, i), "%q is not one of RS256, ES256 and EdDSA", name)
		}
		out = append(out, alg)
	}
	return out
}

func (c *compiler) keys(path string, in Issuer) keySource {
	ttl := orElse(in.KeysTTL, defaultKeysTTL)
	if ttl < 10*time.Second || ttl > keyStaleMax {
		c.failf(path+".keys_ttl", "%s is not between 10s and %s", ttl, keyStaleMax)
	}
	switch {
	case (in.KeysFile == "") == (in.KeysURL == ""):
		c.failf(path, "exactly one of keys_file and keys_url must be set")
	case in.KeysFile != "":
		set, err := readKeyFile(in.KeysFile)
		c.fail(path+".keys_file", err)
		return set
	default:
		if err := checkKeysURL(in.KeysURL); err != nil {
			c.fail(path+".keys_url", err)
			return nil
		}
		return c.remotes.get(in.KeysURL, ttl)
	}
	return nil
}

func checkKeysURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return errors.New("is not a URL with a host and without a password in it, such as https://id.example.com/keys")
	}
	if !secureURL(u) {
		return errors.New("must be https: over plain http anybody on the way could hand out keys (http is accepted for loopback only)")
	}
	return nil
}

// secureURL reports whether keys may come from the URL: https, or this machine.
func secureURL(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(u.Hostname(), "[]"))
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.Unmap().IsLoopback())
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func sortedKeys(m map[string]Role) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
