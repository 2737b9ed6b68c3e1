package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// account is a user from the configuration.
type account struct {
	name   string
	hash   hash
	secret Secret // the text of the hash: a login ends when it changes
	roles  []string

	scram       *verifier // nil for none
	scramSecret Secret
}

// passwordSource is the account that a login was checked against.
type passwordSource struct{ secret Secret }

func (p passwordSource) roles(s *snapshot, user string) ([]string, error) {
	account, known := s.accounts[user]
	if !known || !account.secret.Equal(p.secret) {
		return nil, ErrWithdrawn
	}
	return account.roles, nil
}

// checkPassword finds the user of a name and a password. A name that nobody has
// costs what a name that somebody has would cost: the password is checked against
// the hash of an account that the name alone decides, and refused.
func (a *Auth) checkPassword(ctx context.Context, s *snapshot, user string, password Secret) (*principal, error) {
	text := password.Reveal()
	switch {
	case len(s.order) == 0:
		return nil, refuse("", "no user has a password")
	case text == "":
		return nil, refuse("", "empty password")
	case len(text) > maxPasswordBytes || len(user) > maxNameBytes:
		return nil, refuse("", "name or password too long")
	}
	key := s.cache.key(user, text)
	account, known := s.accounts[user]
	if !known {
		account = s.decoy(key)
	} else if s.cache.holds(key, a.opts.Now()) {
		a.count.cacheHits.Add(1)
		return passwordPrincipal(account), nil
	}
	right, err := s.slowly(ctx, account.hash, text)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, refuse("", "no such user")
	case !right:
		return nil, refuse(account.name, "wrong password")
	}
	s.cache.put(key, a.opts.Now())
	return passwordPrincipal(account), nil
}

func passwordPrincipal(account *account) *principal {
	return &principal{names: names{user: account.name}, method: MethodPassword, source: passwordSource{secret: account.secret}}
}

// slowly computes a hash in one of the snapshot's slots.
func (s *snapshot) slowly(ctx context.Context, h hash, password string) (bool, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return false, ErrBusy
	}
	defer func() { <-s.slots }()
	if ctx.Err() != nil {
		return false, ErrBusy
	}
	return h.verify(password), nil
}

// decoy chooses the account that an unknown name is checked against, always the
// same for the same name and password.
func (s *snapshot) decoy(key cacheKey) *account {
	n := binary.LittleEndian.Uint64(key[:])
	return s.order[n%uint64(len(s.order))]
}

// cacheKey is a digest of a name and a password under a key that only this
// process has.
type cacheKey [sha256.Size]byte

// passwordCache remembers which passwords were right a short while ago. It
// belongs to one snapshot, so a reload empties it.
type passwordCache struct {
	secret [32]byte
	ttl    time.Duration // none when zero

	mu     sync.Mutex
	until  map[cacheKey]time.Time
	visits map[visitor]visit // see recall.go
}

func newPasswordCache(ttl time.Duration) *passwordCache {
	c := &passwordCache{ttl: ttl, until: make(map[cacheKey]time.Time), visits: make(map[visitor]visit)}
	rand.Read(c.secret[:]) // never fails: it ends the process instead
	return c
}

func (c *passwordCache) key(user, password string) (key cacheKey) {
	mac := hmac.New(sha256.New, c.secret[:])
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(user)))
	mac.Write(length[:])
	mac.Write([]byte(user))
	mac.Write([]byte(password))
	mac.Sum(key[:0])
	return key
}

func (c *passwordCache) holds(key cacheKey, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, found := c.until[key]
	if found && !now.Before(until) {
		delete(c.until, key)
		return false
	}
	return found
}

func (c *passwordCache) put(key cacheKey, now time.Time) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.until) >= maxCached {
		c.evict()
	}
	c.until[key] = now.Add(c.ttl)
}

// evict removes the oldest of eight chosen at random.
func (c *passwordCache) evict() {
	var oldest cacheKey
	var at time.Time
	seen := 0
	for key, until := range c.until {
		if seen == 0 || until.Before(at) {
			oldest, at = key, until
		}
		if seen++; seen >= 8 {
			break
		}
	}
	delete(c.until, oldest)
}
