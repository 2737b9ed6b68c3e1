package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyServer is a key server without a network, so that it can live in a bubble of fake time.
type keyServer struct {
	mu     sync.Mutex
	asked  int
	answer func(*http.Request) (int, []byte, error)
}

func (k *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	k.asked++
	answer := k.answer
	k.mu.Unlock()
	status, body, err := answer(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

func (k *keyServer) serve(signers ...signer) {
	k.set(func(*http.Request) (int, []byte, error) { return http.StatusOK, jwks(signers...), nil })
}

func (k *keyServer) set(answer func(*http.Request) (int, []byte, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = answer
}

func (k *keyServer) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

func remoteTokens(t testing.TB, server *keyServer) *Auth {
	t.Helper()
	config := tokens(t, nil, func(i *Issuer) { i.KeysFile, i.KeysURL = "", "https://id.example.com/keys?secret=hunter2" })
	a, _ := start(t, config, Options{HTTPClient: &http.Client{Transport: server}})
	return a
}

func down(*http.Request) (int, []byte, error) { return 0, nil, errors.New("no route to host") }

func TestKeyServerIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, server := newSigner("k1", jose.EdDSA), &keyServer{}
		server.set(func(*http.Request) (int, []byte, error) {
			time.Sleep(time.Second)
			return http.StatusOK, jwks(key), nil
		})
		a := remoteTokens(t, server)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := bearer(t, a, key.sign(good(nil))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if server.count() != 1 {
			t.Errorf("100 logins at once ask %d times", server.count())
		}
		time.Sleep(defaultKeysTTL - 2*time.Second)
		if _, err := bearer(t, a, key.sign(good(nil))); err != nil || server.count() != 1 {
			t.Errorf("within the time to live: %v, asked %d times", err, server.count())
		}
		time.Sleep(2 * time.Second)
		if _, err := bearer(t, a, key.sign(good(nil))); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if server.count() != 2 {
			t.Errorf("after the time to live: asked %d times", server.count())
		}
	})
}

func TestKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := newSigner("k1", jose.EdDSA), newSigner("k2", jose.EdDSA)
		server := &keyServer{}
		server.serve(old)
		a := remoteTokens(t, server)
		id, err := bearer(t, a, old.sign(good(nil)))
		if err != nil {
			t.Fatal(err)
		}
		server.serve(next)
		time.Sleep(keyFetchEvery)
		if _, err := bearer(t, a, next.sign(good(nil))); err != nil {
			t.Errorf("a token with the new key: %v", err)
		}
		if _, err := bearer(t, a, old.sign(good(nil))); !errors.Is(err, ErrDenied) {
			t.Errorf("a token with the old key: %v", err)
		}
		if err := a.Refresh(id); err != nil {
			t.Errorf("a connection that the old key let in: %v", err)
		}
	})
}

// TestUnknownKeysDoNotFlood: made-up key identifiers cause one request per half minute.
func TestUnknownKeysDoNotFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, server := newSigner("k1", jose.EdDSA), &keyServer{}
		server.serve(key)
		a := remoteTokens(t, server)
		for i := range 500 {
			fake := newSigner(fmt.Sprintf("made-up-%d", i), jose.EdDSA)
			if _, err := bearer(t, a, fake.sign(good(nil))); !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if server.count() != 2 {
			t.Errorf("50 seconds of unknown keys ask %d times", server.count())
		}
	})
}

// TestKeyServerOutage: known keys go on, unknown ones wait for nobody, and the
// server is asked ever more rarely.
func TestKeyServerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, server := newSigner("k1", jose.EdDSA), &keyServer{}
		server.set(down)
		a := remoteTokens(t, server)
		for range 100 {
			if _, err := bearer(t, a, key.sign(good(nil))); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("without any key: %v", err)
			}
		}
		if server.count() != 1 || a.Stats().Refused != 0 || a.Stats().Addresses != 0 {
			t.Errorf("asked %d times, %+v", server.count(), a.Stats())
		}
		for range 3600 {
			_, _ = bearer(t, a, key.sign(good(nil)))
			time.Sleep(time.Second)
		}
		if n := server.count(); n < 60 || n > 140 {
			t.Errorf("in an hour of outage the server is asked %d times", n)
		}
		server.serve(key)
		time.Sleep(keyRetryMax)
		if _, err := bearer(t, a, key.sign(good(nil))); err != nil {
			t.Errorf("when it is back: %v", err)
		}
		server.set(down)
		time.Sleep(keyStaleMax - time.Second)
		if _, err := bearer(t, a, key.sign(good(nil))); err != nil {
			t.Errorf("with a known key in an outage: %v", err)
		}
		if _, err := bearer(t, a, newSigner("k2", jose.EdDSA).sign(good(nil))); !errors.Is(err, ErrUnavailable) {
			t.Errorf("with an unknown key in an outage: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := bearer(t, a, key.sign(good(nil))); !errors.Is(err, ErrUnavailable) {
			t.Errorf("with a key that is too old: %v", err)
		}
	})
}

func TestKeyServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, server := newSigner("k1", jose.EdDSA), &keyServer{}
		server.set(func(r *http.Request) (int, []byte, error) {
			<-r.Context().Done()
			return 0, nil, r.Context().Err()
		})
		a := remoteTokens(t, server)
		began := time.Now()
		if _, err := bearer(t, a, key.sign(good(nil))); !errors.Is(err, ErrUnavailable) || time.Since(began) != keyFetchTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		time.Sleep(keyRetryMax)
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Token(ctx, peer, NewSecret(key.sign(good(nil)))); !errors.Is(err, ErrBusy) || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		began = time.Now()
		if err := a.Close(); err != nil || time.Since(began) != 0 {
			t.Errorf("closing while a request hangs: %v after %s", err, time.Since(began))
		}
	})
}

func TestReloadKeepsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, server := newSigner("k1", jose.EdDSA), &keyServer{}
		server.serve(key)
		config := tokens(t, nil, func(i *Issuer) { i.KeysFile, i.KeysURL = "", "https://id.example.com/keys" })
		a, _ := start(t, config, Options{HTTPClient: &http.Client{Transport: server}})
		for range 3 {
			if _, err := bearer(t, a, key.sign(good(nil))); err != nil {
				t.Fatal(err)
			}
			if err := a.Reload(config); err != nil {
				t.Fatal(err)
			}
		}
		if server.count() != 1 {
			t.Errorf("three reloads ask %d times", server.count())
		}
	})
}

// downgrade answers over https with a redirect to http, where it has keys for everybody.
type downgrade struct{ keys []byte }

func (d downgrade) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.URL.Scheme == "https" {
		http.Redirect(w, r, "http://id.example.com/keys", http.StatusFound)
	} else {
		_, _ = w.Write(d.keys)
	}
	response := w.Result()
	response.Request = r
	return response, nil
}

func TestKeyServerRedirectsToPlainHTTP(t *testing.T) {
	key := newSigner("k1", jose.EdDSA)
	config := tokens(t, nil, func(i *Issuer) { i.KeysFile, i.KeysURL = "", "https://id.example.com/keys" })
	a, log := start(t, config, Options{HTTPClient: &http.Client{Transport: downgrade{jwks(key)}}})
	if _, err := bearer(t, a, key.sign(good(nil))); !errors.Is(err, ErrUnavailable) || !strings.Contains(log.String(), "away from https") {
		t.Errorf("%v; %s", err, log.String())
	}
}

// TestKeyServerAnswers uses a real server on loopback with answers of every kind.
func TestKeyServerAnswers(t *testing.T) {
	key := newSigner("k1", jose.EdDSA)
	cases := map[string]struct {
		serve http.HandlerFunc
		want  error
	}{
		"keys":            {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(key)) }, nil},
		"status 500":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = w.Write(jwks(key)) }, ErrUnavailable},
		"no JSON":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, ErrUnavailable},
		"no keys":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) }, ErrUnavailable},
		"too much":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), maxKeyBytes+1)) }, ErrUnavailable},
		"cut off":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrUnavailable},
		"redirect to FTP": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "ftp://127.0.0.1/", 302) }, ErrUnavailable},
		"endless redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/"+strings.Repeat("x", len(r.URL.Path)), 302)
		}, ErrUnavailable},
		"other keys": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(newSigner("k2", jose.EdDSA))) }, ErrDenied},
	}
	for name, c := range cases {
		server := httptest.NewServer(c.serve)
		config := tokens(t, nil, func(i *Issuer) { i.KeysFile, i.KeysURL = "", server.URL+"/keys?secret=hunter2" })
		a, log := start(t, config, Options{})
		_, err := bearer(t, a, key.sign(good(nil)))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(log.String(), "hunter2") || (errors.Is(c.want, ErrUnavailable) && !strings.Contains(log.String(), "cannot be fetched")) {
			t.Errorf("%s: the log is %s", name, log.String())
		}
		_ = a.Close()
		server.Close()
	}
}
