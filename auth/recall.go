package auth

import (
	"net/netip"
	"time"
)

// visitor is a user who has logged in from an address.
type visitor struct {
	user string
	addr netip.Addr // as block gives it
}

// visit is the password that was right, and how often one was wrong that no try paid for.
type visit struct {
	key    cacheKey
	misses meter
}

// recalled lets a right password through that was right from this address a short
// while ago, without a try: so that whoever fails at an address does not lock out
// those who are known there. It would be a way to guess without tries, hence a
// password that differs counts against the user at the address, unless a try pays
// for it (see repaid), and after maxMisses of them nothing is compared for a while.
func (a *Auth) recalled(s *snapshot, v visitor, text string) (p *principal, counted bool) {
	if len(text) > maxPasswordBytes || len(v.user) > maxNameBytes {
		return nil, false
	}
	key := s.cache.key(v.user, text) // also for a name that nobody has: it takes as long
	right, counted := s.cache.recall(v, key, a.opts.Now(), s.every)
	if !right {
		return nil, counted
	}
	a.count.cacheHits.Add(1)
	return passwordPrincipal(s.accounts[v.user]), false
}

// recall reports whether the password of the key is the one that the visitor
// logged in with, or else whether it was counted.
func (c *passwordCache) recall(v visitor, key cacheKey, now time.Time, every time.Duration) (right, counted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, found := c.visits[v]
	if !found || seen.misses.used(now, every) >= maxMisses {
		return false, false
	}
	if seen.key == key {
		return now.Before(c.until[key]), false
	}
	seen.misses.use(now, every)
	c.visits[v] = seen
	return false, true
}

// repaid takes back what recall counted, because a try was there for the password.
func (c *passwordCache) repaid(v visitor, every time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seen, found := c.visits[v]; found {
		seen.misses.full = seen.misses.full.Add(-every)
		c.visits[v] = seen
	}
}

// visited remembers who logged in from where, for as long as the password is
// cached. A full map gives up any one: that visitor needs a try next time.
func (c *passwordCache) visited(v visitor, key cacheKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, cached := c.until[key]; !cached {
		return
	}
	seen, found := c.visits[v]
	if !found && len(c.visits) >= maxCached {
		for other := range c.visits {
			delete(c.visits, other)
			break
		}
	}
	seen.key = key
	c.visits[v] = seen
}
