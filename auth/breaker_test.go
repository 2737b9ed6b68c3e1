package auth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func hangs(r *http.Request) (int, []byte, error) {
	<-r.Context().Done()
	return 0, nil, r.Context().Err()
}

// TestKeyServerBreaker: it opens after failures in a row and not before, lets one
// try at a time through, and closes when that succeeds; each change is a line in the log.
func TestKeyServerBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, server := newSigner("k1", jose.EdDSA), &keyServer{}
		config := tokens(t, nil, func(i *Issuer) { i.KeysFile, i.KeysURL = "", "https://id.example.com/keys?secret=hunter2" })
		a, log := start(t, config, Options{HTTPClient: &http.Client{Transport: server}})
		want := func(step string, err error, breaks uint64, open int) {
			t.Helper()
			_, got := bearer(t, a, key.sign(good(nil)))
			if s := a.Stats(); !errors.Is(got, err) || s.KeyBreaks != breaks || s.KeyBreakersOpen != open {
				t.Fatalf("%s: %v, %+v", step, got, s)
			}
		}
		server.set(down)
		for i := range keyBreakerFailures - 1 {
			want(fmt.Sprintf("failure %d", i), ErrUnavailable, 0, 0)
			time.Sleep(keyRetryMax)
		}
		server.serve(key)
		want("a success between", nil, 0, 0)
		server.set(down)
		time.Sleep(keyStaleMax)
		for i := range keyBreakerFailures {
			opens := i+1 == keyBreakerFailures
			want(fmt.Sprintf("failure %d in a row", i), ErrUnavailable, map[bool]uint64{true: 1}[opens], map[bool]int{true: 1}[opens])
			time.Sleep(keyRetryMax)
		}
		asked, refused := server.count(), a.Stats().KeyRefused
		want("the first try while it is open", ErrUnavailable, 1, 1)
		for range 100 {
			want("at once behind it", ErrUnavailable, 1, 1)
		}
		if s := a.Stats(); server.count() != asked+1 || s.KeyRefused != refused+100 || s.Addresses != 0 {
			t.Errorf("asked %d times; %+v", server.count()-asked, s)
		}
		if n := strings.Count(log.String(), "circuit breaker of a key server is open"); n != 1 || strings.Contains(log.String(), "is closed") {
			t.Errorf("%d lines say that it is open: %s", n, log.String())
		}
		server.serve(key)
		time.Sleep(keyRetryMax)
		want("when it is back", nil, 1, 0)
		if n := strings.Count(log.String(), "circuit breaker of a key server is closed"); n != 1 || strings.Contains(log.String(), "hunter2") {
			t.Errorf("%d lines say that it is closed: %s", n, log.String())
		}
		server.set(down)
		time.Sleep(defaultKeysTTL)
		for range 5 * keyBreakerFailures {
			if _, err := bearer(t, a, key.sign(good(nil))); err != nil { // the request that it causes is waited for by nobody
				t.Errorf("known keys while it is down: %v", err)
			}
			time.Sleep(keyRetryMax)
		}
		want("known keys while it is open again", nil, 2, 1)
	})
}

// TestKeyServerHangsInAStorm: while the server hangs, of a storm of logins few
// wait, and all others are refused within no time; those with passwords get in.
func TestKeyServerHangsInAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, server := newSigner("k1", jose.EdDSA), &keyServer{}
		server.set(hangs)
		a := remoteTokens(t, server)
		token := NewSecret(key.sign(good(nil)))
		storm := func(clients int) (waited int64) {
			var all sync.WaitGroup
			var late, wrong atomic.Int64
			for i := range clients {
				all.Go(func() {
					began := time.Now()
					_, err := a.Token(t.Context(), Origin{Door: "mqtt", Addr: addrNumber(i)}, token)
					if time.Since(began) > 0 {
						late.Add(1)
					}
					if !errors.Is(err, ErrUnavailable) || time.Since(began) > keyFetchTimeout {
						wrong.Add(1)
					}
				})
			}
			all.Wait()
			if wrong.Load() > 0 {
				t.Errorf("%d logins ended otherwise or took too long", wrong.Load())
			}
			return late.Load()
		}
		if n := storm(maxKeyWaiting + 500); n != maxKeyWaiting {
			t.Errorf("%d wait for the first request", n)
		}
		for range keyBreakerFailures {
			time.Sleep(keyRetryMax)
			storm(1)
		}
		time.Sleep(keyRetryMax)
		if n := storm(2000); n != 1 {
			t.Errorf("%d wait while the breaker is open", n)
		}
		login(t, a, "bert", "bert-secret")
		if s := a.Stats(); s.KeyBreakersOpen != 1 || s.KeyRefused < 2000 || s.Refused != 0 {
			t.Errorf("%+v", s)
		}
	})
}
