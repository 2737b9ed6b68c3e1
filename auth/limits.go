package auth

import "time"

// Limits on what an unauthenticated peer can make this package hold, compute or
// wait for. Those that an operator may change are in [Config]; these are fixed.
const (
	// maxNameBytes bounds a user name. 128 holds every mail address in use.
	maxNameBytes = 128

	// maxPasswordBytes bounds a password before it is hashed, so that hashing
	// costs what the hash says and not what the peer sends.
	maxPasswordBytes = 1024

	// maxBcryptBytes is where bcrypt stops reading. A longer password is refused,
	// because everything after byte 72 would not be checked.
	maxBcryptBytes = 72

	// maxSCRAMBytes bounds a message of SCRAM before it is parsed, maxNonceBytes the
	// client's nonce in it: RFC 7677 has 20 in its example, and libraries send up to 64.
	maxSCRAMBytes = 1024
	maxNonceBytes = 128

	// maxTokenBytes bounds a bearer token before it is parsed.
	maxTokenBytes = 8 << 10

	// maxTokenRoles bounds the roles that are read from a token's claim.
	maxTokenRoles = 64

	// maxCertNames bounds the names of one kind that are read from a client certificate.
	maxCertNames = 64

	// maxGrants bounds the sets of roles of which the rights are kept ready.
	maxGrants = 1024

	// maxFilterBytes bounds an access filter and a pattern of client identifiers as it is written in the configuration.
	maxFilterBytes = 1024

	// maxFilters bounds the filters of one role and one direction, and its client identifiers.
	maxFilters = 1024

	// maxSlots bounds the password hashes that are computed at once;
	// verifyMemory bounds what they hold together. At the default of 19 MiB
	// each, 16 slots hold 304 MiB; hashes with larger parameters get fewer slots.
	maxSlots     = 16
	verifyMemory = 320 << 20

	// maxWaiting bounds the tries that wait for a slot, of all addresses.
	maxWaiting = 4096

	// maxVerifyWait bounds the time that one try waits for a slot or for keys.
	maxVerifyWait = 10 * time.Second

	// maxMisses bounds the wrong passwords that are compared with the cached one of
	// a user at an address whose tries are used up; Tries.Every gives one back. 100
	// in a row is what NIST SP 800-63B accepts for one account.
	maxMisses = 100

	// maxCached bounds the passwords in the cache of recent successes, and the
	// users and addresses that they were right from.
	maxCached = 16384

	// maxTracked bounds the addresses of which failed tries are remembered
	// (about 100 bytes each).
	maxTracked = 16384

	// maxAudited bounds the addresses of which audit lines are counted.
	maxAudited = 4096

	// auditBurst lines per address are written at once, then one per
	// auditEvery; of all addresses together auditAllBurst, then one per
	// auditAllEvery. At 300 bytes a line that is at most 130 MB a day.
	auditBurst    = 100
	auditEvery    = time.Second
	auditAllBurst = 200
	auditAllEvery = 200 * time.Millisecond

	// maxAuditBytes bounds each text from a peer in an audit line.
	maxAuditBytes = 200

	// maxKeyBytes bounds a key file and the answer of a key server;
	// maxKeys bounds the keys that are taken from it.
	maxKeyBytes = 256 << 10
	maxKeys     = 64

	// minRSABits is the shortest RSA key that is accepted (RFC 7518, section 3.3).
	minRSABits = 2048
)

// How the keys of a key server are fetched. None of these can be provoked into
// more than one request per keyFetchEvery per server.
const (
	// keyFetchTimeout bounds one request, including its body.
	keyFetchTimeout = 5 * time.Second

	// keyFetchEvery is the least time between two requests that were made
	// because a token named a key that is not known.
	keyFetchEvery = 30 * time.Second

	// keyRetryFirst and keyRetryMax bound the pause after a failed request; it
	// doubles with each failure in a row.
	keyRetryFirst = time.Second
	keyRetryMax   = time.Minute

	// keyBreakerFailures in a row open the circuit breaker of a key server: nobody
	// waits for it any more but one at a time. Before that at most maxKeyWaiting wait.
	keyBreakerFailures = 3
	maxKeyWaiting      = 4096

	// keyStaleMax is how long known keys are used while their server cannot be
	// reached. After that every token of the issuer is refused.
	keyStaleMax = 24 * time.Hour
)
