package auth

import "time"

// Config is the section auth of the configuration file. Its zero value means
// that authentication is not configured: see [Auth.RequireFor]. The package
// comment holds an example of the whole.
type Config struct {
	// Users log in with a name and a password.
	Users []User `yaml:"users,omitempty"`

	// Tokens are the issuers of which bearer tokens (JWT) are accepted.
	Tokens []Issuer `yaml:"tokens,omitempty"`

	// Certificates map client certificates to users. The first rule that
	// matches wins. A certificate that matches none logs nobody in, and is
	// audited: its connection stays open and may log in otherwise, as one
	// without a certificate may.
	Certificates []CertificateRule `yaml:"certificates,omitempty"`

	// Roles are the access rules, by name of the role. What no role of a user
	// allows is denied. There must be at least one as soon as anything else is set.
	Roles map[string]Role `yaml:"roles,omitempty"`

	// PasswordCache is how long a password that was right is not hashed again,
	// so that a thousand clients that reconnect at once do not each cost 20 ms.
	// Default 10m, at most 24h. What is kept is a digest under a random key; a
	// reload empties it. Danger: who can read the server's memory can try
	// passwords against a cached digest faster than against the hash.
	PasswordCache time.Duration `yaml:"password_cache,omitempty"`

	// NoPasswordCache turns that cache off. Danger: a storm of reconnecting
	// clients waits for the processor, and for nothing else.
	NoPasswordCache bool `yaml:"no_password_cache,omitempty"`

	// Tries limits failed logins per address.
	Tries Tries `yaml:"tries,omitempty"`
}

// User is somebody who logs in with a password.
type User struct {
	// Name is what the client gives, at most 128 bytes, without the characters
	// that mean something in a filter or pattern: + # / * ? [ ] { } \ or a $ in
	// front, spaces at the ends, and what does not print.
	Name string `yaml:"name"`

	// Password is a hash, argon2id or bcrypt, never the password itself.
	// spate hash-password makes one. It may be left out when there is a verifier.
	Password Secret `yaml:"password,omitempty"`

	// SCRAM is a verifier for logins by SCRAM-SHA-256, with which no password
	// crosses the network, as PostgreSQL keeps it: spate hash-password --scram
	// makes one. While there is no Password, it serves for logins by password too.
	// Danger: who gets hold of it can guess at the password faster than against
	// an argon2id hash, and can pretend to be this server.
	SCRAM Secret `yaml:"scram,omitempty"`

	// Roles are names from Config.Roles. A user without a role may log in and do nothing.
	Roles []string `yaml:"roles,omitempty"`
}

// Issuer is a source of bearer tokens. A token must be signed by one of its keys
// with one of its algorithms, carry its name in iss and one of its audiences in
// aud, and must not have expired.
type Issuer struct {
	// Issuer is the value of iss, compared byte by byte. Required, and only once in the list.
	Issuer string `yaml:"issuer"`

	// Audience holds the accepted values of aud. Required. Danger: a value that
	// other services use as well lets their tokens in here.
	Audience []string `yaml:"audience"`

	// KeysFile holds the public keys: PEM (public keys or certificates) or a JWK
	// set. It is read at start and on reload.
	KeysFile string `yaml:"keys_file,omitempty"`

	// KeysURL serves the public keys as a JWK set. It must be https, except on
	// loopback. Exactly one of KeysFile and KeysURL is set.
	KeysURL string `yaml:"keys_url,omitempty"`

	// KeysTTL is how long fetched keys are used before they are fetched again.
	// Default 10m, at least 10s. While the server does not answer, known keys
	// are used for up to 24 hours. Danger: for that long, a key that the issuer
	// has withdrawn is still good.
	KeysTTL time.Duration `yaml:"keys_ttl,omitempty"`

	// Algorithms are the accepted signatures: RS256, ES256, EdDSA. Default all
	// three; an algorithm is only ever used with a key of its own kind.
	Algorithms []string `yaml:"algorithms,omitempty"`

	// UserClaim names the claim that becomes the user. Default sub. A name with
	// dots also reaches into objects: realm_access.name.
	UserClaim string `yaml:"user_claim,omitempty"`

	// UserPrefix is put before the user of every token, so that two issuers, or
	// an issuer and Config.Users, cannot name the same user. Default none.
	// Danger: without it, whoever the issuer calls anna is the user anna.
	UserPrefix string `yaml:"user_prefix,omitempty"`

	// RolesClaim names a claim with roles, a list or a text separated by spaces.
	// Roles that Config.Roles does not know are ignored. Default none: only Roles
	// count. Danger: the issuer decides who is an administrator.
	RolesClaim string `yaml:"roles_claim,omitempty"`

	// Roles are given to every user of this issuer.
	Roles []string `yaml:"roles,omitempty"`

	// Leeway is how far the clocks may differ. Default 30s, at most 5m.
	Leeway time.Duration `yaml:"leeway,omitempty"`
}

