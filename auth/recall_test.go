package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestKnownHereNeedsNoTry: whoever fails at an address does not lock out those
// who have logged in from it, also when the address is that of all Unix sockets.
func TestKnownHereNeedsNoTry(t *testing.T) {
	for name, from := range map[string]Origin{"TCP": peer, "Unix": {Door: "resp"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, h := slow(t, people(), 4)
				try := func(from Origin, user, password string) error {
					_, err := a.Password(t.Context(), from, user, NewSecret(password))
					return err
				}
				elsewhere := Origin{Door: "resp", Addr: netip.MustParseAddr("198.51.100.1")}
				for user, from := range map[string]Origin{"anna": from, "bert": elsewhere} {
					if err := try(from, user, "right"); err != nil {
						t.Fatal(err)
					}
				}
				for range defaultTriesBurst + 5 {
					_ = try(from, "anna", "wrong")
					_ = try(from, "nobody", "wrong")
				}
				hashed := h.calls.Load()
				if err := try(from, "anna", "right"); err != nil || h.calls.Load() != hashed {
					t.Errorf("known here: %v after %d hashes, want %d", err, h.calls.Load(), hashed)
				}
				for _, user := range []string{"bert", "cleo"} { // known elsewhere, and nowhere
					if err := try(from, user, "right"); !errors.Is(err, ErrTooManyTries) {
						t.Errorf("%s is not known here: %v", user, err)
					}
				}
				if err := try(elsewhere, "bert", "right"); err != nil {
					t.Errorf("another address: %v", err)
				}
				time.Sleep(defaultPasswordCache)
				if got, _ := a.recalled(a.snap.Load(), visitor{"anna", block(from.Addr)}, "right"); got != nil {
					t.Error("a visit outlives the cached password")
				}
			})
		})
	}
}

// TestGuessesAtTheCache: what lets a known password through is no way to guess.
func TestGuessesAtTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slow(t, people(), 8)
		a.tries.set(5, time.Hour)
		v := visitor{"anna", block(peer.Addr)}
		s := *a.snap.Load()
		s.every = time.Hour
		a.snap.Store(&s)
		for _, user := range []string{"anna", "bert"} {
			login(t, a, user, "right")
		}
		var denied, compared atomic.Int64
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				_, err := a.Password(t.Context(), peer, "anna", NewSecret("guess"+strconv.Itoa(i)))
				if errors.Is(err, ErrDenied) {
					denied.Add(1)
				}
			})
		}
		all.Wait()
		for range 500 {
			if _, counted := a.recalled(&s, v, "guess"); counted {
				compared.Add(1)
			}
		}
		if denied.Load() != 5 || s.cache.visits[v].misses.used(time.Now(), s.every) != maxMisses || compared.Load() > 5 {
			t.Errorf("%d guesses were tries, %d more were compared afterwards, %d are counted", denied.Load(), compared.Load(), s.cache.visits[v].misses.used(time.Now(), s.every))
		}
		if _, err := a.Password(t.Context(), peer, "anna", NewSecret("right")); !errors.Is(err, ErrTooManyTries) {
			t.Errorf("the user who was guessed at: %v", err)
		}
		login(t, a, "bert", "right")
		time.Sleep(time.Minute) // the password is still cached
		if err := a.Reload(people()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Password(t.Context(), peer, "bert", NewSecret("right")); !errors.Is(err, ErrTooManyTries) {
			t.Errorf("after a reload, which empties the cache: %v", err)
		}
	})
}

// TestFailuresThatTriesPaidFor do not use up what the cache allows.
func TestFailuresThatTriesPaidFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := people()
		config.Tries = Tries{Burst: 1000, Every: time.Hour}
		a, _ := slow(t, config, 8)
		login(t, a, "anna", "right")
		for range maxMisses + 10 {
			if _, err := a.Password(t.Context(), peer, "anna", NewSecret("wrong")); !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
		}
		s := a.snap.Load()
		if n := s.cache.visits[visitor{"anna", block(peer.Addr)}].misses.used(time.Now(), s.every); n != 0 {
			t.Errorf("%d are counted twice", n)
		}
	})
}

func TestVisitsAreBounded(t *testing.T) {
	c := newPasswordCache(time.Hour)
	key := c.key("anna", "right")
	c.put(key, time.Now())
	for i := range maxCached + 100 {
		c.visited(visitor{"anna", addrNumber(i)}, key)
	}
	if len(c.visits) != maxCached {
		t.Errorf("%d visits are kept", len(c.visits))
	}
	off := newPasswordCache(0)
	off.put(key, time.Now())
	off.visited(visitor{"anna", addrNumber(1)}, key)
	if len(off.visits) != 0 {
		t.Error("a visit is kept without a cache")
	}
}

// TestCertificatesAreNoTries: one that names nobody locks nobody out, and one
// that names somebody works where the tries are used up.
func TestCertificatesAreNoTries(t *testing.T) {
	ca := newAuthority()
	config := mapped(CertificateRule{CommonName: "device", User: "dora"})
	config.Tries = Tries{Burst: 2, Every: time.Hour}
	a, log := start(t, config, Options{})
	named := func(name string) error {
		_, err := a.Certificate(t.Context(), peer, ca.verified(ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: name}})))
		return err
	}
	for range 22 {
		if err := named("printer"); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
	}
	if log.lines() != 22 || a.Stats().Refused != 22 || a.Stats().Addresses != 0 {
		t.Errorf("%d audit lines, %+v", log.lines(), a.Stats())
	}
	login(t, a, "anna", "anna-secret")
	for range 2 {
		_, _ = a.Password(t.Context(), peer, "bert", NewSecret("wrong"))
	}
	if err := named("device"); err != nil {
		t.Errorf("a certificate where the tries are used up: %v", err)
	}
}
