package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// What HashPassword makes: argon2id with 19 MiB, two passes, one lane. It is
// OWASP's first choice for servers that check many logins: as hard to attack as
// 46 MiB and one pass, and sixteen at once still fit into 320 MiB.
const (
	argonMemory  = 19456 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonSaltLen = 16
	argonTagLen  = 32
)

// What is accepted from a configuration. The lower bounds are the weakest of
// OWASP's equivalent choices (7 MiB and five passes; memory times passes at least
// 35840 KiB), the upper ones keep one login below about a second and 256 MiB.
const (
	argonMinMemory = 7168
	argonMaxMemory = 256 << 10
	argonMinWork   = 35840
	argonMaxWork   = 2 << 20
	argonMaxPasses = 64
	argonMaxLanes  = 16
	bcryptMinCost  = 10
	bcryptMaxCost  = 14
	bcryptLen      = 60
)

// HashPassword returns an argon2id hash of the password in PHC format, for
// [User.Password]. It fails for an empty password and for one over 1024 bytes.
func HashPassword(password Secret) (string, error) {
	text := password.Reveal()
	if text == "" {
		return "", errors.New("hashing a password: it is empty; give at least one character")
	}
	if len(text) > maxPasswordBytes {
		return "", fmt.Errorf("hashing a password: it has %d bytes; at most %d are accepted", len(text), maxPasswordBytes)
	}
	salt := make([]byte, argonSaltLen)
	rand.Read(salt) // never fails: it ends the process instead
	tag := argon2.IDKey([]byte(text), salt, argonPasses, argonMemory, argonLanes, argonTagLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		argonMemory, argonPasses, argonLanes, b64.EncodeToString(salt), b64.EncodeToString(tag)), nil
}

// hash checks passwords.
type hash interface {
	// verify reports whether the password is right; its time does not depend on that.
	verify(password string) bool
	// memory is what verify allocates, in bytes.
	memory() int
}

// parseHash reads a hash from the configuration. Its errors never hold the text,
// which may be a password that somebody forgot to hash.
func parseHash(text string) (hash, error) {
	switch {
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon(text)
	case strings.HasPrefix(text, "$2a$"), strings.HasPrefix(text, "$2b$"), strings.HasPrefix(text, "$2y$"):
		return parseBcrypt(text)
	default:
		return nil, errors.New("is not an argon2id or bcrypt hash; make one with: spate hash-password")
	}
}

type argonHash struct {
	passes, kib uint32
	lanes       uint8
	salt, tag   []byte
}

func (h *argonHash) verify(password string) bool {
	tag := argon2.IDKey([]byte(password), h.salt, h.passes, h.kib, h.lanes, uint32(len(h.tag)))
	return subtle.ConstantTimeCompare(tag, h.tag) == 1
}

func (h *argonHash) memory() int { return int(h.kib) << 10 }

// parseArgon reads $argon2id$v=19$m=19456,t=2,p=1$salt$tag (the PHC string
// format), with the parameters in that order.
func parseArgon(text string) (*argonHash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return nil, errors.New("is not a whole argon2id hash: five parts after $ are needed, as in $argon2id$v=19$m=19456,t=2,p=1$salt$tag")
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, fmt.Errorf("is an argon2id hash of another version; only v=%d is supported", argon2.Version)
	}
	h := &argonHash{}
	if err := h.parseCost(parts[3]); err != nil {
		return nil, err
	}
	b64 := base64.RawStdEncoding.Strict()
	var err error
	if h.salt, err = b64.DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return nil, errors.New("has a salt that is not 8 to 64 bytes of base64 without padding")
	}
	if h.tag, err = b64.DecodeString(parts[5]); err != nil || len(h.tag) < 16 || len(h.tag) > 64 {
		return nil, errors.New("has a tag that is not 16 to 64 bytes of base64 without padding")
	}
	return h, nil
}

func (h *argonHash) parseCost(text string) error {
	var values [3]uint64
	fields := strings.Split(text, ",")
	for i, name := range []string{"m=", "t=", "p="} {
		if len(fields) != len(values) || !strings.HasPrefix(fields[i], name) {
			return errors.New("has other parameters than m=…,t=…,p=… in that order")
		}
		digits := fields[i][len(name):]
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != digits {
			return fmt.Errorf("has a parameter %s that is not a plain number", name[:1])
		}
		values[i] = n
	}
	m, t, p := values[0], values[1], values[2]
	switch {
	case p < 1 || p > argonMaxLanes:
		return fmt.Errorf("has p=%d; 1 to %d are accepted", p, argonMaxLanes)
	case t < 1 || t > argonMaxPasses:
		return fmt.Errorf("has t=%d; 1 to %d are accepted", t, argonMaxPasses)
	case m < argonMinMemory || m > argonMaxMemory:
		return fmt.Errorf("has m=%d; %d to %d KiB are accepted", m, argonMinMemory, argonMaxMemory)
	case m*t < argonMinWork:
		return fmt.Errorf("is too weak with m=%d,t=%d: m times t must be at least %d; make a new one with: spate hash-password", m, t, argonMinWork)
	case m*t > argonMaxWork:
		return fmt.Errorf("costs too much with m=%d,t=%d: m times t may be at most %d", m, t, argonMaxWork)
	}
	h.kib, h.passes, h.lanes = uint32(m), uint32(t), uint8(p)
	return nil
}

type bcryptHash []byte

func (h bcryptHash) verify(password string) bool {
	short := password[:min(len(password), maxBcryptBytes)]
	err := bcrypt.CompareHashAndPassword(h, []byte(short))
	return err == nil && len(password) <= maxBcryptBytes
}

func (h bcryptHash) memory() int { return 8 << 10 }

func parseBcrypt(text string) (bcryptHash, error) {
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || len(text) != bcryptLen || !isBcryptText(text[7:]) {
		return nil, errors.New("is not a whole bcrypt hash of 60 characters")
	}
	if cost < bcryptMinCost {
		return nil, fmt.Errorf("is too weak: bcrypt cost %d, at least %d is accepted; make a new one with: spate hash-password", cost, bcryptMinCost)
	}
	if cost > bcryptMaxCost {
		return nil, fmt.Errorf("costs too much: bcrypt cost %d, at most %d is accepted", cost, bcryptMaxCost)
	}
	return bcryptHash(text), nil
}

func isBcryptText(text string) bool {
	for i := range len(text) {
		c := text[i]
		if c != '.' && c != '/' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
