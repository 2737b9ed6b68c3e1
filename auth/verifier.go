package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// SCRAMSHA256 is the name of the mechanism of [Auth.SCRAM], for MQTT's
// Authentication Method.
const SCRAMSHA256 = "SCRAM-SHA-256"

// How many iterations a verifier may have. The least is that of RFC 7677; the
// client computes them, once per login, and a small device does about 10 000 a
// second. The most keep a login by password within half a second here.
const (
	scramMinIterations = 4096
	scramMaxIterations = 1_000_000
	scramSaltLen       = 16
)

// SCRAMIterations is what a verifier for most devices has.
const SCRAMIterations = 15_000

// HashSCRAM returns a verifier of the password for [User.SCRAM], in the form in
// which PostgreSQL keeps it. It fails for an empty password, for one over 1024
// bytes, for one that RFC 4013 does not allow, and for iterations that are not
// between 4096 and 1000000. Danger: it is quicker to guess at than what
// [HashPassword] makes; give devices long random passwords.
func HashSCRAM(password Secret, iterations int) (string, error) {
	text, err := saslprep(password.Reveal())
	switch {
	case err != nil:
		return "", fmt.Errorf("hashing a password: it %w; choose other characters", err)
	case text == "":
		return "", errors.New("hashing a password: it is empty; give at least one character")
	case len(text) > maxPasswordBytes:
		return "", fmt.Errorf("hashing a password: it has %d bytes; at most %d are accepted", len(text), maxPasswordBytes)
	case iterations < scramMinIterations || iterations > scramMaxIterations:
		return "", fmt.Errorf("hashing a password: %d iterations are not between %d and %d", iterations, scramMinIterations, scramMaxIterations)
	}
	salt := make([]byte, scramSaltLen)
	rand.Read(salt) // never fails: it ends the process instead
	v := newVerifier(text, salt, iterations)
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", SCRAMSHA256, iterations, b64(salt), b64(v.storedKey[:]), b64(v.serverKey[:])), nil
}

// verifier is what a server keeps of a password (RFC 5802, section 3): enough to
// check who knows it, and not enough to log in. It is also a hash for logins by
// password, for users who have no other.
type verifier struct {
	iterations int
	salt       []byte
	storedKey  [sha256.Size]byte
	serverKey  [sha256.Size]byte
}

// newVerifier computes the keys of a prepared password.
func newVerifier(text string, salt []byte, iterations int) *verifier {
	salted, err := pbkdf2.Key(sha256.New, text, salt, iterations, sha256.Size)
	if err != nil {
		panic("auth: PBKDF2 with fixed lengths: " + err.Error()) // only for lengths that are out of range
	}
	clientKey := mac(salted, "Client Key")
	return &verifier{iterations: iterations, salt: salt, storedKey: sha256.Sum256(clientKey[:]), serverKey: mac(salted, "Server Key")}
}

func mac(key []byte, text string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Sum(sum[:0])
	return sum
}

func (v *verifier) verify(password string) bool {
	text, err := saslprep(password)
	if err != nil {
		text = password // it takes as long, and matches nothing that HashSCRAM made
	}
	other := newVerifier(text, v.salt, v.iterations)
	return subtle.ConstantTimeCompare(other.storedKey[:], v.storedKey[:]) == 1
}

func (v *verifier) memory() int { return 4 << 10 }

// proves reports whether the proof over the messages was made by somebody who
// knows the password; its time does not depend on that.
func (v *verifier) proves(messages string, proof []byte) bool {
	signature := mac(v.storedKey[:], messages)
	var clientKey [sha256.Size]byte
	subtle.XORBytes(clientKey[:], proof, signature[:])
	storedKey := sha256.Sum256(clientKey[:])
	return len(proof) == sha256.Size && subtle.ConstantTimeCompare(storedKey[:], v.storedKey[:]) == 1
}

// parseVerifier reads SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>.
// Its errors never hold the text, which may be a password.
func parseVerifier(text string) (*verifier, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 3 || parts[0] != SCRAMSHA256 {
		return nil, errors.New("is not a SCRAM-SHA-256 verifier; make one with: spate hash-password --scram")
	}
	digits, salt, _ := strings.Cut(parts[1], ":")
	stored, server, _ := strings.Cut(parts[2], ":")
	v := &verifier{}
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits || n < scramMinIterations || n > scramMaxIterations {
		return nil, fmt.Errorf("is a verifier whose iterations are not a number between %d and %d", scramMinIterations, scramMaxIterations)
	}
	v.iterations = n
	b64 := base64.StdEncoding.Strict()
	if v.salt, err = b64.DecodeString(salt); err != nil || len(v.salt) < 8 || len(v.salt) > 64 {
		return nil, errors.New("is a verifier whose salt is not 8 to 64 bytes of base64")
	}
	for key, text := range map[*[sha256.Size]byte]string{&v.storedKey: stored, &v.serverKey: server} {
		b, err := b64.DecodeString(text)
		if err != nil || len(b) != sha256.Size {
			return nil, errors.New("is a verifier whose keys are not 32 bytes of base64 each")
		}
		copy(key[:], b)
	}
	return v, nil
}

// decoys make verifiers for names that nobody has, always the same for the same
// name, so that an exchange does not tell which names exist.
type decoys struct {
	key  [sha256.Size]byte
	like []*verifier // what they look like: the verifiers of the configuration
}

// newDecoys derives their key from the secrets of the first user with a verifier,
// so that they stay the same after a restart, and while other users come and go. That
// user alone could compute it, and only without a password hash beside the verifier.
func newDecoys(order []*account) *decoys {
	d := &decoys{}
	for _, a := range order {
		if a.scram == nil {
			continue
		}
		if len(d.like) == 0 {
			d.key = sha256.Sum256([]byte(a.scramSecret.Reveal() + "\n" + a.secret.Reveal()))
		}
		d.like = append(d.like, a.scram)
	}
	return d
}

func (d *decoys) verifier(name string) *verifier {
	choice, salt := mac(d.key[:], "choice "+name), mac(d.key[:], "salt "+name)
	like := d.like[binary.LittleEndian.Uint64(choice[:])%uint64(len(d.like))]
	v := &verifier{iterations: like.iterations, storedKey: mac(d.key[:], "stored "+name), serverKey: mac(d.key[:], "server "+name)}
	more := mac(salt[:], "")
	v.salt = append(salt[:len(salt):len(salt)], more[:]...)[:len(like.salt)]
	return v
}
