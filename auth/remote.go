package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// remotes are the key servers of a configuration. They outlive a reload, so that
// it does not throw away keys that are still good.
type remotes struct {
	log    *slog.Logger
	now    func() time.Time
	client *http.Client
	own    *http.Transport // closed with the remotes; nil when the client was passed in
	count  *counters

	ctx    context.Context // ends with close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	flights sync.WaitGroup
	byURL   map[string]*remote
}

func newRemotes(opts Options, count *counters) *remotes {
	r := &remotes{log: opts.Logger, now: opts.Now, count: count, byURL: make(map[string]*remote)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	client := http.Client{}
	if opts.HTTPClient != nil {
		client = *opts.HTTPClient
	} else {
		r.own = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxKeyBytes, IdleConnTimeout: time.Minute,
		}
		client.Transport = r.own
	}
	client.CheckRedirect = checkRedirect
	r.client = &client
	return r
}

func checkRedirect(next *http.Request, before []*http.Request) error {
	if len(before) >= 3 {
		return errors.New("more than 3 redirects")
	}
	if !secureURL(next.URL) {
		return errors.New("a redirect leads away from https")
	}
	return nil
}

// get returns the keys of a URL, those that are known already if there are any.
func (r *remotes) get(address string, ttl time.Duration) *remote {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.byURL[address]; known != nil && known.ttl == ttl {
		return known
	}
	return &remote{of: r, url: address, ttl: ttl}
}

// keep remembers the key servers of a snapshot and forgets the others.
func (r *remotes) keep(s *snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.byURL)
	for _, i := range s.issuers {
		if keys, ok := i.keys.(*remote); ok {
			r.byURL[keys.url] = keys
		}
	}
}

// spawn runs a fetch in a goroutine that close waits for.
func (r *remotes) spawn(fetch func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.flights.Go(fetch)
	return true
}

func (r *remotes) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.flights.Wait()
	if r.own != nil {
		r.own.CloseIdleConnections()
	}
}

// fetch asks a key server once.
func (r *remotes) fetch(address string) (keySet, error) {
	ctx, cancel := context.WithTimeout(r.ctx, keyFetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("User-Agent", "spate")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeyBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyBytes {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxKeyBytes)
	}
	set, err := parseJWKS(text, false)
	if err == nil && len(set) == 0 {
		err = errors.New("the answer has no key for RS256, ES256 or EdDSA")
	}
	return set, err
}

// open returns how many key servers have an open circuit breaker.
func (r *remotes) open() (n int) {
	r.mu.Lock()
	servers := slices.Collect(maps.Values(r.byURL))
	r.mu.Unlock() // ask takes the two locks in the other order
	for _, server := range servers {
		if server.failing() {
			n++
		}
	}
	return n
}

// remote is one key server, and a source of keys that survives its outages: known
// keys are used while they are fetched again, one request is made for all who
// wait, and after a failure none at all for a while. After keyBreakerFailures in a
// row its circuit breaker is open: whoever needs a key that is not known is refused
// at once, except for one at a time, who tries whether the server is back. So a
// storm of reconnects does not pile up behind a server that hangs.
type remote struct {
	of  *remotes
	url string
	ttl time.Duration

	mu       sync.Mutex
	set      keySet
	fetched  time.Time     // when set was fetched
	asked    time.Time     // when the last request began
	failures int           // in a row
	retryAt  time.Time     // after failures: no request before
	flight   chan struct{} // closed when the request under way has ended
	waiting  int           // for it
}

func (r *remote) failing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures >= keyBreakerFailures
}

func (r *remote) withdrawn(keyPrint) bool {
	// A key that left the set since is not held against connections that are
	// open: issuers rotate keys every day, and tokens expire by themselves.
	return false
}

func (r *remote) find(ctx context.Context, id string, alg jose.SignatureAlgorithm) ([]verifyKey, error) {
	r.mu.Lock()
	found, usable := r.known(id, alg)
	if len(found) > 0 {
		if r.of.now().Sub(r.fetched) >= r.ttl {
			r.ask() // nobody waits for it
		}
		r.mu.Unlock()
		return found, nil
	}
	if usable && r.flight == nil && r.failures == 0 && r.of.now().Sub(r.asked) < keyFetchEvery {
		r.mu.Unlock()
		return nil, refuse("", "the token names a key that the issuer does not have")
	}
	first := r.flight == nil
	flight := r.ask()
	if flight == nil || !first && r.failures >= keyBreakerFailures || r.waiting >= maxKeyWaiting {
		r.mu.Unlock()
		r.of.count.keyRefused.Add(1)
		return nil, ErrUnavailable
	}
	r.waiting++
	r.mu.Unlock()
	var late error
	select {
	case <-flight:
	case <-ctx.Done():
		late = ErrBusy
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	if late != nil {
		return nil, late
	}
	found, usable = r.known(id, alg)
	switch {
	case len(found) > 0:
		return found, nil
	case !usable || r.failures > 0:
		return nil, ErrUnavailable
	default:
		return nil, refuse("", "the token names a key that the issuer does not have")
	}
}

// known looks into the set that was fetched last, while it is not too old.
func (r *remote) known(id string, alg jose.SignatureAlgorithm) (found []verifyKey, usable bool) {
	if r.set == nil || r.of.now().Sub(r.fetched) >= keyStaleMax {
		return nil, false
	}
	return r.set.lookup(id, alg), true
}

// ask joins the request under way or starts one; nil while it may not.
func (r *remote) ask() chan struct{} {
	if r.flight != nil {
		return r.flight
	}
	now := r.of.now()
	if now.Before(r.retryAt) {
		return nil
	}
	flight := make(chan struct{})
	if !r.of.spawn(func() { r.land(flight) }) {
		return nil
	}
	r.flight, r.asked = flight, now
	return flight
}

// land makes the request and keeps its result.
func (r *remote) land(flight chan struct{}) {
	set, err := r.of.fetch(r.url)
	r.of.count.keyFetches.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(flight)
	r.flight = nil
	now := r.of.now()
	if err != nil {
		r.failed(now, err)
		return
	}
	if r.failures >= keyBreakerFailures {
		r.of.log.Info("the circuit breaker of a key server is closed: keys for tokens are fetched again",
			"server", withoutQuery(r.url), "failures", r.failures)
	}
	r.set, r.fetched, r.failures, r.retryAt = set, now, 0, time.Time{}
}

// failed decides when the server is asked again, and whether anybody waits for that.
func (r *remote) failed(now time.Time, err error) {
	pause := min(keyRetryFirst<<min(r.failures, 16), keyRetryMax)
	pause = pause/2 + rand.N(pause/2) // so that several servers do not come back at once
	r.failures++
	r.retryAt = now.Add(pause)
	r.of.count.keyFailures.Add(1)
	attrs := []any{"server", withoutQuery(r.url), "error", plain(err), "failures", r.failures, "retry_in", pause.Round(time.Millisecond)}
	r.of.log.Warn("keys for tokens cannot be fetched", attrs...)
	if r.failures == keyBreakerFailures {
		r.of.count.keyBreaks.Add(1)
		r.of.log.Warn("the circuit breaker of a key server is open: tokens with keys that are not known are refused at once", attrs...)
	}
}

// withoutQuery leaves out of a URL what may be secret in it.
func withoutQuery(text string) string {
	before, _, _ := strings.Cut(text, "?")
	return before
}

// plain is the text of an error of package http without the URL in it.
func plain(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return clip(err.Error())
}
