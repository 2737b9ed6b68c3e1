package auth

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowHash is a password hash that takes a second of fake time and counts.
type slowHash struct {
	password string
	calls    atomic.Int64
	running  atomic.Int64
	most     atomic.Int64
}

func (h *slowHash) verify(password string) bool {
	h.calls.Add(1)
	if n := h.running.Add(1); n > h.most.Load() {
		h.most.Store(n)
	}
	time.Sleep(time.Second)
	h.running.Add(-1)
	return password == h.password
}

func (h *slowHash) memory() int { return 1 }

// slow makes an Auth in which every user has the slow hash, with the given number of slots.
func slow(t *testing.T, config Config, slots int) (*Auth, *slowHash) {
	t.Helper()
	a, _ := start(t, config, Options{})
	h := &slowHash{password: "right"}
	s := *a.snap.Load()
	s.slots = make(chan struct{}, slots)
	for _, account := range s.order {
		account.hash = h
	}
	a.snap.Store(&s)
	return a, h
}

func TestPassword(t *testing.T) {
	a, log := start(t, people(), Options{})
	id := login(t, a, "bert", "bert-secret")
	if id.User() != "bert" || id.Method() != MethodPassword || !slices.Equal(id.Roles(), []string{"device"}) || !id.Expires().IsZero() {
		t.Errorf("the identity is %v with roles %v", id, id.Roles())
	}
	login(t, a, "cleo", "cleo-secret")
	if n := log.lines(); n != 0 {
		t.Errorf("%d audit lines for logins that succeeded", n)
	}
	wrong := []struct{ name, user, password string }{
		{"wrong password", "anna", "bert-secret"},
		{"no such user", "dora", "anna-secret"},
		{"empty password", "anna", ""},
		{"the hash as the password", "anna", annaHash},
		{"other case", "Anna", "anna-secret"},
		{"empty name", "", "anna-secret"},
		{"wildcard", "+", "anna-secret"},
		{"long password", "anna", strings.Repeat("x", 1<<20)},
		{"long name", strings.Repeat("x", 1<<20), "x"},
		{"longer than bcrypt reads", "cleo", "cleo-secret" + strings.Repeat("x", 80)},
	}
	for _, c := range wrong {
		id, err := a.Password(t.Context(), peer, c.user, NewSecret(c.password))
		if !errors.Is(err, ErrDenied) || err.Error() != ErrDenied.Error() || !id.IsZero() {
			t.Errorf("%s: %v, %v", c.name, id, err)
		}
	}
	if s := a.Stats(); s.Accepted != 2 || s.Refused != uint64(len(wrong)) {
		t.Errorf("the counters are %+v", s)
	}
}

// TestUnknownUserCostsTheSame: an unknown name computes one hash as a known one
// does, and an attacker cannot learn from it which names exist.
func TestUnknownUserCostsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, h := slow(t, people(), 4)
		for _, user := range []string{"anna", "nobody", "", strings.Repeat("y", maxNameBytes)} {
			h.calls.Store(0)
			began := time.Now()
			_, err := a.Password(t.Context(), peer, user, NewSecret("wrong"))
			if !errors.Is(err, ErrDenied) || h.calls.Load() != 1 || time.Since(began) != time.Second {
				t.Errorf("%q: %v after %d hashes and %s", user, err, h.calls.Load(), time.Since(began))
			}
		}
		if _, err := a.Password(t.Context(), peer, "nobody", NewSecret("right")); !errors.Is(err, ErrDenied) {
			t.Errorf("an unknown name with somebody's password: %v", err)
		}
	})
}

// TestUnknownUserTime is the same with real hashes and a real clock. The bound is
// wide because the machine is shared; without the decoy the factor is over 1000.
func TestUnknownUserTime(t *testing.T) {
	config := people()
	config.Users = config.Users[:2]
	config.Tries = Tries{Burst: 1000}
	a, _ := start(t, config, Options{})
	fastest := func(user string) time.Duration {
		best := time.Hour
		for range 5 {
			began := time.Now()
			if _, err := a.Password(t.Context(), peer, user, NewSecret("wrong")); !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	known, unknown := fastest("anna"), fastest("nobody")
	if known > 4*unknown || unknown > 4*known {
		t.Errorf("a known name takes %s, an unknown one %s", known, unknown)
	}
}

func TestPasswordCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, h := slow(t, people(), 4)
		try := func(password string) error {
			_, err := a.Password(t.Context(), peer, "anna", NewSecret(password))
			return err
		}
		for i := range 100 {
			if err := try("right"); err != nil {
				t.Fatalf("login %d: %v", i, err)
			}
		}
		if h.calls.Load() != 1 || a.Stats().CacheHits != 99 {
			t.Errorf("%d hashes and %d hits for 100 logins", h.calls.Load(), a.Stats().CacheHits)
		}
		if err := try("wrong"); !errors.Is(err, ErrDenied) || h.calls.Load() != 2 {
			t.Errorf("a wrong password beside a cached one: %v after %d hashes", err, h.calls.Load())
		}
		time.Sleep(defaultPasswordCache)
		if err := try("right"); err != nil || h.calls.Load() != 3 {
			t.Errorf("after the time to live: %v after %d hashes", err, h.calls.Load())
		}
	})
}

func TestPasswordCacheOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := people()
		config.NoPasswordCache = true
		a, h := slow(t, config, 4)
		for range 3 {
			if _, err := a.Password(t.Context(), peer, "anna", NewSecret("right")); err != nil {
				t.Fatal(err)
			}
		}
		if h.calls.Load() != 3 {
			t.Errorf("%d hashes for 3 logins", h.calls.Load())
		}
	})
}

func TestPasswordCacheIsBounded(t *testing.T) {
	c := newPasswordCache(time.Hour)
	now := time.Now()
	for i := range maxCached + 100 {
		c.put(cacheKey{byte(i), byte(i >> 8), byte(i >> 16)}, now)
	}
	if len(c.until) != maxCached {
		t.Errorf("the cache holds %d", len(c.until))
	}
	if c.key("ab", "c") == c.key("a", "bc") || c.key("a", "b") == newPasswordCache(0).key("a", "b") {
		t.Error("keys collide between names and passwords, or do not depend on the process")
	}
}

// TestReloadEmptiesCache: what was right under the old hash is hashed again.
func TestReloadEmptiesCache(t *testing.T) {
	a, _ := start(t, people(), Options{})
	login(t, a, "anna", "anna-secret")
	config := people()
	config.Users[0].Password = NewSecret(bertHash)
	if err := a.Reload(config); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Password(t.Context(), peer, "anna", NewSecret("anna-secret")); !errors.Is(err, ErrDenied) {
		t.Errorf("the old password after a reload: %v", err)
	}
}

// TestReconnectStorm: a thousand clients behind one address, all with right
// passwords and cold caches, get in; never more are hashed at once than there are slots.
func TestReconnectStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := people()
		config.NoPasswordCache = true
		a, h := slow(t, config, 4)
		const clients = 40 // four a second: all within maxVerifyWait
		var in atomic.Int64
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				if _, err := a.Password(t.Context(), peer, "anna", NewSecret("right")); err == nil {
					in.Add(1)
				}
			})
		}
		all.Wait()
		if in.Load() != clients || h.most.Load() != 4 {
			t.Errorf("%d of %d got in, at most %d at once", in.Load(), clients, h.most.Load())
		}
	})
}

// TestBusy: who waits for too long, or goes away, is told so and not counted as wrong.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, h := slow(t, people(), 1)
		a.snap.Load().slots <- struct{}{}
		began := time.Now()
		_, err := a.Password(t.Context(), peer, "anna", NewSecret("right"))
		if !errors.Is(err, ErrBusy) || time.Since(began) != maxVerifyWait {
			t.Errorf("without a slot: %v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Password(ctx, peer, "anna", NewSecret("right")); !errors.Is(err, ErrBusy) {
			t.Errorf("with a context that has ended: %v", err)
		}
		if h.calls.Load() != 0 || a.Stats().Busy != 2 || a.Stats().Addresses != 0 {
			t.Errorf("%d hashes, %+v", h.calls.Load(), a.Stats())
		}
	})
}

func TestTooManyTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, h := slow(t, people(), 4)
		try := func(addr, password string) error {
			_, err := a.Password(t.Context(), Origin{Door: "mqtt", Addr: netip.MustParseAddr(addr)}, "anna", NewSecret(password))
			return err
		}
		const addr = "2001:db8::1"
		a.tries.set(3, time.Minute)
		for range 3 {
			if err := try(addr, "wrong"); !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
		}
		// The same /64 is refused without a look at the password, right or wrong.
		for _, from := range []string{addr, "2001:db8::ffff:1"} {
			if err := try(from, "right"); !errors.Is(err, ErrTooManyTries) || h.calls.Load() != 3 {
				t.Errorf("from %s: %v after %d hashes", from, err, h.calls.Load())
			}
		}
		for _, from := range []string{"2001:db8:0:1::1", "192.0.2.7", "::ffff:192.0.2.7"} {
			if err := try(from, "right"); err != nil {
				t.Errorf("from %s: %v", from, err)
			}
		}
		time.Sleep(time.Minute)
		if err := try(addr, "right"); err != nil {
			t.Errorf("after a minute: %v", err)
		}
		if err := try(addr, "wrong"); !errors.Is(err, ErrDenied) {
			t.Errorf("after a minute: %v", err)
		}
		if err := try(addr, "wrong"); !errors.Is(err, ErrTooManyTries) {
			t.Errorf("after a success in between: %v", err)
		}
	})
}

// TestParallelGuesses: guesses at the same time are no cheaper than one after another.
func TestParallelGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, h := slow(t, people(), 8)
		a.tries.set(5, time.Hour)
		var limited atomic.Int64
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if _, err := a.Password(t.Context(), peer, "anna", NewSecret("guess")); errors.Is(err, ErrTooManyTries) {
					limited.Add(1)
				}
			})
		}
		all.Wait()
		if h.calls.Load() != 5 || limited.Load() != 495 {
			t.Errorf("%d guesses were checked and %d refused", h.calls.Load(), limited.Load())
		}
	})
}