// CertificateRule says which user a client certificate is. Exactly one of the
// names is set; * in it stands for one or more characters other than . / @ : and
// may appear once (not in SHA256). A certificate of which several names match
// one rule and give several users is refused.
type CertificateRule struct {
	// CommonName is compared with the subject's common name.
	CommonName string `yaml:"common_name,omitempty"`

	// DNS, URI and Email are compared with the subject alternative names of that
	// kind; DNS and Email without regard to case.
	DNS   string `yaml:"dns,omitempty"`
	URI   string `yaml:"uri,omitempty"`
	Email string `yaml:"email,omitempty"`

	// SHA256 is the fingerprint of the whole certificate in hexadecimal, with or without colons.
	SHA256 string `yaml:"sha256,omitempty"`

	// User is the name of the user; {name} in it stands for the name that
	// matched, {match} for what * stood for.
	User string `yaml:"user"`

	// Roles are names from Config.Roles.
	Roles []string `yaml:"roles,omitempty"`
}

// Role is a set of rights. Rights only add up: there is no rule that takes one away.
type Role struct {
	// Publish holds filters of the subjects that may be published to. {user}
	// stands for the name of the user, {client} for the identifier of an MQTT
	// client: a filter with {client} matches nothing for one that holds / + or #
	// or begins with $ in front of the subject, and nothing at doors without identifiers.
	// Danger: a client chooses its identifier, so {client} alone tells apart
	// nobody; write {user}/{client}, or say with Clients which may be used.
	Publish []string `yaml:"publish,omitempty"`

	// Subscribe holds filters of the subjects that may be received. A
	// subscription is allowed when one of them covers all of it.
	Subscribe []string `yaml:"subscribe,omitempty"`

	// Clients holds the MQTT client identifiers that may be used. {user} stands
	// for the name of the user; * stands once for one or more characters of any
	// kind. The lists of several roles add up, and a role without one says
	// nothing. Default: when no role of a user has one, any identifier may be
	// used; either way a session belongs to the user who made it, and the broker
	// lets nobody else take it over. Danger: {user}-* of the user a is also for
	// a-b-1, which the user a-b may want; {user}/* is not, since no user's name holds /.
	Clients []string `yaml:"clients,omitempty"`

	// Admin allows what concerns the server and other clients: listing and
	// closing connections, /metrics, /debug. Default no.
	Admin bool `yaml:"admin,omitempty"`
}

// Tries limits failed logins per address: an IPv4 address or an IPv6 /64. All
// peers of Unix sockets are one address. Danger: behind a proxy that hides the
// addresses of its clients they all share one: once the tries are used up, right
// passwords that are not cached, and right tokens, are refused too.
type Tries struct {
	// Burst is how many logins may fail at once. Default 20, at least 1.
	Burst int `yaml:"burst,omitempty"`

	// Every is how long until one more may fail. Default 6s, at most 1h.
	Every time.Duration `yaml:"every,omitempty"`
}

// Defaults of [Config].
const (
	defaultPasswordCache = 10 * time.Minute
	defaultKeysTTL       = 10 * time.Minute
	defaultLeeway        = 30 * time.Second
	defaultUserClaim     = "sub"
	defaultTriesBurst    = 20
	defaultTriesEvery    = 6 * time.Second
)

// configured reports whether anything is set that turns authentication on. A list
// that is there and empty is: nobody gets in by what was left out.
func (c Config) configured() bool {
	return c.Users != nil || c.Tokens != nil || c.Certificates != nil || c.Roles != nil
}

// Validate reports everything that is wrong with the configuration, each with
// the path of its key, joined. It reads key files and does not use the network.
func (c Config) Validate() error {
	servers := newRemotes(Options{}.withDefaults(), &counters{})
	defer servers.close()
	_, err := compile(c, servers)
	return err
}
